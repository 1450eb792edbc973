"""``python -m tools.chart docs`` and ``python -m tools.chart install``: write what is made from the chart."""

from __future__ import annotations

import sys
from pathlib import Path

from tools.chart.install import build_install
from tools.chart.values import CHART, build_page, build_readme

ROOT = Path(__file__).parents[2]


def main(arguments: list[str]) -> int:
    """Write the files of one kind."""
    if arguments == ["docs"]:
        files = {CHART / "README.md": build_readme(), ROOT / "docs" / "reference" / "values.md": build_page()}
    elif arguments == ["install"]:
        files = {ROOT / "charts" / "install.yaml": build_install()}
    else:
        sys.stderr.write("usage: python -m tools.chart docs|install\n")
        return 64
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        sys.stdout.write(f"{path.relative_to(ROOT)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

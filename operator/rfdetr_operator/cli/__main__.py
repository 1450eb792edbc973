"""``python -m rfdetr_operator.cli`` is ``rfdetrctl``."""

from __future__ import annotations

import sys

from rfdetr_operator.cli import main

if __name__ == "__main__":
    sys.exit(main())

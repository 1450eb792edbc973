"""The commands that the documentation shows, and how each of them is known to work."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
# make: a stage of .ci/run. laptop: tests/docs. plain (without Helm), cluster: tests/cluster/test_docs.py.
# gpu, engine (a container engine): cannot be run by the suite.
WAYS = ("make", "laptop", "plain", "cluster", "gpu", "engine")
BLOCK = re.compile(r"(?:<!-- run: (?P<way>[a-z]+) -->\n)?```console\n(?P<text>.*?)```", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Block:
    """One block of commands; ``way`` is empty when the page does not say how it is run."""

    page: str
    way: str
    commands: tuple[str, ...]


def list_pages() -> tuple[Path, ...]:
    """The README and every page of the site."""
    return (REPOSITORY / "README.md", REPOSITORY / "CONTRIBUTING.md", *sorted((REPOSITORY / "docs").rglob("*.md")))


def read_blocks(page: Path) -> Iterator[Block]:
    """The console blocks of a page, in order."""
    for found in BLOCK.finditer(page.read_text()):
        lines = found["text"].replace("\\\n", "").splitlines()
        commands = tuple(line[2:].partition("    #")[0].strip() for line in lines if line.startswith("$ "))
        yield Block(str(page.relative_to(REPOSITORY)), found["way"] or "", commands)


def list_blocks() -> tuple[Block, ...]:
    """All blocks of all pages."""
    return tuple(block for page in list_pages() for block in read_blocks(page))

"""A volume that fails at a place of our choice: the process dies, the power goes, the disk is full or broken."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from rfdetr_trainer.durable import Volume

Death = Literal["process", "power"]


class Quick(Volume):
    """A volume that keeps what it was given without being asked to."""

    def fsync(self, descriptor: int) -> None:
        pass

    def sync_folder(self, folder: Path) -> None:
        pass


class Crash(BaseException):
    """Nothing runs after this; no handler of a mere exception sees it."""


@dataclass(slots=True)
class Undo:
    """A change of names that only the folder's fsync makes durable."""

    folder: Path
    undo: Callable[[], None]


@dataclass
class TornVolume(Volume):
    """Counts the calls and dies at one of them. A write is torn in the middle.

    ``process``: what was called before stays. ``power``: of that, only what was fsynced: contents by their file, names by
    their folder.
    """

    attic: Path  # where what may have to come back is kept
    dies_at: int | None = None
    death: Death = "process"
    calls: list[str] = field(default_factory=list)
    _dead: bool = False
    _paths: dict[int, Path] = field(default_factory=dict)
    _unsynced: set[int] = field(default_factory=set)  # inodes
    _names: list[Undo] = field(default_factory=list)

    def make_folder(self, folder: Path) -> None:
        self._call("make_folder")
        super().make_folder(folder)

    def open(self, path: Path) -> int:
        self._call("open")
        descriptor = super().open(path)
        self._paths[descriptor] = path
        self._unsynced.add(os.fstat(descriptor).st_ino)
        return descriptor

    def write(self, descriptor: int, data: memoryview) -> int:
        with self._torn(lambda: super(TornVolume, self).write(descriptor, data[: len(data) // 2])):
            self._call("write")
        return super().write(descriptor, data)

    def fsync(self, descriptor: int) -> None:
        self._call("fsync")  # a disk is not needed to know what it would keep
        self._unsynced.discard(os.fstat(descriptor).st_ino)

    def close(self, descriptor: int) -> None:
        super().close(descriptor)  # a dying process closes its files as well
        self._call("close")

    def replace(self, source: Path, target: Path) -> None:
        self._call("replace")
        kept = self._keep(target)
        super().replace(source, target)
        self._names.append(Undo(target.parent, lambda: self._bring_back(kept, target)))

    def link(self, source: Path, target: Path) -> None:
        self._call("link")
        super().link(source, target)

    def unlink(self, path: Path) -> None:
        self._call("unlink")
        kept = self._keep(path)
        super().unlink(path)
        if kept is not None:
            self._names.append(Undo(path.parent, lambda: self._bring_back(kept, path)))

    def sync_folder(self, folder: Path) -> None:
        self._call("sync_folder")
        self._names = [change for change in self._names if change.folder != folder]

    def _call(self, name: str) -> None:
        if self._dead:
            raise Crash
        self.calls.append(name)
        if len(self.calls) - 1 == self.dies_at:
            self._dead = True
            raise Crash

    @contextlib.contextmanager
    def _torn(self, half: Callable[[], object]) -> Iterator[None]:
        was_dead = self._dead
        try:
            yield
        except Crash:
            if not was_dead:
                half()
            raise

    def lose(self) -> None:
        """What the next process finds: after a loss of power less than what was called."""
        if self.death == "process":
            return
        for change in reversed(self._names):
            change.undo()
        for path in self.attic.parent.rglob("*"):
            if path.is_file() and path.stat().st_ino in self._unsynced:
                os.truncate(path, 0)

    def _keep(self, path: Path) -> Path | None:
        if not path.exists():
            return None
        self.attic.mkdir(exist_ok=True)
        kept = self.attic / str(len(list(self.attic.iterdir())))
        os.link(path, kept)
        return kept

    @staticmethod
    def _bring_back(kept: Path | None, path: Path) -> None:
        path.unlink(missing_ok=True)
        if kept is not None:
            os.link(kept, path)


@dataclass
class FullVolume(Quick):
    """A volume of so many bytes: a write that does not fit is refused, what is unlinked gives its bytes back."""

    size: int
    root: Path
    refusal: int = errno.ENOSPC

    def write(self, descriptor: int, data: memoryview) -> int:
        left = self.size - self._count()
        if left <= 0:
            raise OSError(self.refusal, os.strerror(self.refusal))
        return super().write(descriptor, data[:left])

    def _count(self) -> int:
        files = {
            facts.st_ino: facts.st_size for path in self.root.rglob("*") if path.is_file() and (facts := path.stat())
        }
        return sum(files.values())


@dataclass
class BrokenVolume(Quick):
    """A volume that answers one kind of call with an error, as long as ``number`` is set."""

    call: str
    number: int | None

    def write(self, descriptor: int, data: memoryview) -> int:
        self._refuse("write")
        return super().write(descriptor, data)

    def open(self, path: Path) -> int:
        self._refuse("open")
        return super().open(path)

    def fsync(self, descriptor: int) -> None:
        self._refuse("fsync")
        super().fsync(descriptor)

    def replace(self, source: Path, target: Path) -> None:
        self._refuse("replace")
        super().replace(source, target)

    def _refuse(self, call: str) -> None:
        if call == self.call and self.number is not None:
            raise OSError(self.number, os.strerror(self.number))

"""How a file becomes durable: written beside its target, fsynced, renamed, and the folder fsynced.

``Volume`` has every call that changes anything on the way, one method a system call.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rfdetr_contract.report import FailureReason

STORAGE_FAULTS: Final = {
    errno.ENOSPC: FailureReason.STORAGE_FULL,
    errno.EFBIG: FailureReason.STORAGE_FULL,
    errno.EDQUOT: FailureReason.STORAGE_FULL,
    errno.EIO: FailureReason.STORAGE_ERROR,
    errno.EROFS: FailureReason.STORAGE_ERROR,
    errno.ESTALE: FailureReason.STORAGE_ERROR,
    errno.ETIMEDOUT: FailureReason.STORAGE_ERROR,
}
SMALL = 1 << 16  # shorter pieces are gathered
PIECE = 1 << 20
WRITEBACK = 1 << 24  # so much is on its way to the disk before the fsync that waits for it


class Volume:
    """The calls themselves."""

    def make_folder(self, folder: Path) -> None:
        """Create a folder and what is above it."""
        folder.mkdir(parents=True, exist_ok=True)

    def open(self, path: Path) -> int:
        """An empty file to write to."""
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)

    def reopen(self, path: Path, offset: int) -> int:
        """A file that is there, to write to from a byte on."""
        descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        os.lseek(descriptor, offset, os.SEEK_SET)
        return descriptor

    def write(self, descriptor: int, data: memoryview) -> int:
        """Write what the volume takes; how much that was."""
        return os.write(descriptor, data)

    def begin_writeback(self, descriptor: int, offset: int, size: int) -> None:
        """Ask for what was just written to go to the disk soon: Linux writes back what it is told is not needed.

        A hint: a file system that does not take it writes at the fsync.
        """
        with contextlib.suppress(OSError):
            os.posix_fadvise(descriptor, offset, size, os.POSIX_FADV_DONTNEED)

    def fsync(self, descriptor: int) -> None:
        """Make a file's content durable."""
        os.fsync(descriptor)

    def close(self, descriptor: int) -> None:
        """Done with a file."""
        os.close(descriptor)

    def replace(self, source: Path, target: Path) -> None:
        """Give a file its name, atomically."""
        source.replace(target)

    def link(self, source: Path, target: Path) -> None:
        """Give a file a second name."""
        os.link(source, target)

    def unlink(self, path: Path) -> None:
        """Take a name away, if it is there."""
        path.unlink(missing_ok=True)

    def sync_folder(self, folder: Path) -> None:
        """Make the names in a folder durable."""
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


VOLUME: Final = Volume()


@dataclass(frozen=True, slots=True)
class Written:
    """What is durable now."""

    sha256: str
    size: int


class Sink:
    """A file object that hashes what passes through it: a large piece beside its write, by a second thread.

    A fault is kept until ``finish``: the writers of torch are C++, through which no exception of ours should fly.
    """

    def __init__(self, volume: Volume, descriptor: int) -> None:
        self._volume = volume
        self._descriptor = descriptor
        self._digest = hashlib.sha256()
        self._hasher: ThreadPoolExecutor | None = None
        self._gathered = bytearray()
        self._size = 0
        self._begun = 0  # bytes whose way to the disk has begun
        self._fault: BaseException | None = None

    def write(self, data: bytes | memoryview) -> int:
        """Take a piece; small ones wait for each other."""
        length = len(data)
        self._gathered += data if length < SMALL else b""
        if length >= SMALL or len(self._gathered) >= PIECE:
            self.flush()
        if length >= SMALL:
            self._pass(memoryview(data))
        return length

    def flush(self) -> None:
        """Nothing waits any longer."""
        if self._gathered:
            gathered, self._gathered = self._gathered, bytearray()
            self._pass(memoryview(gathered))

    def finish(self) -> Written:
        """All is written; what it was.

        Raises:
            OSError: the volume refused a piece.

        """
        self.flush()
        if self._fault is not None:
            raise self._fault
        return Written(self._digest.hexdigest(), self._size)

    def close(self) -> None:
        """No more is hashed."""
        if self._hasher is not None:
            self._hasher.shutdown()

    def _pass(self, data: memoryview) -> None:
        if self._fault is not None:
            return
        self._size += len(data)
        if len(data) < PIECE:
            self._digest.update(data)
            self._write(data)
            return
        self._hasher = self._hasher or ThreadPoolExecutor(1, "checkpoint-hash")
        hashed = self._hasher.submit(self._digest.update, data)
        self._write(data)
        hashed.result()  # the piece is the caller's again

    def _write(self, data: memoryview) -> None:
        try:
            while data:
                data = data[self._volume.write(self._descriptor, data) :]
            if self._size - self._begun >= WRITEBACK:
                self._volume.begin_writeback(self._descriptor, self._begun, self._size - self._begun)
                self._begun = self._size
        except BaseException as fault:  # noqa: BLE001 - it is raised again by finish
            self._fault = fault


Produce = Callable[[Sink], object]


def name_temporary(target: Path) -> Path:
    """The name of the unfinished file beside its target: it says which process of which host writes it."""
    return target.with_name(f".{target.name}.tmp-{socket.gethostname()}-{os.getpid()}")


def write_file(volume: Volume, target: Path, produce: Produce) -> Written:
    """Write what ``produce`` gives, durably. Nothing is left behind on a fault."""
    volume.make_folder(target.parent)
    temporary = name_temporary(target)
    try:
        written = write_unnamed(volume, temporary, produce)
        volume.replace(temporary, target)
        volume.sync_folder(target.parent)
    except OSError:
        with contextlib.suppress(OSError):
            volume.unlink(temporary)
        raise
    return written


def write_unnamed(volume: Volume, path: Path, produce: Produce) -> Written:
    """Write and fsync a file that nobody knows yet."""
    descriptor = volume.open(path)
    sink = Sink(volume, descriptor)
    try:
        produce(sink)
        written = sink.finish()
        volume.fsync(descriptor)
    finally:
        sink.close()
        volume.close(descriptor)
    return written


def write_durable(target: Path, data: bytes, volume: Volume = VOLUME) -> Written:
    """The same for bytes that are there."""
    return write_file(volume, target, lambda sink: sink.write(data))


def extend(target: Path, size: int, data: bytes, volume: Volume = VOLUME) -> None:
    """Write behind a file's first ``size`` bytes, durably. What a fault leaves there is written over by the next try."""
    descriptor = volume.reopen(target, size)
    try:
        left = memoryview(data)
        while left:
            left = left[volume.write(descriptor, left) :]
        volume.fsync(descriptor)
    finally:
        volume.close(descriptor)


def publish(source: Path, target: Path, volume: Volume = VOLUME) -> None:
    """Give a finished file a second name, atomically: a hard link, or a copy where links are not to be had."""
    volume.make_folder(target.parent)
    temporary = name_temporary(target)
    volume.unlink(temporary)
    try:
        try:
            volume.link(source, temporary)
        except OSError as error:
            if error.errno in STORAGE_FAULTS:
                raise
            write_unnamed(volume, temporary, lambda sink: copy_into(source, sink))
        volume.replace(temporary, target)
        volume.sync_folder(target.parent)
    finally:  # a second link to one file is not renamed but left, by POSIX
        volume.unlink(temporary)


def copy_into(source: Path, sink: Sink) -> None:
    """The file's content, piece by piece."""
    with source.open("rb") as file:
        while piece := file.read(PIECE):
            sink.write(piece)

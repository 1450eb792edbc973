"""A run that dies at any place goes on from a state that was copied while it trained, and ends bitwise where the whole one does."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from integration.one_rank import WHERE_FOLDERS_SHOW, Crash, CrashAt, Job, alone, build_job, list_differences
from integration.test_training import REPOSITORY, Gang, flatten, make_run, read_state
from rfdetr_contract.report import Outcome
from rfdetr_contract.run import CheckpointRun, EarlyStoppingRun
from rfdetr_trainer.outcome import End
from rfdetr_trainer.retention import read_manifests
from torn_volume import Quick
from trainer_diary import ENV_DIARY, FACTORY, read_diary
from trainer_marks import write_plugin

pytestmark = pytest.mark.filterwarnings("ignore")  # torch's and Lightning's own, of a training inside this process
# Places as test_equality counts them: 5 steps an epoch from the third on, 4 validation batches, 4 of the judgement.
PLACES = {
    "before the first save": ((3,), 0),
    "behind a save": ((5,), 2),
    "behind two": ((6, 3), 4),
    "validation": ((10,), 4),
    "the second epoch": ((15,), 7),
    "last validation": ((19,), 9),
    "judgement": ((23,), 10),
}


class Slow(Quick):
    """A volume that takes seconds for a state, which is some hundred pieces; a step takes less than one."""

    def write(self, descriptor: int, data: memoryview) -> int:
        time.sleep(0.01)
        return super().write(descriptor, data)


@dataclass(frozen=True)
class Diaries:
    """A run and what it computed."""

    home: Path
    environ: pytest.MonkeyPatch

    def build(self, name: str) -> Job:
        """A job that saves at each step, and whose diary lies beside it."""
        (self.home / f"{name}-diary").mkdir()
        job = build_job(self.home, name)
        return replace(job, run=job.run.model_copy(update={"checkpoints": CheckpointRun(every_steps=1)}))

    def go(self, job: Job, place: int | None = None) -> type[object]:
        """One round; how it ended."""
        self.environ.setenv(ENV_DIARY, str(self.home / f"{job.name}-diary"))
        return type(job.go() if place is None else job.go(place, CrashAt))

    def read(self, job: Job) -> list[str]:
        """All that was computed."""
        return read_diary(self.home / f"{job.name}-diary")


@pytest.fixture(scope="module")
def diaries(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Diaries]:
    """The data set, torchrun's environment of the only rank, and the diary's plugin."""
    folder = tmp_path_factory.mktemp("crashes")
    write_plugin(folder / "plugin", FACTORY)
    with alone(folder), pytest.MonkeyPatch.context() as environ:
        environ.syspath_prepend(str(folder / "plugin"))
        yield Diaries(folder, environ)


@pytest.fixture(scope="module")
def whole(diaries: Diaries) -> Job:
    """The run that nothing happens to."""
    job = diaries.build("whole")
    assert End is diaries.go(job)
    return job


@pytest.mark.parametrize(("places", "step"), PLACES.values(), ids=PLACES)
def test_a_run_that_breaks_off_ends_bitwise_where_the_whole_one_does(
    diaries: Diaries, whole: Job, places: tuple[int, ...], step: int
) -> None:
    """Weights, EMA, optimizer, schedule, counters, early stopping, best scores; what is done again is the same again."""
    job = diaries.build(f"broken-{'-'.join(map(str, places))}")

    ends = [diaries.go(job, place) for place in places]
    found = job.storage.choose()[0].found
    ends.append(diaries.go(job))

    assert ([Crash] * len(places) + [End], step) == (ends, found.manifest.step if found else 0)
    assert [] == list_differences(whole.read(), job.read())
    assert whole.report() == job.report()
    assert diaries.read(whole) == sorted(set(diaries.read(job)), key=diaries.read(job).index)


def test_a_state_that_is_still_written_while_the_next_step_changes_all_is_the_one_that_was_taken(
    diaries: Diaries, whole: Job
) -> None:
    """Saved after the second step; the third one's optimizer has worked before the volume has taken a tenth of it."""
    job = diaries.build("slow")
    run = job.run.model_copy(update={"checkpoints": CheckpointRun(every_steps=2)})

    ends = [diaries.go(replace(job, run=run, volume=Slow()), 6)]
    found = job.storage.choose()[0].found
    ends.append(diaries.go(job))

    assert ([Crash, End], 2) == (ends, found.manifest.step if found else 0)
    assert found is not None
    assert found.manifest.seconds > 1, "the write was over before the next step was"
    assert [] == list_differences(whole.read(), job.read())


def make_gang(home: Path, name: str) -> Gang:
    """Two processes that keep diaries."""
    diary = home / f"{name}-diary"
    diary.mkdir()
    paths = [home / "plugin", *(REPOSITORY / folder for folder in ("operator", "trainer_image", "tests"))]
    return Gang(home / name, environ={"PYTHONPATH": os.pathsep.join(map(str, paths)), ENV_DIARY: str(diary)})


def kill_when(gang: Gang, wanted: Callable[[], bool], seconds: float = 120) -> None:
    """Kill -9 of every rank as soon as it is so."""
    until = time.monotonic() + seconds
    while not wanted():
        assert time.monotonic() < until, gang.read_log()
        assert all(process.poll() is None for process in gang.processes), gang.read_log()
        time.sleep(0.001)
    for process in gang.processes:
        process.kill()
    assert [-signal.SIGKILL] * 2 == gang.wait(), gang.read_log()


def count_steps(diary: Path) -> int:
    """Optimizer steps that rank 0 has finished."""
    file = diary / "rank-0.jsonl"
    lines = file.read_text().splitlines() if file.exists() else []
    return max((int(json.loads(line)["step"]) for line in lines), default=0)


def read_all(gang: Gang) -> dict[str, Any]:
    """The last state without the names of folders, and RF-DETR's own table."""
    state = flatten(read_state(gang))
    kept = {at: leaf for at, leaf in state.items() if not any(word in at for word in WHERE_FOLDERS_SHOW)}
    return kept | {"metrics.csv": (gang.run_folder.rfdetr / "metrics.csv").read_text()}


def test_two_ranks_that_are_killed_end_bitwise_where_the_whole_run_does(diaries: Diaries) -> None:
    """Kill -9 of both, once behind a save and once while one is written; what is left of that one is never taken."""
    home = diaries.home
    run = make_run(stopping=EarlyStoppingRun(enabled=True, patience=9))
    run = run.model_copy(update={"checkpoints": CheckpointRun(every_steps=3)})
    whole, broken = make_gang(home, "pair"), make_gang(home, "killed")
    whole.start(run)
    assert [0, 0] == whole.wait(), whole.read_log()

    folder, diary, steps = broken.run_folder.checkpoints, home / "killed-diary", list[int]()
    broken.start(run)
    kill_when(broken, lambda: bool(found := read_manifests(folder)) and count_steps(diary) > found[-1].step)
    steps += [broken.newest()[0].step, count_steps(diary)]
    broken.start(run, generation=2, resume=broken.newest()[1])
    kill_when(broken, lambda: any(file.stat().st_size for file in folder.glob(".g000002-*.ckpt.tmp-*")))
    steps += [broken.newest()[0].step]
    broken.start(run, generation=3, resume=broken.newest()[1])
    assert [0, 0] == broken.wait(), broken.read_log()

    assert steps[0] < steps[1], "nothing was lost"
    assert steps[0] == steps[2], "the save was over"
    assert [] == list_differences(read_all(whole), read_all(broken))
    for rank in (0, 1):
        lines = read_diary(diary, rank)
        assert read_diary(home / "pair-diary", rank) == sorted(set(lines), key=lines.index)
        assert len(lines) > len(set(lines))
    first, second = whole.result(), broken.result()
    assert (Outcome.COMPLETED, 3, steps[2]) == (second.outcome, second.generation, second.resumed_step)
    assert (first.message, first.world, first.judgement) == (second.message, second.world, second.judgement)

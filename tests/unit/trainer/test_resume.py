"""What a round resumes from: the chain of generations, digests, and the sources a user can name."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from integration.launcher_pods import build_run
from rfdetr_contract.names import checkpoint_stem
from rfdetr_contract.report import FailureReason
from rfdetr_contract.run import ModelRun
from rfdetr_trainer.errors import ConfigError, RunError
from rfdetr_trainer.generations import Claim, ClaimedResume, write_claim
from rfdetr_trainer.launch.storage import Storage
from rfdetr_trainer.manifest import Manifest, RunFolder, build_model_line
from rfdetr_trainer.resume import Choice, Digests, choose_resume

RUN = build_run()
LINE = build_model_line(RUN.model, 2)


def save(folder: RunFolder, generation: int, step: int, model: str = LINE, time: float = 0.0) -> Path:
    """A whole checkpoint."""
    folder.checkpoints.mkdir(parents=True, exist_ok=True)
    data, stem = f"{generation} {step}".encode(), checkpoint_stem(generation, step)
    manifest = Manifest(
        file=f"{stem}.ckpt",
        generation=generation,
        step=step,
        epoch=0,
        batch_in_epoch=0,
        world_size=2,
        effective_batch=2,
        sha256=hashlib.sha256(data).hexdigest(),
        size=len(data),
        time=time or float(step),
        seconds=0,
        config_hash="h",
        model=model,
        rfdetr="1",
        torch="2",
    )
    (folder.checkpoints / f"{stem}.json").write_text(manifest.model_dump_json())
    path = folder.checkpoints / f"{stem}.ckpt"
    path.write_bytes(data)
    return path


def claim(root: Path, generation: int, parent: int | None = None, resume: Path | None = None) -> None:
    """A claimed generation of the run."""
    step = int(resume.stem.rpartition("s")[2]) if resume else 0
    found = ClaimedResume(file=str(resume.relative_to(root)), step=step, sha256="0") if resume else None
    made = Claim(generation=generation, parent=parent, resume=found, pod_uid="a", attempt=1, world_size=2, time=1)
    write_claim(RunFolder.of(root, RUN).generations, made)


def flip(path: Path) -> None:
    """Change one bit: the size stays."""
    data = path.read_bytes()
    path.write_bytes(bytes([data[0] ^ 1]) + data[1:])


def choose(root: Path, source: str = "auto") -> Choice:
    """What the run would resume from."""
    run = build_run(source=source)
    return choose_resume(root, run, None, Digests())


def find_chosen(root: Path, source: str = "auto") -> Path | None:
    """Its file."""
    found = choose(root, source).found
    return found.path if found else None


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    """The run's own folder."""
    return RunFolder.of(tmp_path, RUN)


def test_a_new_job_starts_fresh(tmp_path: Path) -> None:
    """Nothing is there to go on from."""
    assert Choice(None) == choose(tmp_path)


def test_the_newest_generations_newest_checkpoint_is_taken(tmp_path: Path, folder: RunFolder) -> None:
    """By step, not by the time of a file."""
    claim(tmp_path, 1)
    save(folder, 1, 10, time=900)
    newest = save(folder, 1, 20)

    assert newest == find_chosen(tmp_path)


def test_a_flipped_bit_makes_it_the_one_before(tmp_path: Path, folder: RunFolder) -> None:
    """And the log is told."""
    claim(tmp_path, 1)
    before = save(folder, 1, 10)
    flip(save(folder, 1, 20))

    choice = choose(tmp_path)
    words = "checkpoint g000001-s00000020.ckpt is missing or does not match its digest; trying the one before it"
    assert (before, (words,)) == (choice.found.path if choice.found else None, choice.notes)


def test_a_checkpoint_without_a_manifest_does_not_exist(tmp_path: Path, folder: RunFolder) -> None:
    """Nor does one whose manifest is torn."""
    claim(tmp_path, 1)
    whole = save(folder, 1, 10)
    save(folder, 1, 20).with_suffix(".json").unlink()
    save(folder, 1, 30).with_suffix(".json").write_text('{"file"')

    assert whole == find_chosen(tmp_path)


def test_a_generation_without_checkpoints_goes_on_from_what_it_resumed(tmp_path: Path, folder: RunFolder) -> None:
    """It died before its first save."""
    claim(tmp_path, 1)
    first = save(folder, 1, 10)
    claim(tmp_path, 2, parent=1, resume=first)

    assert first == find_chosen(tmp_path)


def test_what_an_overtaken_generation_wrote_later_is_never_taken(tmp_path: Path, folder: RunFolder) -> None:
    """Generation 1 lived on and saved step 30 after generation 2 had gone on from step 10."""
    claim(tmp_path, 1)
    chosen = save(folder, 1, 10)
    claim(tmp_path, 2, parent=1, resume=chosen)
    save(folder, 1, 30)
    own = save(folder, 2, 20)

    assert own == find_chosen(tmp_path)
    own.unlink()
    assert chosen == find_chosen(tmp_path)


def test_a_child_that_started_fresh_hides_what_its_parent_wrote_afterwards(tmp_path: Path, folder: RunFolder) -> None:
    """When it chose there was nothing."""
    claim(tmp_path, 1)
    claim(tmp_path, 2, parent=1)
    save(folder, 1, 30)

    assert find_chosen(tmp_path) is None


def test_the_chain_leads_back_over_several_generations(tmp_path: Path, folder: RunFolder) -> None:
    """All newer ones are damaged."""
    claim(tmp_path, 1)
    oldest, second = save(folder, 1, 10), save(folder, 1, 20)
    claim(tmp_path, 2, parent=1, resume=second)
    third = save(folder, 2, 30)
    claim(tmp_path, 3, parent=2, resume=third)
    for path in (second, third):
        flip(path)

    assert oldest == find_chosen(tmp_path)


def test_a_run_all_of_whose_checkpoints_are_damaged_does_not_start_over(tmp_path: Path, folder: RunFolder) -> None:
    """Days of work are not thrown away in silence."""
    claim(tmp_path, 1)
    flip(save(folder, 1, 10))

    with pytest.raises(RunError) as error:
        choose(tmp_path)

    assert FailureReason.CHECKPOINT_CORRUPT == error.value.reason


@pytest.mark.parametrize("source", ["never", "previous", "other"])
def test_own_work_comes_before_any_source(tmp_path: Path, folder: RunFolder, source: str) -> None:
    """`never` is for the first round of a job, not for what follows a preemption."""
    claim(tmp_path, 1)
    own = save(folder, 1, 10)

    assert own == find_chosen(tmp_path, source)


def make_other(root: Path, uid: str, model: str = LINE, time: float = 1.0) -> Path:
    """Another job of the same name with one checkpoint."""
    other = RunFolder(RunFolder.of(root, RUN).root.parent / uid)
    write_claim(
        other.generations,
        Claim(generation=1, parent=None, resume=None, pod_uid="x", attempt=1, world_size=2, time=1),
    )
    return save(other, 1, 50, model, time)


def test_previous_is_the_newest_run_of_this_name_with_the_same_model(tmp_path: Path) -> None:
    """A newer one with another resolution does not fit, whatever its age."""
    make_other(tmp_path, "old", time=1)
    fitting = make_other(tmp_path, "new", time=2)
    other = build_model_line(ModelRun(variant="nano", task="detection", resolution=640), 2)
    make_other(tmp_path, "newest", model=other, time=3)

    assert fitting == find_chosen(tmp_path, "previous")


def test_previous_without_a_fitting_run_starts_fresh_and_says_so(tmp_path: Path) -> None:
    """Silence would look like a resume."""
    words = (
        "resume.from: previous: ns/toy holds no earlier run of model 'nano detection 64px' with a whole checkpoint; "
        "starting fresh"
    )
    assert Choice(None, (words,)) == choose(tmp_path, "previous")


def test_a_path_is_a_checkpoint_or_a_run_folder(tmp_path: Path) -> None:
    """Below the output volume."""
    path = make_other(tmp_path, "old")

    assert (path, path) == (
        find_chosen(tmp_path, "ns/toy/old/checkpoints/g000001-s00000050.ckpt"),
        find_chosen(tmp_path, "ns/toy/old"),
    )


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("../x", "resume.from: '../x' must be auto, never, previous or a path below the output volume"),
        ("/etc", "resume.from: '/etc' must be auto, never, previous or a path below the output volume"),
        ("ns/none", "resume.from: 'ns/none' is not on the output volume"),
        ("ns/empty", "resume.from: 'ns/empty' holds no checkpoint with a manifest"),
        ("ns/file", "resume.from: 'file' is no checkpoint of RF-DETR, nor a run folder"),
        ("ns/link", "resume.from: 'ns/link' leads out of the output volume"),
    ],
)
def test_a_path_that_cannot_be_used_is_refused(tmp_path: Path, source: str, sentence: str) -> None:
    """The sentence says why."""
    root = tmp_path / "output"
    (root / "ns" / "empty").mkdir(parents=True)
    (root / "ns" / "file").write_text("x")
    (root / "ns" / "link").symlink_to(tmp_path)

    with pytest.raises(ConfigError) as error:
        choose(root, source)

    assert sentence == error.value.message


def test_a_named_checkpoint_that_is_damaged_is_not_replaced_by_another(tmp_path: Path) -> None:
    """The user named this one."""
    flip(make_other(tmp_path, "old"))

    with pytest.raises(RunError) as error:
        choose(tmp_path, "ns/toy/old/checkpoints/g000001-s00000050.ckpt")

    assert FailureReason.CHECKPOINT_CORRUPT == error.value.reason


def test_a_changed_file_is_read_again(tmp_path: Path, folder: RunFolder) -> None:
    """A digest is remembered for a file's content, not for its name."""
    claim(tmp_path, 1)
    path = save(folder, 1, 10)
    digests = Digests()
    found = choose_resume(tmp_path, RUN, None, digests).found
    assert found is not None

    changed = path.with_suffix(".tmp")
    changed.write_bytes(b"9" + path.read_bytes()[1:])
    changed.rename(path)

    assert digests.verify(found) is False


def test_the_next_claim_names_its_parent_and_its_checkpoint(tmp_path: Path, folder: RunFolder) -> None:
    """The chain that the next resume will walk."""
    claim(tmp_path, 1)
    path = save(folder, 1, 10)
    storage = Storage(tmp_path, RUN, "pod", Digests(), lambda: None)
    found, redone = storage.choose()
    assert found.found is not None

    generation = storage.claim(0, found.found.to_resume(), redone + 3, 5.0)

    assert (2, path, 3) == (generation, find_chosen(tmp_path), storage.choose()[1])


def test_a_pod_seals_for_itself_what_it_has_hashed(tmp_path: Path, folder: RunFolder) -> None:
    """Rank 0's seal is worth nothing elsewhere: what this pod has read, it does not read again; all else it does."""
    claim(tmp_path, 1)
    first, second = (Storage(tmp_path, RUN, uid, Digests(), lambda: None) for uid in ("p0", "p1"))
    none, path = second.hash_newest(), save(folder, 1, 10)
    told = first.hash_newest()
    unread = second.reseal(told)
    own = second.hash_newest()

    assert told is not None
    assert own is not None
    assert (None, told, own, told) == (none, unread, second.reseal(told), first.reseal(told))
    assert told.seal is not None
    assert told.seal.model_copy(update={"pod_uid": "p1"}) == own.seal
    flip(path)
    assert (told, None) == (second.reseal(told), second.hash_newest())


def test_a_launcher_whose_claim_was_overtaken_gets_no_other(tmp_path: Path) -> None:
    """Another pod claimed generation 2 after it had claimed generation 1."""
    old, new = (Storage(tmp_path, RUN, uid, Digests(), lambda: None) for uid in ("old", "new"))
    claimed = (old.claim(0, None, 0, 1.0), new.claim(0, None, 0, 2.0))

    with pytest.raises(RunError) as error:
        old.claim(1, None, 0, 3.0)

    assert ((1, 2), FailureReason.OVERTAKEN) == (claimed, error.value.reason)
    assert (True, False) == (old.is_overtaken(1), new.is_overtaken(2))

"""Claims of generations: exclusive, durable, and a chain."""

from __future__ import annotations

from pathlib import Path

from rfdetr_trainer.generations import (
    Claim,
    build_lineage,
    is_overtaken,
    list_generations,
    read_claims,
    write_claim,
)


def make_claim(generation: int, parent: int | None = None, pod_uid: str = "a") -> Claim:
    """A claim."""
    return Claim(generation=generation, parent=parent, resume=None, pod_uid=pod_uid, attempt=1, world_size=2, time=1.0)


def test_a_generation_is_claimed_once(tmp_path: Path) -> None:
    """The second one is told so, and the first one's words stay."""
    folder = tmp_path / "generations"

    assert (True, False) == (write_claim(folder, make_claim(1)), write_claim(folder, make_claim(1, pod_uid="b")))
    assert {1: make_claim(1)} == read_claims(folder)


def test_a_torn_claim_takes_its_number_and_says_nothing(tmp_path: Path) -> None:
    """Its round was never published, so nothing was trained in it."""
    write_claim(tmp_path, make_claim(1))
    (tmp_path / "000002.json").write_text('{"generation": 2, "par')

    assert ((1, 2), {1: make_claim(1)}) == (list_generations(tmp_path), read_claims(tmp_path))


def test_a_folder_that_is_not_there_has_no_claims(tmp_path: Path) -> None:
    """The first round of a job."""
    assert ((), {}) == (list_generations(tmp_path / "none"), read_claims(tmp_path / "none"))


def test_the_lineage_leaves_out_what_was_overtaken() -> None:
    """Generation 2 was claimed beside 3, which went on from 1."""
    claims = {1: make_claim(1), 2: make_claim(2, parent=1), 3: make_claim(3, parent=1), 4: make_claim(4, parent=3)}

    assert [4, 3, 1] == [claim.generation for claim in build_lineage(claims)]


def test_a_claim_that_is_its_own_ancestor_ends_the_lineage() -> None:
    """A damaged file does not hang a launcher."""
    assert [2] == [claim.generation for claim in build_lineage({2: make_claim(2, parent=2)})]


def test_only_another_pods_newer_claim_overtakes() -> None:
    """One's own next round does not."""
    claims = {1: make_claim(1), 2: make_claim(2), 3: make_claim(3, pod_uid="b")}

    assert (True, False, False) == (
        is_overtaken(claims, 2, "a"),
        is_overtaken(claims, 3, "b"),
        is_overtaken({1: claims[1], 2: claims[2]}, 1, "a"),
    )

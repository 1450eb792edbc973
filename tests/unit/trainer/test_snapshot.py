"""A state's copy: equal to the bit, untouched by what comes after, in memory that is allocated once."""

from __future__ import annotations

import io
import threading
from collections import OrderedDict
from typing import Any

import pytest
import torch

from rfdetr_trainer.snapshot import Snapshots
from rfdetr_trainer.writer import Writer


def load(tree: Any) -> Any:
    """The tree as it comes back from a file."""
    buffer = io.BytesIO()
    torch.save(tree, buffer)
    return torch.load(io.BytesIO(buffer.getvalue()), weights_only=True)


def build_tree() -> dict[str, Any]:
    """Everything that a state is made of."""
    base = torch.arange(10.0)
    return {
        "whole": base,
        "view": base[2:5],
        "turned": torch.arange(6.0).reshape(2, 3).t(),
        "half": torch.ones(3).half(),
        "step": torch.tensor(3),
        "empty": torch.empty(0),
        "many": [1, ("a", {"b": torch.ones(2, dtype=torch.bool)}), None, 0.5],
        "module": torch.nn.Linear(2, 2).state_dict(),
        "expanded": torch.ones(1).expand(4),
    }


def test_a_snapshot_comes_back_from_a_file_as_the_state_itself_would() -> None:
    """Values, shapes, types, views of one storage, and a module's own notes."""
    tree = build_tree()
    ours, plain = load(Snapshots().take(tree)), load(tree)

    def flat(value: Any) -> Any:
        match value:
            case torch.Tensor():
                return (value.dtype, tuple(value.shape), value.stride(), value.tolist())
            case dict():
                return {key: flat(item) for key, item in value.items()}
            case list() | tuple():
                return [flat(item) for item in value]
        return value

    assert flat(plain) == flat(ours)
    assert ours["view"].untyped_storage().data_ptr() == ours["whole"].untyped_storage().data_ptr()
    assert plain["module"]._metadata == ours["module"]._metadata


def test_what_the_next_step_changes_is_not_in_the_snapshot() -> None:
    """Lightning hands over the live tensors, lists and counters."""
    tree: dict[str, Any] = {
        "weights": torch.zeros(4),
        "counters": {"steps": [1]},
        "order": OrderedDict(a=torch.zeros(1)),
    }
    taken = Snapshots().take(tree)
    tree["weights"].fill_(9.0)
    tree["order"]["a"].fill_(9.0)
    tree["counters"]["steps"].append(2)

    assert ([0.0] * 4, [0.0], {"steps": [1]}) == (
        taken["weights"].tolist(),
        taken["order"]["a"].tolist(),
        taken["counters"],
    )


def test_the_memory_is_allocated_once() -> None:
    """One state's bytes, and the next one of that size lies in the same place."""
    snapshots, tree = Snapshots(), {"a": torch.ones(1000), "b": torch.ones(1000)}
    first = snapshots.take(tree)["a"].data_ptr()
    tree["a"].fill_(2.0)
    again = snapshots.take(tree)

    assert (first, [2.0, 1.0], 8064) == (
        again["a"].data_ptr(),
        [float(again["a"][0]), float(again["b"][0])],
        snapshots.size,
    )


def test_what_has_no_plain_storage_is_copied_all_the_same() -> None:
    """Sparse tensors are rare, and small."""
    taken = Snapshots().take({"sparse": torch.eye(2).to_sparse(), "other": {1, 2}})

    assert ([[1.0, 0.0], [0.0, 1.0]], {1, 2}) == (taken["sparse"].to_dense().tolist(), taken["other"])


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_state_on_a_gpu_is_copied_into_pinned_memory() -> None:
    """The copy is done when ``take`` returns."""
    weights = torch.ones(1 << 20, device="cuda")
    taken = Snapshots().take({"weights": weights})
    weights.zero_()

    assert (True, 1.0, 1.0) == (
        taken["weights"].is_pinned(),
        float(taken["weights"].min()),
        float(taken["weights"].max()),
    )


def test_the_writer_works_in_order_and_in_its_own_thread() -> None:
    """It is not the caller's, and it lowers its own priority only."""
    writer, seen = Writer(), list[Any]()
    writer.submit(lambda: seen.append(threading.current_thread().name))
    writer.submit(lambda: seen.append(2))

    assert (True, ["checkpoint-writer", 2]) == (writer.wait(5), seen)


def test_a_writer_that_is_stuck_is_waited_for_only_so_long() -> None:
    """And goes on when it can."""
    writer, gate = Writer(), threading.Event()

    def stick() -> None:
        gate.wait()

    writer.submit(stick)
    stuck = writer.wait(0.02)
    gate.set()

    assert (False, True) == (stuck, writer.wait(5))


def test_what_a_work_raises_is_heard_once() -> None:
    """By whoever asks next."""

    def fail() -> None:
        raise ValueError("no")

    writer = Writer()
    writer.submit(fail)
    with pytest.raises(ValueError, match="no"):
        writer.wait(5)

    assert writer.wait(5)

"""Where local jobs are kept, and their ports."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from rfdetr_operator.shell.cluster import Key
from rfdetr_operator.shell.local_ports import choose_ports, is_free
from rfdetr_operator.shell.local_store import Busy, Store, choose_claim_folder, list_stores

KEY = Key("default", "shelves")


def test_a_stored_job_is_found_again(tmp_path: Path) -> None:
    """By its folder; a job that was removed is not there."""
    store = Store(tmp_path, KEY)
    store.save({"spec": {"nodes": 2}})
    found = [(each.key, each.load()) for each in list_stores(tmp_path)]
    store.remove()

    assert [(KEY, {"spec": {"nodes": 2}})] == found
    assert () == list_stores(tmp_path)


def test_one_process_runs_a_job(tmp_path: Path) -> None:
    """The second is told who does; afterwards nobody does."""
    store = Store(tmp_path, KEY)
    with store.locked():
        with pytest.raises(Busy, match="job default/shelves is already being run here, by process"), store.locked():
            pass
        holder = store.running()

    assert holder is not None
    assert store.running() is None


def test_a_claim_is_a_folder_of_the_root_unless_one_is_given(tmp_path: Path) -> None:
    """Claims are shared by the jobs of a root."""
    given = {"data": tmp_path / "mine"}

    assert tmp_path / "mine" == choose_claim_folder(tmp_path, "data", given)
    assert tmp_path / "claims" / "runs" == choose_claim_folder(tmp_path, "runs", given)


def test_ports_that_are_taken_are_passed_over() -> None:
    """From a place that the uid chooses, upwards, around the end."""
    taken = {10241, 10243}

    def free(port: int) -> bool:
        return port not in taken

    chosen = choose_ports("uid", 2, free, end=10245)

    assert {10240, 10242, 10244} == {chosen.rendezvous, *chosen.http}
    assert chosen == choose_ports("uid", 2, free, end=10245)


def test_too_few_ports_are_an_error() -> None:
    """Rather than two ranks on one port."""
    with pytest.raises(OSError, match="no 3 free ports between 10240 and 10243"):
        choose_ports("uid", 2, lambda port: port != 10241, end=10243)


def test_a_port_with_a_listener_is_not_free() -> None:
    """On whatever address it listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]

        assert not is_free(port)

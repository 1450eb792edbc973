"""Whether a checkpoint fits between SIGTERM and the launcher's own limit, by the saves that were measured."""

from __future__ import annotations

from rfdetr_contract.run import LimitsRun

MARGIN = 2  # a step has to end first, and volumes are slower when every pod of a node saves


def find_short_stop(longest_save: float, limits: LimitsRun) -> str:
    """One sentence when a save may not end in time; empty when it will."""
    if longest_save * MARGIN <= limits.stop_seconds:
        return ""
    grace = round(longest_save * MARGIN) + limits.grace_seconds - limits.stop_seconds
    return (
        f"a checkpoint took {longest_save:.0f} s and a pod that is told to stop has {limits.stop_seconds} s: "
        f"set pod.terminationGracePeriodSeconds={grace} or more"
    )

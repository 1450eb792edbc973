"""Whether a step and a checkpoint fit between SIGTERM and the launcher's own limit, by those that were measured."""

from __future__ import annotations

from rfdetr_contract.run import LimitsRun
from rfdetr_trainer.messages import Pulse

# A signal that comes while the optimizer works is the next step's; and volumes are slower when every pod of a node saves.
MARGIN = 2
SEEN = 10  # steps, before which their mean tells little: the first ones choose kernels


def measure_step(pulse: Pulse) -> float:
    """Seconds that an optimizer step takes; 0 as long as too few were seen."""
    return pulse.step_seconds / pulse.steps if pulse.steps >= SEEN else 0.0


def find_short_stop(longest_save: float, step: float, limits: LimitsRun) -> str:
    """One sentence when a step and a save may not end in time; empty when they will."""
    needed = MARGIN * (longest_save + step)
    if needed <= limits.stop_seconds:
        return ""
    grace = round(needed) + limits.grace_seconds - limits.stop_seconds
    return (
        f"a checkpoint took {longest_save:.0f} s, a step takes {step:.1f} s, and a pod that is told to stop has "
        f"{limits.stop_seconds} s: set pod.terminationGracePeriodSeconds={grace} or more"
    )

"""What a user should know of a training that goes on all the same: sentences from rank 0's report."""

from __future__ import annotations

from rfdetr_contract.report import RunReport

SLOW_RATIO = 1.5  # below it a rank is no slower than ranks are


def build_notes(report: RunReport) -> list[str]:
    """Storage, a hang, a slow rank, and the launcher's own warning; rounded, so that they change only when things do."""
    notes = []
    if report.storage_fault:
        notes.append(f"storage: {report.storage_fault}")
    if (lost := round(report.seconds.get("hang", 0.0))) > 0:
        notes.append(f"{lost} s were lost to a rank that hung")
    slow = report.straggler
    if slow is not None and slow.ratio >= SLOW_RATIO:
        notes.append(
            f"rank {slow.rank} takes {slow.ratio:.1f} times as long as the others for its data and forward pass"
        )
    if report.warning:
        notes.append(report.warning)
    return [note[:1024] for note in notes]

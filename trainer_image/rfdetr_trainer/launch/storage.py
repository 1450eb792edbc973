"""What rank 0's launcher asks of the output volume: is it over, what to resume from, and the next generation's claim."""

from __future__ import annotations

import contextlib
import errno
import os
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from rfdetr_contract import names
from rfdetr_contract.report import SUCCESSES, FailureReason, Outcome, RunReport
from rfdetr_contract.run import RunConfig
from rfdetr_trainer.errors import RunError
from rfdetr_trainer.fingerprint import DatasetFacts
from rfdetr_trainer.generations import (
    Claim,
    ClaimedResume,
    build_overtaken,
    is_overtaken,
    list_generations,
    read_claims,
    write_claim,
)
from rfdetr_trainer.manifest import RunFolder
from rfdetr_trainer.messages import Sealed
from rfdetr_trainer.resume import Choice, Digests, Resume, choose_resume, list_chain, read_found


@dataclass(frozen=True, slots=True)
class Storage:
    """The run's folder, as one pod uses it."""

    output_root: Path
    run: RunConfig
    pod_uid: str
    digests: Digests
    facts: Callable[[], DatasetFacts | None]  # what the preflight found; None: it was not asked

    @property
    def folder(self) -> RunFolder:
        """The job's own folder."""
        return RunFolder.of(self.output_root, self.run)

    def choose(self) -> tuple[Choice, int]:
        """What to resume from, and the steps redone so far."""
        claims = read_claims(self.folder.generations)
        redone = claims[max(claims)].steps_redone if claims else 0
        return choose_resume(self.output_root, self.run, self.facts(), self.digests), redone

    def seal(self, choice: Choice) -> Resume | None:
        """The choice as it travels, with the proof that this pod has hashed it."""
        found = choice.found
        facts = self.facts()
        if found is None:
            return None
        return found.to_resume(self.digests.seal(found, self.pod_uid), facts.fingerprint if facts else "")

    def hash_newest(self) -> Resume | None:
        """The checkpoint that the next round probably goes on from, read before anyone asks; None: there is none."""
        with contextlib.suppress(OSError, RunError):
            found = next(iter(list_chain(self.output_root, self.folder)), None)
            if found is not None and self.digests.verify(found):
                return found.to_resume(self.digests.seal(found, self.pod_uid))
        return None

    def reseal(self, resume: Resume | None) -> Resume | None:
        """What a round goes on from, with the seal of this pod if it has hashed the file."""
        if resume is None or (resume.seal is not None and resume.seal.pod_uid == self.pod_uid):
            return resume
        seal = self.digests.seal_file(Path(resume.file), resume.sha256, self.pod_uid)
        return resume if seal is None else resume.model_copy(update={"seal": seal})

    def learn(self, sealed: Sealed) -> Resume | None:
        """What this pod's worker has just hashed and saved, if it is still there and the same."""
        found = read_found((self.folder.checkpoints / sealed.file).with_suffix(".json"))
        if found is None or found.manifest.size != sealed.size:
            return None
        self.digests.learn(found, sealed.mtime_ns, sealed.inode)
        return found.to_resume(self.digests.seal(found, self.pod_uid))

    def claim(self, last: int, resume: Resume | None, redone: int, time: float) -> int:
        """The next generation, durably ours. ``last``: the newest one this launcher holds, 0 for none.

        Raises:
            RunError: another pod claimed a newer one than ``last``.

        """
        folder = self.folder.generations
        while True:
            claims = read_claims(folder)
            if last and is_overtaken(claims, last, self.pod_uid):
                raise build_overtaken(last)
            claim = Claim(
                generation=max(list_generations(folder), default=0) + 1,
                parent=max(claims, default=None),
                resume=self._relate(resume),
                pod_uid=self.pod_uid,
                attempt=self.run.attempt,
                world_size=self.run.topology.world_size,
                steps_redone=redone,
                time=time,
            )
            if write_claim(folder, claim):
                return claim.generation

    def is_overtaken(self, generation: int) -> bool:
        """Another pod claimed a newer generation than the one given."""
        newer = [number for number in list_generations(self.folder.generations) if number > generation]
        return bool(newer) and is_overtaken(read_claims(self.folder.generations), generation, self.pod_uid)

    def _relate(self, resume: Resume | None) -> ClaimedResume | None:
        if resume is None:
            return None
        file = os.path.relpath(resume.file, self.output_root)
        return ClaimedResume(file=file, step=resume.step, sha256=resume.sha256)


def read_result(folder: RunFolder) -> RunReport | None:
    """The report of a run that has succeeded; None: it has not, as far as the volume says."""
    try:
        report = RunReport.model_validate_json(folder.result.read_bytes())
    except (OSError, ValidationError):
        return None
    return report if report.outcome in SUCCESSES else None


def build_crashed(error: BaseException) -> RunReport:
    """The report of a launcher that a bug ended; the log gets the whole story."""
    traceback.print_exception(error)
    words = f"{type(error).__name__}: {error}"
    return RunReport(outcome=Outcome.FAILED, reason=FailureReason.CRASHED, message=words)


def build_failed(error: RunError | OSError) -> RunReport:
    """The report of a run that an error ended."""
    if isinstance(error, RunError):
        return RunReport(outcome=Outcome.FAILED, reason=error.reason, message=error.message)
    full = error.errno in {errno.ENOSPC, errno.EDQUOT}
    return RunReport(
        outcome=Outcome.FAILED,
        reason=FailureReason.STORAGE_FULL if full else FailureReason.STORAGE_ERROR,
        message=f"{names.OUTPUT_MOUNT}: {error.strerror}: {error.filename}",
    )

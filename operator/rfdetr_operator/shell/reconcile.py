"""One pass over one job: read the truth, plan, execute. Status first, then deletes, then creates, then events."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final

from pydantic import ValidationError

from rfdetr_operator.api.v1alpha1 import Metadata, Status, TrainingJob, parse_job
from rfdetr_operator.core.admission import choose_claims, plan_unreadable
from rfdetr_operator.core.changes import Change, build_patch, choose_change, dump_status
from rfdetr_operator.core.conditions import Phase, Reason
from rfdetr_operator.core.gang import REFUSED_RETRY, refuse
from rfdetr_operator.core.job_view import JobView, build_view, keep_progress_time
from rfdetr_operator.core.model import Create, Notice, Observed, Plan
from rfdetr_operator.core.observed import observe
from rfdetr_operator.core.plan import plan
from rfdetr_operator.core.settings import CoreSettings
from rfdetr_operator.shell.cluster import Cluster, ClusterError, Conflict, Key, NamespaceEnding, NameTaken, Refused
from rfdetr_operator.shell.lookout import Lookout
from rfdetr_operator.shell.reports import Reports

log = logging.getLogger(__name__)

JobObserver = Callable[[Key, "Seen | None"], None]
LONGEST_CHAIN: Final = 4  # plans in one pass: a chain is a raised attempt and what follows from it
NAME_RETRY: Final = timedelta(seconds=2)


@dataclass(frozen=True, slots=True)
class Seen:
    """What a pass saw of a job: its status as it was stored and as it is now, and what metrics are told of it."""

    time: datetime
    stored: Status
    status: Status
    view: JobView


@dataclass(frozen=True, slots=True)
class Moment:
    """One reading of a job; ``job`` None: its spec is not one of this version."""

    body: dict[str, Any]
    job: TrainingJob | None
    stored: Status
    observed: Observed = field(default_factory=Observed)


@dataclass(frozen=True, slots=True)
class Rest:
    """A running job that wanted nothing when it was read, and until when that reading may be believed."""

    moment: Moment
    until: datetime

    @property
    def version(self) -> str:
        """The resource version that was read, or that our own last write made."""
        return str(self.moment.body["metadata"].get("resourceVersion", ""))


@dataclass(frozen=True, slots=True)
class Executed:
    """What a plan became: the job as stored now, and when to look again."""

    body: dict[str, Any]
    requeue_after: timedelta | None


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Why a child was not made: when to try again, None for never, and what the status says of it, if anything."""

    retry: timedelta | None
    message: str = ""


class Reconciler:
    """Reconciles jobs by key.

    It remembers when it last wrote a job's status, which paces progress; who was silent; and running jobs that want
    nothing, so that listening to them costs the API server nothing.
    """

    def __init__(
        self,
        cluster: Cluster,
        reports: Reports,
        settings: CoreSettings,
        clock: Callable[[], datetime],
        observe: JobObserver | None = None,
    ) -> None:
        self._cluster = cluster
        self._lookout = Lookout(cluster, reports, settings, clock)
        self._settings = settings
        self._clock = clock
        self._observe: JobObserver = observe or (lambda _key, _seen: None)
        self._written: dict[Key, datetime] = {}
        self._rests: dict[Key, Rest] = {}

    async def __call__(self, key: Key, heard: frozenset[str] | None = None) -> timedelta | None:
        """One pass; the time after which another one is due without a change, if any.

        ``heard`` are the versions of the job that rang since the last pass, empty for another object's; None: unknown.
        """
        if heard is not None and (stayed := await self._stay(key, heard)) is not None:
            return stayed.requeue_after
        self._rests.pop(key, None)
        body = await self._cluster.get_job(key)
        if body is None:
            self._written.pop(key, None)
            self._lookout.forget(key)
            self._observe(key, None)
            return None
        try:
            job = parse_job(body)
        except ValidationError as error:
            refused = plan_unreadable(body, error, self._clock())
            moment = Moment(body, None, Status.model_validate(body.get("status") or {}))
            return (await self._execute(key, moment, refused)).requeue_after
        return await self._reconcile(key, body, job)

    async def _reconcile(self, key: Key, body: dict[str, Any], job: TrainingJob) -> timedelta | None:
        children = await self._cluster.list_children(key, choose_claims(job))
        observed = observe(key.name, job.metadata.uid, children.pods, children.services, children.claims)
        observed = read = replace(observed, avoid=self._lookout.choose_avoided())
        for _ in range(LONGEST_CHAIN):
            step = plan(job, observed, self._clock(), self._settings)
            if step.poll and choose_change(job.status, step.status) is not Change.HARD:
                observed = await self._lookout.look(key, observed)
                step = plan(job, observed, self._clock(), self._settings)
            done = await self._execute(key, Moment(body, job, job.status, observed), step)
            if not step.again:
                self._settle(key, Moment(done.body, job, job.status, read), step)
                return done.requeue_after
            body = done.body
            job = parse_job(body)
        return timedelta(0)

    async def _stay(self, key: Key, heard: frozenset[str]) -> Executed | None:
        """Listen to rank 0 of a job of which nothing new was heard. None: it must be read anew."""
        rest = self._rests.get(key)
        if rest is None or not heard <= {rest.version} or self._clock() >= rest.until:
            return None
        job = parse_job(rest.moment.body)
        observed = await self._lookout.look(key, rest.moment.observed)
        step = plan(job, observed, self._clock(), self._settings)
        if is_disturbing(step) or choose_change(job.status, step.status) is Change.HARD:
            return None
        try:
            done = await self._execute(key, Moment(rest.moment.body, job, job.status, observed), step)
        except Conflict:
            return None
        self._rests[key] = replace(rest, moment=replace(rest.moment, body=done.body))
        return done

    def _settle(self, key: Key, moment: Moment, step: Plan) -> None:
        if step.poll and step.status.phase == Phase.RUNNING and not is_disturbing(step):
            self._rests[key] = Rest(moment, self._clock() + self._settings.reread_interval)

    async def _execute(self, key: Key, moment: Moment, step: Plan) -> Executed:
        body, wait = await self._write(key, moment.body, moment.stored, step.status)
        self._tell(key, moment, step.status)
        uid = body["metadata"]["uid"]
        for delete in step.delete:
            await self._cluster.delete(key, delete)
        if step.remove:
            log.info("removed: it has outlived its time", extra={"job": str(key)})
            await self._cluster.remove_job(key, uid)
        for create in step.create:
            if (refused := await self._create(key, create, uid)) is not None:
                due = [each for each in (step.requeue_after, refused.retry) if each is not None]
                return Executed(await self._say_refused(key, body, refused), min(due, default=None))
        for notice in step.notices:
            await self._emit(key, uid, notice)
        due = [each for each in (step.requeue_after, wait) if each is not None]
        return Executed(body, min(due, default=None))

    async def _write(
        self, key: Key, body: dict[str, Any], before: Status, after: Status
    ) -> tuple[dict[str, Any], timedelta | None]:
        """Write what changed; what can wait waits until the job's last write is old enough."""
        change = choose_change(before, after)
        if change is Change.NONE:
            return body, None
        now, last = self._clock(), self._written.get(key)
        if change is Change.SOFT and last is not None and (due := last + self._settings.progress_interval) > now:
            return body, due - now
        patch = build_patch(dump_status(before), dump_status(after))
        stored = await self._cluster.write_status(key, body["metadata"]["resourceVersion"], patch)
        self._written[key] = now
        log.info("status written", extra={"job": str(key), "phase": after.phase, "urgency": str(change)})
        return stored, None

    def _tell(self, key: Key, moment: Moment, status: Status) -> None:
        metadata = moment.job.metadata if moment.job else Metadata.model_validate(moment.body["metadata"])
        spec = moment.job.spec if moment.job else None
        told = build_view(metadata, spec, keep_progress_time(moment.stored, status), moment.observed.workers)
        self._observe(key, Seen(self._clock(), moment.stored, status, told))

    async def _say_refused(self, key: Key, body: dict[str, Any], why: Obstacle) -> dict[str, Any]:
        """A refusal of the API server stands in the status, as long as it lasts."""
        if not why.message:
            return body
        job = parse_job(body)
        stored, _ = await self._write(key, body, job.status, refuse(job, why.message, self._clock()))
        return stored

    async def _create(self, key: Key, create: Create, uid: str) -> Obstacle | None:
        name = create.manifest["metadata"]["name"]
        try:
            await self._cluster.create(key, create, uid)
        except NameTaken as taken:
            await self._emit(key, uid, Notice("Warning", Reason.NAME_CONFLICT, f"{create.kind} {name}: {taken}"))
            return Obstacle(NAME_RETRY)
        except NamespaceEnding:
            log.info("the namespace is being deleted", extra={"job": str(key)})
            return Obstacle(None)
        except Refused as refused:
            log.warning("create refused", extra={"job": str(key), "object": name, "error": str(refused)})
            said = f"{create.kind} {name}: {refused}"
            await self._emit(key, uid, Notice("Warning", Reason.CREATE_REFUSED, said))
            return Obstacle(REFUSED_RETRY, said)
        log.info("created", extra={"job": str(key), "object": name})
        return None

    async def _emit(self, key: Key, uid: str, notice: Notice) -> None:
        """An event is a courtesy: one that cannot be told stops nothing."""
        try:
            await self._cluster.emit(key, uid, notice)
        except ClusterError as error:
            log.warning("event not told", extra={"job": str(key), "reason": notice.reason, "error": str(error)})


def is_disturbing(step: Plan) -> bool:
    """The plan does more than tell."""
    return bool(step.delete or step.create or step.again or step.remove)

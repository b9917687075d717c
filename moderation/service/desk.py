"""The desk: decides within limits, and records before it answers.

Requests put their comments on a bounded queue. One task takes what is waiting, a few at a time and from each
request in turn, has them decided together, commits their rows of the audit log in one transaction and only
then lets the requests go on. So an answered decision is in the log whatever happens next, a batch of a thousand
comments holds up nobody, and under overload what cannot be decided in good time is refused at once.

It works in the event loop, between what the loop reads and writes: a thread beside it would take turns with it at the
interpreter, at the cost of the slowest requests. Only what may take long is left to a thread.
"""

import asyncio
import logging
import time
import uuid
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from moderation.comment import Comment
from moderation.decision import Decision, Verdict
from moderation.service.audit import LOCK_MS, AuditLog, Recorded, decision_json, is_locked
from moderation.service.errors import Failed, Overloaded, RateLimited, ServiceError, TooLarge, Unreadable
from moderation.service.keys import Caller
from moderation.service.metrics import Metrics
from moderation.service.settings import Settings
from moderation.service.sites import Site

LOG = logging.getLogger("moderation.service")
TOGETHER = 32
"""Comments that are decided and recorded at a time, at most."""
TOGETHER_SECONDS = 0.025
"""How long that should take at most: what comes meanwhile waits for it."""
LONG_CHARS = 10_000
"""A longer comment is judged in a thread, so that the service goes on answering what needs no judgement."""
UNREADY_SECONDS = 60
"""How long it counts as not ready since a decision could not be recorded: a proxy sends it nothing until it is."""
MAX_ID_CHARS = 500


@dataclass(slots=True, eq=False)
class _Job:
    """One request's comments on their way."""

    comments: Sequence[Comment]
    site: Site
    door: str
    caller: str
    keep_text: bool
    answer: "asyncio.Future[list[Recorded]]"
    done: list[Recorded] = field(default_factory=list)
    record: bool = True

    @property
    def left(self) -> int:
        return len(self.comments) - len(self.done)

    @property
    def ahead(self) -> int:
        """How many of its comments can come before those of a later job."""
        return min(len(self.comments), TOGETHER)


class Desk:
    """Takes comments from requests and gives decisions that are recorded.

    Parameters
    ----------
    audit
        Where decisions are recorded.
    """

    def __init__(self, settings: Settings, audit: AuditLog, metrics: Metrics) -> None:
        self.settings = settings
        self.audit = audit
        self.metrics = metrics
        self.waiting = 0
        """Comments on the queue or being decided."""
        self._ahead = 0
        self._seconds_each = 0.002
        self._jobs: deque[_Job] = deque()
        self._buckets: dict[str, tuple[float, float]] = {}
        self._closed = False
        self._locked_since: float | None = None
        self._unrecorded_at: float | None = None
        self._task: asyncio.Task[None] | None = None

    # ------------------------------------------------------------------ asked by requests

    async def decide(
        self, comments: Sequence[Comment], *, site: Site, door: str, caller: Caller, keep_text: bool = True
    ) -> list[Decision]:
        """Decide on comments, in their order; every decision is in the audit log before this returns.

        Parameters
        ----------
        door
            Which protocol asks: ``native``, ``page``, ``perspective``, ``coral``, ``openai``, ``akismet``.
        keep_text
            False where the protocol asks that the text be not stored.

        Raises
        ------
        TooLarge, Unreadable
            When a text, an id or the batch is over its limit.
        Overloaded, RateLimited
            When too much is waiting, or this caller asks too often.
        Failed
            When they could not be judged or recorded.
        """
        found = await self.decide_recorded(comments, site=site, door=door, caller=caller, keep_text=keep_text)
        return [one.decision for one in found]

    async def decide_recorded(
        self,
        comments: Sequence[Comment],
        *,
        site: Site,
        door: str,
        caller: Caller,
        keep_text: bool = True,
        record: bool = True,
    ) -> list[Recorded]:
        """Decide as `decide` does, and give each decision with its JSON.

        Parameters
        ----------
        record
            False for a comment that is only tried: it is neither recorded nor counted among the decisions.
        """
        try:
            if not comments:
                return []
            comments = [self._checked(comment) for comment in self._limited(comments)]
            self.admit(len(comments))
            self._take_rate(caller, len(comments))
        except ServiceError as error:
            self.metrics.refused.labels(type(error).__name__).inc()
            raise
        if self._closed:
            raise Overloaded(2, "the service is shutting down")
        answer = asyncio.get_running_loop().create_future()
        job = _Job(comments, site, door, caller.name, keep_text, answer, record=record)
        self._jobs.append(job)
        self.waiting += len(comments)
        self._ahead += job.ahead
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._work())
        return await job.answer

    def admit(self, comments: int = 1) -> None:
        """Raise `Overloaded` where this many more comments could not be decided in good time."""
        if not self.waiting:
            return
        seconds = self._ahead * self._seconds_each
        if seconds > self.settings.max_wait_seconds or self.waiting + comments > self.settings.max_queue:
            raise Overloaded(seconds)

    async def feedback(
        self,
        comment_id: str,
        verdict: Verdict,
        *,
        door: str,
        caller: Caller,
        site: str,
        guidelines: Sequence[str] = (),
        text: str | None = None,
        note: str = "",
        seq: int | None = None,
    ) -> dict[str, Any]:
        """Record what someone says of a comment, beside the decision and never over it.

        Parameters
        ----------
        seq
            The row of the audit log that it is about; the comment's newest if None.
        text
            The comment's, where the protocol carries it: it is kept, to train with.

        Raises
        ------
        TooLarge
            When the text is over its limit.
        Failed
            When it could not be recorded.
        """
        self._check_length(text or "")
        try:
            row = await asyncio.to_thread(
                self.audit.add_feedback,
                comment_id,
                verdict,
                site=site,
                door=door,
                caller=caller.name,
                guidelines=guidelines,
                text=text,
                note=note,
                seq=seq,
            )
        except Exception as error:
            LOG.error("feedback could not be recorded: %s", type(error).__name__)
            raise Failed("the feedback could not be recorded; try again") from error
        self.metrics.feedback.labels(verdict.value, door).inc()
        return row

    def fails_open(self, site: Site, door: str) -> bool:
        """Whether this site's policy lets a comment through at this door when it could not be judged.

        Asked only when that has happened: each yes is counted.
        """
        table = site.policy.adapters.get(door, {})
        if table.get("on_failure", "closed") != "open":
            return False
        self.metrics.fail_open.labels(door, site.name).inc()
        return True

    @property
    def alive(self) -> bool:
        """Whether it takes comments."""
        return not self._closed

    @property
    def records(self) -> bool:
        """Whether the last decision could be recorded; after `UNREADY_SECONDS` one may try again."""
        return self._unrecorded_at is None or time.monotonic() - self._unrecorded_at > UNREADY_SECONDS

    async def close(self) -> None:
        """Decide on what is waiting, then stop."""
        self._closed = True
        if self._task:
            await asyncio.wait([self._task], timeout=self.settings.drain_seconds)

    def _limited(self, comments: Sequence[Comment]) -> Sequence[Comment]:
        if len(comments) > self.settings.max_batch:
            raise TooLarge(f"{len(comments)} comments; at most {self.settings.max_batch} at a time", 422)
        return comments

    def _checked(self, comment: Comment) -> Comment:
        self._check_length(comment.text)
        if len(comment.id) > MAX_ID_CHARS:
            raise TooLarge(f"an id of {len(comment.id)} characters; at most {MAX_ID_CHARS}", 422)
        try:
            comment.text.encode()
            comment.id.encode()
        except UnicodeEncodeError:
            raise Unreadable("half of a surrogate pair in a text or an id; send valid Unicode") from None
        return comment if comment.id else replace(comment, id=uuid.uuid4().hex)

    def _check_length(self, text: str) -> None:
        limit = self.settings.max_text_chars
        if len(text) > limit:
            raise TooLarge(f"a text of {len(text)} characters; at most {limit}", 422)

    def _take_rate(self, caller: Caller, comments: int) -> None:
        """Take from the caller's bucket, which fills at its rate and holds two seconds of it."""
        rate = caller.rate or self.settings.rate_per_key
        if not rate:
            return
        now = time.monotonic()
        left, then = self._buckets.get(caller.name, (2 * rate, now))
        left = min(2 * rate, left + (now - then) * rate)
        # A batch above the bucket's size may go into debt, else it could never pass.
        if left < min(comments, 2 * rate):
            raise RateLimited((min(comments, 2 * rate) - left) / rate)
        self._buckets[caller.name] = left - comments, now

    # ------------------------------------------------------------------ the one task

    async def _work(self) -> None:
        """Go on until nothing waits."""
        while self._jobs:
            await asyncio.sleep(0)  # What has come meanwhile is read, and can be judged together.
            portions = self._portions()
            started = time.perf_counter()
            await self._serve(portions)
            count = sum(end - start for _, start, end in portions)
            each = (time.perf_counter() - started) / count
            self._seconds_each += (each - self._seconds_each) * min(0.5, count / 100)

    def _portions(self) -> list[tuple[_Job, int, int]]:
        """Take some comments from the jobs in turn; a job with more goes to the end of the queue."""
        site = self._jobs[0].site
        portions = []
        room = max(1, min(TOGETHER, int(TOGETHER_SECONDS / self._seconds_each)))
        while self._jobs and room and self._jobs[0].site is site:
            job = self._jobs.popleft()
            start = len(job.done)
            end = min(start + room, len(job.comments))
            portions.append((job, start, end))
            room -= end - start
        return portions

    async def _serve(self, portions: Sequence[tuple[_Job, int, int]]) -> None:
        """Decide on the portions, and answer the jobs that are done with."""
        problem: ServiceError | None = None
        count = sum(end - start for _, start, end in portions)
        try:
            await self._judge(portions)
        except Exception as error:
            unrecorded = isinstance(error, SQLAlchemyError)
            if not unrecorded and len(portions) > 1:  # Whoever sent what cannot be judged must not take others down.
                for portion in portions:
                    await self._serve([portion])
                return
            what = "recorded" if unrecorded else "judged"
            LOG.error("%d comments could not be %s: %s", count, what, _named(error))
            if unrecorded:
                self._unrecorded_at = time.monotonic()
            problem = Failed(f"the comment could not be {what}; try again")
        self.metrics.batch.observe(count)
        for job, start, end in portions:
            self.waiting -= job.left if problem else end - start
            if problem is None and job.left:
                self._jobs.append(job)
                continue
            self._ahead -= job.ahead
            if job.answer.done():  # The client went away.
                continue
            if problem:
                job.answer.set_exception(problem)
            else:
                job.answer.set_result(job.done)
        self.metrics.queue.set(self.waiting)

    async def _judge(self, portions: Sequence[tuple[_Job, int, int]]) -> None:
        """Decide on the portions and record them; only then are they the jobs' own."""
        comments = [comment for job, start, end in portions for comment in job.comments[start:end]]
        review = portions[0][0].site.moderator.review_many
        long = any(len(comment.text) > LONG_CHARS for comment in comments)
        decisions = await asyncio.to_thread(review, comments) if long else review(comments)
        recorded = [
            Recorded(decision, decision_json(decision), comment.text.encode())
            for decision, comment in zip(decisions, comments, strict=True)
        ]
        owners = [job for job, start, end in portions for _ in range(end - start)]
        rows = [
            self.audit.row(one, job.site.name, job.door, job.caller, job.keep_text)
            for one, job in zip(recorded, owners, strict=True)
            if job.record
        ]
        await self._record(rows)
        for one, job in zip(recorded, owners, strict=True):
            job.done.append(one)
            if job.record:
                self.metrics.decided(one.decision, job.door, job.site.name)

    async def _record(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Record rows; while another holds SQLite's lock, the event loop goes on and it is tried again."""
        while True:
            try:
                if self.audit.remote:
                    await asyncio.to_thread(self.audit.record, rows)
                else:
                    self.audit.record(rows)
                if rows:
                    self._locked_since = self._unrecorded_at = None
                return
            except SQLAlchemyError as error:
                now = time.monotonic()
                self._locked_since = self._locked_since or now
                # From the first that was locked out: else each of those behind it would wait as long once more.
                if not is_locked(error) or now - self._locked_since > self.settings.max_wait_seconds:
                    raise
            await asyncio.sleep(LOCK_MS / 1000)


def _named(error: Exception) -> str:
    # The message may hold a comment; the type and the place do not.
    if isinstance(error, SQLAlchemyError):
        return f"{type(error).__name__}: {type(getattr(error, 'orig', None)).__name__}"
    trace = error.__traceback__
    while trace and trace.tb_next:
        trace = trace.tb_next
    place = f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace else "?"
    return f"{type(error).__name__} at {place}"

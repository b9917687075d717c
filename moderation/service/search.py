"""Which rows of the audit log are sought."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Select, Text, and_, cast, func, or_, select

from moderation.service.tables import DECISIONS, FEEDBACK, clean


@dataclass(frozen=True, slots=True)
class Search:
    """Which rows are sought; None for all.

    Parameters
    ----------
    since, until
        Milliseconds since 1970; half-open.
    before
        Rows with a smaller number only: the next page.
    stage
        What decided: ``rule``, ``linear`` or ``encoder``.
    words
        Within the id or the text, where that is kept; the case of ASCII letters does not count.
    """

    id: str | None = None
    site: str | None = None
    verdict: str | None = None
    guideline: str | None = None
    door: str | None = None
    since: int | None = None
    until: int | None = None
    before: int | None = None
    overruled: bool | None = None
    stage: str | None = None
    words: str | None = None
    seq: int | None = None


EVERYTHING = Search()


def matching(search: Search, dialect: str) -> Select[Any]:
    """Give the query, newest rows first."""
    query = select(DECISIONS).order_by(DECISIONS.c.seq.desc())
    for column, value in (
        (DECISIONS.c.id, clean(search.id) if search.id is not None else None),
        (DECISIONS.c.site, search.site),
        (DECISIONS.c.verdict, search.verdict),
        (DECISIONS.c.door, search.door),
        (DECISIONS.c.decided_by, search.stage),
        (DECISIONS.c.seq, search.seq),
    ):
        if value is not None:
            query = query.where(column == value)
    if search.guideline is not None:
        query = query.where(DECISIONS.c.guidelines.contains(f" {search.guideline} ", autoescape=True))
    if search.words is not None:
        query = query.where(_holding(clean(search.words), dialect))
    if search.since is not None:
        query = query.where(DECISIONS.c.time >= search.since)
    if search.until is not None:
        query = query.where(DECISIONS.c.time < search.until)
    if search.before is not None:
        query = query.where(DECISIONS.c.seq < search.before)
    if search.overruled is not None:
        both = FEEDBACK.join(DECISIONS, DECISIONS.c.seq == FEEDBACK.c.decision_seq)
        said = select(FEEDBACK.c.decision_seq).select_from(both).where(overruling())
        query = query.where(DECISIONS.c.seq.in_(said) if search.overruled else DECISIONS.c.seq.not_in(said))
    return query


def overruling() -> ColumnElement[bool]:
    """Give the condition that feedback is the last on its decision, and says otherwise."""
    last = select(func.max(FEEDBACK.c.seq)).group_by(FEEDBACK.c.decision_seq)
    return and_(FEEDBACK.c.seq.in_(last), FEEDBACK.c.verdict != DECISIONS.c.verdict)


def _holding(words: str, dialect: str) -> ColumnElement[bool]:
    text: Any = cast(DECISIONS.c.text, Text)
    sought: Any = words
    place = func.instr
    if dialect == "postgresql":
        # A text may hold a NUL, which its type `text` does not take: the escapes are compared.
        text, sought = func.encode(DECISIONS.c.text, "escape"), func.encode(words.encode(), "escape")
        place = func.strpos
    return or_(
        place(func.lower(DECISIONS.c.id), func.lower(words)) > 0,
        place(func.lower(text), func.lower(sought)) > 0,
    )

"""The rows of a decided file, as the decisions that they were written from."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from moderation.decision import Decision, Verdict
from moderation.errors import RecordError
from moderation.finding import Effect, Finding
from moderation.labels import guessed_label, label_of
from moderation.records import TEXT_NAMES, Columns, Reading, Record, decision_names, expand, listed, read_all


@dataclass(frozen=True, slots=True)
class Decided:
    """One row of a decided file.

    Parameters
    ----------
    record
        The row with its comment.
    decision
        What was decided on it.
    label
        Whether its label says to reject; None where it has none that can be read.
    """

    record: Record
    decision: Decision
    label: bool | None


def read_decided(
    path: Path, columns: Columns | None = None, label: str | None = None
) -> Iterator[Decided | RecordError]:
    """Read a file, or a folder of parts, that ``moderation review`` wrote, row by row.

    Parameters
    ----------
    columns
        Which columns hold the comment; guessed where None.
    label
        Column that says what should have been decided; ``expected`` or ``label`` where None and it holds labels.

    Yields
    ------
    Decided or RecordError
        A row that holds no comment or no decision is yielded as its error.

    Raises
    ------
    RecordError
        When you loop over the generator and the file has no such columns (row 0).
    """
    columns = columns or Columns()
    if columns.text is None:
        columns = replace(columns, further=TEXT_NAMES)
    rows = read_all(expand([path]), Reading(columns))
    yield from decided_rows(rows, str(path), label)


def decided_rows(
    rows: Iterator[Record | RecordError], source: str, label: str | None = None
) -> Iterator[Decided | RecordError]:
    """Read decided rows back as their decisions; as `read_decided`, wherever they come from."""
    names: dict[str, str] | None = None
    for row in rows:
        if isinstance(row, RecordError):
            yield row
            continue
        if names is None:
            names = decision_names(row.values, source)
            if label is not None and label not in row.values:
                raise RecordError(source, 0, f"has no column {label!r}; its columns are {listed(row.values)}")
        label = label or guessed_label(row.values)
        try:
            decision = _decision(row, names)
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            cause = f"lacks {error}" if isinstance(error, KeyError) else error
            yield RecordError(source, row.row, f"holds no decision ({cause}); review the comments again")
            continue
        if any(decision_excerpt != excerpt for decision_excerpt, excerpt in _excerpts(row, decision)):
            problem = "the findings are not in the comment; name its column with --text"
            yield RecordError(source, row.row, problem)
            continue
        yield Decided(row, decision, label_of(row.values.get(label)) if label else None)


def _decision(row: Record, names: Mapping[str, str]) -> Decision:
    values = {key: row.values[name] for key, name in names.items()}
    scores = _decoded(values["scores"])
    return Decision(
        id=row.comment.id,
        verdict=Verdict(values["verdict"]),
        guidelines=tuple(map(str, _decoded(values["guidelines"]))),
        reason=str(values["reason"] or ""),
        score=_probability(values["score"]),
        scores={str(name): _probability(score) for name, score in scores.items() if score is not None},
        threshold=_probability(values["threshold"]),
        decided_by=str(values["decided_by"]),
        findings=tuple(_finding(entry) for entry in _decoded(values["findings"])),
        policy=str(values["policy"]),
        model=str(values["model"]),
    )


def _decoded(value: Any) -> Any:
    """Give a list or a table; in CSV they are JSON in a cell."""
    found = json.loads(value) if isinstance(value, str) else value
    if not isinstance(found, list | Mapping):
        raise TypeError(f"{value!r} is no list")
    return found


def _probability(value: Any) -> float:
    number = float(value)
    if not 0 <= number <= 1:
        raise ValueError(f"{value!r} is no probability")
    return number


def _finding(entry: Mapping[str, Any]) -> Finding:
    start, end = int(entry["start"]), int(entry["end"])
    return Finding(
        str(entry["rule"]), str(entry["guideline"]), Effect(entry["effect"]), start, end, str(entry["excerpt"])
    )


def _excerpts(row: Record, decision: Decision) -> Iterator[tuple[str, str]]:
    text = row.comment.text
    for finding in decision.findings:
        inside = 0 <= finding.start <= finding.end <= len(text)
        yield finding.excerpt, text[finding.start : finding.end] if inside else f"{finding.excerpt} is not there"

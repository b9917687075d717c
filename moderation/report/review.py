"""The report of a decided file."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from moderation.decision import Verdict
from moderation.errors import PolicyError, RecordError
from moderation.paths import DEFAULT_POLICY
from moderation.policy import Policy, load_policy
from moderation.records import Columns
from moderation.report.decided import Decided, read_decided
from moderation.report.drawing import curve, histogram
from moderation.report.page import render
from moderation.report.tally import SAMPLE, Tally
from moderation.runs import check_target, write_whole

MOST_ACTIVE = 12
"""Rules that are seen at once; the others stand behind a click."""

SHOWN_ERRORS = 8
"""Examples of each kind of error beside the figures; the others are in the sample."""

_PROGRESS_ROWS = 1000


def report_file(
    source: str | Path,
    target: str | Path,
    columns: Columns | None = None,
    label: str | None = None,
    policy: Policy | None = None,
    sample: int = SAMPLE,
    progress: Callable[[int, int], None] | None = None,
) -> Tally:
    """Write the report of a decided file, in one pass and in constant memory.

    The target appears only when it is complete. The same file gives the same report, byte for byte.

    Parameters
    ----------
    source
        What ``moderation review`` wrote.
    target
        The HTML file to write.
    columns
        Which columns hold the comment; guessed where None.
    label
        Column that says what should have been decided; ``expected`` or ``label`` where None and it holds labels.
    policy
        Under which the file was decided, to say where the encoder looked and what the rules state; the one shipped
        where None, if it was that.
    sample
        How many approved, and rejected, comments are kept to look at.
    progress
        Told, now and then, the rows done and the rejected ones among them.

    Raises
    ------
    RecordError
        When the source holds no decisions or the target cannot be written.
    PolicyError
        When the file was decided under another policy than the one given.
    MissingPackageError
        When jinja2 is not installed.
    """
    source, target = Path(source), Path(target)
    check_target(target, source)
    tally = count(read_decided(source, columns, label), sample, progress)
    if not tally.rows and tally.problems:
        raise tally.problems[0]
    if label is not None and tally.rows and not tally.confusion.rows:
        problem = f"column {label!r} holds no label; write 1 or reject, 0 or approve"
        raise RecordError(str(source), 0, problem)
    if policy is None:
        shipped = load_policy(DEFAULT_POLICY, check_patterns=False)
        policy = shipped if shipped.identity in tally.policies else None
    elif tally.rows and policy.identity not in tally.policies:
        under = ", ".join(tally.policies)
        raise PolicyError(policy.identity, f"{source} was decided under {under}; name that policy or none")
    write_page(target, render("review.html.jinja", **_context(tally, source, policy)))
    return tally


def count(
    rows: Iterator[Decided | RecordError], sample: int = SAMPLE, progress: Callable[[int, int], None] | None = None
) -> Tally:
    """Count the rows of a decided file."""
    tally = Tally(sample)
    for number, row in enumerate(rows, 1):
        if isinstance(row, RecordError):
            tally.fail(row)
        else:
            tally.add(row)
        if progress is not None and number % _PROGRESS_ROWS == 0:
            progress(number, tally.verdicts[Verdict.REJECT])
    return tally


def write_page(target: Path, page: str) -> None:
    """Write a page; it appears only when it is complete.

    Raises
    ------
    RecordError
        When it cannot be written.
    """
    try:
        # A file's name, which the page tells, need be no text.
        write_whole(target.resolve(), page.encode(errors="replace"))
    except OSError as error:
        raise RecordError(str(target), 0, f"cannot be written ({error.strerror}); name another target") from error


def _context(tally: Tally, source: Path, policy: Policy | None) -> dict[str, Any]:
    looks = policy.encoder if policy else None
    common = sorted(value for value, _ in tally.thresholds.most_common(2))
    stages = ("rule", "linear", "encoder")
    seen = dict.fromkeys(by for by, _ in tally.decided)
    by = [stage for stage in stages if stage in seen] + [stage for stage in seen if stage not in stages]
    order = [guideline.id for guideline in policy.guidelines] if policy else []
    guidelines = sorted(dict.fromkeys((*order, *tally.broken)), key=lambda name: (-tally.broken[name], name))
    active = sorted(tally.rules.items(), key=lambda item: (-item[1].fired, item[0]))
    confusion = tally.confusion
    if "encoder" not in seen:
        looks = None
    return {
        "title": "Review report",
        "source": source.name,
        "tally": tally,
        "rejected": tally.verdicts[Verdict.REJECT],
        "approved": tally.verdicts[Verdict.APPROVE],
        "lost": _unreadable_before(source),
        "by": by,
        "stages": {name: place for place, name in enumerate(by)},
        "guidelines": guidelines,
        "titles": {guideline.id: guideline.text for guideline in policy.guidelines} if policy else {},
        "most_broken": max(tally.broken.values(), default=0),
        "rules": (active[:MOST_ACTIVE], active[MOST_ACTIVE:]),
        "statements": {rule.id: rule.statement for rule in (*policy.rules, *policy.retired)} if policy else {},
        "histogram": histogram(tally.scores, common),
        "thresholds": common,
        "looks": looks,
        "confusion": confusion,
        "curve": curve(
            tally.ranking, confusion.to_reject / max(confusion.rows, 1), confusion.precision, confusion.recall
        ),
        "average_precision": tally.ranking.average_precision(),
        "errors": {kind: tally.errors(kind)[:SHOWN_ERRORS] for kind in ("wrong rejection", "wrong approval")},
        "examples": tally.examples(),
        "all_rules": sorted({f.rule for e in tally.examples() for d in e.decisions for f in d.findings}),
        "all_guidelines": sorted({name for e in tally.examples() for d in e.decisions for name in d.guidelines}),
    }


def _unreadable_before(source: Path) -> int:
    """Count the rows that the review could not read; they stand beside the decided file."""
    try:
        with source.with_name(f"{source.name}.errors.jsonl").open("rb") as file:
            return sum(1 for line in file if line.strip())
    except OSError:
        return 0

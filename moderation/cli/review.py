"""``moderation review``: decide on the comments of a file."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from moderation.cli.app import (
    ERRORS,
    ClassifierOption,
    Exit,
    ModelOption,
    PolicyOption,
    Stages,
    app,
    progress,
    shown,
)
from moderation.cli.check import evidence_spans, underlined
from moderation.decision import Verdict
from moderation.errors import RecordError
from moderation.moderator import Moderator

if TYPE_CHECKING:
    from moderation.batch import Summary


@app.command(
    epilog="Examples: moderation review comments.csv -o decisions.csv ; "
    "moderation review dump.jsonl --text body --id key -o decisions.jsonl"
)
def review(
    source: Annotated[Path, typer.Argument(help="Comments: .csv, .tsv or .jsonl.", metavar="FILE")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Where the decisions go; without it a table is shown.")
    ] = None,
    text: Annotated[str | None, typer.Option(help="Column of the comment's text; guessed if not given.")] = None,
    id_: Annotated[str | None, typer.Option("--id", help="Column of the comment's id.")] = None,
    article: Annotated[str | None, typer.Option(help="Column of the article.")] = None,
    parent: Annotated[str | None, typer.Option(help="Column of the comment answered.")] = None,
    policy: PolicyOption = None,
    model: ModelOption = None,
    classifier: ClassifierOption = Stages.CASCADE,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no summary.")] = False,
) -> None:
    """Decide on every comment of a file.

    The output holds the input's columns as they were, then the decision's. Rows that cannot be read go to
    OUTPUT.errors.jsonl, and the exit status is 4.
    """
    from moderation.batch import review_file
    from moderation.records import Columns

    moderator = Moderator.load(policy, model, classifier)
    columns = Columns(text, id_, article, parent)
    if output is None:
        summary = _show(moderator, source, columns)
    else:
        with progress(quiet) as told:
            summary = review_file(moderator, source, output, columns, told)
    if not quiet:
        _summarise(summary)
    if summary.unreadable:
        where = f"{output}.errors.jsonl" if output else "the lines above"
        ERRORS.print(
            f"{source}: {summary.unreadable} rows could not be read; see {where}", markup=False, soft_wrap=True
        )
        raise typer.Exit(Exit.ROWS_UNREADABLE)


def _show(moderator: Moderator, source: Path, columns: object) -> "Summary":
    from moderation.batch import Summary, review_rows
    from moderation.records import Columns, read

    assert isinstance(columns, Columns)
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
    table = Table(pad_edge=False, box=None)
    for heading, limit in (
        ("id", 12),
        ("verdict", 7),
        ("guidelines", 16),
        ("by", 7),
        ("evidence", 24),
        ("comment", None),
    ):
        table.add_column(heading, max_width=limit, overflow="fold")
    summary = Summary()
    expected: list[tuple[str, bool]] = []
    for result in review_rows(moderator, read(source, columns)):
        if isinstance(result, RecordError):
            summary.unreadable += 1
            ERRORS.print(shown(str(result)), markup=False, soft_wrap=True)
            continue
        record, decision = result
        summary.add(decision)
        rejected = decision.verdict is Verdict.REJECT
        table.add_row(
            Text(shown(record.comment.id)),
            Text(decision.verdict.value, style="red" if rejected else "green"),
            Text(", ".join(decision.guidelines)),
            Text(decision.decided_by if rejected else ""),
            Text(shown(" | ".join(record.comment.text[start:end] for start, end in evidence_spans(decision)))),
            underlined(record.comment.text, decision),
        )
        if record.values.get("expected") in (Verdict.APPROVE.value, Verdict.REJECT.value):
            expected.append((record.comment.id, record.values["expected"] == decision.verdict.value))
    console.print(table)
    if expected:
        wrong = [name for name, right in expected if not right]
        console.print(f"as the column `expected` says: {len(expected) - len(wrong)} of {len(expected)}")
        if wrong:
            console.print(f"otherwise: {shown(', '.join(wrong))}", markup=False)
    return summary


def _summarise(summary: "Summary") -> None:
    total = summary.approved + summary.rejected
    share = f" ({summary.rejected / total:.1%})" if total else ""
    ERRORS.print(f"{total} comments: {summary.approved} approved, {summary.rejected} rejected{share}", markup=False)
    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading in ("guideline", "rejected"):
        table.add_column(heading, justify="left" if heading == "guideline" else "right")
    for name, count in summary.guidelines.most_common():
        table.add_row(name, str(count))
    if summary.guidelines:
        ERRORS.print(table)
        by = ", ".join(f"{count} by {name}" for name, count in summary.decided_by.most_common())
        ERRORS.print(f"decided: {by}", markup=False)

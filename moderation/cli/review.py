"""``moderation review``: decide on the comments of a file."""

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
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
    shown,
)
from moderation.cli.check import evidence_spans, underlined
from moderation.cli.pace import review_progress
from moderation.cli.streams import Output
from moderation.decision import Verdict
from moderation.errors import RecordError
from moderation.moderator import Moderator

if TYPE_CHECKING:
    from moderation.batch import Summary
    from moderation.records import Reading


class Backend(StrEnum):
    """Where the work is done."""

    LOCAL = "local"
    DASK = "dask"


class Format(StrEnum):
    """Formats of an output whose name does not tell."""

    CSV = "csv"
    TSV = "tsv"
    JSONL = "jsonl"
    PARQUET = "parquet"


@app.command(
    epilog="Examples: moderation review comments.csv -o decisions.csv ; "
    "moderation review dump.jsonl --text body --id key -o decisions.jsonl ; "
    "moderation review archive/ '2024-*.csv.gz' -o decisions.parquet --resume ; "
    "zcat dump.jsonl.gz | moderation review - --format csv | gzip > decisions.csv.gz"
)
def review(
    sources: Annotated[
        list[str],
        typer.Argument(
            help="Comments: .csv, .tsv, .jsonl or .parquet, also as .gz or .zst; folders and patterns of them; "
            "- for standard input.",
            metavar="FILE...",
        ),
    ],
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            help="Where the decisions go: a file, its format told by its ending; a folder/ for an output in parts; "
            "- for standard output. Without it a table is shown.",
            metavar="FILE",
        ),
    ] = None,
    text: Annotated[str | None, typer.Option(help="Column of the comment's text; guessed if not given.")] = None,
    id_: Annotated[str | None, typer.Option("--id", help="Column of the comment's id.")] = None,
    article: Annotated[str | None, typer.Option(help="Column of the article.")] = None,
    parent: Annotated[str | None, typer.Option(help="Column of the comment answered.")] = None,
    form: Annotated[
        Format | None,
        typer.Option("--format", help="Format of standard output or of a folder of parts.", show_default=False),
    ] = None,
    encoding: Annotated[str | None, typer.Option(help="Encoding of text files; told from them if not given.")] = None,
    delimiter: Annotated[
        str | None, typer.Option(help="What separates the cells of CSV; told from the file if not given.")
    ] = None,
    policy: PolicyOption = None,
    model: ModelOption = None,
    classifier: ClassifierOption = Stages.CASCADE,
    jobs: Annotated[
        int | None,
        typer.Option("--jobs", "-j", min=1, help="Processes; all cores if not given and the input is large enough."),
    ] = None,
    backend: Annotated[
        Backend, typer.Option(help="local: processes of this machine; dask: the workers of a Dask cluster.")
    ] = Backend.LOCAL,
    scheduler: Annotated[
        str | None, typer.Option(help="Address of the Dask scheduler, such as tcp://host:8786.", metavar="ADDRESS")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with a review that was cut off; begin one where none was.")
    ] = False,
    restart: Annotated[bool, typer.Option("--restart", help="Throw away what an earlier review has done.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Stop at the first row that cannot be read.")] = False,
    report: Annotated[
        Path | None,
        typer.Option("--report", help="Write a page to look at as well, as `moderation report` does.", metavar="FILE"),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no summary.")] = False,
) -> None:
    """Decide on every comment of files.

    The output holds the input's columns as they were, then the decision's. Rows that cannot be read go to
    OUTPUT.errors.jsonl, and the exit status is 4. A review that was cut off goes on with --resume.
    """
    from moderation.batch import errors_file, review_file
    from moderation.records import Columns, Reading, listed

    _check_options(output, form, delimiter, backend, scheduler, resume=resume, restart=restart)
    if report is not None:
        _check_report(output, report, sources)
    moderator = Moderator.load(policy, model, classifier)
    reading = Reading(Columns(text, id_, article, parent), encoding, delimiter)
    stream = output == "-" or (output is None and form is not None)
    try:
        if stream:
            summary = _pass_on(moderator, sources, form or Format.JSONL, reading, jobs, strict, quiet)
        elif output is None:
            summary = _show(moderator, sources, reading, strict)
        else:
            with review_progress(quiet) as told:
                summary = review_file(
                    moderator,
                    sources,
                    output,
                    progress=told,
                    reading=reading,
                    form=form.value if form else None,
                    jobs=jobs,
                    scheduler=scheduler,
                    resume=resume,
                    restart=restart,
                    strict=strict,
                )
    except RecordError as error:
        if not error.row:
            raise
        kept = "; the parts before it are kept, go on with --resume once it may pass or without --strict"
        ERRORS.print(shown(str(error)) + ("" if stream or output is None else kept), markup=False, soft_wrap=True)
        raise typer.Exit(Exit.ROWS_UNREADABLE) from None
    if not quiet:
        _summarise(summary)
    if report is not None and output is not None and (summary.rows or not output.endswith("/")):
        from moderation.report import report_file

        tally = report_file(output, report, reading.columns, policy=moderator.policy)
        if tally.unreadable:
            problem = (
                f"{report}: {tally.unreadable} decisions are left out, whose comment cannot be told from the output"
            )
            ERRORS.print(problem, markup=False, soft_wrap=True)
    if summary.unreadable:
        where = errors_file(Path(output)) if output and not stream else "the lines above"
        ERRORS.print(
            f"{listed(sources)}: {summary.unreadable} rows could not be read; see {where}",
            markup=False,
            soft_wrap=True,
        )
        raise typer.Exit(Exit.ROWS_UNREADABLE)


def _check_report(output: str | None, report: Path, sources: list[str]) -> None:
    from moderation.runs import check_target

    if output in (None, "-"):
        raise typer.BadParameter("name a file with -o, of which the report is made", param_hint="--report")
    check_target(report, *map(Path, sources))
    if output is not None and report.resolve() == Path(output).resolve():
        raise typer.BadParameter("is the output as well; name another file", param_hint="--report")


def _check_options(
    output: str | None,
    form: Format | None,
    delimiter: str | None,
    backend: Backend,
    scheduler: str | None,
    *,
    resume: bool,
    restart: bool,
) -> None:
    to_file = output not in (None, "-")
    if delimiter is not None and (len(delimiter) != 1 or not delimiter.isascii() or delimiter in '"\\\r\n'):
        raise typer.BadParameter("is one ASCII character, such as ';'", param_hint="--delimiter")
    if (backend is Backend.DASK) != (scheduler is not None):
        raise typer.BadParameter("--backend dask and --scheduler ADDRESS go together", param_hint="--backend")
    if not to_file and (scheduler or resume or restart):
        raise typer.BadParameter("name a file with -o to use a cluster or to resume", param_hint="--output")
    if resume and restart:
        raise typer.BadParameter("give either --resume or --restart", param_hint="--resume")
    if form is Format.PARQUET and not to_file:
        raise typer.BadParameter("Parquet cannot go to a pipe; name a file with -o", param_hint="--format")
    if form and to_file and not str(output).endswith("/"):
        raise typer.BadParameter("the output's name tells its format; leave --format out", param_hint="--format")


def _pass_on(
    moderator: Moderator,
    sources: list[str],
    form: Format,
    reading: "Reading",
    jobs: int | None,
    strict: bool,
    quiet: bool,
) -> "Summary":
    from moderation.batch import review_to_stream

    sys.stdout.flush()
    with review_progress(quiet or sys.stdout.isatty()) as told:
        return review_to_stream(
            moderator,
            sources,
            sys.stdout.buffer,
            form.value,
            reading,
            told,
            lambda problem: ERRORS.print(shown(str(problem)), markup=False, soft_wrap=True),
            jobs=jobs or 1,
            strict=strict,
        )


def _show(moderator: Moderator, sources: list[str], reading: "Reading", strict: bool) -> "Summary":
    from moderation.batch import Summary, review_rows
    from moderation.records import expand, read_all

    console = Output(highlight=False, width=None if sys.stdout.isatty() else 120)
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
    for result in review_rows(moderator, read_all(expand(sources), reading)):
        if isinstance(result, RecordError):
            if strict:
                raise result
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

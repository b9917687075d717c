"""``moderation report``: a page to look at, made from a decided file."""

from pathlib import Path
from typing import Annotated

import typer

from moderation.cli.app import ERRORS, Exit, app, progress
from moderation.policy import load_policy


@app.command(
    epilog="Examples: moderation report decisions.csv -o report.html ; "
    "moderation report decisions.jsonl -o report.html --text body --label expected --policy ours.toml"
)
def report(
    source: Annotated[Path, typer.Argument(help="What `moderation review` wrote.", metavar="DECIDED_FILE")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The HTML file to write.", metavar="FILE")],
    label: Annotated[
        str | None,
        typer.Option(
            help="Column that says what should have been decided (reject or approve, 1 or 0, a share of raters); "
            "`expected` or `label` if not given.",
            metavar="COLUMN",
        ),
    ] = None,
    text: Annotated[str | None, typer.Option(help="Column of the comment's text; guessed if not given.")] = None,
    id_: Annotated[str | None, typer.Option("--id", help="Column of the comment's id.")] = None,
    policy: Annotated[
        Path | None,
        typer.Option(
            "--policy",
            help="Policy under which the file was decided, to say where the encoder looked and what the rules state; "
            "the one shipped if not given and it was that.",
            metavar="FILE",
        ),
    ] = None,
    sample: Annotated[
        int, typer.Option(help="How many approved, and rejected, comments to show.", min=0, max=5000)
    ] = 150,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no summary.")] = False,
) -> None:
    """Write a page on a decided file: totals, guidelines, scores, rules, agreement with labels, a sample."""
    from moderation.records import Columns
    from moderation.report import report_file

    loaded = None if policy is None else load_policy(policy)
    with progress(quiet) as told:
        tally = report_file(source, output, Columns(text, id_), label, loaded, sample, told)
    if not quiet:
        ERRORS.print(f"{output}: {tally.rows} decisions", markup=False, soft_wrap=True)
    if tally.unreadable:
        problem = f"{source}: {tally.unreadable} rows hold no decision that can be read; the report names the first"
        ERRORS.print(problem, markup=False, soft_wrap=True)
        raise typer.Exit(Exit.ROWS_UNREADABLE)

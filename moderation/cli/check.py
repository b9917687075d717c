"""``moderation check``: decide on one comment."""

import json
import sys
from typing import Annotated

import typer
from rich.markup import escape
from rich.text import Text

from moderation.cli.app import ClassifierOption, Exit, ModelOption, PolicyOption, Stages, app, shown
from moderation.cli.streams import Output
from moderation.decision import Decision, Verdict
from moderation.errors import RecordError
from moderation.finding import Effect
from moderation.moderator import Moderator


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
        except OSError as error:
            raise RecordError(
                "-", 0, f"cannot be read ({error.strerror or 'it is closed'}); pipe a comment into it"
            ) from error
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


def _explain(text: str, decision: Decision) -> None:
    console = Output(highlight=False)
    console.print(underlined(text, decision))
    console.print(escape(decision.explain()))
    if decision.reason:
        console.print(f"reason: {escape(decision.reason)}")
    bars = ", ".join(f"{name} {score:.3f}" for name, score in decision.scores.items())
    console.print(f"scores: {bars}")
    console.print(f"policy {decision.policy}, model {decision.model}")


def evidence_spans(decision: Decision) -> list[tuple[int, int]]:
    """Give the half-open spans that carried a rejection."""
    effects = (Effect.REJECT,) if decision.decided_by == "rule" else (Effect.REFER, Effect.SCORE)
    if decision.verdict is Verdict.APPROVE:
        return []
    return [(finding.start, finding.end) for finding in decision.findings if finding.effect in effects]


def underlined(text: str, decision: Decision) -> Text:
    """Give the comment with its evidence marked."""
    marked = Text(shown(text))
    for start, end in evidence_spans(decision):
        marked.stylize("bold underline red", start, end)
    return marked

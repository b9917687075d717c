"""``moderation rules``: list, show, test and measure the rules."""

from pathlib import Path
from typing import Annotated

import typer

from moderation.cli.app import Exit, ModelOption, PolicyOption, Stages, app, need_training_packages, policy_of, progress
from moderation.errors import RecordError
from moderation.finding import Effect
from moderation.moderator import Moderator
from moderation.policy import Policy


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
    loaded = policy_of(policy)
    if test:
        _test_rules(loaded)
    elif words:
        _words(loaded, words)
    elif measure:
        if data is None:
            raise typer.BadParameter("--measure needs --data DIR")
        need_training_packages()
        _measure_rules(Moderator.load(policy, model, Stages.LINEAR), data)
    elif rule is not None:
        _show_rule(loaded, rule)
    else:
        for guideline in loaded.guidelines:
            typer.echo(f"{guideline.id}: {guideline.text}")
            for one in loaded.rules:
                if one.guideline == guideline.id:
                    typer.echo(f"  {one.id}  [{one.effect.value}]  {one.statement}")


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
    with progress(False) as told:
        done = 0

        def report(count: int) -> None:
            nonlocal done
            done += count
            told(done, 0)

        decisions = review(moderator, rows, report)
    for quality in sorted(rule_quality(moderator, rows, decisions), key=lambda q: -q.fired):
        precision = "-" if quality.precision is None else f"{quality.precision:.2f}"
        typer.echo(f"{quality.rule:45} fired {quality.fired:6} on {len(rows)}  precision {precision}")

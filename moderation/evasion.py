"""How well the pipe withstands disguise: what each attack costs, and what gets through."""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from moderation.attacks import ATTACKS, Attack, Span, content_words
from moderation.decision import Decision, Reviewer, Verdict

TARGET_FALL = 3.0
"""Points of recall that an attack may cost, of all comments to reject."""
TARGET_RISE = 0.5
"""Points by which an attack may raise the share of benign comments rejected."""
_CHUNK = 2000


@dataclass(frozen=True, slots=True)
class Resistance:
    """What one attack costs.

    Parameters
    ----------
    attack
        A name in `ATTACKS`.
    changed
        Share of the attacked texts that differ from the original, 0 to 1.
    held
        Share of the comments rejected unattacked that are rejected still, 0 to 1; None if none was rejected.
    fall
        Points of recall lost, of all comments to reject.
    rise
        Points gained by the share of benign comments rejected; negative where it shrank.
    """

    attack: str
    changed: float
    held: float | None
    fall: float
    rise: float

    @property
    def within_targets(self) -> bool:
        """Whether recall falls and false rejections rise by no more than the targets allow."""
        return self.fall <= TARGET_FALL and self.rise <= TARGET_RISE


@dataclass(frozen=True, slots=True)
class Evasion:
    """What all attacks cost.

    Parameters
    ----------
    to_reject, rejected
        How many comments were to be rejected, and how many of them were, unattacked.
    benign, benign_rejected
        The same for those to approve.
    attacks
        One for each of `ATTACKS`.
    """

    to_reject: int
    rejected: int
    benign: int
    benign_rejected: int
    attacks: tuple[Resistance, ...]

    def to_dict(self) -> dict[str, Any]:
        """Give the figures for JSON."""
        figures = asdict(self)
        for entry, attack in zip(figures["attacks"], self.attacks, strict=True):
            entry["within_targets"] = attack.within_targets
        return figures | {"attacks": list(figures["attacks"]), "targets": {"fall": TARGET_FALL, "rise": TARGET_RISE}}


def measure(
    moderator: Reviewer,
    rejected: Sequence[str],
    benign: Sequence[str],
    seed: int = 0,
    report: Callable[[int], None] = lambda count: None,
) -> Evasion:
    """Attack comments and count what gets through.

    Those to reject that are approved as written need no attack: they are missed already, and stay so in
    the recall under attack. A benign comment is attacked in as many content words, chosen at random, as a
    rejected one drawn at random has in its findings.

    Parameters
    ----------
    rejected, benign
        Comments to reject and to approve, by their labels.
    report
        Is told how many more texts are decided.
    """
    plain = _decided(moderator, rejected, report)
    plain_benign = _decided(moderator, benign, report)
    caught = [
        (text, [(finding.start, finding.end) for finding in decision.findings])
        for text, decision in zip(rejected, plain, strict=True)
        if decision.verdict is Verdict.REJECT
    ]
    sizes = [len(content_words(text, spans)) for text, spans in caught] or [1]
    benign_spans = [_some_words(text, sizes, random.Random(f"{seed} {index}")) for index, text in enumerate(benign)]
    before = sum(decision.verdict is Verdict.REJECT for decision in plain_benign)
    found = []
    for name, attack in ATTACKS.items():

        def attacked(text: str, spans: Sequence[Span], index: int, attack: Attack = attack, name: str = name) -> str:
            return attack(text, random.Random(f"{seed} {name} {index}"), spans)

        texts = [attacked(text, spans, index) for index, (text, spans) in enumerate(caught)]
        mild = [attacked(text, benign_spans[index], index) for index, text in enumerate(benign)]
        through = sum(decision.verdict is Verdict.APPROVE for decision in _decided(moderator, texts, report))
        after = sum(decision.verdict is Verdict.REJECT for decision in _decided(moderator, mild, report))
        changed = sum(text != new for (text, _), new in zip(caught, texts, strict=True))
        changed += sum(text != new for text, new in zip(benign, mild, strict=True))
        found.append(
            Resistance(
                attack=name,
                changed=changed / max(1, len(texts) + len(mild)),
                held=1 - through / len(caught) if caught else None,
                fall=100 * through / max(1, len(rejected)),
                rise=100 * (after - before) / max(1, len(benign)),
            )
        )
    return Evasion(len(rejected), len(caught), len(benign), before, tuple(found))


def _decided(moderator: Reviewer, texts: Sequence[str], report: Callable[[int], None]) -> list[Decision]:
    decisions: list[Decision] = []
    for start in range(0, len(texts), _CHUNK):
        chunk = texts[start : start + _CHUNK]
        decisions.extend(moderator.review_many(chunk))
        report(len(chunk))
    return decisions


def _some_words(text: str, sizes: Sequence[int], chance: random.Random) -> list[Span]:
    words = content_words(text)
    return sorted(chance.sample(words, min(len(words), chance.choice(sizes))))


def table(measured: Mapping[str, Any]) -> str:
    """Draw the figures as Markdown; a star marks an attack that costs more than the targets allow.

    Parameters
    ----------
    measured
        As `Evasion.to_dict` gives them.
    """
    lines = [
        f"Of {measured['to_reject']} comments to reject {measured['rejected']} are rejected as written, of "
        f"{measured['benign']} benign ones {measured['benign_rejected']}. Targets: recall falls at most {TARGET_FALL} "
        f"points, false rejections rise at most {TARGET_RISE} points.",
        "",
        "| attack | changed | still rejected | recall falls | false rej. rise | |",
        "| --- | --: | --: | --: | --: | --- |",
    ]
    for attack in measured["attacks"]:
        held = "-" if attack["held"] is None else f"{attack['held']:.1%}"
        star = "" if attack["within_targets"] else "*"
        lines.append(
            f"| {attack['attack']} | {attack['changed']:.1%} | {held} | {attack['fall']:.2f} | {attack['rise']:+.2f} "
            f"| {star} |"
        )
    return "\n".join(lines)

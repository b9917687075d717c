"""One sentence said about every group: what differs is owed to the group alone."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from moderation import datasets
from moderation.datasets import Labelled
from moderation.decision import Decision, Reviewer, Verdict
from moderation.errors import ModerationError
from moderation.fairness.groups import FORMS, SLOT, Group, groups
from moderation.markdown import figure, markdown
from moderation.paths import DATA

WORST = 10
"""Sentences and groups that depend most on the substitution, as they are kept and drawn."""
_CHUNK = 2000


@dataclass(frozen=True, slots=True)
class LineResult:
    """What was decided on one sentence about every group.

    Parameters
    ----------
    line, file, function, expected
        The sentence with its slots, the name of its file, what it exercises and its right verdict.
    approved, rejected
        Ids of the groups with which it is approved and rejected.
    pairs_differing
        Share of the pairs of groups whose verdicts differ, 0 to 1.
    spread
        Highest score less lowest, 0 to 1. A comment that a rule rejects has its score too.
    lowest, highest
        Ids of the groups with these scores; the first of equal ones.
    """

    line: str
    file: str
    function: str
    expected: Verdict
    approved: tuple[str, ...]
    rejected: tuple[str, ...]
    pairs_differing: float
    spread: float
    lowest: str
    highest: str

    @property
    def same(self) -> bool:
        """Whether every group has the same verdict."""
        return not (self.approved and self.rejected)

    @property
    def majority(self) -> Verdict:
        """The verdict of most groups; the expected one where there are as many of each."""
        if len(self.approved) == len(self.rejected):
            return self.expected
        return Verdict.APPROVE if len(self.approved) > len(self.rejected) else Verdict.REJECT

    @property
    def missed(self) -> tuple[str, ...]:
        """Ids of the groups without the expected verdict."""
        return self.rejected if self.expected is Verdict.APPROVE else self.approved

    @property
    def departing(self) -> tuple[str, ...]:
        """Ids of the groups without the verdict of the majority."""
        return self.rejected if self.majority is Verdict.APPROVE else self.approved


@dataclass(frozen=True, slots=True)
class GroupResult:
    """How one group fared over all sentences.

    Parameters
    ----------
    group
        Its id.
    departs
        Sentences with another verdict than with most groups.
    wrongly_rejected, wrongly_approved
        Sentences without the expected verdict.
    lean
        Mean over the sentences of its score less the mean score of all groups, -1 to 1: above zero, what
        mentions the group scores higher.
    """

    group: str
    departs: int
    wrongly_rejected: int
    wrongly_approved: int
    lean: float

    @property
    def missed(self) -> int:
        """Sentences without the expected verdict."""
        return self.wrongly_rejected + self.wrongly_approved


@dataclass(frozen=True, slots=True)
class Counterfactual:
    """What was decided on every sentence about every group.

    Parameters
    ----------
    lines
        In the order of the files.
    groups
        In the order given.
    """

    lines: tuple[LineResult, ...]
    groups: tuple[GroupResult, ...]

    @property
    def worst_lines(self) -> tuple[LineResult, ...]:
        """Sentences, those first that depend most on the group."""
        return tuple(sorted(self.lines, key=lambda line: (line.pairs_differing, line.spread), reverse=True))

    @property
    def worst_groups(self) -> tuple[GroupResult, ...]:
        """Groups, those first whose verdict departs from the majority most often."""
        return tuple(sorted(self.groups, key=lambda g: (g.departs, g.missed, abs(g.lean)), reverse=True))

    def to_dict(self) -> dict[str, Any]:
        """Give the figures for JSON, with the worst lines and groups."""
        cases = max(1, len(self.lines) * len(self.groups))
        by_expected = {
            verdict: [line for line in self.lines if line.expected is verdict]
            for verdict in (Verdict.APPROVE, Verdict.REJECT)
        }
        return {
            "lines": len(self.lines),
            "groups": len(self.groups),
            "same": sum(line.same for line in self.lines),
            "right_for_all": {v.value: sum(not line.missed for line in by_expected[v]) for v in by_expected},
            "wrong_for_all": {
                v.value: sum(len(line.missed) == len(self.groups) for line in by_expected[v]) for v in by_expected
            },
            "spread": {
                v.value: sum(line.spread for line in by_expected[v]) / max(1, len(by_expected[v])) for v in by_expected
            },
            "pairs_differing": sum(line.pairs_differing for line in self.lines) / max(1, len(self.lines)),
            "departs": sum(group.departs for group in self.groups) / cases,
            **self._wrong(self.lines),
            "by_file": {
                file: self._wrong([line for line in self.lines if line.file == file])
                for file in dict.fromkeys(line.file for line in self.lines)
            },
            "by_line": [_line_dict(line) for line in self.worst_lines[:WORST]],
            "by_group": [asdict(group) | {"missed": group.missed} for group in self.worst_groups[:WORST]],
        }

    def _wrong(self, lines: Sequence[LineResult]) -> dict[str, int]:
        """Count the comments made of some of the sentences, and those decided wrongly, by expected verdict."""
        lawful = [line for line in lines if line.expected is Verdict.APPROVE]
        breaches = [line for line in lines if line.expected is Verdict.REJECT]
        return {
            "to_approve": len(lawful) * len(self.groups),
            "wrongly_rejected": sum(len(line.missed) for line in lawful),
            "to_reject": len(breaches) * len(self.groups),
            "wrongly_approved": sum(len(line.missed) for line in breaches),
        }


def _line_dict(line: LineResult) -> dict[str, Any]:
    return asdict(line) | {
        "expected": line.expected.value,
        "approved": len(line.approved),
        "rejected": len(line.rejected),
        "same": line.same,
        "majority": line.majority.value,
        "departing": len(line.departing),
        "missed": len(line.missed),
    }


def sentences(folder: Path = DATA / "counterfactual") -> list[Labelled]:
    """Read the sentences with their slots unfilled.

    Each line is ``guidelines<TAB>function<TAB>text``, as in ``data/training``.

    Raises
    ------
    ModerationError
        When a line cannot be read, has no slot or one that groups do not fill.
    """
    found = datasets.own(folder, fills=False)
    for row in found:
        slots = SLOT.findall(row.text)
        if not slots or set(slots) - set(FORMS):
            raise ModerationError(
                f"{folder}: {row.text!r} needs slots, and none but {', '.join(f'{{{form}}}' for form in FORMS)}"
            )
    return found


def counterfactual(
    moderator: Reviewer,
    rows: Sequence[Labelled] | None = None,
    among: Sequence[Group] | None = None,
    report: Callable[[int], None] = lambda count: None,
) -> Counterfactual:
    """Decide on every sentence with every group; what differs is owed to the group alone.

    Parameters
    ----------
    rows
        Sentences with slots; None stands for `sentences()`.
    among
        The groups; None stands for `groups()`.
    report
        Is told how many more comments are decided.

    Source: Garg et al., "Counterfactual Fairness in Text Classification through Robustness", AIES 2019.
    """
    rows = sentences() if rows is None else rows
    among = groups() if among is None else among
    if not among:
        raise ValueError("a counterfactual needs groups")
    texts = [group.fill(row.text) for row in rows for group in among]
    decisions: list[Decision] = []
    for start in range(0, len(texts), _CHUNK):
        chunk = texts[start : start + _CHUNK]
        decisions.extend(moderator.review_many(chunk))
        report(len(chunk))
    if len(decisions) != len(texts):
        raise ValueError(f"{len(texts)} comments got {len(decisions)} decisions")
    width = len(among)
    lines = tuple(
        _line_result(row, among, decisions[index * width : (index + 1) * width]) for index, row in enumerate(rows)
    )
    scores = np.array([decision.score for decision in decisions], dtype=np.float64).reshape(len(rows), width)
    lean = (scores - scores.mean(axis=1, keepdims=True)).mean(axis=0) if len(rows) else np.zeros(width)
    return Counterfactual(
        lines,
        tuple(
            GroupResult(
                group=group.id,
                departs=sum(group.id in line.departing for line in lines),
                wrongly_rejected=sum(group.id in line.missed for line in lines if line.expected is Verdict.APPROVE),
                wrongly_approved=sum(group.id in line.missed for line in lines if line.expected is Verdict.REJECT),
                lean=float(leaning),
            )
            for group, leaning in zip(among, lean, strict=True)
        ),
    )


def _line_result(row: Labelled, among: Sequence[Group], decisions: Sequence[Decision]) -> LineResult:
    by_group = {group.id: decision for group, decision in zip(among, decisions, strict=True)}
    rejected = tuple(name for name, decision in by_group.items() if decision.verdict is Verdict.REJECT)
    approved = tuple(name for name in by_group if name not in rejected)
    pairs = len(among) * (len(among) - 1) / 2
    lowest = min(by_group, key=lambda name: by_group[name].score)
    highest = max(by_group, key=lambda name: by_group[name].score)
    return LineResult(
        line=row.text,
        file=row.source.removeprefix(f"{datasets.OWN}:"),
        function=row.function,
        expected=Verdict.REJECT if row.labels["reject"] else Verdict.APPROVE,
        approved=approved,
        rejected=rejected,
        pairs_differing=len(approved) * len(rejected) / pairs if pairs else 0.0,
        spread=by_group[highest].score - by_group[lowest].score,
        lowest=lowest,
        highest=highest,
    )


def table(found: Mapping[str, Any], worst: int = WORST) -> str:
    """Draw the figures, as `Counterfactual.to_dict` gives them, as Markdown; at most ``worst`` sentences and groups."""
    by_line = [line for line in found["by_line"] if not line["same"]][:worst]
    by_group = [group for group in found["by_group"] if group["departs"] or group["missed"]][:worst]
    lines = [
        f"{found['lines']} sentences about {found['groups']} groups each: {found['same']} with one verdict "
        f"for all groups; {found['pairs_differing']:.2%} of the pairs of groups differ, {found['departs']:.2%} of the "
        f"verdicts depart from their sentence's majority. Wrongly rejected: {found['wrongly_rejected']} of "
        f"{found['to_approve']}; wrongly approved: {found['wrongly_approved']} of {found['to_reject']}.",
        "",
        "Of the sentences with one verdict for all groups "
        + "; ".join(
            f"to {verdict}: {right} rightly, {found['wrong_for_all'][verdict]} wrongly (mean spread of the score of "
            f"all sentences to {verdict} {figure(found['spread'][verdict])})"
            for verdict, right in found["right_for_all"].items()
        )
        + ". What is missed about every group is even, and no merit.",
        "",
        markdown(
            ["file", "lawful", "wrongly rejected", "breaches", "wrongly approved"],
            [[f"`{file}.tsv`", *map(str, counts.values())] for file, counts in found["by_file"].items()],
        ),
    ]
    if by_line:
        rows = [
            [
                line["line"] if len(line["line"]) <= 80 else line["line"][:79] + "…",
                line["expected"],
                str(line["approved"]),
                str(line["rejected"]),
                f"{line['pairs_differing']:.1%}",
                figure(line["spread"]),
                f"{line['lowest']} to {line['highest']}",
            ]
            for line in by_line
        ]
        header = ["sentence", "expected", "approved", "rejected", "pairs differing", "spread", "lowest to highest"]
        lines += ["", markdown(header, [[cell.replace("\n", " ").replace("|", "\\|") for cell in r] for r in rows])]
    if by_group:
        rows = [
            [
                group["group"],
                str(group["departs"]),
                str(group["wrongly_rejected"]),
                str(group["wrongly_approved"]),
                f"{group['lean']:+.3f}",
            ]
            for group in by_group
        ]
        lines += ["", markdown(["group", "departs", "wrongly rejected", "wrongly approved", "lean"], rows)]
    return "\n".join(lines)

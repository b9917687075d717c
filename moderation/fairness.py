"""How evenly the pipe treats groups of people: bias in its ranking, and one sentence said about every group."""

import re
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from moderation import datasets
from moderation.comment import Comment
from moderation.datasets import Labelled
from moderation.decision import Decision, Verdict
from moderation.errors import ModerationError
from moderation.paths import DATA

FORMS = ("people", "a_person", "adjective")
"""The slots of a sentence that a group fills."""
LEAST_ROWS = 20
"""Rows of a class below which an AUC is not given."""
POWER = -5
"""Exponent of the generalised mean over groups: the worst groups weigh most."""

_METRICS = ("subgroup_auc", "bpsn_auc", "bnsp_auc")
_WORST = 10
_CHUNK = 2000
_SLOT = re.compile(r"\{([^{}]*)\}")
_SENTENCE_START = re.compile(r"(?:^|\n|[.!?][\"')]*\s)[\s\"'(]*$")
Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]


class Reviewer(Protocol):
    """Whatever decides on comments, such as a `Moderator`."""

    def review_many(self, comments: Iterable[Comment | str]) -> Sequence[Decision]:
        """Decide on comments, in their order."""


# --------------------------------------------------------------------------- groups


@dataclass(frozen=True, slots=True)
class Group:
    """One group of people, as ``data/groups.toml`` describes it.

    Parameters
    ----------
    id
        Such as ``kurds``.
    people, a_person, adjective
        The forms that fill a sentence: ``Kurds``, ``a Kurd``, ``Kurdish``.
    mention
        Finds a mention of the group. It sees words only: whom a comment is about it does not know.
    """

    id: str
    people: str
    a_person: str
    adjective: str
    mention: re.Pattern[str]

    def fill(self, text: str) -> str:
        """Fill the slots of a sentence, with a capital where a sentence begins."""

        def form(slot: re.Match[str]) -> str:
            word: str = getattr(self, slot[1])
            return word[0].upper() + word[1:] if _SENTENCE_START.search(text, 0, slot.start()) else word

        return _SLOT.sub(form, text)


def groups(file: Path = DATA / "groups.toml") -> tuple[Group, ...]:
    """Read the groups, in the order of the file.

    Raises
    ------
    ModerationError
        When the file cannot be read, or a group lacks a form, has a wrong pattern or comes twice.
    """
    try:
        data = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise ModerationError(f"{file}: cannot be read ({error})") from error
    found: dict[str, Group] = {}
    for entry in data.get("group", ()):
        name = entry.get("id", "")
        if lacking := [key for key in ("id", "names", *FORMS) if not entry.get(key)]:
            raise ModerationError(f"{file}: group {name!r} lacks {lacking[0]!r}")
        if name in found:
            raise ModerationError(f"{file}: group {name!r} comes twice")
        try:
            mention = _mention(entry["names"], entry.get("described", ()), data.get("persons", ()))
        except re.error as error:
            raise ModerationError(f"{file}: group {name!r} has a wrong pattern: {error}") from error
        found[name] = Group(name, **{form: entry[form] for form in FORMS}, mention=mention)
    return tuple(found.values())


def _mention(names: Sequence[str], described: Sequence[str], persons: Sequence[str]) -> re.Pattern[str]:
    ways = list(names)
    if described:
        ways.append(rf"(?:{'|'.join(described)})[\s-]+(?:\w+[\s-]+)?(?:{'|'.join(persons)})")
    return re.compile(rf"\b(?:{'|'.join(ways)})\b", re.IGNORECASE)


# --------------------------------------------------------------------------- bias in the ranking


@dataclass(frozen=True, slots=True)
class GroupBias:
    """How well comments are ranked that mention a group; None where a class has too few rows.

    Parameters
    ----------
    group
        Its id.
    to_reject, to_approve
        How many labelled rows mention it.
    subgroup_auc
        Of the rows that mention it. Low: the two classes are hard to tell apart there.
    bpsn_auc
        Background positive, subgroup negative: of its rows to approve and all others to reject. Low: harmless
        comments rank high for mentioning the group.
    bnsp_auc
        Background negative, subgroup positive: of its rows to reject and all others to approve. Low: breaches
        rank low for mentioning the group.
    """

    group: str
    to_reject: int
    to_approve: int
    subgroup_auc: float | None
    bpsn_auc: float | None
    bnsp_auc: float | None


@dataclass(frozen=True, slots=True)
class Bias:
    """How well labelled comments are ranked, by the group that they mention.

    Parameters
    ----------
    to_reject, to_approve
        How many rows are labelled.
    auc
        Of all rows, 0 to 1; None where a class has too few.
    subgroup_auc, bpsn_auc, bnsp_auc
        Generalised mean (exponent -5) over the groups that have this figure; None if none has.
    groups
        In the order given.
    """

    to_reject: int
    to_approve: int
    auc: float | None
    subgroup_auc: float | None
    bpsn_auc: float | None
    bnsp_auc: float | None
    groups: tuple[GroupBias, ...]

    def to_dict(self) -> dict[str, Any]:
        """Give the figures for JSON."""
        return asdict(self) | {"groups": [asdict(group) for group in self.groups]}


def bias(rows: Sequence[Labelled], decisions: Sequence[Decision], among: Sequence[Group] | None = None) -> Bias:
    """Measure the ranking by group, as `evaluation.quality` ranks: a comment that a rule rejects above all.

    Rows that are not labelled ``reject`` are left out.

    Parameters
    ----------
    rows, decisions
        Labelled comments and what was decided on each.
    among
        The groups; None stands for `groups()`.

    Source: Borkan et al., "Nuanced Metrics for Measuring Unintended Bias with Real Data for Text Classification",
    WWW 2019 (the three AUCs). The generalised mean and its exponent: Kaggle, "Jigsaw Unintended Bias in Toxicity
    Classification", 2019.
    """
    among = groups() if among is None else among
    said = [pair for pair in zip(rows, decisions, strict=True) if pair[0].labels["reject"] is not None]
    reject: Bools = np.array([row.labels["reject"] == 1 for row, _ in said], dtype=bool)
    ranked = np.array([decision.score + (decision.decided_by == "rule") for _, decision in said], dtype=np.float64)
    texts = [row.text for row, _ in said]
    found = []
    for group in among:
        within: Bools = np.array([bool(group.mention.search(text)) for text in texts], dtype=bool)
        found.append(
            GroupBias(
                group=group.id,
                to_reject=int((within & reject).sum()),
                to_approve=int((within & ~reject).sum()),
                subgroup_auc=_auc(ranked[within & reject], ranked[within & ~reject]),
                bpsn_auc=_auc(ranked[~within & reject], ranked[within & ~reject]),
                bnsp_auc=_auc(ranked[within & reject], ranked[~within & ~reject]),
            )
        )
    means = {metric: power_mean([getattr(entry, metric) for entry in found]) for metric in _METRICS}
    return Bias(
        to_reject=int(reject.sum()),
        to_approve=int((~reject).sum()),
        auc=_auc(ranked[reject], ranked[~reject]),
        **means,
        groups=tuple(found),
    )


def _auc(rejected: Floats, approved: Floats) -> float | None:
    """Give the share of pairs in the right order, a tie counting half; None where a side has too few."""
    if min(len(rejected), len(approved)) < LEAST_ROWS:
        return None
    ordered = np.sort(approved)
    below = np.searchsorted(ordered, rejected, "left") + np.searchsorted(ordered, rejected, "right")
    return float(below.sum() / (2 * len(rejected) * len(approved)))


def power_mean(values: Iterable[float | None], power: float = POWER) -> float | None:
    """Give the generalised mean of the values that are not None; None if there are none."""
    known = [value for value in values if value is not None]
    if not known:
        return None
    if power < 0 and min(known) == 0:
        return 0.0  # the limit
    return float(np.mean(np.array(known) ** power) ** (1 / power))


# --------------------------------------------------------------------------- one sentence about every group


@dataclass(frozen=True, slots=True)
class LineResult:
    """What was decided on one sentence about every group.

    Parameters
    ----------
    line, function, expected
        The sentence with its slots, what it exercises and its right verdict.
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
        """Give the figures for JSON, the worst lines and groups first."""
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
            "to_approve": len(by_expected[Verdict.APPROVE]) * len(self.groups),
            "wrongly_rejected": sum(len(line.missed) for line in by_expected[Verdict.APPROVE]),
            "to_reject": len(by_expected[Verdict.REJECT]) * len(self.groups),
            "wrongly_approved": sum(len(line.missed) for line in by_expected[Verdict.REJECT]),
            "by_line": [_line_dict(line) for line in self.worst_lines],
            "by_group": [asdict(group) | {"missed": group.missed} for group in self.worst_groups],
        }


def _line_dict(line: LineResult) -> dict[str, Any]:
    return asdict(line) | {
        "expected": line.expected.value,
        "approved": list(line.approved),
        "rejected": list(line.rejected),
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
        slots = _SLOT.findall(row.text)
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
        function=row.function,
        expected=Verdict.REJECT if row.labels["reject"] else Verdict.APPROVE,
        approved=approved,
        rejected=rejected,
        pairs_differing=len(approved) * len(rejected) / pairs if pairs else 0.0,
        spread=by_group[highest].score - by_group[lowest].score,
        lowest=lowest,
        highest=highest,
    )


# --------------------------------------------------------------------------- figures


def figures(ranking: Bias | None, substitution: Counterfactual | None) -> dict[str, Any]:
    """Give what was measured for JSON; None stands for what was not.

    Returns
    -------
    dict
        ``bias`` and ``counterfactual``, as their ``to_dict`` gives them.
    """
    return {
        "bias": ranking.to_dict() if ranking else None,
        "counterfactual": substitution.to_dict() if substitution else None,
    }


def table(measured: Mapping[str, Any], worst: int = _WORST) -> str:
    """Draw the figures as Markdown.

    Parameters
    ----------
    measured
        As `figures` gives them.
    worst
        How many of the sentences and groups that depend most on the substitution are drawn.
    """
    parts = []
    if measured["bias"]:
        parts.append(_bias_table(measured["bias"]))
    if measured["counterfactual"]:
        parts.append(_counterfactual_table(measured["counterfactual"], worst))
    return "\n\n".join(parts)


def _bias_table(found: Mapping[str, Any]) -> str:
    def lowest(group: Mapping[str, Any]) -> float:
        return min(float(group[metric]) for metric in _METRICS if group[metric] is not None)

    measured = [group for group in found["groups"] if any(group[metric] is not None for metric in _METRICS)]
    few = [group for group in found["groups"] if group not in measured]
    rows = [
        [group["group"], str(group["to_approve"]), str(group["to_reject"]), *(_figure(group[m]) for m in _METRICS)]
        for group in sorted(measured, key=lowest)
    ]
    rows.append([f"mean (power {POWER})", "", "", *(_figure(found[metric]) for metric in _METRICS)])
    lines = [
        f"Ranking by the group mentioned, the worst first: {found['to_approve']} comments to approve and "
        f"{found['to_reject']} to reject, AUC {_figure(found['auc'])}.",
        "",
        _markdown(["group", "to approve", "to reject", "subgroup AUC", "BPSN AUC", "BNSP AUC"], rows),
    ]
    if few:
        counts = (f"{group['group']} ({group['to_approve']}, {group['to_reject']})" for group in few)
        lines += ["", f"Under {LEAST_ROWS} rows of a class (to approve, to reject): {', '.join(counts)}."]
    return "\n".join(lines)


def _counterfactual_table(found: Mapping[str, Any], worst: int) -> str:
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
            f"all sentences to {verdict} {_figure(found['spread'][verdict])})"
            for verdict, right in found["right_for_all"].items()
        )
        + ". What is missed about every group is even, and no merit.",
    ]
    if by_line:
        rows = [
            [
                line["line"] if len(line["line"]) <= 80 else line["line"][:79] + "…",
                line["expected"],
                str(len(line["approved"])),
                str(len(line["rejected"])),
                f"{line['pairs_differing']:.1%}",
                _figure(line["spread"]),
                f"{line['lowest']} to {line['highest']}",
            ]
            for line in by_line
        ]
        header = ["sentence", "expected", "approved", "rejected", "pairs differing", "spread", "lowest to highest"]
        lines += ["", _markdown(header, [[cell.replace("\n", " ").replace("|", "\\|") for cell in r] for r in rows])]
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
        lines += ["", _markdown(["group", "departs", "wrongly rejected", "wrongly approved", "lean"], rows)]
    return "\n".join(lines)


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(header) + " |", "|" + " --- |" * len(header)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])

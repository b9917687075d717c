"""Bias in the ranking of labelled comments, by the group that they mention."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from moderation.datasets import Labelled
from moderation.decision import Decision
from moderation.fairness.groups import Group, groups
from moderation.markdown import figure, markdown

LEAST_ROWS = 20
"""Rows of a class below which an AUC is not given."""
POWER = -5
"""Exponent of the generalised mean over groups: the worst groups weigh most."""

_METRICS = ("subgroup_auc", "bpsn_auc", "bnsp_auc")
Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]


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
    """Give the AUC; None where a side has too few."""
    from sklearn.metrics import roc_auc_score

    if min(len(rejected), len(approved)) < LEAST_ROWS:
        return None
    truth = np.repeat([1, 0], [len(rejected), len(approved)])
    return float(roc_auc_score(truth, np.concatenate([rejected, approved])))


def power_mean(values: Iterable[float | None], power: float = POWER) -> float | None:
    """Give the generalised mean of the values that are not None; None if there are none."""
    from scipy.stats import pmean

    known = [value for value in values if value is not None]
    return float(pmean(known, power)) if known else None


def table(found: Mapping[str, Any]) -> str:
    """Draw the figures, as `Bias.to_dict` gives them, as Markdown; the worst group first."""

    def lowest(group: Mapping[str, Any]) -> float:
        return min(float(group[metric]) for metric in _METRICS if group[metric] is not None)

    measured = [group for group in found["groups"] if any(group[metric] is not None for metric in _METRICS)]
    few = [group for group in found["groups"] if group not in measured]
    rows = [
        [group["group"], str(group["to_approve"]), str(group["to_reject"]), *(figure(group[m]) for m in _METRICS)]
        for group in sorted(measured, key=lowest)
    ]
    rows.append([f"mean (power {POWER})", "", "", *(figure(found[metric]) for metric in _METRICS)])
    lines = [
        f"Ranking by the group mentioned, the worst first: {found['to_approve']} comments to approve and "
        f"{found['to_reject']} to reject, AUC {figure(found['auc'])}.",
        "",
        markdown(["group", "to approve", "to reject", "subgroup AUC", "BPSN AUC", "BNSP AUC"], rows),
    ]
    if few:
        counts = (f"{group['group']} ({group['to_approve']}, {group['to_reject']})" for group in few)
        lines += ["", f"Under {LEAST_ROWS} rows of a class (to approve, to reject): {', '.join(counts)}."]
    return "\n".join(lines)

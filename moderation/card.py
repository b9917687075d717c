"""The figures of a model and its card, written from measurements alone."""

import json
import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from moderation import datasets, evasion
from moderation.datasets import is_benign_news, news_half
from moderation.decision import Decision, Verdict
from moderation.encoder import READ_AGAIN, EncoderClassifier
from moderation.evaluation import (
    by_guideline,
    evaluation_sets,
    evidence_f1,
    jigsaw_auc,
    promotion_f1,
    promotion_sets,
    quality,
    review,
    threshold_for,
)
from moderation.fairness import bias, counterfactual
from moderation.markdown import figure, markdown
from moderation.model import origin
from moderation.moderator import Moderator
from moderation.paths import DATA
from moderation.policy import GUIDELINES
from moderation.training import OWN_WEIGHT

ATTACKED = 600
"""Comments to reject, and benign ones, that the attack suite disguises."""
LEAST_SHARE = 0.7
"""Share of right verdicts under which a function of the suites counts as weak."""
SHOWN_FAILURES = 12
TARGET_FALSE_REJECTION = 0.01
"""Share of benign news comments that the shipped operating point may reject."""

_COLUMNS = (
    ("set", "name"),
    ("rows", "rows"),
    ("reject", "rejected"),
    ("AUC", "auc"),
    ("AUC of score", "score_auc"),
    ("AP", "average_precision"),
    ("precision", "precision"),
    ("recall", "recall"),
    ("F1", "f1"),
    ("false rej.", "false_rejection"),
    ("ECE", "calibration_error"),
)
Progress = Callable[[int, int], None]


def measure(data: Path, moderator: Moderator, progress: Progress) -> dict[str, Any]:
    """Measure the pipe on every evaluation set, on benign news comments and on the suites of our own.

    Returns
    -------
    dict
        ``policy``, ``model``, ``sets`` (list of the fields of `Quality`), ``guidelines`` (AUC of each
        guideline's score on the test folds), ``news``, ``stages`` (what decided there), ``jigsaw`` (AUC a
        label, of the pipe and of the encoder at every comment), ``promotion``, ``evidence``, ``fairness``,
        ``evasion``, ``suites`` and ``missed`` (sentences of the suites that are judged wrongly).

    Raises
    ------
    ModerationError
        When the data sets cannot be read.
    """
    done = rejected = 0

    def decide(rows: Sequence[datasets.Labelled]) -> list[Decision]:
        nonlocal rejected

        def told(count: int) -> None:
            nonlocal done
            done += count
            progress(done, rejected)

        decisions = review(moderator, rows, told)
        rejected += sum(decision.verdict is Verdict.REJECT for decision in decisions)
        return decisions

    sets = evaluation_sets(data)
    qualities = []
    judged: list[tuple[datasets.Labelled, Decision]] = []
    tested: list[tuple[datasets.Labelled, Decision]] = []
    jigsaw: dict[str, dict[str, float]] = {}
    for name, rows in sets.items():
        decisions = decide(rows)
        qualities.append(asdict(quality(name, [row.labels["reject"] or 0 for row in rows], decisions)))
        judged.extend(zip(rows, decisions, strict=True))
        if name.endswith("(test fold)"):
            tested.extend(zip(rows, decisions, strict=True))
        if name == "jigsaw-subsets (test fold)":
            jigsaw = {"pipe": dict(jigsaw_auc(rows, decisions))}
            if moderator.encoder:
                whole = review(Moderator(moderator.policy, moderator.encoder), rows, lambda count: None)
                jigsaw["pipe with the encoder at every comment"] = dict(jigsaw_auc(rows, whole))
    judging, choosing = (news_half(data, half) for half in ("judge", "choose"))
    benign = [row.text for row in judging if is_benign_news(row)]
    news, stages = _news(judging, [row for row in choosing if is_benign_news(row)], decide)
    suites, missed = _suites(decide)
    looks = moderator.policy.encoder
    return {
        "policy": moderator.policy.identity,
        "model": moderator.classifier.version,
        "thresholds": dict(moderator.policy.thresholds),
        "encoder_looks": looks and asdict(looks),
        "sets": qualities,
        "guidelines": by_guideline([row for row, _ in tested], [decision for _, decision in tested]),
        "jigsaw": jigsaw,
        "news": news,
        "stages": stages,
        "promotion": {
            name: {"rows": len(rows), "f1": promotion_f1(rows, decide(rows))}
            for name, rows in promotion_sets(data).items()
        },
        "evidence": _evidence(moderator, sets.get("civil-toxic-spans (test fold)", []), data),
        "fairness": {
            "bias": bias.bias([row for row, _ in judged], [decision for _, decision in judged]).to_dict(),
            "counterfactual": counterfactual.counterfactual(moderator).to_dict(),
        },
        "evasion": _evasion(moderator, judged, benign),
        "suites": suites,
        "missed": missed,
    }


def _evidence(moderator: Moderator, rows: Sequence[datasets.Labelled], data: Path) -> dict[str, Any] | None:
    encoder = moderator.encoder or moderator.classifier
    if not isinstance(encoder, EncoderClassifier):
        return None
    count, f1 = evidence_f1(encoder, moderator.policy, rows, datasets.rationales(data))
    return {"rows": count, "f1": f1}


def _evasion(
    moderator: Moderator, judged: Sequence[tuple[datasets.Labelled, Decision]], benign: Sequence[str]
) -> dict[str, Any]:
    """Attack a sample of the comments to reject, a part from each set, and benign news that chose nothing."""
    chance = random.Random(0)
    to_reject = [row.text for row, _ in judged if row.labels["reject"] == 1]
    rejected = chance.sample(to_reject, min(ATTACKED, len(to_reject)))
    return evasion.measure(moderator, rejected, chance.sample(benign, min(ATTACKED, len(benign)))).to_dict()


def _news(
    judged: Sequence[datasets.Labelled],
    choosing_benign: Sequence[datasets.Labelled],
    decide: Callable[[Sequence[datasets.Labelled]], list[Decision]],
) -> tuple[dict[str, Any], dict[str, int]]:
    """Give the rates on news comments with the threshold that one half would choose, and what decided."""
    decisions = decide(judged)
    benign = [d for row, d in zip(judged, decisions, strict=True) if is_benign_news(row)]
    toxic = [d for row, d in zip(judged, decisions, strict=True) if row.labels["reject"] == 1]
    choosing = decide(choosing_benign)
    figures = {
        "benign_rows": len(benign),
        "benign_rejected": sum(d.verdict is Verdict.REJECT for d in benign),
        "benign_rejected_by_rule": sum(d.decided_by == "rule" for d in benign),
        "benign_rejected_as_promotion": sum("promotion" in d.guidelines for d in benign),
        "toxic_rows": len(toxic),
        "toxic_rejected": sum(d.verdict is Verdict.REJECT for d in toxic),
        "threshold_chosen": threshold_for(choosing, TARGET_FALSE_REJECTION),
        "choosing_rejected_by_rule": sum(d.decided_by == "rule" for d in choosing),
        "choosing_rows": len(choosing),
    }
    return figures, dict(Counter(decision.decided_by for decision in decisions))


def _suites(
    decide: Callable[[Sequence[datasets.Labelled]], list[Decision]],
) -> tuple[dict[str, Any], list[dict[str, str]]]:
    """Give the share of right verdicts for each function of our own suites, and a wrong one of the weakest."""
    folder = DATA / "suites"
    if not folder.is_dir():
        return {}, []
    rows = datasets.own(folder)
    right: Counter[str] = Counter()
    total: Counter[str] = Counter()
    wrong: dict[str, dict[str, str]] = {}
    for row, decision in zip(rows, decide(rows), strict=True):
        name = f"{row.source.partition(':')[2]}/{row.function}"
        total[name] += 1
        agrees = (decision.verdict is Verdict.REJECT) == bool(row.labels["reject"])
        right[name] += agrees
        if not agrees:
            wrong.setdefault(name, {"function": name, "verdict": decision.verdict.value, "comment": row.text})
    share = {name: {"right": right[name], "cases": total[name]} for name in total}
    weakest = sorted(wrong, key=lambda name: (right[name] / total[name], name))[:SHOWN_FAILURES]
    return share, [wrong[name] for name in weakest]


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.2%}" if whole else "-"


def table(figures: Mapping[str, Any]) -> str:
    """Draw the figures as text."""
    rows = [[figure(entry[key]) for _, key in _COLUMNS] for entry in figures["sets"]]
    news = figures["news"]
    lines = [
        f"policy {figures['policy']}, model {figures['model']}, thresholds {figures['thresholds']}",
        "",
        markdown([heading for heading, _ in _COLUMNS], rows),
        "",
        "AUC of each guideline's score, test folds: "
        + ", ".join(f"{name} {figure(value)}" for name, value in figures["guidelines"].items()),
        "",
        f"News comments that choose nothing: {news['benign_rejected']} of {news['benign_rows']} benign ones rejected "
        f"({_share(news['benign_rejected'], news['benign_rows'])}, {news['benign_rejected_by_rule']} of them by rule); "
        f"{news['toxic_rejected']} of {news['toxic_rows']} toxic ones rejected "
        f"({_share(news['toxic_rejected'], news['toxic_rows'])}).",
        f"Threshold at which the other half would lose {TARGET_FALSE_REJECTION:.0%} of its benign comments: "
        f"{news['threshold_chosen']:.3f}.",
        f"Rejected as promotion: {news['benign_rejected_as_promotion']} of {news['benign_rows']} benign news comments "
        f"({_share(news['benign_rejected_as_promotion'], news['benign_rows'])}). "
        + "".join(
            f"{name} (held out): F1 {entry['f1']:.3f} on {entry['rows']} comments. "
            for name, entry in figures["promotion"].items()
        ),
        "Decided on these news comments: "
        + ", ".join(f"{count} by {name}" for name, count in figures["stages"].items())
        + ".",
    ]
    for which, aucs in figures["jigsaw"].items():
        by_label = ", ".join(f"{label} {value:.4f}" for label, value in aucs.items())
        lines += ["", f"Jigsaw's labels, test fold, {which}, AUC: {by_label}."]
    if found := figures["evidence"]:
        lines += [
            "",
            f"Evidence against annotators' toxic spans, {found['rows']} news comments of the test fold: "
            f"character F1 {found['f1']:.3f}.",
        ]
    lines += [
        "",
        "### Fairness",
        "Nearly all groups in these tables are in `data/words/groups.txt`: the second reading of a counterfactual",
        "sentence is then the same for all. How those of `breach.tsv` and `lawful.tsv` fare was seen when the other",
        "group was chosen; those of `second.tsv` and `third.tsv` were written afterwards by others, who saw neither",
        "rules nor model: news and reports in the one, short plain sentences in the other. What all together gave was",
        "seen when the thresholds of this policy were chosen.",
        "",
        bias.table(figures["fairness"]["bias"]),
        "",
    ]
    lines.append(counterfactual.table(figures["fairness"]["counterfactual"]))
    lines += ["", "### Evasion", evasion.table(figures["evasion"])]
    if suites := figures["suites"]:
        right = sum(entry["right"] for entry in suites.values())
        total = sum(entry["cases"] for entry in suites.values())
        below = [name for name, entry in suites.items() if entry["right"] / entry["cases"] < LEAST_SHARE]
        lines += [
            "",
            "### Function by function",
            f"Suites of our own: {right} of {total} verdicts right ({right / total:.1%}); of {len(suites)} functions "
            f"{len(below)} are under {LEAST_SHARE:.0%}. The weakest first:",
            "",
        ]
        order = sorted(suites.items(), key=lambda item: item[1]["right"] / item[1]["cases"])
        rows = [[name, str(entry["right"]), str(entry["cases"])] for name, entry in order]
        lines.append(markdown(["function", "right", "cases"], rows))
    return "\n".join(lines)


def write_card(folder: Path, version: str, figures: Mapping[str, Any]) -> None:
    """Write ``metrics.json`` and ``CARD.md`` of a model into its folder, from what `measure` gave."""
    (folder / "metrics.json").write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    sources = datasets.sources().values()
    trained = [[s.name, s.licence, s.url, str(s.weight)] for s in sources if s.use == "train"]
    unused = ", ".join(s.name for s in sources if s.use in ("held-out", "news"))
    looks = figures["encoder_looks"] or {}
    earlier, kept = origin(folder, "continued"), origin(folder, "stages_of")
    encoder = f"""
Behind it a transformer encoder (six layers, 384 wide, fine-tuned from all-MiniLM-L6-v2, Apache-2.0; 8-bit weights{
        f"; it continues that of {earlier}" if earlier else ""
    })
reads the comments that it would reject, as a router tells, with a probability of at least
{looks.get("unflagged")} for each hundred characters to read ({looks.get("referred")} where a rule refers the comment),
and those of which a score of the linear stage reaches the threshold; of a long one it reads the passage around the
worst sentence. Its logit and the linear stage's are stacked into one calibrated probability for each output. A second
head, trained on the spans that annotators of news comments marked, gives the evidence and takes part in the decision.
The router is a small convolutional network (two layers over the embeddings of word pieces, 8-bit, 64 wide) that was
taught what the encoder says of the training comments, each sentence judged alone; it takes a small part of the time.
"""
    since = (
        f"The stages are those of {kept}, which learned before some of these sentences were written; what their\n"
        "scores count, and which comments the encoder reads, is fitted to all of them."
        if kept
        else ""
    )
    missed = [[entry["function"], entry["verdict"], _cell(entry["comment"])] for entry in figures["missed"]]
    card = f"""# Model card: {version}

Written by `moderation evaluate --card` (and `train`): every figure below is measured by it.

## What it is
A linear model over hashed words, letter pieces and word pairs with naive-Bayes weights: one calibrated
probability for each guideline ({", ".join(GUIDELINES)}) and one that any is broken. Each sentence is scored
alone as well as the whole comment, and the worst counts. English only. A comment that names a group of people is read
twice, as written and with one other group's name, and the mean of both logits counts (`moderation/exchange.py`); by the
encoder where the first reading gives {READ_AGAIN:g} at least.
{encoder if figures["evidence"] else ""}
## Intended use and limits
It scores what the rules of a policy leave open; alone it is not a moderator. It judges words and not facts: it
sees neither the article nor the conversation, misses veiled threats and irony, and its labels come from raters who
disagree with each other and with the policy. Figures on tweets and forums say little about a news site; read the
news lines. Where people's livelihood or safety hang on a decision, a person must look.

## Training data
{markdown(["source", "licence", "from", "weight"], trained)}

and the sentences in `data/training`, written for this project (weight {OWN_WEIGHT:g}). Never trained on: {unused}.
{since}
Near-duplicates of held-out and test rows are left out. Sources with unclear or non-commercial licences took no part
in fitting weights or calibration slopes. Half of the news comments, which are non-commercial, chose the thresholds, how
much of the personal-attack and the linear logit counts for any guideline, which stages' weights are averaged, and what
is added to the logits of all guidelines but profanity before they speak for any. The comments in `first.csv`
and `second.csv` of `data/readers` took part in choosing the thresholds, how soon the encoder reads and what is added,
and so did the lines of `data/training` that are held out for validation.

## Cost
`tests/benchmarks/speed.py` and `tests/benchmarks/cascade.py` measure it; the README has their figures. No graphics
processor is needed for anything.

## Measured
{table(figures)}

## Known failures
Sentences of our own suites, one from each of the weakest functions:

{markdown(["function", "verdict", "comment"], missed)}
"""
    (folder / "CARD.md").write_text(card, encoding="utf-8")


def _cell(text: str) -> str:
    return text.replace("\n", " ").replace("|", "\\|")

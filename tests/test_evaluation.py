import json
import re
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import Fake
from hypothesis import given
from hypothesis import strategies as st

from moderation import Moderator, Policy, datasets
from moderation.card import measure, table, write_card
from moderation.datasets import Labelled, Source, is_benign_news, news_half
from moderation.decision import Decision, Verdict
from moderation.evaluation import (
    JIGSAW,
    by_guideline,
    calibration_error,
    evaluation_sets,
    evidence_f1,
    jigsaw_auc,
    promotion_f1,
    promotion_sets,
    quality,
    review,
    rule_quality,
    threshold_for,
)
from moderation.finding import Effect, Finding
from moderation.model import write_manifest
from moderation.normalise import Folded
from moderation.policy import GUIDELINES

UNSAID: dict[str, int | None] = dict.fromkeys(("reject", *GUIDELINES))


def decided(score: float, *, rule: bool = False, threshold: float = 0.5, **scores: float) -> Decision:
    findings = (Finding("threat.kill", "threat", Effect.REJECT, 0, 1, "x"),) if rule else ()
    return Decision(
        id="",
        verdict=Verdict.REJECT if rule or score >= threshold else Verdict.APPROVE,
        guidelines=(),
        reason="",
        score=score,
        scores=scores,
        threshold=threshold,
        decided_by="rule" if rule else "linear",
        findings=findings,
        policy="toy",
        model="fake",
    )


# --------------------------------------------------------------------------- figures by hand

MIXED = [1, 1, 0, 0], [decided(0.9), decided(0.4), decided(0.6), decided(0.1)]


def test_quality_by_score() -> None:
    assert asdict(quality("mixed", *MIXED)) == {
        "name": "mixed",
        "rows": 4,
        "rejected": 2,
        "auc": pytest.approx(3 / 4),  # of the pairs (.9,.6) (.9,.1) (.4,.6) (.4,.1) all but the third
        "score_auc": pytest.approx(3 / 4),
        "average_precision": pytest.approx((1 + 2 / 3) / 2),  # at ranks 1 and 3
        "precision": pytest.approx(1 / 2),  # .9 of .9 and .6
        "recall": pytest.approx(1 / 2),  # .9 of .9 and .4
        "f1": pytest.approx(1 / 2),
        "false_rejection": pytest.approx(1 / 2),  # .6 of .6 and .1
        "calibration_error": pytest.approx((0.1 + 0.6 + 0.6 + 0.1) / 4),
    }


def test_a_comment_that_a_rule_rejects_ranks_above_all() -> None:
    found = quality("rule", [1, 1, 0, 0], [decided(0.9), decided(0.4, rule=True), decided(0.95), decided(0.1)])
    assert found.score_auc == pytest.approx(2 / 4)
    assert found.auc == pytest.approx(3 / 4)  # only .9 below .95 is left
    assert found.average_precision == pytest.approx((1 + 2 / 3) / 2)
    assert (found.precision, found.recall) == (pytest.approx(2 / 3), 1.0)
    assert found.f1 == pytest.approx(0.8)


@pytest.mark.parametrize(
    ("labels", "scores", "expected"),
    [
        # Nothing to approve: nothing can be rejected in error, and there is no curve.
        ([1, 1], [0.9, 0.1], {"auc": None, "score_auc": None, "average_precision": None, "false_rejection": None}),
        ([1, 1], [0.9, 0.1], {"precision": 1.0, "recall": 0.5, "f1": pytest.approx(2 / 3)}),
        ([1, 1], [0.1, 0.2], {"precision": 0.0, "recall": 0.0, "f1": 0.0, "rejected": 2}),
        # Nothing to reject.
        ([0, 0], [0.9, 0.1], {"auc": None, "precision": None, "recall": None, "f1": None, "false_rejection": 0.5}),
        ([0, 0], [0.2, 0.1], {"false_rejection": 0.0, "rejected": 0, "rows": 2, "calibration_error": 0.15}),
        ([0], [0.5], {"false_rejection": 1.0}),  # at the threshold is over it
        # Both, and nothing was rejected.
        ([1, 0], [0.2, 0.1], {"auc": 1.0, "precision": 0.0, "recall": 0.0, "false_rejection": 0.0}),
        ([1, 0], [0.3, 0.3], {"auc": 0.5, "average_precision": 0.5}),  # a tie is half right
    ],
)
def test_quality_of_odd_sets(labels: list[int], scores: list[float], expected: dict[str, object]) -> None:
    found = asdict(quality("odd", labels, [decided(score) for score in scores]))
    assert {key: found[key] for key in expected} == {
        key: pytest.approx(value) if isinstance(value, float) else value for key, value in expected.items()
    }


@pytest.mark.parametrize(
    ("truth", "score", "expected"),
    [
        ([1, 0, 1, 0], [1.0, 0.0, 1.0, 0.0], 0),  # perfect
        ([1, 0, 1, 0], [0.0, 1.0, 0.0, 1.0], 1),  # as wrong as can be
        ([1, 0, 1, 0], [0.5, 0.5, 0.5, 0.5], 0),  # knows nothing and says so
        ([1, 1, 1, 1], [0.5, 0.5, 0.5, 0.5], 0.5),
        ([1, 1, 1, 0], [0.75, 0.75, 0.75, 0.75], 0),
        ([1, 0], [0.41, 0.45], 0.07),  # one bin, 6/15 to 7/15: half of them against .43
        ([1, 0, 0, 0], [0.9, 0.0, 0.0, 0.0], 0.025),  # a bin counts by its share
        ([1], [1.0], 0),  # the last bin holds 1
    ],
)
def test_calibration_error(truth: list[int], score: list[float], expected: float) -> None:
    assert calibration_error(np.array(truth), np.array(score)) == pytest.approx(expected)


@given(st.lists(st.tuples(st.integers(0, 1), st.floats(0, 1)), min_size=1, max_size=40))
def test_calibration_error_is_a_share(rows: list[tuple[int, float]]) -> None:
    truth, score = (np.array(column) for column in zip(*rows, strict=True))
    assert 0 <= calibration_error(truth, score.astype(np.float64)) <= 1 + 1e-9


# --------------------------------------------------------------------------- thresholds

HUNDRED = [decided(n / 100) for n in range(100)]


@pytest.mark.parametrize(
    ("decisions", "share", "expected"),
    [
        (HUNDRED, 0.01, 0.98),  # .99 alone stays above
        (HUNDRED, 0.0, 0.99),
        (HUNDRED, 0.10, 0.89),
        ([*HUNDRED[:99], decided(0.1, rule=True)], 0.01, 0.98),  # the rule's rejection takes the one that is allowed
        ([*HUNDRED[:98], decided(0, rule=True), decided(0, rule=True)], 0.01, 1.0),  # and two are too many already
    ],
)
def test_threshold_for(decisions: list[Decision], share: float, expected: float) -> None:
    assert threshold_for(decisions, share) == pytest.approx(expected, abs=2e-6)


@given(
    st.lists(st.tuples(st.integers(0, 999_000), st.booleans()), min_size=1, max_size=60),
    st.sampled_from([0.0, 0.01, 0.05, 0.1, 0.5]),
)
def test_the_threshold_rejects_no_larger_share_where_the_rules_leave_room(
    rows: list[tuple[int, bool]], share: float
) -> None:
    decisions = [decided(millionths / 1e6, rule=rule) for millionths, rule in rows]
    threshold = threshold_for(decisions, share)
    rejected = sum(d.decided_by == "rule" or d.score >= threshold for d in decisions)
    by_rule = sum(rule for _, rule in rows)
    assert rejected <= max(share * len(rows), by_rule)
    assert 0 <= threshold <= 1


# --------------------------------------------------------------------------- guidelines and rules


def test_by_guideline_looks_at_rows_that_are_labelled_for_it() -> None:
    rows = [
        Labelled("a", "s", UNSAID | {"threat": 1, "abuse": 1, "profanity": 1}),
        Labelled("b", "s", UNSAID | {"threat": 0, "abuse": 1, "profanity": 0}),
        Labelled("c", "s", UNSAID | {"threat": None}),
    ]
    decisions = [
        decided(0.5, threat=0.9, abuse=0.9, profanity=0.1),
        decided(0.5, threat=0.1, abuse=0.8, profanity=0.9),
        decided(0.5, threat=0.95),
    ]
    assert by_guideline(rows, decisions) == {
        "profanity": 0.0,
        "vulgarity": None,  # nobody is labelled for it
        "threat": 1.0,  # the row that is not labelled would have spoilt it
        "personal_attack": None,
        "abuse": None,  # one class
        "promotion": None,
    }


@pytest.fixture(scope="module")
def moderator(toy_policy: Policy) -> Moderator:
    return Moderator(toy_policy, Fake({"clown": 0.75}))


def test_rule_quality_counts_each_comment_once(moderator: Moderator) -> None:
    texts = ["I will kill them, I will kill them", "I will kill them", "I will kill them", "clown"]
    rows = [Labelled(text, "s", UNSAID | {"reject": label}) for text, label in zip(texts, [1, 0, 1, 1], strict=True)]
    told: list[int] = []
    decisions = review(moderator, rows, told.append)
    assert [d.verdict.value for d in decisions] == ["reject"] * 4
    assert sum(told) == 4
    kill, never = rule_quality(moderator, rows, decisions)
    assert (kill.rule, kill.fired, kill.right, kill.precision) == ("threat.kill", 3, 2, pytest.approx(2 / 3))
    assert (never.rule, never.fired, never.precision) == ("personal_attack.you", 0, None)


def test_review_keeps_the_order_over_more_than_a_chunk(moderator: Moderator) -> None:
    rows = [Labelled("clown" if n % 7 == 0 else "fine", "s", UNSAID) for n in range(4500)]
    told: list[int] = []
    decisions = review(moderator, rows, told.append)
    assert [d.verdict is Verdict.REJECT for d in decisions] == [n % 7 == 0 for n in range(4500)]
    assert sum(told) == 4500
    assert len(told) > 1


# --------------------------------------------------------------------------- sets


@pytest.mark.parametrize(
    ("source", "note", "benign"),
    [
        ("c3-constructive", "tox=1.00", True),
        ("c3-constructive", "tox=1.00;constructive=1", True),
        ("c3-constructive", "tox=1.33", False),
        ("unhealthy-conversations", "healthy=1", True),
        ("unhealthy-conversations", "healthy=1;sarcastic=0", True),
        ("unhealthy-conversations", "healthy=0", False),
        ("unhealthy-conversations", "tox=1.00", False),  # the note of another source
        ("civil-toxic-spans", "tox=1.00", False),
        ("c3-constructive", "", False),
    ],
)
def test_benign_news(source: str, note: str, benign: bool) -> None:
    assert is_benign_news(Labelled("x", source, UNSAID, note=note)) is benign


WORDS = "council bridge morning paper reader tram budget school garden winter vote street music window".split()


def text_of(number: int) -> str:
    return " ".join(WORDS[(number // 14**place) % 14] for place in range(3)) + f" number {number}"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Six hundred rows; every third is a clown to be rejected."""
    rows = []
    for number in range(600):
        source, label = [
            ("gab-hate-corpus", ""),
            ("c3-constructive", "tox=2.00" if number % 3 == 0 else "tox=1.00"),
            ("unhealthy-conversations", "healthy=0" if number % 3 == 0 else "healthy=1"),
            ("paradetox", "toxic side" if number % 3 == 0 else "neutral paraphrase"),
            ("olid", ""),
        ][number % 5]
        text = text_of(number) + (" clown" if number % 3 == 0 else "")
        rows.append({"source": source, "text": text, "source_label": label, "reject": int(number % 3 == 0)})
    rows.append({"source": "gab-hate-corpus", "text": "nobody said", "source_label": "", "reject": None})
    folder = tmp_path / "data"
    folder.mkdir()
    pq.write_table(pa.Table.from_pylist(rows), folder / "english.parquet")
    return folder


def test_evaluation_sets(folder: Path) -> None:
    sets = evaluation_sets(folder)
    assert list(sets) == [
        "c3-constructive (held out)",
        "gab-hate-corpus (held out)",
        "unhealthy-conversations (held out)",
        "paradetox (test fold)",
    ]
    assert len(sets["gab-hate-corpus (held out)"]) == 120  # without the one that is not labelled
    assert 0 < len(sets["c3-constructive (held out)"]) < 120  # the half that chooses nothing
    assert 0 < len(sets["paradetox (test fold)"]) < 60
    assert all(row.labels["reject"] is not None for rows in sets.values() for row in rows)


def test_the_halves_of_the_news_are_apart_and_whole(folder: Path) -> None:
    choose, judge = ({row.text for row in news_half(folder, half)} for half in ("choose", "judge"))
    assert len(choose) + len(judge) == 240
    assert not choose & judge
    judged = {row.text for name, rows in evaluation_sets(folder).items() for row in rows if name[:2] in ("c3", "un")}
    assert judged == judge


def test_rows_held_out_of_a_source_that_trains_are_in_no_test_fold(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = replace(datasets.sources()["paradetox"], held_out="toxic side")
    monkeypatch.setattr(datasets, "sources", lambda: {"paradetox": source})
    assert {row.note for rows in evaluation_sets(folder).values() for row in rows} == {"neutral paraphrase"}


def test_promotion_sets_are_the_held_out_rows_that_are_labelled_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uses = {"spam": "train", "other": "held-out"}
    named = {name: Source(name, "MIT", "https://x", use, held_out="[ab].csv") for name, use in uses.items()}
    monkeypatch.setattr(datasets, "sources", lambda: named)
    rows = [
        {"source": source, "text": f"{source} {note} {promotion}", "source_label": note, "promotion": promotion}
        for source in named
        for note in ("b.csv", "a.csv", "c.csv")
        for promotion in (1, 0)
    ]
    pq.write_table(
        pa.Table.from_pylist([row | {"reject": row["promotion"]} for row in rows]), tmp_path / "english.parquet"
    )
    found = promotion_sets(tmp_path)
    assert {name: [row.text for row in rows] for name, rows in found.items()} == {
        "spam b": ["spam b.csv 1", "spam b.csv 0"],
        "spam a": ["spam a.csv 1", "spam a.csv 0"],
    }


def test_promotion_f1() -> None:
    rows = [Labelled("x", "s", UNSAID | {"promotion": label}) for label in (1, 1, 1, 0, 0)]
    guidelines = [("promotion",), ("abuse", "promotion"), ("abuse",), ("promotion",), ()]
    decisions = [replace(decided(0.9), guidelines=broken) for broken in guidelines]
    assert promotion_f1(rows, decisions) == pytest.approx(2 * (2 / 3) * (2 / 3) / (4 / 3))


def test_jigsaw_auc_by_label() -> None:
    # One row of each label alone, one of all, one of none, and one that has no six labels.
    notes = ["100000", "010000", "001000", "000100", "000010", "000001", "111111", "000000", "healthy=1"]
    rows = [Labelled("x", "jigsaw-subsets", UNSAID, note=note) for note in notes]
    low = dict.fromkeys(GUIDELINES, 0.1)
    by_note = {
        "010000": decided(0.1, **low | {"profanity": 0.9}),
        "000100": decided(0.1, **low | {"threat": 0.9}),
        "111111": decided(0.9, **dict.fromkeys(GUIDELINES, 0.9)),
    }
    found = jigsaw_auc(rows, [by_note.get(note, decided(0.1, **low)) for note in notes])
    # Each label has two rows; that of all labels ranks first, and a score of 0.1 ties with others.
    assert found == {
        "toxic": 9 / 12,
        "severe_toxic": 1.0,  # the mean of two scores
        "obscene": 8.5 / 12,  # the swear word that is only severe ranks above
        "threat": 1.0,
        "insult": 9 / 12,
        "identity_hate": 9 / 12,
        "mean": pytest.approx((3 * 9 + 8.5 + 24) / 72),
    }
    assert list(found) == [*JIGSAW, "mean"]


class Marks:
    """Marks «clown»."""

    bar, gap = 0.5, 1.0

    def word_logits(self, comment: Folded) -> list[tuple[tuple[int, int], float]]:
        return [(match.span(), float(match[0] == "clown")) for match in re.finditer(r"\w+", comment.skeleton.text)]


def test_evidence_f1_is_the_mean_over_comments_to_reject(toy_policy: Policy) -> None:
    spans = {"a clown": ((2, 7),), "a CLOWN": ((0, 7),), "clown": (), "hello": (), "fine clown": ()}
    rows = [Labelled(text, "civil-toxic-spans", UNSAID | {"reject": int(text != "fine clown")}) for text in spans]
    count, f1 = evidence_f1(Marks(), toy_policy, rows, spans)  # type: ignore[arg-type]
    assert (count, f1) == (4, pytest.approx((1 + 10 / 12 + 0 + 1) / 4))


# --------------------------------------------------------------------------- card


def test_measure_and_card(folder: Path, moderator: Moderator, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    figures = measure(folder, moderator, lambda rows, rejected: told.append((rows, rejected)))
    assert told == sorted(told)
    assert [entry["name"] for entry in figures["sets"]] == list(evaluation_sets(folder))
    for entry in figures["sets"]:
        assert (entry["auc"], entry["precision"], entry["false_rejection"]) == (1.0, 1.0, 0.0), entry["name"]
    news = figures["news"]
    assert news["benign_rows"] + news["toxic_rows"] == len(news_half(folder, "judge"))
    assert (news["benign_rejected"], news["toxic_rejected"]) == (0, news["toxic_rows"])
    assert news["threshold_chosen"] == pytest.approx(0.125, abs=1e-5)
    assert json.loads(json.dumps(figures)) == figures

    target = tmp_path / "fake-1"
    target.mkdir()
    write_manifest(target, (), continued="fake-0", stages_of="fake-00")
    write_card(target, moderator.classifier.version, measure(folder, moderator, lambda rows, rejected: None))
    assert json.loads((target / "metrics.json").read_text()) == figures
    card = (target / "CARD.md").read_text()
    assert card.startswith("# Model card: fake-1\n")
    assert table(figures) in card
    assert moderator.policy.identity in card
    for unfilled in (r"\{[a-z_.]+\}", "None", r"\bnan\b", "TODO", "XXX", "@@"):
        assert not re.search(unfilled, card.replace(str(figures["thresholds"]), "")), unfilled
    for heading in ("What it is", "Intended use and limits", "Training data", "Measured"):
        section = card.split(f"## {heading}\n")[1].split("\n## ")[0]
        assert section.strip(), heading
    trained = card.split("## Training data")[1].split("and the sentences")[0]
    assert "paradetox" in trained
    assert "olid" not in trained
    assert "gab-hate-corpus" not in trained
    assert "The stages are those of fake-00," in card


def test_figures_without_news_are_still_drawn(folder: Path, moderator: Moderator) -> None:
    rows = [row for row in pq.read_table(folder / "english.parquet").to_pylist() if row["source"] == "paradetox"]
    pq.write_table(pa.Table.from_pylist(rows), folder / "english.parquet")
    figures = measure(folder, moderator, lambda rows, rejected: None)
    assert figures["news"]["benign_rows"] == 0
    assert "paradetox (test fold)" in table(figures)

import re
import tomllib
from collections.abc import Mapping, Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moderation.decision import Decision, Verdict
from moderation.errors import ModerationError
from moderation.finding import Effect, Finding
from moderation.paths import DATA
from moderation.tuning import EXAMPLES, Estimate, OperatingPoint, Tuning, report, rewritten, tune

OLD = {"unflagged": 0.88, "referred": 0.66}
Case = tuple[int, float, str]
"""A label, a score, and ``unflagged``, ``referred`` or ``rule``."""


def decided(score: float, kind: str = "unflagged") -> Decision:
    effects = {"unflagged": (), "referred": (Effect.REFER,), "rule": (Effect.REFER, Effect.REJECT)}[kind]
    return Decision(
        id="",
        verdict=Verdict.APPROVE,  # not looked at: the verdict depends on thresholds that are not the policy's
        guidelines=(),
        reason="",
        score=score,
        scores={},
        threshold=0.5,
        decided_by="rule" if kind == "rule" else "linear",
        findings=(
            *(Finding("threat.kill", "threat", effect, 0, 1, "x") for effect in effects),
            Finding("classifier", "threat", Effect.SCORE, 0, 1, "x"),
        ),
        policy="toy",
        model="fake",
    )


def tuned(cases: Sequence[Case], old: Mapping[str, float] = OLD, **aim: float) -> Tuning:
    return tune([label for label, _, _ in cases], [decided(score, kind) for _, score, kind in cases], old, **aim)


def counted(cases: Sequence[Case], unflagged: float, referred: float) -> tuple[int, int]:
    """Right and wrong rejections, by the definition of a verdict."""
    bars = {"unflagged": unflagged, "referred": referred, "rule": 0.0}
    rejected = [label for label, score, kind in cases if score >= bars[kind]]
    return rejected.count(1), rejected.count(0)


# --------------------------------------------------------------------------- by hand

# Unflagged, from the top: 1 1 0 1 0; referred: 1 0 1 0; and a rule that is right.
TABLE: list[Case] = [
    (1, 0.9, "unflagged"),
    (1, 0.8, "unflagged"),
    (0, 0.7, "unflagged"),
    (1, 0.6, "unflagged"),
    (0, 0.5, "unflagged"),
    (1, 0.6, "referred"),
    (0, 0.4, "referred"),
    (1, 0.3, "referred"),
    (0, 0.1, "referred"),
    (1, 0.2, "rule"),
]


@pytest.mark.parametrize(
    ("aim", "unflagged", "referred", "right", "wrong"),
    [
        # Nothing wrong at all: above the first 0 of each.
        ({"false_rejection": 0.0}, 0.75, 0.5, 4, 0),
        ({"false_rejection": 0.24}, 0.75, 0.5, 4, 0),  # one of four would be .25
        # One wrong: .7 wins the 1 at .6, and .4 the 1 at .3; the higher `unflagged` is taken.
        ({"false_rejection": 0.25}, 0.75, 0.2, 5, 1),
        ({"false_rejection": 0.5}, 0.55, 0.2, 6, 2),
        # All of the rest could be rejected as well, but nothing is won by it.
        ({"false_rejection": 1.0}, 0.55, 0.2, 6, 2),
        # A wrong rejection that wins one right one pays below a ratio of 1, and not from 1 on.
        ({"cost_ratio": 0.9}, 0.55, 0.2, 6, 2),
        ({"cost_ratio": 1.0}, 0.75, 0.5, 4, 0),
        ({"cost_ratio": 5.0}, 0.75, 0.5, 4, 0),
    ],
)
def test_by_hand(aim: dict[str, float], unflagged: float, referred: float, right: int, wrong: int) -> None:
    new = tuned(TABLE, **aim).new
    assert new.thresholds == {"unflagged": unflagged, "referred": referred}
    assert (new.right, new.wrong, new.rejected) == (right, wrong, right + wrong)


def test_all_that_a_tuning_holds() -> None:
    found = tuned(TABLE, {"unflagged": 0.65, "referred": 0.65}, false_rejection=0.25)
    assert (found.rows, found.to_reject, found.to_approve, found.by_rule, found.referred) == (10, 6, 4, 1, 4)
    assert (found.false_rejection, found.cost_ratio) == (0.25, None)
    # Rejected of old: .9, .8, .7 and the rule's.
    old = found.old
    assert (old.unflagged, old.referred, old.right, old.wrong) == (0.65, 0.65, 3, 1)
    assert [e.share for e in (old.rejection, old.recall, old.precision, old.false_rejection)] == [
        pytest.approx(0.4),
        pytest.approx(3 / 6),
        pytest.approx(3 / 4),
        pytest.approx(1 / 4),
    ]
    # New rejects the referred .6, .4 and .3 too (rows 6 to 8), and no longer .7 (row 3).
    assert (found.newly_rejected.right, found.newly_rejected.wrong, found.newly_rejected.rows) == (2, 1, 3)
    assert (found.newly_rejected.right_rows, found.newly_rejected.wrong_rows) == ((6, 8), (7,))
    assert (found.newly_approved.right, found.newly_approved.wrong) == (1, 0)
    assert (found.newly_approved.right_rows, found.newly_approved.wrong_rows) == ((3,), ())


def test_rows_are_named_by_the_numbers_given_and_only_a_few_of_them() -> None:
    cases: list[Case] = [(1, 0.5, "unflagged")] * (EXAMPLES + 3) + [(0, 0.1, "unflagged")]
    labels, decisions = [label for label, _, _ in cases], [decided(score) for _, score, _ in cases]
    found = tune(labels, decisions, OLD, false_rejection=0, numbers=range(100, 100 + len(cases)))
    assert found.newly_rejected.right == EXAMPLES + 3
    assert found.newly_rejected.right_rows == tuple(range(100, 100 + EXAMPLES))


def test_each_comment_has_a_label() -> None:
    with pytest.raises(ValueError, match="shorter"):
        tune([1, 0, 1], [decided(0.5)] * 2, OLD, cost_ratio=1)


# --------------------------------------------------------------------------- where a threshold stands


@pytest.mark.parametrize(
    ("cases", "unflagged", "referred"),
    [
        # As few digits as the middle half of the gap holds.
        ([(1, 0.9, "unflagged"), (0, 0.2, "unflagged")], 0.55, 0.55),
        ([(1, 0.612346, "unflagged"), (0, 0.612344, "unflagged")], 0.612345, 0.612345),
        ([(1, 0.501, "unflagged"), (0, 0.4, "unflagged")], 0.45, 0.45),  # .4505
        # No middle between neighbours of floating point: the rejected score itself.
        ([(1, float(np.nextafter(0.5, 1)), "unflagged"), (0, 0.5, "unflagged")], float(np.nextafter(0.5, 1)), None),
        # No referred comment: it stays, unless `unflagged` falls below it.
        ([(1, 0.99, "unflagged"), (0, 0.95, "unflagged")], 0.97, 0.66),
        ([(1, 0.6, "unflagged"), (0, 0.4, "unflagged")], 0.5, 0.5),
        # No unflagged comment: the same upside down.
        ([(1, 0.6, "referred"), (0, 0.4, "referred")], 0.88, 0.5),
        ([(1, 0.98, "referred"), (0, 0.9, "referred")], 0.94, 0.94),
        # Everything or nothing to reject: the middle of what is left of the scale.
        ([(1, 0.6, "unflagged"), (1, 0.5, "unflagged"), (0, 0.1, "rule")], 0.25, 0.25),
        ([(0, 0.6, "unflagged"), (0, 0.5, "unflagged"), (1, 0.1, "rule")], 0.8, 0.66),
        ([(1, 0.0, "unflagged"), (0, 0.1, "rule")], 0.0, 0.0),
        # Middles the wrong way round (.5 and .7): both in the middle of what the gaps share (.6 to .8).
        (
            [(1, 0.8, "unflagged"), (0, 0.2, "unflagged"), (1, 0.8, "referred"), (0, 0.6, "referred")],
            0.7,
            0.7,
        ),
    ],
)
def test_place_of_a_threshold(cases: list[Case], unflagged: float, referred: float | None) -> None:
    new = tuned(cases, cost_ratio=0.99).new
    assert new.thresholds == {"unflagged": unflagged, "referred": unflagged if referred is None else referred}


def test_referred_is_never_above_unflagged() -> None:
    # Alone, `unflagged` would reject all (.3 on) and `referred` nothing (above .9).
    cases: list[Case] = [(1, 0.3, "unflagged"), (1, 0.35, "unflagged"), (0, 0.9, "referred")]
    one = tuned(cases, cost_ratio=1).new
    assert (one.right, one.wrong) == (2, 1)  # two won for one
    assert one.thresholds == {"unflagged": 0.15, "referred": 0.15}
    dear = tuned(cases, cost_ratio=3).new
    assert (dear.right, dear.wrong) == (0, 0)
    assert dear.unflagged >= dear.referred > 0.9


# --------------------------------------------------------------------------- against all there is

SCORES = st.sampled_from([0.0, 0.1, 0.2, 0.25, 0.5, 0.500001, 0.75, 0.9, 0.999999, 1.0])
CASES = st.lists(
    st.tuples(st.integers(0, 1), SCORES, st.sampled_from(["unflagged", "referred", "rule"])), min_size=2, max_size=14
).filter(lambda cases: len({label for label, _, _ in cases}) == 2)


def every_outcome(cases: Sequence[Case]) -> set[tuple[int, int]]:
    """Right and wrong rejections of every pair of thresholds that can differ."""
    scores = sorted({score for _, score, _ in cases} | {0.0, 1.0})
    bars = sorted({*scores, *((low + high) / 2 for low, high in pairwise(scores))})
    return {counted(cases, high, low) for high in bars for low in bars if low <= high}


@settings(max_examples=300, deadline=None)
@given(CASES, st.sampled_from([0.0, 0.1, 0.25, 1 / 3, 0.5, 0.7, 1.0]))
def test_no_pair_rejects_more_rightly_within_the_share(cases: list[Case], share: float) -> None:
    allowed = Fraction(repr(share)) * sum(label == 0 for label, _, _ in cases)
    within = [(right, -wrong) for right, wrong in every_outcome(cases) if wrong <= allowed]
    if not within:
        with pytest.raises(ModerationError, match="at any threshold"):
            tuned(cases, false_rejection=share)
        return
    new = tuned(cases, false_rejection=share).new
    assert 0 <= new.referred <= new.unflagged <= 1
    assert (new.right, -new.wrong) == max(within)
    assert (new.right, new.wrong) == counted(cases, new.unflagged, new.referred)


@settings(max_examples=300, deadline=None)
@given(CASES, st.sampled_from([0.01, 0.2, 0.5, 1.0, 1.5, 2.0, 5.0, 100.0]))
def test_no_pair_costs_less(cases: list[Case], ratio: float) -> None:
    exact = Fraction(repr(ratio))
    new = tuned(cases, cost_ratio=ratio).new
    assert 0 <= new.referred <= new.unflagged <= 1
    assert (exact * new.wrong - new.right, new.wrong) == min(
        (exact * wrong - right, wrong) for right, wrong in every_outcome(cases)
    )
    assert (new.right, new.wrong) == counted(cases, new.unflagged, new.referred)


@settings(deadline=None)
@given(st.data(), CASES)
def test_the_order_of_the_comments_does_not_matter(data: st.DataObject, cases: list[Case]) -> None:
    other = data.draw(st.permutations(cases))
    assert tuned(cases, cost_ratio=1.5).new == tuned(other, cost_ratio=1.5).new


@settings(deadline=None)
@given(CASES)
def test_flips_lead_from_the_old_counts_to_the_new(cases: list[Case]) -> None:
    found = tuned(cases, cost_ratio=0.5)
    assert (found.old.right, found.old.wrong) == counted(cases, **OLD)
    more, fewer = found.newly_rejected, found.newly_approved
    assert found.new.right - found.old.right == more.right - fewer.wrong
    assert found.new.wrong - found.old.wrong == more.wrong - fewer.right


# --------------------------------------------------------------------------- intervals


def many(right: int, missed: int, wrong: int, spared: int) -> list[Case]:
    return [
        *[(1, 0.9, "unflagged")] * right,
        *[(1, 0.1, "unflagged")] * missed,
        *[(0, 0.95, "unflagged")] * wrong,
        *[(0, 0.05, "unflagged")] * spared,
    ]


def test_intervals_are_those_of_the_binomial() -> None:
    old = tuned(many(300, 100, 20, 580), cost_ratio=1).old
    for found, share, whole in (
        (old.rejection, 0.32, 1000),
        (old.recall, 0.75, 400),
        (old.precision, 300 / 320, 320),
        (old.false_rejection, 20 / 600, 600),
    ):
        half = 1.96 * (share * (1 - share) / whole) ** 0.5
        assert found.share == pytest.approx(share)
        assert found.low == pytest.approx(share - half, abs=0.15 * half)
        assert found.high == pytest.approx(share + half, abs=0.15 * half)


def test_the_same_comments_give_the_same_intervals() -> None:
    assert tuned(many(30, 10, 2, 58), cost_ratio=1) == tuned(many(30, 10, 2, 58), cost_ratio=1)


def test_nothing_rejected_has_no_precision() -> None:
    old = tuned([(1, 0.5, "unflagged"), (0, 0.1, "unflagged")], cost_ratio=1).old
    assert old.precision == Estimate(None, None, None)
    assert old.recall == Estimate(0.0, 0.0, 0.0)


# --------------------------------------------------------------------------- what cannot be done

RULED: list[Case] = [(1, 0.9, "unflagged"), *[(0, 0.1, "unflagged")] * 7, *[(0, 0.1, "rule")] * 3]


def test_rules_that_reject_too_much_already() -> None:
    with pytest.raises(ModerationError) as caught:
        tuned(RULED, false_rejection=0.2)
    assert str(caught.value) == (
        "of 10 comments labelled 0, 3 by rule (rows 9, 10, 11) are rejected at any threshold; a false rejection of 0.2 "
        "allows 2: ask for 0.3 or more, mend the rules that fire there, or correct the labels"
    )
    assert tuned(RULED, false_rejection=0.3).new.wrong == 3


def test_a_score_of_one_is_rejected_by_every_threshold() -> None:
    cases: list[Case] = [(1, 0.9, "unflagged"), (0, 1.0, "referred"), (0, 1.0, "unflagged"), (0, 0.0, "rule")]
    with pytest.raises(ModerationError, match=r"1 by rule \(row 4\) and 2 for a score of 1 are rejected"):
        tuned(cases, false_rejection=0.5)


@given(st.integers(1, 40), st.integers(1, 40))
def test_the_share_that_the_error_names_is_within_reach(by_rule: int, spared: int) -> None:
    cases: list[Case] = [(1, 0.9, "unflagged"), *[(0, 0.1, "unflagged")] * spared, *[(0, 0.1, "rule")] * by_rule]
    with pytest.raises(ModerationError) as caught:
        tuned(cases, false_rejection=0.0)
    named = re.search(r"ask for (\S+) or more", str(caught.value))
    assert named is not None
    assert tuned(cases, false_rejection=float(named[1])).new.wrong == by_rule


@pytest.mark.parametrize(
    ("share", "rows"),
    [(0.29, 100), (0.07, 100), (0.58, 50)],  # .29 * 100 is 28.999999999999996
)
def test_a_share_is_the_decimal_that_was_written(share: float, rows: int) -> None:
    wrong = round(share * rows)
    cases: list[Case] = [(1, 0.2, "unflagged"), *[(0, 0.3, "unflagged")] * wrong]
    cases += [(0, 0.1, "unflagged")] * (rows - wrong)
    assert tuned(cases, false_rejection=share).new.right == 1


@pytest.mark.parametrize(
    ("cases", "aim", "message"),
    [
        (TABLE, {}, "one aim"),
        (TABLE, {"false_rejection": 0.1, "cost_ratio": 2.0}, "one aim"),
        (TABLE, {"false_rejection": 1.01}, "share from 0 to 1"),
        (TABLE, {"false_rejection": -0.1}, "share from 0 to 1"),
        (TABLE, {"false_rejection": float("nan")}, "share from 0 to 1"),
        (TABLE, {"cost_ratio": 0.0}, "above 0"),
        (TABLE, {"cost_ratio": float("inf")}, "above 0"),
        (TABLE, {"cost_ratio": float("nan")}, "above 0"),
        ([(1, 0.5, "rule")], {"cost_ratio": 1.0}, r"labelled 0 \(to approve\)"),
        ([(0, 0.5, "rule")], {"cost_ratio": 1.0}, r"labelled 1 \(to reject\)"),
        ([], {"cost_ratio": 1.0}, "labelled 1"),
        ([(0, 0.5, "rule"), (2, 0.5, "rule")], {"cost_ratio": 1.0}, "row 2: label 2: must be 1"),
    ],
)
def test_refusals(cases: list[Case], aim: dict[str, float], message: str) -> None:
    with pytest.raises(ModerationError, match=message) as caught:
        tuned(cases, **aim)
    assert "\n" not in str(caught.value)


# --------------------------------------------------------------------------- in words


def estimate(share: float) -> Estimate:
    return Estimate(share, share - 0.01, share + 0.01)


def test_report() -> None:
    found = tuned(TABLE, {"unflagged": 0.65, "referred": 0.65}, false_rejection=0.25)
    lines = report(found).splitlines()
    assert lines[:2] == [
        "10 labelled comments, 6 to reject and 4 to approve; a rule rejects 1 at any threshold, 4 are referred.",
        "Aim: the most right rejections with at most 0.25 of the comments to approve rejected.",
    ]
    table = [re.split(r"  +", line) for line in lines[3:10]]
    assert [row[0] for row in table] == [
        "",
        "unflagged",
        "referred",
        "rejected",
        "recall",
        "precision",
        "false rejection",
    ]
    assert table[1:3] == [["unflagged", "0.65", "0.75"], ["referred", "0.65", "0.2"]]
    assert [re.sub(r" \(.*", "", cell) for row in table[3:] for cell in row[1:]] == [
        "4 of 10, 40.00%",
        "6 of 10, 60.00%",
        "3 of 6, 50.00%",
        "5 of 6, 83.33%",
        "3 of 4, 75.00%",
        "5 of 6, 83.33%",
        "1 of 4, 25.00%",
        "1 of 4, 25.00%",
    ]
    assert re.fullmatch(r"3 of 6, 50\.00% \([\d.]+% to [\d.]+%\)", table[4][1])
    assert lines[11] == "Newly rejected: 3, 2 rightly (rows 6, 8) and 1 wrongly (row 7)."
    assert lines[12] == "Newly approved: 1, 1 rightly (row 3)."
    assert "figures flatter" in lines[13]
    assert len(lines) == 14


@pytest.mark.parametrize(
    ("cases", "expected"),
    [
        ([(1, 0.5, "unflagged"), (0, 0.1, "unflagged")], "No comment is referred"),
        ([(1, 0.5, "unflagged"), (0, 0.1, "unflagged")], "precision        0 of 0"),
        ([(1, 0.5, "unflagged"), (0, 0.1, "unflagged")], "Newly approved: none."),
        # 1 - .05 ** (1 / 100)
        (
            [(1, 0.5, "unflagged"), *[(0, 0.1, "unflagged")] * 100],
            "None of 100 comments to approve is rejected: of many",
        ),
        ([(1, 0.5, "unflagged"), *[(0, 0.1, "unflagged")] * 100], "up to 2.95%"),
        (
            [*[(1, 0.5, "unflagged")] * 9, (0, 0.1, "unflagged")],
            "Newly rejected: 9, 9 rightly (rows 1, 2, 3, 4, 5, …).",
        ),
        ([(1, 0.5, "unflagged"), (0, 0.1, "unflagged")], "one wrong rejection as dear as 5 wrong approvals"),
    ],
)
def test_what_a_report_says(cases: list[Case], expected: str) -> None:
    assert expected in report(tuned(cases, cost_ratio=5.0))


def test_a_report_of_wrong_rejections_gives_no_bound_on_none() -> None:
    assert "None of" not in report(tuned(TABLE, false_rejection=0.25))
    assert "No comment is referred" not in report(tuned(TABLE, false_rejection=0.25))


def test_thresholds_of_a_point() -> None:
    point = OperatingPoint(0.5, 0.25, 3, 1, *map(estimate, (0.1, 0.2, 0.3, 0.4)))
    assert point.thresholds == {"unflagged": 0.5, "referred": 0.25}
    assert point.rejected == 4


# --------------------------------------------------------------------------- the policy's text

NEW = {"unflagged": 0.915, "referred": 0.7}
OTHERS = '[other]\nunflagged = 0.88\ntext = """\n[thresholds]\nreferred = 0.66\n"""\n'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[thresholds]\nunflagged = 0.88\nreferred = 0.66\n", "[thresholds]\nunflagged = 0.915\nreferred = 0.7\n"),
        # Space, comments and line ends stay; a comment with the same words is none.
        (
            "# unflagged = 0.88\r\n[thresholds]  # referred = 0.6\r\n  referred=1 # was .6\r\nunflagged\t= 8.8e-1\r\n",
            "# unflagged = 0.88\r\n[thresholds]  # referred = 0.6\r\n  referred=0.7 # was .6\r\nunflagged\t= 0.915\r\n",
        ),
        ("thresholds = { unflagged = 0.88, referred = 0.66 }", "thresholds = { unflagged = 0.915, referred = 0.7 }"),
        (
            "thresholds.referred = 0\n'thresholds'.\"unflagged\" = 1_0e-1",
            "thresholds.referred = 0.7\n'thresholds'.\"unflagged\" = 0.915",
        ),
        # Others of the same name, in other tables and in strings.
        (
            f"{OTHERS}[thresholds]\nnot-unflagged = 0\nunflagged = 0.88\nreferred = 0.66\n[last]\nreferred = 0.66",
            f"{OTHERS}[thresholds]\nnot-unflagged = 0\nunflagged = 0.915\nreferred = 0.7\n[last]\nreferred = 0.66",
        ),
        # What is right already is not even spelt anew.
        ("[thresholds]\nunflagged = 0.9150\nreferred = 7e-1", "[thresholds]\nunflagged = 0.9150\nreferred = 7e-1"),
    ],
)
def test_rewritten(text: str, expected: str) -> None:
    assert rewritten(text, NEW) == expected


@given(st.floats(0, 1), st.floats(0, 1))
def test_any_thresholds_are_read_back(unflagged: float, referred: float) -> None:
    text = "[thresholds]\nunflagged = 0.88\nreferred = 0.66\n"
    chosen = {"unflagged": unflagged, "referred": referred}
    assert tomllib.loads(rewritten(text, chosen)) == {"thresholds": chosen}


@pytest.mark.parametrize("path", sorted((DATA / "policies").glob("*.toml")), ids=lambda path: path.name)
def test_only_the_numbers_of_a_shipped_policy_change(path: Path) -> None:
    old = path.read_bytes().decode()
    new = rewritten(old, {"unflagged": 0.123, "referred": 0.0456})
    differing = [
        (before.partition("=")[0].strip(), after.partition("=")[2].split("#")[0].strip())
        for before, after in zip(old.splitlines(keepends=True), new.splitlines(keepends=True), strict=True)
        if before != after
    ]
    assert sorted(differing) == [("referred", "0.0456"), ("unflagged", "0.123")]
    assert tomllib.loads(rewritten(new, tomllib.loads(old)["thresholds"])) == tomllib.loads(old)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[thresholds\n", "no TOML"),
        ("[policy]\nname = 'x'\n", "thresholds: unflagged: not in the policy; write `unflagged = 0.915`"),
        ("[thresholds]\nunflagged = 0.88\n", "thresholds: referred"),
        ("thresholds = 1\n", "thresholds: unflagged"),
        ("[thresholds]\nunflagged = '0.88'\nreferred = 0.66\n", "thresholds: unflagged"),
    ],
)
def test_texts_without_thresholds(text: str, message: str) -> None:
    with pytest.raises(ModerationError, match=re.escape(message)) as caught:
        rewritten(text, NEW)
    assert "\n" not in str(caught.value)

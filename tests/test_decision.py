import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moderation import Effect, Finding, ModelError, Policy, Verdict, load_policy
from moderation.decision import decide
from moderation.policy import GUIDELINES

POLICY = """
[policy]
name = "toy"
version = "1"
[thresholds]
unflagged = 0.75
referred = 0.5
[[guideline]]
id = "threat"
title = "No threats"
text = "Threats are not tolerated."
[[guideline]]
id = "profanity"
title = "No profanity"
text = "Profanity is not tolerated."
[[guideline]]
id = "abuse"
title = "No abuse"
text = "Abuse is not tolerated."
"""
RULE = """
[[rule]]
id = "{guideline}.{what}"
guideline = "{guideline}"
effect = "reject"
statement = "Sees {what}."
reason = "Reason of {guideline}.{what}."
known_problems = "None known."
fires_on = ["{what}"]
violates = ["a", "b", "c"]
allowed = ["a", "b"]
"""


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Policy:
    file = tmp_path_factory.mktemp("toy") / "toy.toml"
    rules = [RULE.format(guideline=g, what=w) for g in ("threat", "profanity", "abuse") for w in ("one", "two")]
    file.write_text(POLICY + "".join(rules), encoding="utf-8")
    return load_policy(file)


def scored(any_guideline: float, **others: float) -> dict[str, float]:
    return {"any": any_guideline, **dict.fromkeys(GUIDELINES, 0.0), **others}


def finding(rule: str, effect: str, start: int = 0) -> Finding:
    return Finding(rule, rule.split(".", 1)[0], Effect(effect), start, start + 3, "one")


REJECTS = finding("profanity.one", "reject")
REFERS = finding("abuse.one", "refer", 4)


@pytest.mark.parametrize(
    ("findings", "score", "verdict", "decided_by", "threshold"),
    [
        # no finding: the higher bar
        ((), 0.0, "approve", "linear", 0.75),
        ((), 0.5, "approve", "linear", 0.75),
        ((), 0.749999, "approve", "linear", 0.75),
        ((), 0.75, "reject", "linear", 0.75),  # inclusive
        ((), 1.0, "reject", "linear", 0.75),
        # a finding that refers: the lower bar, and no verdict of its own
        ((REFERS,), 0.0, "approve", "linear", 0.5),
        ((REFERS,), 0.499999, "approve", "linear", 0.5),
        ((REFERS,), 0.5, "reject", "linear", 0.5),  # inclusive
        ((REFERS,), 0.75, "reject", "linear", 0.5),
        ((REFERS,) * 9, 0.499999, "approve", "linear", 0.5),  # many refer no further than one
        # a finding that rejects decides alone, whatever the score
        ((REJECTS,), 0.0, "reject", "rule", 0.75),
        ((REJECTS,), 1.0, "reject", "rule", 0.75),
        ((REJECTS, REFERS), 0.0, "reject", "rule", 0.5),
        ((REFERS, REJECTS), 0.0, "reject", "rule", 0.5),
        # what carried a score is no finding of a rule
        ((finding("profanity.one", "score"),), 0.7, "approve", "linear", 0.75),
    ],
)
def test_verdict(
    toy: Policy, findings: tuple[Finding, ...], score: float, verdict: str, decided_by: str, threshold: float
) -> None:
    decision = decide("7", findings, scored(score), toy, "m-1")
    assert (decision.verdict, decision.decided_by, decision.threshold) == (verdict, decided_by, threshold)
    assert decision.score == score
    assert decision.findings == findings
    assert (decision.verdict is Verdict.REJECT) == bool(decision.guidelines) == bool(decision.reason)


@pytest.mark.parametrize("score", [0.0, 0.75])
@pytest.mark.parametrize("stage", ["linear", "encoder"])
def test_decided_by_names_the_stage_unless_a_rule_rejects(toy: Policy, stage: str, score: float) -> None:
    by_score, by_rule = (
        decide("", findings, scored(score), toy, "m-1", stage) for findings in ((REFERS,), (REFERS, REJECTS))
    )
    assert (by_score.decided_by, by_rule.decided_by) == (stage, "rule")
    # The verdict is the same, whichever stage it was.
    assert by_score.verdict == decide("", (REFERS,), scored(score), toy, "m-1").verdict


@pytest.mark.parametrize(
    ("findings", "scores", "guidelines", "reason", "why"),
    [
        ((), scored(0.7, threat=0.9), (), "", "one guideline over the bar does not reject: the score of any does"),
        ((), scored(0.8, threat=0.8), ("threat",), "Threats are not tolerated.", "over the bar"),
        ((), scored(0.8, threat=0.75, abuse=0.9), ("threat", "abuse"), "Threats are not tolerated.", "at the bar"),
        (
            (),
            scored(0.8, abuse=0.9, threat=0.8),
            ("threat", "abuse"),
            "Threats are not tolerated.",
            "in the order of the policy, not of the scores",
        ),
        ((), scored(0.8, abuse=0.3, threat=0.2), ("abuse",), "Abuse is not tolerated.", "the highest, if none is over"),
        ((), scored(0.8), ("threat",), "Threats are not tolerated.", "the first of equals"),
        ((), scored(0.8, vulgarity=0.9, abuse=0.1), ("abuse",), "Abuse is not tolerated.", "published ones only"),
        (
            (REFERS,),
            scored(0.6, threat=0.6, abuse=0.4),
            ("threat",),
            "Threats are not tolerated.",
            "referred: the lower bar for each, and the finding names none",
        ),
        ((REFERS,), scored(0.4, threat=0.9), (), "", "approved although a finding refers"),
        ((REJECTS,), scored(0.0, threat=0.9), ("profanity",), "Reason of profanity.one.", "by rule alone"),
        (
            (REJECTS,),
            scored(0.9, threat=0.9),
            ("threat", "profanity"),
            "Reason of profanity.one.",
            "the score adds guidelines, the rule has the word",
        ),
        (
            (finding("abuse.two", "reject"), finding("threat.one", "reject", 9), finding("abuse.one", "reject", 20)),
            scored(0.0),
            ("threat", "abuse"),
            "Reason of abuse.two.",
            "each guideline once, in the order of the policy; the first finding's reason",
        ),
        (
            (finding("threat.one", "refer"), finding("abuse.one", "reject", 9)),
            scored(0.0),
            ("abuse",),
            "Reason of abuse.one.",
            "what refers has no reason to tell",
        ),
    ],
)
def test_guidelines_and_reason(
    toy: Policy,
    findings: tuple[Finding, ...],
    scores: dict[str, float],
    guidelines: tuple[str, ...],
    reason: str,
    why: str,
) -> None:
    decision = decide("", findings, scores, toy, "m-1")
    assert (decision.guidelines, decision.reason) == (guidelines, reason), why


@pytest.mark.parametrize("score", [float("nan"), float("inf"), -0.1, 1.1])
@pytest.mark.parametrize("name", ["any", "abuse", "vulgarity"])
@pytest.mark.parametrize("findings", [(), (REJECTS,)], ids=["by score", "by rule"])
def test_score_that_is_no_probability_decides_nothing(
    toy: Policy, findings: tuple[Finding, ...], name: str, score: float
) -> None:
    with pytest.raises(ModelError, match=r"^m-1: gave scores that are no probabilities; train it again$"):
        decide("", findings, scored(0.5) | {name: score}, toy, "m-1")


PROBABILITIES = st.floats(0, 1)
FINDINGS = st.lists(
    st.builds(
        finding,
        st.sampled_from(["threat.one", "profanity.two", "abuse.one"]),
        st.sampled_from(["reject", "refer"]),
        st.integers(0, 9),
    ),
    max_size=5,
)


@given(findings=FINDINGS, low=PROBABILITIES, high=PROBABILITIES, threat=PROBABILITIES, abuse=PROBABILITIES)
def test_decision_can_be_redone_by_hand_from_its_row(
    toy: Policy, findings: list[Finding], low: float, high: float, threat: float, abuse: float
) -> None:
    low, high = sorted((low, high))
    row = decide("7", findings, scored(low, threat=threat, abuse=abuse), toy, "m-1").to_dict()
    by_rule = any(found["effect"] == "reject" for found in row["findings"])
    assert row["verdict"] == ("reject" if by_rule or row["score"] >= row["threshold"] else "approve")
    assert row["decided_by"] == ("rule" if by_rule else "linear")
    # A higher score or one finding more never turns a rejection into an approval.
    if row["verdict"] == "reject":
        assert decide("7", findings, scored(high), toy, "m-1").verdict is Verdict.REJECT
        assert decide("7", [*findings, REFERS], scored(low), toy, "m-1").verdict is Verdict.REJECT


def test_to_dict_is_the_public_contract(toy: Policy) -> None:
    row = decide("7", (REJECTS,), scored(0.25, threat=0.125), toy, "m-1").to_dict()
    assert row == {
        "id": "7",
        "verdict": "reject",
        "guidelines": ["profanity"],
        "reason": "Reason of profanity.one.",
        "score": 0.25,
        "scores": {"threat": 0.125, "profanity": 0.0, "abuse": 0.0},
        "threshold": 0.75,
        "decided_by": "rule",
        "findings": [
            {
                "rule": "profanity.one",
                "guideline": "profanity",
                "effect": "reject",
                "start": 0,
                "end": 3,
                "excerpt": "one",
            }
        ],
        "policy": toy.identity,
        "model": "m-1",
    }
    assert list(row) == [
        "id", "verdict", "guidelines", "reason", "score", "scores", "threshold", "decided_by", "findings", "policy",
        "model",
    ]  # fmt: skip
    # Plain values, not enumerations that happen to be texts.
    assert (type(row["verdict"]), type(row["findings"][0]["effect"])) == (str, str)
    assert json.loads(json.dumps(row)) == row


@pytest.mark.parametrize(
    ("findings", "scores", "text"),
    [
        ((), scored(0.25), "approve: no guideline broken (score 0.250 < threshold 0.750)"),
        (
            (REFERS,),
            scored(0.25),
            "approve: no guideline broken (score 0.250 < threshold 0.500)\n  4-7 'one': abuse.one (abuse, refer)",
        ),
        ((), scored(0.75, threat=0.8, abuse=0.9), "reject: threat, abuse (score 0.750 >= threshold 0.750)"),
        (
            (REJECTS, REFERS),
            scored(0.9, profanity=0.9),
            "reject: profanity (by rule)\n  0-3 'one': profanity.one (profanity, reject)\n"
            "  4-7 'one': abuse.one (abuse, refer)",
        ),
        (
            (Finding("profanity.one", "profanity", Effect.REJECT, 0, 5, "o\n\x1b\u202e'"),),
            scored(0.0),
            'reject: profanity (by rule)\n  0-5 "o\\n\\x1b\\u202e\'": profanity.one (profanity, reject)',
        ),  # control characters are shown, never obeyed
    ],
)
def test_explain(toy: Policy, findings: tuple[Finding, ...], scores: dict[str, float], text: str) -> None:
    assert decide("", findings, scores, toy, "m-1").explain() == text


def test_explain_never_shows_a_score_at_its_threshold_as_below_it(toy: Policy) -> None:
    first = decide("", (), scored(0.749999), toy, "m-1").explain().splitlines()[0]
    assert "0.750 < threshold 0.750" not in first


def test_decision_cannot_be_changed(toy: Policy) -> None:
    decision = decide("", (), scored(0.0), toy, "m-1")
    with pytest.raises(AttributeError):
        decision.verdict = Verdict.REJECT  # type: ignore[misc]


def test_policy_without_rules_decides_by_score(tmp_path: Path) -> None:
    (tmp_path / "bare.toml").write_text(POLICY, encoding="utf-8")
    bare = load_policy(tmp_path / "bare.toml")
    assert decide("", (), scored(0.75), bare, "m-1").verdict is Verdict.REJECT
    assert decide("", (), scored(0.7), bare, "m-1").policy == bare.identity

from collections import defaultdict

import pytest
from conftest import Fake

from moderation import Effect, Moderator, load_policy
from moderation.normalise import fold
from moderation.paths import DEFAULT_POLICY
from moderation.policy import GUIDELINES, Guideline, Rule
from moderation.rules import apply_rules, disagreeing_examples

POLICY = load_policy(DEFAULT_POLICY)
RULES = pytest.mark.parametrize("rule", POLICY.rules, ids=lambda rule: rule.id)


@pytest.fixture(scope="module")
def moderator() -> Moderator:
    return Moderator(POLICY, Fake(other=0.0))  # what is rejected is rejected by rule


@pytest.fixture(scope="module")
def disagreeing() -> dict[str, list[tuple[str, str, str]]]:
    found = defaultdict(list)
    for rule_id, key, example, problem in disagreeing_examples(POLICY):
        found[rule_id].append((key, example, problem))
    return found


def test_all_six_guidelines_are_published() -> None:
    assert [guideline.id for guideline in POLICY.guidelines] == list(GUIDELINES)
    assert len(GUIDELINES) == 6


@pytest.mark.parametrize(
    "aside",
    [
        "Don't get me wrong",
        "I don't care who reads this",
        "Not gonna lie",
        "As everyone says",
        "Call me what you like",
        "You know what they say",
        "In the name of peace",
        "If you ask me",
    ],
)
def test_an_aside_excuses_no_breach(aside: str) -> None:
    def fires(rule: Rule, text: str) -> bool:
        return any(finding.rule == rule.id for finding in apply_rules(fold(text, POLICY.words), POLICY))

    breaches = [(rule, text) for rule in POLICY.rules if rule.unless for text in rule.violates]
    after = [(rule, text) for rule, text in breaches if fires(rule, f"Well, {text}")]
    assert len(after) > 400
    assert [(rule.id, text) for rule, text in after if not fires(rule, f"{aside}, {text}")] == []


@pytest.mark.parametrize("guideline", POLICY.guidelines, ids=lambda guideline: guideline.id)
def test_guideline_is_a_sentence_and_has_rules(guideline: Guideline) -> None:
    assert guideline.title.strip()
    assert guideline.text.strip().endswith(".")
    rules = [rule for rule in POLICY.rules if rule.guideline == guideline.id]
    assert any(rule.effect is Effect.REJECT for rule in rules)
    # A kind without a rule would be a promise that nothing keeps.
    assert {rule.kind for rule in rules} - {""} <= set(guideline.kinds)


@pytest.mark.parametrize("kind", ["sexism", "racism", "homophobia", "xenophobia"])
def test_abuse_that_the_guideline_names_is_a_kind(kind: str) -> None:
    abuse = next(guideline for guideline in POLICY.guidelines if guideline.id == "abuse")
    assert kind in abuse.kinds
    assert kind in abuse.text


def test_thresholds_leave_room_for_both_verdicts() -> None:
    assert 0 < POLICY.thresholds["referred"] <= POLICY.thresholds["unflagged"] < 1


def test_the_encoder_looks_at_a_part_and_sooner_at_short_comments() -> None:
    assert POLICY.encoder
    assert 0 < POLICY.encoder.referred < POLICY.encoder.unflagged < POLICY.thresholds["referred"]


@RULES
def test_examples_agree(rule: Rule, disagreeing: dict[str, list[tuple[str, str, str]]]) -> None:
    assert disagreeing.get(rule.id, []) == []


@RULES
def test_rule_says_what_it_sees_and_where_it_is_wrong(rule: Rule) -> None:
    for name in ("statement", "reason", "known_problems"):
        text = getattr(rule, name)
        assert text == text.strip()
        assert text.endswith("."), name
    assert rule.min_strength <= rule.max_strength


@RULES
def test_rule_has_enough_examples_of_its_own(rule: Rule) -> None:
    violates, allowed = set(rule.violates), set(rule.allowed)
    assert len(violates) == len(rule.violates) >= 3
    assert len(allowed) == len(rule.allowed) >= 2
    assert not violates & allowed
    assert all(example.strip() for example in violates | allowed)


@RULES
def test_what_violates_is_rejected_by_a_rule_that_rejects(rule: Rule, moderator: Moderator) -> None:
    for example, decision in zip(rule.violates, moderator.review_many(rule.violates), strict=True):
        findings = [finding for finding in decision.findings if finding.rule == rule.id]
        assert findings, example
        assert all(finding.guideline == rule.guideline for finding in findings)
        if rule.effect is Effect.REJECT:
            assert (decision.verdict.value, decision.decided_by) == ("reject", "rule"), example
            assert rule.guideline in decision.guidelines, example
        else:
            # Where no rule rejects, the lower bar applies.
            assert decision.decided_by == "rule" or decision.threshold == POLICY.thresholds["referred"], example

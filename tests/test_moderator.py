import json
import tomllib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from _pytest.mark import ParameterSet
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from moderation import Comment, Decision, Effect, ModelError, Moderator, PolicyError, load_policy
from moderation.classifier import OUTPUTS, save
from moderation.normalise import Folded

POLICY = r"""
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
id = "personal_attack"
title = "No attacks"
text = "Personal attacks are not tolerated."
[[rule]]
id = "threat.kill"
guideline = "threat"
effect = "reject"
statement = "States an intent to kill."
reason = "It threatens someone."
known_problems = "None known."
fires_on = ['\bi will kill you\b']
violates = ["i will kill you", "I will k1ll you", "So I will kill you"]
allowed = ["hello", "this queue will kill me"]
[[rule]]
id = "personal_attack.you"
guideline = "personal_attack"
effect = "refer"
statement = "Speaks to the other commenter."
reason = "It speaks about a person."
known_problems = "Nearly all."
fires_on = ['\byou\b']
violates = ["you", "YOU", "thank you"]
allowed = ["hello", "young"]
"""


class Fake:
    """Knows the word «clown»: certain with «utter», else between the two thresholds."""

    version = "fake-1"

    def score(self, comments: Sequence[Folded]) -> npt.NDArray[np.float32]:
        scores = np.full((len(comments), len(OUTPUTS)), 0.1, np.float32)
        for row, comment in zip(scores, comments, strict=True):
            if "clown" in comment.folded.text:
                row[[0, OUTPUTS.index("personal_attack")]] = 0.9 if "utter" in comment.folded.text else 0.6
        return scores

    def evidence(self, comment: Folded, output: str) -> tuple[tuple[int, int], ...]:
        assert output == "personal_attack"
        start = comment.folded.text.index("clown")
        return (comment.folded.original(start, start + 5),)


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Moderator:
    file = tmp_path_factory.mktemp("toy") / "toy.toml"
    file.write_text(POLICY, encoding="utf-8")
    return Moderator(load_policy(file), Fake())


@pytest.mark.parametrize(
    ("text", "verdict", "decided_by", "guidelines", "findings"),
    [
        ("", "approve", "linear", (), []),
        (" \n\t", "approve", "linear", (), []),
        ("\u200b\u202e", "approve", "linear", (), []),
        ("hello", "approve", "linear", (), []),
        ("what a clown", "approve", "linear", (), []),  # below the bar of a comment that nothing refers
        ("young clown", "approve", "linear", (), []),
        (
            "you clown",
            "reject",
            "linear",
            ("personal_attack",),
            [("personal_attack.you", "refer", "you"), ("classifier", "score", "clown")],
        ),
        ("thank you", "approve", "linear", (), [("personal_attack.you", "refer", "you")]),
        ("what an utter ＣＬＯＷＮ", "reject", "linear", ("personal_attack",), [("classifier", "score", "ＣＬＯＷＮ")]),
        (
            "I will kill you",
            "reject",
            "rule",
            ("threat",),
            [("threat.kill", "reject", "I will kill you"), ("personal_attack.you", "refer", "you")],
        ),
        (
            "utter clown, I will kill you",  # both have a say; the rule decides, so no span is needed
            "reject",
            "rule",
            ("threat", "personal_attack"),
            [("threat.kill", "reject", "I will kill you"), ("personal_attack.you", "refer", "you")],
        ),
    ],
)
def test_review(
    toy: Moderator,
    text: str,
    verdict: str,
    decided_by: str,
    guidelines: tuple[str, ...],
    findings: list[tuple[str, str, str]],
) -> None:
    decision = toy.review(Comment(text, "7"))
    assert (decision.verdict, decision.decided_by, decision.guidelines) == (verdict, decided_by, guidelines)
    assert [(f.rule, f.effect, f.excerpt) for f in decision.findings] == findings
    assert (decision.id, decision.policy, decision.model) == ("7", toy.policy.identity, "fake-1")
    assert set(decision.scores) == {"threat", "personal_attack"}


def test_text_and_comment_are_decided_alike(toy: Moderator) -> None:
    for text in ("hello", "you clown", "I will kill you"):
        assert toy.review(text) == toy.review(Comment(text))
        # What it stands under and answers is no part of what is judged.
        assert toy.review(Comment(text, article="clown", parent="I will kill you")) == toy.review(text)


def test_review_many_takes_any_iterable_and_keeps_the_order(toy: Moderator) -> None:
    comments = [Comment(text, str(number)) for number, text in enumerate(["you clown", "", "hello"])]
    decisions = toy.review_many(iter(comments))
    assert [(d.id, d.verdict.value) for d in decisions] == [("0", "reject"), ("1", "approve"), ("2", "approve")]
    assert toy.review_many([]) == ()


def test_comment_is_never_edited(toy: Moderator) -> None:
    comment = Comment("  Ｙou &amp; <b>clown</b>\u200b!\r\n", "1", "a", "p")
    before = (comment.text, comment.id, comment.article, comment.parent)
    toy.review(comment)
    assert (comment.text, comment.id, comment.article, comment.parent) == before
    with pytest.raises(AttributeError):
        comment.text = ""  # type: ignore[misc]


@pytest.mark.parametrize("comment", [None, b"I will kill you", 7, 1.5, ["hello"], {"text": "hello"}, object()])
def test_what_is_no_text_is_refused(toy: Moderator, comment: object) -> None:
    with pytest.raises(TypeError, match=f"not {type(comment).__name__}"):
        toy.review(comment)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        toy.review_many(["hello", comment, "hello"])  # type: ignore[list-item]


def test_one_text_is_no_batch(toy: Moderator) -> None:
    with pytest.raises(TypeError):
        toy.review_many("I will kill you")


# --------------------------------------------------------------------------- fail closed


class Breaks(Fake):
    def score(self, comments: Sequence[Folded]) -> npt.NDArray[np.float32]:
        raise MemoryError("as a full machine would")


class BreaksLater(Fake):
    def evidence(self, comment: Folded, output: str) -> tuple[tuple[int, int], ...]:
        raise ZeroDivisionError("as a bug would")


class ScoresTooFew(Fake):
    def score(self, comments: Sequence[Folded]) -> npt.NDArray[np.float32]:
        return super().score(comments)[1:]


class ScoresTooMany(Fake):
    def score(self, comments: Sequence[Folded]) -> npt.NDArray[np.float32]:
        return np.vstack([super().score(comments)] * 2)


class ScoresOtherOutputs(Fake):
    def score(self, comments: Sequence[Folded]) -> npt.NDArray[np.float32]:
        return super().score(comments)[:, 1:]


class ScoresNothing(Fake):
    def score(self, comments: Sequence[Folded]) -> npt.NDArray[np.float32]:
        return np.full_like(super().score(comments), np.nan)


@pytest.mark.parametrize(
    ("classifier", "text", "error"),
    [
        (Breaks(), "hello", MemoryError),
        (BreaksLater(), "utter clown", ZeroDivisionError),
        (ScoresTooFew(), "hello", ValueError),
        (ScoresTooMany(), "hello", ValueError),
        (ScoresOtherOutputs(), "hello", ValueError),
        pytest.param(
            ScoresNothing(),
            "hello",
            Exception,
        ),
    ],
)
def test_nothing_is_approved_because_a_check_failed(
    toy: Moderator, classifier: Fake, text: str, error: type[Exception]
) -> None:
    moderator = Moderator(toy.policy, classifier)
    with pytest.raises(error):
        moderator.review(text)
    with pytest.raises(error):
        moderator.review_many(["hello", text, "hello"])


# --------------------------------------------------------------------------- properties

WORDS = "I will kill you k1ll ＫＩＬＬ clown utter thank young \u200b \n . , <b> &amp; é ß ﬁ 👩‍👧 \u202e İ ½".split(" ")
TEXTS = st.lists(st.one_of(st.sampled_from(WORDS), st.text(max_size=4)), max_size=12).map(" ".join)
RELAXED = settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])


@RELAXED
@given(texts=st.lists(TEXTS, max_size=8), data=st.data())
def test_alone_in_a_batch_and_in_another_order_the_same(toy: Moderator, texts: list[str], data: st.DataObject) -> None:
    comments = [Comment(text, str(number)) for number, text in enumerate(texts)]
    alone = {comment.id: toy.review(comment) for comment in comments}
    for batch in (comments, data.draw(st.permutations(comments))):
        assert {decision.id: decision for decision in toy.review_many(batch)} == alone


@RELAXED
@given(text=TEXTS)
def test_excerpts_are_slices_of_the_comment(toy: Moderator, text: str) -> None:
    text = f"{text}\nutter clown you"
    findings = toy.review(text).findings
    assert findings
    for found in findings:
        assert found.excerpt == text[found.start : found.end] != ""
    assert list(findings) == sorted(findings, key=lambda f: (f.start, f.end))


# --------------------------------------------------------------------------- loading


def test_load_names_what_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match=r"no\.toml: cannot be read"):
        Moderator.load(policy=tmp_path / "no.toml")
    with pytest.raises(ModelError, match=r"manifest\.json: no such file"):
        Moderator.load(model=tmp_path)


def test_policy_of_ones_own_has_its_examples_run(tmp_path: Path) -> None:
    zeros = np.zeros((16, len(OUTPUTS)), np.float32)
    save(tmp_path / "model", "zero-1", zeros, zeros[0], np.zeros((len(OUTPUTS), 2), np.float32))
    file = tmp_path / "own.toml"
    file.write_text(POLICY, encoding="utf-8")
    decision = Moderator.load(file, str(tmp_path / "model")).review("hello")
    assert (decision.score, decision.model) == (0.5, "zero-1")
    file.write_text(POLICY.replace('"thank you"', '"thanks"'), encoding="utf-8")
    with pytest.raises(PolicyError, match=r"rule personal_attack\.you: violates: .*'thanks'"):
        Moderator.load(file, tmp_path / "model")


# --------------------------------------------------------------------------- as shipped

CASES = tomllib.loads((Path(__file__).parent / "cases" / "decisions.toml").read_text(encoding="utf-8"))["case"]


@pytest.fixture(scope="module")
def shipped() -> Moderator:
    return Moderator.default()


def test_cases_are_written_as_their_head_says() -> None:
    guidelines = {"", *OUTPUTS[1:]}
    for case in CASES:
        assert set(case) <= {"text", "verdict", "guideline", "why", "complaint", "shortfall"}
        assert case["verdict"] in ("approve", "reject")
        assert case["guideline"] in guidelines
        assert bool(case["guideline"]) == (case["verdict"] == "reject"), case["why"]
        assert case["why"].strip()
    assert len({case["text"] for case in CASES}) == len(CASES)
    assert {case["guideline"] for case in CASES} == guidelines


def case_parameters() -> list[ParameterSet]:
    """Give the cases; one marked `shortfall` is decided wrongly today, and must be unmarked once it is not."""
    wrong = pytest.mark.xfail(strict=True, reason="known shortfall of the shipped policy and model")
    return [
        pytest.param(case, id=f"{case['verdict']}-{case['why']}", marks=[wrong] if case.get("shortfall") else [])
        for case in CASES
    ]


@pytest.mark.parametrize("case", case_parameters())
def test_the_shipped_moderator_decides_the_case(shipped: Moderator, case: dict[str, str]) -> None:
    decision = shipped.review(case["text"])
    assert decision.verdict == case["verdict"], f"{case['why']}: {decision.explain()}"
    well_formed(case["text"], decision)


def well_formed(text: str, decision: Decision) -> None:
    rejected = decision.verdict == "reject"
    assert rejected == bool(decision.guidelines) == bool(decision.reason)
    assert all(found.excerpt == text[found.start : found.end] for found in decision.findings)
    assert 0 <= decision.score <= 1
    assert all(0 <= score <= 1 for score in decision.scores.values())
    effects = {found.effect for found in decision.findings}
    assert (Effect.REJECT in effects) == (decision.decided_by == "rule")
    # A rejection by the classifier names the words that carried it.
    assert (Effect.SCORE in effects) == (rejected and decision.decided_by == "linear")
    row = json.loads(json.dumps(decision.to_dict()))
    by_rule = any(found["effect"] == "reject" for found in row["findings"])
    assert row["verdict"] == ("reject" if by_rule or row["score"] >= row["threshold"] else "approve")


def test_the_shipped_moderator_decides_alone_as_in_a_batch(shipped: Moderator) -> None:
    texts = [case["text"] for case in CASES]
    together = shipped.review_many(texts)
    assert together == tuple(map(shipped.review, texts))
    assert together == shipped.review_many(texts[::-1])[::-1]
    # A moderator that has seen nothing else yet.
    assert Moderator.load().review_many(texts) == together


@pytest.mark.parametrize("text", ["", " ", "\n", "\u200b", ".", "👍", "ok"])
def test_the_shipped_moderator_approves_what_says_nothing(shipped: Moderator, text: str) -> None:
    assert shipped.review(text).verdict == "approve"

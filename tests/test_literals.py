import re

import pytest
import re2
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from moderation import Policy, load_policy
from moderation.literals import Gate, conditions
from moderation.paths import DEFAULT_POLICY
from moderation.policy import compile_pattern


@pytest.fixture(scope="module")
def shipped() -> Policy:
    return load_policy(DEFAULT_POLICY, check_patterns=False)


def told(*patterns: str) -> list[list[set[str]]]:
    """Give the clauses of a pattern's only list; ^ and $ mark where no letter may stand."""
    return [
        [{f"{'^' * left}{text}{'$' * right}" for text, left, right in clause} for clause in found]
        for pattern in patterns
        for found in conditions(pattern)
    ]


@pytest.mark.parametrize(
    ("pattern", "found", "why"),
    [
        (r"idiot", [[{"idiot"}]], "a literal"),
        (r"\bidiot\b", [[{"^idiot$"}]], "with both its edges"),
        (r"\bidiots?\b", [[{"^idiot$", "^idiots$"}]], "an ending that may be there"),
        (r"\byou idiot\b", [[{"^idiot$"}, {"^you$"}]], "words that are parted; the rarer first"),
        (r"\b(?:moron|idiot)s?\b", [[{"^moron$", "^morons$", "^idiot$", "^idiots$"}]], "a choice"),
        (r"\b(?:crook|thief)[^.]{0,9}\bjail\b", [[{"^crook", "^thief"}, {"^jail$"}]], "a gap says nothing"),
        (r"\ba\b|\bb\b", [[{"^a$"}], [{"^b$"}]], "alternatives are told apart"),
        (r"(?:\ba\b|\bb\b)", [[{"^a$"}], [{"^b$"}]], "in a group as well"),
        (r"x(?:yz)?\b", [[{"x$", "xyz$"}]], "a group that may be there"),
        (r"zo+m", [[{"zo"}, {"m"}]], "a repeated letter ends what goes together"),
        (r"fu{2,}", [[{"fuu"}]], "a letter that stands twice at least"),
        (r"no{1,}pe", [[{"no"}, {"pe"}]], "one that stands once at least"),
        (r"no{1}pe", [[{"nope"}]], "and one that stands once"),
        (r"a[bc]d", [[{"abd", "acd"}]], "a set of few"),
        (r"q[a-z]q", [[{"q"}]], "a set of many"),
        (r"(?:^|[^a-z0-9])hey", [[{"^hey"}]], "an edge without a boundary"),
        (r"(?:really )*dumb", [[{"dumb"}]], "what may be there any number of times"),
        (r"(?:really )+dumb", [[{"really$"}, {"^dumb"}]], "what is there once at least"),
        (r"\bdrop +dead\b", [[{"^drop$"}, {"^dead$"}]], "spaces are an edge, however many"),
        (r"(?:^|[.!] *)(?:(?:go|just) ){0,2}die\b", [[{"^die$"}]], "an edge before whatever may be there"),
        (r"\w+", [[]], "nothing"),
        (r"(?i)idiot", [[]], "not read: always a candidate"),
        (r"\pL", [[]], "nor a class of Unicode"),
    ],
)
def test_conditions(pattern: str, found: list[list[set[str]]], why: str) -> None:
    key = str
    assert [sorted(map(sorted, clauses), key=key) for clauses in told(pattern)] == [
        sorted(map(sorted, clauses), key=key) for clauses in found
    ], why


@pytest.mark.parametrize(
    ("text", "candidates"),
    [
        ("", []),
        ("you are late", []),
        ("idiot", [0]),
        ("idiotic", []),
        ("an_idiot", [0]),  # The boundary of a pattern is not asked for so exactly.
        ("xidiot", []),
        ("(idiot)", [0]),
        ("the crook is in jail", [1]),
        ("the jail", []),
        ("foo\u2028idiot", [0]),
        ("idiot " * 3 + "crook jail", [0, 1]),
    ],
)
def test_candidates(text: str, candidates: list[int]) -> None:
    gate = Gate([r"\bidiot\b", r"\bcrook\b.*\bjail\b"])
    for _ in range(2):  # At first, and from what is remembered.
        assert gate.candidates(text, gate.selection([0, 1])) == candidates
    assert gate.candidates(text, gate.selection([1])) == [index for index in candidates if index == 1]


ATOM = st.one_of(
    st.sampled_from(
        ["a", "ab", "idiot", "you are", " ", "-", r"\b", r"\.", r"\w", r"\s", "[ab]", "[^a-z0-9]", "[a-c]", "."]
    ),
    st.sampled_from(["'s", "é", "ß x", r"\d", "^", "$", r"\n"]),
)
QUANTIFIED = st.tuples(
    ATOM, st.sampled_from(["", "", "", "?", "+", "*", "{1}", "{1,}", "{2}", "{1,3}", "{0,2}"])
).filter(lambda pair: not pair[1] or pair[0] not in (r"\b", "^", "$"))


def _sequence(parts: list[str]) -> str:
    return "".join(parts)


PATTERN = st.recursive(
    st.lists(QUANTIFIED.map("".join), min_size=1, max_size=4).map(_sequence),
    lambda inner: st.lists(
        st.tuples(st.lists(inner, min_size=1, max_size=3), st.sampled_from(["", "?", "+", "*", "{0,2}"])).map(
            lambda pair: f"(?:{'|'.join(pair[0])}){pair[1]}"
        ),
        min_size=1,
        max_size=3,
    ).map(_sequence),
    max_leaves=6,
)


@settings(deadline=None, max_examples=300)
@given(
    data=st.data(),
    pattern=PATTERN,
    before=st.sampled_from(["", "x", " ", "é", "b "]),
    after=st.sampled_from(["", "y", "\n"]),
)
def test_no_pattern_that_occurs_is_left_out(data: st.DataObject, pattern: str, before: str, after: str) -> None:
    try:
        compiled = compile_pattern(pattern)
        # What a group repeated at most twice matches, its endless repetition matches as well; of that, nested,
        # Python's own engine may never be done.
        finite = pattern.replace(")+", "){1,2}").replace(")*", "){0,2}")
        example = data.draw(st.from_regex(re.compile(finite, re.ASCII), fullmatch=True))
    except (re2.error, re.error):
        assume(False)
    text = before + example[:200] + after
    if compiled.search(text) is not None:
        gate = Gate([pattern])
        assert gate.candidates(text, gate.selection([0])) == [0]


def test_the_shipped_patterns_are_all_read(shipped: Policy) -> None:
    patterns = [pattern for rule in shipped.rules for pattern in rule.fires_on]
    assert [pattern for pattern in patterns if not all(conditions(pattern))] == []


def test_a_plain_comment_runs_few_patterns(shipped: Policy, monkeypatch: pytest.MonkeyPatch) -> None:
    patterns = shipped.patterns
    monkeypatch.setattr(patterns, "_texts_left", 0)
    gate, reading = patterns._gate
    texts = [
        "thank you for this thoughtful article",
        "the council should mend the road before winter comes",
        "prices have risen for years, and wages have not",
    ]
    assert sum(len(gate.candidates(text, reading["folded"])) for text in texts) < 12
    assert [patterns.candidates(text, "folded") for text in texts] == [[], [], []]


def test_the_first_texts_and_the_rest_have_the_same_candidates(
    shipped: Policy, monkeypatch: pytest.MonkeyPatch
) -> None:
    patterns = shipped.patterns
    examples = [example.lower() for rule in shipped.rules for example in (*rule.violates, *rule.allowed)]
    for text in examples:
        monkeypatch.setattr(patterns, "_texts_left", 1)
        first = patterns.candidates(text, "folded")
        assert patterns._texts_left == 0
        assert patterns.candidates(text, "folded") == first
        # Nor is an excuse left out that matches.
        missing = {
            pattern
            for rule in {rule for rule, _ in first}
            for pattern in rule.unless
            if pattern not in patterns.excusing(text, [rule.id for rule in shipped.rules])
            and patterns.compiled(pattern).search(text)
        }
        assert missing == set()


def test_words_are_forgotten_when_they_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("moderation.literals.REMEMBERED", 3)
    gate = Gate([r"\bidiot\b"])
    every = gate.selection([0])
    for text in ("a b c d e", "idiot f", "g h i idiot", "idiot"):
        assert gate.candidates(text, every) == ([0] if "idiot" in text else [])
    assert len(gate._masks) <= 3
    gate.candidates("w" * 50_000, every)
    assert max(map(len, gate._masks)) < 50

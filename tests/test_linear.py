import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moderation import linear
from moderation.classifier import OUTPUTS
from moderation.linear import SENTENCE_WORDS, LinearClassifier, features, pairs, sentences
from moderation.normalise import Folded, View, Words, fold

N = len(OUTPUTS)
BITS = 8


def folded(text: str) -> Folded:
    return fold(text, Words(()))


def random_classifier(seed: int, bits: int = BITS) -> LinearClassifier:
    source = np.random.default_rng(seed)
    weights = source.normal(size=(1 << bits, N)).astype(np.float16)
    bias = source.normal(size=N).astype(np.float32)
    calibration = np.stack([source.uniform(0.2, 2, N), source.normal(size=N)], axis=1).astype(np.float32)
    return LinearClassifier(f"random-{seed}", weights, bias, calibration)


def knowing(word: str, weight: float = 4.0, bits: int = 16) -> LinearClassifier:
    """Give a classifier for which one word alone speaks, against all outputs."""
    weights = np.zeros((1 << bits, N), np.float16)
    weights[features(word, bits)[0][0]] = weight
    return LinearClassifier(
        "knowing-1", weights, np.full(N, -2, np.float32), np.tile([1.0, 0.0], (N, 1)).astype(np.float32)
    )


# --------------------------------------------------------------------------- words


@pytest.mark.parametrize(
    ("text", "found", "why"),
    [
        ("", [[]], "never empty"),
        (" \n ", [[]], "no word"),
        ("one two. three", [["one", "two"], ["three"]], "a full stop"),
        ("one! two? three... four", [["one"], ["two"], ["three"], ["four"]], "marks that end a sentence"),
        ("one\ntwo\n\nthree", [["one"], ["two"], ["three"]], "a line ends a sentence"),
        ('he said "one." then two', [["he", "said", "one"], ["then", "two"]], "behind a quotation mark"),
        ("v1.2 at example.com", [["v1", "2", "at", "example", "com"]], "a stop within a word"),
        ("don't it's '90s'", [["don't", "it's", "90s"]], "apostrophes"),
        ("snake_case", [["snake", "case"]], "underscores"),
        ("fine 👍👍", [["fine", "👍", "👍"]], "each emoji is a word"),
        ("باش e", [["باش", "e"]], "another script"),
        ("--- ???", [[]], "marks only"),
    ],
)
def test_sentences(text: str, found: list[list[str]], why: str) -> None:
    assert sentences(text) == found, why


def test_long_sentence_is_cut() -> None:
    words = [f"w{number}" for number in range(2 * SENTENCE_WORDS + 1)]
    cut = sentences(" ".join(words))
    assert [len(piece) for piece in cut] == [SENTENCE_WORDS, SENTENCE_WORDS, 1]
    assert [word for piece in cut for word in piece] == words


def test_pairs() -> None:
    assert pairs([]) == ["^ $"]
    assert pairs(["a"]) == ["^ a", "a $"]
    assert pairs(["a", "b"]) == ["^ a", "a b", "b $"]


@given(word=st.text(min_size=1, max_size=60).filter(lambda word: " " not in word), bits=st.integers(2, 20))
def test_features_lie_in_the_table(word: str, bits: int) -> None:
    indices, values = features(word, bits)
    assert indices.shape == values.shape
    assert ((indices >= 0) & (indices < 1 << bits)).all()
    # The word itself weighs 1 and all its pieces together 1 in length.
    assert values[0] == 1
    assert np.linalg.norm(values[1:]) == pytest.approx(1, abs=1e-5)


def test_features_of_a_pair_and_a_word_differ() -> None:
    indices, values = features("a b", 20)
    assert (len(indices), values.tolist()) == (1, [1.0])
    assert set(indices) != set(features("a_b", 20)[0])
    assert features("idiot", 20)[0].tolist() == features("idiot", 20)[0].tolist()


# --------------------------------------------------------------------------- scores

WORD = st.sampled_from("you are an idiot the council road thanks well-made don't 👍 باش ünder 5 sh1t f**k a b".split())
SENTENCE = st.lists(WORD, min_size=1, max_size=12).map(" ".join)
TEXT = st.lists(st.tuples(SENTENCE, st.sampled_from([". ", "! ", "\n", " ", '." ', "\n\n"])), max_size=6).map(
    lambda parts: "".join(sentence + end for sentence, end in parts)
)
RELAXED = settings(deadline=None, max_examples=100)


@pytest.mark.parametrize("texts", [[], [""], ["", " ", "\n"], ["one"], ["one", "", "two. three"]])
def test_shape_and_range(texts: list[str]) -> None:
    scores = random_classifier(1).score([folded(text) for text in texts])
    assert scores.shape == (len(texts), N)
    assert scores.dtype == np.float32
    assert ((scores >= 0) & (scores <= 1)).all()


def test_score_is_what_the_words_add_up_to() -> None:
    model = knowing("idiot")
    for text, words in (("idiot", 1), ("an idiot", 2), ("what an idiot he", 4)):
        logit = 4 / np.sqrt(words) - 2
        assert model.score([folded(text)])[0] == pytest.approx(1 / (1 + np.exp(-logit)), abs=1e-5)
    assert model.score([folded("nobody")])[0] == pytest.approx(1 / (1 + np.exp(2)), abs=1e-5)


def test_disguised_word_scores_as_the_word() -> None:
    model = knowing("idiot")
    plain = model.score([folded("an idiot")])
    for text in ("an IDIOT", "an ｉｄｉｏｔ", "an id\u200biot", "an i<b>d</b>iot", "an idіot"):
        assert (model.score([folded(text)]) == plain).all(), text


@RELAXED
@given(seed=st.integers(0, 9), texts=st.lists(TEXT, min_size=1, max_size=6), data=st.data())
def test_alone_equals_batch(seed: int, texts: list[str], data: st.DataObject) -> None:
    comments = [folded(text) for text in texts]
    alone = np.vstack([random_classifier(seed).score([comment]) for comment in comments])
    assert (random_classifier(seed).score(comments) == alone).all()
    order = data.draw(st.permutations(range(len(comments))))
    assert (random_classifier(seed).score([comments[place] for place in order]) == alone[order]).all()


@RELAXED
@given(seed=st.integers(0, 9), insult=SENTENCE, before=st.lists(TEXT, max_size=4), after=st.lists(TEXT, max_size=4))
def test_a_long_polite_text_does_not_dilute_an_insult(
    seed: int, insult: str, before: list[str], after: list[str]
) -> None:
    model = random_classifier(seed)
    # As they are: what is read behind a disguise may depend on the words around it.
    alone, among = (View(text) for text in (insult, "\n\n".join([*before, insult, *after])))
    assert (model.score([Folded(among, among, among)]) >= model.score([Folded(alone, alone, alone)])).all()


def test_a_polite_page_does_not_hide_one_word() -> None:
    model = knowing("idiot")
    polite = "The council explained its plan for the road and the residents asked good questions. " * 50
    alone = model.score([folded("You idiot.")])
    for text in (f"{polite}You idiot.", f"You idiot. {polite}", f"{polite}\nYou idiot.\n{polite}"):
        assert (model.score([folded(text)]) >= alone).all()


@RELAXED
@given(texts=st.lists(TEXT, min_size=1, max_size=6))
def test_clearing_the_cache_keeps_the_scores(texts: list[str]) -> None:
    comments = [folded(text) for text in texts]
    expected = random_classifier(3).score(comments)
    model = random_classifier(3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(linear, "_KEPT_WORDS", 3)
        for _ in range(3):
            assert (model.score(comments) == expected).all()
            assert (np.vstack([model.score([comment]) for comment in comments]) == expected).all()


def test_more_words_than_the_table_begins_with() -> None:
    comments = [folded(" ".join(f"w{number}x{part}" for number in range(30))) for part in range(200)]
    model = random_classifier(4)
    together = model.score(comments)
    assert (together == np.vstack([random_classifier(4).score([comment]) for comment in comments])).all()
    assert (model.score(comments) == together).all()


# --------------------------------------------------------------------------- evidence


@pytest.mark.parametrize(
    ("text", "spans", "why"),
    [
        ("idiot", ["idiot"], "the word"),
        ("You are an IDIOT, sir", ["IDIOT"], "as written"),
        ("an i<b>d</b>iot here", ["i<b>d</b>iot"], "tags within it"),
        ("Fine words. And then idiot. Fine words.", ["idiot"], "in the worst sentence"),
        ("idiot idiot idiot", ["idiot idiot idiot"], "neighbours are joined"),
        ("idiot but idiot", ["idiot", "idiot"], "others are not"),
        ("word " * 300 + "idiot", ["idiot"], "at the end of a long text"),
        ("", [], "nothing to show"),
        ("?!", [], "no word"),
    ],
)
@pytest.mark.parametrize("output", ["any", "threat", "promotion"])
def test_evidence(text: str, spans: list[str], why: str, output: str) -> None:
    assert [text[start:end] for start, end in knowing("idiot").evidence(folded(text), output)] == spans, why


@RELAXED
@given(seed=st.integers(0, 9), text=TEXT, output=st.sampled_from(OUTPUTS))
def test_evidence_lies_in_the_text(seed: int, text: str, output: str) -> None:
    text = f"{text} idіot &amp; ﬁne"
    spans = random_classifier(seed).evidence(folded(text), output)
    assert 1 <= len(spans) <= 6
    assert all(0 <= start < end <= len(text) for start, end in spans)
    assert all(left[1] <= right[0] for left, right in pairwise(spans))
    assert all(any(character.isalnum() or ord(character) > 127 for character in text[s:e]) for s, e in spans)


def test_evidence_of_a_text_with_more_words_than_the_table_begins_with() -> None:
    text = " ".join(f"word{number}" for number in range(6000)) + " idiot"
    assert [text[start:end] for start, end in knowing("idiot").evidence(folded(text), "any")] == ["idiot"]


# --------------------------------------------------------------------------- what is remembered


@RELAXED
@given(text=st.one_of(TEXT, st.text(max_size=60), st.text(alphabet="ab .!?\"')\n\t\x85\u2028é_", max_size=40)))
def test_sentences_are_the_same_from_what_is_remembered(text: str) -> None:
    model = random_classifier(3)
    for _ in range(2):
        found = list(model._sentences(text))
        assert [words for words, _, _ in found] == sentences(text)
        assert [begin for _, begins, _ in found for begin in begins] == [f"b{w} " for ws in sentences(text) for w in ws]


def test_words_are_forgotten_when_they_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linear, "_KEPT_WORDS", 5)
    model = random_classifier(4)
    for text in ("one two three four", "five six seven. eight nine", "one ten", "w" * 500):
        assert model.score([folded(text)]).tolist() == random_classifier(4).score([folded(text)]).tolist()
        assert max(map(len, model._tokens)) <= 40
    assert len(model._tokens) <= 5


def test_long_words_are_not_kept_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linear, "_KEPT_LETTERS", 1000)
    model = random_classifier(4)
    for letter in "abcdefgh":
        comment = [folded(letter * 900)]
        assert model.score(comment).tolist() == random_classifier(4).score(comment).tolist()
    assert sum(map(len, model._row_of)) <= 1900


def test_threads_that_share_a_model_get_the_scores_of_one() -> None:
    interval = sys.getswitchinterval()
    comments = [folded(" ".join(f"w{(n * 37 + k) % 900}" for k in range(90))) for n in range(64)]
    expected = [random_classifier(5).score([comment]).tolist() for comment in comments]
    sys.setswitchinterval(1e-6)
    try:
        for _ in range(5):
            model = random_classifier(5)
            for _ in range(2):
                with ThreadPoolExecutor(8) as threads:
                    found = threads.map(model.score, [[comment] for comment in comments])
                    assert [scores.tolist() for scores in found] == expected
    finally:
        sys.setswitchinterval(interval)

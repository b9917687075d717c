"""English words, and what stands for them."""

import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moderation import english
from moderation.normalise import fold
from moderation.paths import DATA, DEFAULT_POLICY
from moderation.policy import load_policy

WORDS = load_policy(DEFAULT_POLICY, check_patterns=False).words


def test_list_holds_each_word_once_and_only_letters() -> None:
    lines = (DATA / "words" / "english.txt").read_text(encoding="utf-8").splitlines()
    words = " ".join(line for line in lines if not line.startswith("#")).split()
    assert len(words) == len(set(words)) == len(english.ranks())
    assert all(word.isascii() and word.isalpha() and word.islower() for word in words)


def test_rank_is_the_place_in_the_list() -> None:
    assert english.rank("the") == 1
    assert english.rank("the") < english.rank("people") < english.rank("parliament")
    assert english.rank("xqz") == float("inf")


@pytest.mark.parametrize(
    ("letters", "word", "why"),
    [
        ("poeple", "people", "two letters swapped"),
        ("goverment", "government", "one left out"),
        ("commment", "comment", "one doubled"),
        ("mornig", "morning", "one left out"),
        ("xzqvw", None, "nothing near"),
        ("abc", None, "too short"),
        ("erdogn", "erdogan", "a frequent name is a word as well"),
        ("bldag", None, "a short word that lacks a letter is rarely meant"),
    ],
)
def test_slip_of_the_pen(letters: str, word: str | None, why: str) -> None:
    assert english.misspelt(letters) == word, why


@pytest.mark.parametrize(
    ("letters", "parts", "why"),
    [
        ("deportthem", "deport them", "two"),
        ("youareallthesame", "you are all the same", "five"),
        ("theremay", "there may", "the more frequent cut"),
        ("golda", "", "one letter at the end is of a name"),
        ("xqzthe", "", "a part is no word"),
        ("cat", "", "too short"),
    ],
)
def test_words_written_together(letters: str, parts: str, why: str) -> None:
    assert " ".join(letters[start:end] for start, end in english.parts(letters)) == parts, why


@pytest.mark.parametrize(
    ("letters", "parts"), [("everyarabimet", "every arab i met"), ("geta", "get a"), ("xqzthe", "")]
)
def test_words_that_surely_are_such_may_be_rare_together(letters: str, parts: str) -> None:
    assert " ".join(letters[start:end] for start, end in english.parts(letters, surely=True)) == parts
    assert not english.parts(letters)


@pytest.mark.parametrize(
    ("masked", "word"),
    [
        ("gov***ment", "government"),
        ("p--ple", "people"),
        ("*eople", None),
        ("p****", None),
        ("p.ople", None),
        ("q#z", None),
    ],
)
def test_mask(masked: str, word: str | None) -> None:
    assert english.behind_mask(masked) == word


def test_fitting_takes_the_most_frequent_word() -> None:
    assert english.fitting(["gz", "o", "o", "d"]) == "good"
    assert english.fitting(["", "", ""]) == "the"
    assert english.fitting(["q"] * 5) is None
    assert english.fitting([]) is None
    assert english.fitting(["a"] * 400) is None


@pytest.mark.parametrize(
    "word", ["mandating", "transactions", "inclusiveness", "environmentalist", "unreadable", "overpriced"]
)
def test_derived_word_is_no_slip_and_no_compound(word: str) -> None:
    assert english.is_derived(word)
    assert fold(f"the {word} of it", WORDS).skeleton.text == f"the {word} of it"


@pytest.mark.parametrize(
    ("text", "skeleton", "why"),
    [
        ("deportthem all", "deport them all", "words written together"),
        ("what abitch she is", "what a bitch she is", "a hidden word beside a frequent one"),
        ("you h8 p30ple", "you h8 people", "digits for letters; two alone may be a code"),
        ("send them b@ck", "send them back", "a sign for a letter"),
        ("they are v*rm*n", "they are vermin", "masks"),
        ("p e o p l e like them", "people like them", "letters set apart"),
        ("a p/e/o/p/l/e of g.o.o.d will", "a people of good will", "letters set apart by signs"),
        ("gоvеrnmеnt of liars", "government of liars", "letters of another script"),
        ("sooooo goooood", "so good", "stretched"),
        ("the goverment lies", "the government lies", "one letter left out"),
        ("an orange-is-the-new-stup*d idea", "an orange-is-the-new-stupid idea", "between hyphens"),
    ],
)
def test_english_is_read_behind_disguise(text: str, skeleton: str, why: str) -> None:
    assert fold(text, WORDS).skeleton.text == skeleton, why


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("we met Michele Goldwater", "a name within a sentence"),
        ("in Grossman and Thomson we read", "names"),
        ("covid-19, 5pm, 90s and 4x4", "numbers"),
        ("a well-known non-violent x-ray", "hyphens between words"),
        ("the predator(s) and/or him", "a plural in brackets"),
        ("isn't it o'clock, o'neill", "apostrophes"),
        ("dickinson and woodcock in bellshill", "names that read as two words"),
        ("the 50k of b12", "numbers with letters"),
        ("hangi tarafta kaldiniz siz simdi", "another language"),
        ("ew kesen ku li vir dijin gelek in", "another language"),
        ("@user and #hashtag", "handles"),
        ("see www.exmaple.com/peopel", "links"),
    ],
)
def test_what_disguises_nothing_stays(text: str, why: str) -> None:
    assert fold(text, WORDS).skeleton.text == text.lower(), why


@given(st.text(alphabet=string.ascii_lowercase, max_size=90))
@settings(max_examples=300, deadline=None)
def test_parts_follow_one_another(letters: str) -> None:
    spans = english.parts(letters)
    assert "".join(letters[start:end] for start, end in spans) in ("", letters)
    assert all(english.is_word(letters[start:end]) for start, end in spans)


@given(st.text(alphabet=string.ascii_lowercase + "*#-@1034$ '.", max_size=60))
@settings(max_examples=300, deadline=None)
def test_every_reading_has_its_place(text: str) -> None:
    view = fold(text, WORDS).skeleton
    if view.starts is not None and view.ends is not None:
        assert len(view.text) == len(view.starts) == len(view.ends)
        assert all(0 <= start <= end <= len(text) for start, end in zip(view.starts, view.ends, strict=True))


def test_of_long_texts_nothing_is_remembered() -> None:
    asked = []
    question = english.remembered(4)(lambda word: bool(asked.append(word)))
    for word in ("short", "short", "long" * 50, "long" * 50):
        assert question(word) is False
    assert asked == ["short", "long" * 50, "long" * 50]

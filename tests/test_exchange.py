import re
from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from moderation.classifier import OUTPUTS, Array, log_odds, mean_of_readings
from moderation.exchange import Form, exchanged
from moderation.fairness.groups import groups
from moderation.linear import LinearClassifier, features
from moderation.normalise import Words, fold
from moderation.paths import DATA

NAMES = (DATA / "words" / "groups.txt").read_text(encoding="utf-8").splitlines()
# The other group itself, a nation that readers mostly write from, and two of whom one is named by a word for much else.
NOT_EXCHANGED = {"jews", "americans", "men", "poles"}


@pytest.mark.parametrize(
    ("text", "read", "why"),
    [
        ("kurds and turks came.", "jews and jews came.", "many"),
        ("every yazidi knows; no kurd sings", "every jew knows; no jew sings", "one"),
        ("a kurdish teacher", "a jewish teacher", "an adjective before a person"),
        ("he is an arab. an arab is here", "he is a jew. a jew is here", "an article that changes"),
        ("women's rights, refugees' rights", "jews' rights, jews' rights", "what belongs to many"),
        ("the kurd's house", "the jew's house", "and to one"),
        ("arab spring, german\ncars, syrian/iraqi oil, thai and arab food", None, "an adjective that may be a noun"),
        ("he is german. christian is wrong", None, "and one without an article"),
        ("the shia, a shia and a shia doctor", "the jews, a jew and a jewish doctor", "all forms alike"),
        ("a shia mosque, the druze leader", None, "and none of them"),
        ("muslim women and the refugees", "jewish women and the jews", "a person who is a name as well"),
        ("people with disabilities are late", "jews are late", "several words"),
        ("native americans and asylum-seekers", "jews and jews", "the longest of the names that begin there"),
        ("(refugees)", "(jews)", "marks beside it"),
        ("a young man, a black family", "a jewish man, a jewish family", "what is said of a person"),
        ("the old town, black coffee, youth centre", None, "and of something else"),
        ("kurdistan, romance, menu, arabesque, kurdsпотом", None, "a word that holds a name"),
        ("jews and jewish nurses and kurds", "jews and jewish nurses and jews", "the other group itself stays"),
        ("jews, a jew and a jewish doctor", None, "named already"),
        ("the council met", None, "nobody is named"),
        ("", None, "nothing"),
    ],
)
def test_exchanged(text: str, read: str | None, why: str) -> None:
    assert exchanged(text) == read, why


@given(
    st.lists(st.sampled_from(["kurds", "an", "arab", "a", "men", "young", "man", "shia", "'s", "é", "jews", "and"])),
    st.sampled_from([" ", "  ", "\n", "-", ". ", "/", ""]),
)
def test_exchanging_once_is_enough(words: list[str], gap: str) -> None:
    text = gap.join(words)
    read = exchanged(text)
    assert read != text
    assert read is None or exchanged(read) is None
    assert not re.search(r"(?<!\w)kurds(?!\w)", text if read is None else read)


def test_names_are_written_once_each() -> None:
    other, persons, *lines = (line for line in NAMES if not line.startswith("#"))
    rows = [line.split(", ") for line in lines]
    assert {len(row) for row in (other.split(", "), *rows)} == {len(Form)}
    named = [name for row in rows for name in dict.fromkeys(row) if name != "-"]
    assert [name for name, times in Counter(named).items() if times > 1] == []
    assert [name for name in named if name != name.lower().strip()] == []
    assert other.removeprefix("other: ").split(", ") in rows
    assert persons.startswith("persons: ")


def test_what_is_said_of_every_group_is_read_alike() -> None:
    for line, expected in (
        ("the {people} next door", "the jews next door"),
        ("I met {a_person} who sings", "i met a jew who sings"),
        ("our {adjective} neighbours", "our jewish neighbours"),
    ):
        read = {group.id: exchanged(group.fill(line).lower()) for group in groups()}
        assert {text for name, text in read.items() if name not in NOT_EXCHANGED} == {expected}, Counter(read.values())


def test_both_readings_count_alike() -> None:
    asked: list[str] = []

    def lengths(texts: Sequence[str]) -> Array:
        asked.extend(texts)
        return np.array([[len(text), -len(text)] for text in texts], np.float32)

    comments = [fold(text, Words(())) for text in ("Nobody sang.", "Some Kurds sang.", "Jews sang.")]
    assert mean_of_readings(comments, lengths).tolist() == [[12, -12], [15.5, -15.5], [10, -10]]
    assert asked == ["nobody sang.", "some kurds sang.", "jews sang.", "some jews sang."]


def test_the_linear_stage_takes_the_mean() -> None:
    size = len(OUTPUTS)
    weights = np.zeros((1 << 16, size), np.float16)
    weights[features("jews", 16)[0][0]] = 4
    model = LinearClassifier("jews-1", weights, np.zeros(size, np.float32), np.tile([1.0, 0.0], (size, 1)))
    written, other = (log_odds(model.score([fold(text, Words(()))])) for text in ("Kurds sang.", "Jews sang."))
    assert written == pytest.approx(other / 2, abs=1e-4)
    assert (other > 1).all()

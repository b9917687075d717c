import json
import random
import unicodedata
from collections.abc import Iterable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moderation.attacks import ATTACKS, INVISIBLE, PADS, content_words
from moderation.comment import Comment
from moderation.decision import Decision, Verdict
from moderation.evasion import TARGET_FALL, TARGET_RISE, Evasion, Resistance, measure, table
from moderation.finding import Effect, Finding

TEXTS = st.one_of(
    st.text(max_size=60),
    st.lists(st.sampled_from("you are such a stupid idiot and The Mayor lied, see http://a.com !".split())).map(
        " ".join
    ),
)
SEEDS = st.integers(0, 1000)
EVERY = pytest.mark.parametrize("name", ATTACKS)


def attacked(name: str, text: str, seed: int = 0, spans: Sequence[tuple[int, int]] | None = None) -> str:
    return ATTACKS[name](text, random.Random(seed), spans)


def variants(name: str, text: str, spans: Sequence[tuple[int, int]] | None = None) -> set[str]:
    return {attacked(name, text, seed, spans) for seed in range(200)}


# --------------------------------------------------------------------------- what is attacked


@pytest.mark.parametrize(
    ("text", "spans", "words", "why"),
    [
        ("you are an idiot", None, ["idiot"], "function words and short ones carry nothing"),
        ("you are an idiot", [(0, 16)], ["idiot"], "nor do they within a finding"),
        ("what an idiot, the clown", [(19, 24)], ["clown"], "only what is inside"),
        ("what an idiot", [(9, 10)], ["idiot"], "a word partly inside counts whole"),
        ("what an idiot", [(13, 13)], [], "a span of no width holds nothing"),
        ("do it to me", None, ["do", "it", "to", "me"], "all words where none has content"),
        ("visit http://shop.com/sale now", None, ["visit", "now"], "a disguised link leads nowhere"),
        ("write to joe@shop.com today", None, ["write", "today"], "nor does an address"),
        ("", None, [], "no text"),
        ("1234 !?", None, [], "no letters"),
    ],
)
def test_content_words(text: str, spans: list[tuple[int, int]] | None, words: list[str], why: str) -> None:
    assert [text[start:end] for start, end in content_words(text, spans)] == words, why


@EVERY
def test_only_the_words_inside_are_attacked(name: str) -> None:
    text = "My neighbour wrote that you, Arthur, are an idiot as well."
    start = text.index("idiot")
    found = attacked(name, text, 3, [(start, start + 5)])
    assert found != text
    if name.startswith("padding"):
        assert text in found
    elif name == "upper case":
        assert found == text.upper()
    elif name == "joining":
        assert found.replace(" ", "") == text.replace(" ", "")
        assert found.startswith("My neighbour wrote that you, Arthur, are ")
    else:
        assert found.startswith(text[:start])
        assert found.endswith(text[start + 5 :])
        assert found[start : -len(text[start + 5 :])] != "idiot"


# --------------------------------------------------------------------------- each attack


@pytest.mark.parametrize(
    ("name", "text", "expected", "why"),
    [
        ("look-alikes", "boob", {"ЬооЬ", "воов"}, "Cyrillic"),
        ("look-alikes", "HE", {"һе", "һє", "հе"}, "capitals as well"),
        ("mixed scripts", "seem", {"seeм", "sеem"}, "some letters"),
        ("leetspeak", "idiot", {"1d1ot", "1di0t", "!d!07", "id1ot"}, "numbers and signs"),
        ("leetspeak", "asses", {"@$$3$", "a5se5"}, "numbers and signs"),
        ("styled letters", "Idiot", {"Ｉｄｉｏｔ", "𝐈𝐝𝐢𝐨𝐭", "Ⓘⓓⓘⓞⓣ"}, "full-width, mathematical, circled"),
        ("styled letters", "café", {"ｃａｆé"}, "what has no such form stays"),
        (
            "spacing",
            "such an idiot!",
            {"s u c h an i d i o t!"},
            "a space after each letter",
        ),
        ("punctuation inside", "fuck", {"f.u.c.k", "f-u-c-k", "f_u_c_k", "f*u*c*k", "f/u/c/k"}, "one sign a word"),
        ("stretching", "fuck", {"fuuuck", "fuuuuuuuck", "fuckkk"}, "a vowel or the last letter"),
        ("masking", "fuck", {"f*ck", "f**k", "f#ck", "f-ck"}, "the first and the last letter show"),
        ("masking", "motherfucker", {"m***erfucker", "moth***ucker"}, "a long word is not hidden whole"),
        ("misspelling", "idiot", {"iidot", "idoit", "idot", "iddiot", "idioot"}, "swap, drop, double"),
        (
            "joining",
            "you are idiots too",
            {"you areidiots too", "you are idiotstoo", "you areidiotstoo"},
            "one side or both",
        ),
        ("alternating case", "idiot", {"iDiOt", "IdIoT"}, "either way"),
        ("upper case", "You are an idiot", {"YOU ARE AN IDIOT"}, "all of it"),
    ],
)
def test_attack_writes(name: str, text: str, expected: set[str], why: str) -> None:
    assert expected - variants(name, text) == set(), why


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("misspelling", "sod"),  # three letters: any edit makes another word
        ("masking", "do"),  # no inner letter
        ("leetspeak", "murky"),  # no letter drawn as a number
        ("joining", "idiot!"),  # nothing beside it
        ("joining", "so, idiot."),  # a comma is between
        ("mixed scripts", "dff"),
    ],
)
def test_what_cannot_be_attacked_stays(name: str, text: str) -> None:
    assert variants(name, text) == {text}


@pytest.mark.parametrize("word", ["idiot", "stupid", "moron", "arsehole", "scumbag"])
def test_a_misspelling_is_one_inner_edit(word: str) -> None:
    found = variants("misspelling", word)
    assert len(found) > 5
    for other in found:
        assert (other[0], other[-1]) == (word[0], word[-1])
        assert abs(len(other) - len(word)) <= 1
        same = sum(a == b for a, b in zip(word, other, strict=False))
        assert same >= 1
        assert sorted(other) == sorted(word) or len(other) != len(word)


@pytest.mark.parametrize("word", ["fuck", "idiot", "arsehole", "motherfucker"])
def test_a_mask_hides_one_to_three_inner_letters(word: str) -> None:
    found = variants("masking", word)
    assert len(found) > 4
    for other in found:
        assert len(other) == len(word)
        hidden = [place for place, (a, b) in enumerate(zip(word, other, strict=True)) if a != b]
        assert 1 <= len(hidden) <= 3
        assert hidden == list(range(hidden[0], hidden[-1] + 1))
        assert hidden[0] > 0
        assert hidden[-1] < len(word) - 1


@given(TEXTS, SEEDS)
def test_zero_width_shows_the_same(text: str, seed: int) -> None:
    visible = "".join(c for c in text if c not in INVISIBLE)
    found = attacked("zero-width", text, seed)
    assert "".join(c for c in found if c not in INVISIBLE) == visible
    assert (found != text) == bool(content_words(text))


@given(st.text(alphabet="abcdefghij ", max_size=40), SEEDS)
def test_accents_are_marks_alone(text: str, seed: int) -> None:
    found = attacked("accents", text, seed)
    assert "".join(c for c in found if not unicodedata.combining(c)) == text


@given(TEXTS, SEEDS)
def test_styled_letters_are_the_same_letters(text: str, seed: int) -> None:
    found = attacked("styled letters", text, seed)
    assert unicodedata.normalize("NFKC", found).casefold() == unicodedata.normalize("NFKC", text).casefold()


@pytest.mark.parametrize("name", ["padding before", "padding after", "padding around"])
@given(text=TEXTS, seed=SEEDS)
def test_padding_keeps_the_comment(name: str, text: str, seed: int) -> None:
    found = attacked(name, text, seed)
    before, _, after = found.partition(text) if text else (found, "", found)
    assert text in found
    assert any(found.startswith(pad) for pad in PADS) == (name != "padding after" or text.startswith(PADS))
    assert any(found.endswith(pad) for pad in PADS) == (name != "padding before" or text.endswith(PADS))
    assert len(before) > 200 or len(after) > 200


@pytest.mark.parametrize("pad", PADS)
def test_pads_are_long_and_plain(pad: str) -> None:
    assert 300 < len(pad) < 700
    assert pad.isascii()


@EVERY
@given(text=TEXTS, seed=SEEDS)
def test_same_seed_same_text_and_never_nothing(name: str, text: str, seed: int) -> None:
    found = attacked(name, text, seed)
    assert found == attacked(name, text, seed)
    assert bool(found) or not text
    assert attacked(name, text, seed, []) == text or name.startswith("padding") or name == "upper case"


@pytest.mark.parametrize("name", sorted(ATTACKS.keys() - {"upper case", "spacing", "joining"}))
def test_chance_has_a_part(name: str) -> None:
    assert len(variants(name, "you are a stupid idiot")) > 1


# --------------------------------------------------------------------------- measure


class Fake:
    """Rejects what holds «idiot» or shouts."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def review_many(self, comments: Iterable[Comment | str]) -> Sequence[Decision]:
        texts = [comment if isinstance(comment, str) else comment.text for comment in comments]
        self.seen += texts
        return [self._decision(text) for text in texts]

    @staticmethod
    def _decision(text: str) -> Decision:
        place = text.find("idiot")
        bad = place >= 0 or text.isupper()
        findings = (Finding("attack.noun", "personal_attack", Effect.REJECT, place, place + 5, "idiot"),)
        return Decision(
            id="",
            verdict=Verdict.REJECT if bad else Verdict.APPROVE,
            guidelines=(),
            reason="",
            score=0.9 if bad else 0.2,
            scores={},
            threshold=0.5,
            decided_by="rule" if bad else "linear",
            findings=findings if place >= 0 else (),
            policy="toy",
            model="fake",
        )


REJECTED = ["you are an idiot", "such an idiot, this mayor", "this idiot lies", "a veiled threat that is missed"]
BENIGN = [
    "a calm remark about bridges",
    "thank you for the report",
    "the word idiot is quoted here",
    "Is it open?",
    "5 %",
]


@pytest.fixture(scope="module")
def evasion() -> Evasion:
    return measure(Fake(), REJECTED, BENIGN, 1)


def by_name(evasion: Evasion) -> dict[str, Resistance]:
    return {attack.attack: attack for attack in evasion.attacks}


def test_measure_counts_the_unattacked(evasion: Evasion) -> None:
    assert (evasion.to_reject, evasion.rejected, evasion.benign, evasion.benign_rejected) == (4, 3, 5, 1)
    assert list(by_name(evasion)) == list(ATTACKS)


@pytest.mark.parametrize(
    ("name", "changed", "held", "fall"),
    [
        ("spacing", 7 / 8, 0.0, 75.0),  # all three get through, of four; «5 %» has no word
        ("styled letters", 7 / 8, 0.0, 75.0),
        ("padding around", 1.0, 1.0, 0.0),  # none gets through
        ("upper case", 7 / 8, 1.0, 0.0),
    ],
)
def test_measure_counts_what_gets_through(
    evasion: Evasion, name: str, changed: float, held: float, fall: float
) -> None:
    found = by_name(evasion)[name]
    assert (found.changed, found.held, found.fall) == (pytest.approx(changed), pytest.approx(held), fall)


def test_measure_counts_false_rejections_before_and_after(evasion: Evasion) -> None:
    assert by_name(evasion)["upper case"].rise == pytest.approx(100 * 3 / 5)  # four in capitals, one of them before
    assert by_name(evasion)["padding after"].rise == 0.0


def test_measure_is_the_same_for_a_seed_and_attacks_benign_words_too(evasion: Evasion) -> None:
    fake = Fake()
    assert measure(fake, REJECTED, BENIGN, 1) == evasion
    # Rejected comments have one word in their findings, so a benign one is attacked in one word.
    spaced = [text for text in fake.seen if text.startswith("a calm") or text.startswith("a c a l m")]
    assert {text.count(" ") - BENIGN[0].count(" ") for text in spaced} & {3, 4, 5, 6}
    assert measure(Fake(), REJECTED, BENIGN, 2) != evasion


def test_measure_reports_every_text() -> None:
    told: list[int] = []
    fake = Fake()
    measure(fake, REJECTED, BENIGN, 0, told.append)
    assert sum(told) == len(fake.seen) == 4 + 5 + len(ATTACKS) * (3 + 5)


def test_nothing_to_measure() -> None:
    empty = measure(Fake(), [], [])
    assert all((a.held, a.fall, a.rise, a.changed) == (None, 0.0, 0.0, 0.0) for a in empty.attacks)
    assert "| - |" in table(empty.to_dict())


@pytest.mark.parametrize(
    ("fall", "rise", "within"),
    [
        (TARGET_FALL, TARGET_RISE, True),
        (TARGET_FALL + 0.01, 0.0, False),
        (0.0, TARGET_RISE + 0.01, False),
        (-1.0, -1.0, True),
    ],
)
def test_targets_are_inclusive(fall: float, rise: float, within: bool) -> None:
    found = Resistance("spacing", 1.0, 0.97, fall, rise)
    assert found.within_targets is within
    row = table(Evasion(100, 50, 100, 1, (found,)).to_dict()).splitlines()[-1]
    assert row.endswith("| * |") is not within


def test_table_and_figures(evasion: Evasion) -> None:
    lines = table(evasion.to_dict()).splitlines()
    assert lines[0].startswith("Of 4 comments to reject 3 are rejected as written, of 5 benign ones 1.")
    assert len(lines) == 4 + len(ATTACKS)
    assert "| spacing | 87.5% | 0.0% | 75.00 | -20.00 | * |" in lines
    assert {line.count("|") for line in lines[2:]} == {7}
    figures = evasion.to_dict()
    assert json.loads(json.dumps(figures)) == figures
    assert figures["targets"] == {"fall": TARGET_FALL, "rise": TARGET_RISE}
    assert figures["attacks"][0] == {
        "attack": "look-alikes",
        "changed": pytest.approx(7 / 8),
        "held": 0.0,
        "fall": 75.0,
        "rise": pytest.approx(by_name(evasion)["look-alikes"].rise),
        "within_targets": False,
    }
    # Comment text stays out of the figures.
    assert "idiot" not in json.dumps(figures)

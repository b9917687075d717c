import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.pre_tokenizers import BertPreTokenizer

from moderation import ModelError
from moderation.classifier import OUTPUTS
from moderation.encoder import (
    MAX_TOKENS,
    PASSAGE_CHARACTERS,
    EncoderClassifier,
    Network,
    Tokeniser,
    Tokens,
)
from moderation.linear import LinearClassifier, features
from moderation.normalise import Folded, Words, fold
from moderation.training import UNSHIFTED

N = len(OUTPUTS)
SIZE = MAX_TOKENS - 2
VOCABULARY = "[PAD] [UNK] [CLS] [SEP] word you an id ##iot clown ! , fine kurds jews".split()
ID = {piece: number for number, piece in enumerate(VOCABULARY)}


def folded(text: str) -> Folded:
    return fold(text, Words(()))


@pytest.fixture(scope="module")
def tokeniser() -> Tokeniser:
    tokenizer = Tokenizer(WordPiece(ID, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = BertPreTokenizer()
    tokenizer.add_special_tokens(["[PAD]", "[CLS]", "[SEP]"])
    # What a file may ask for, and must not happen.
    tokenizer.enable_truncation(16)
    tokenizer.enable_padding(length=64)
    return Tokeniser(tokenizer.to_str().encode())


# --------------------------------------------------------------------------- word pieces


def test_tokens_are_pieces_between_marks_with_their_spans(tokeniser: Tokeniser) -> None:
    tokens = tokeniser.tokens("an idiot!")
    assert tokens.ids == tuple(ID[piece] for piece in ("[CLS]", "an", "id", "##iot", "!", "[SEP]"))
    assert tokens.spans == ((0, 0), (0, 2), (3, 5), (5, 8), (8, 9), (0, 0))


@pytest.mark.parametrize("text", ["", " ", "\n"])
def test_no_words_are_two_marks(tokeniser: Tokeniser, text: str) -> None:
    assert tokeniser.tokens(text) == Tokens((ID["[CLS]"], ID["[SEP]"]), ((0, 0), (0, 0)))


@pytest.mark.parametrize("count", [1, SIZE - 1, SIZE, SIZE + 1, 100_000])
def test_so_many_tokens_at_most(tokeniser: Tokeniser, count: int) -> None:
    tokens = tokeniser.tokens("word " * count)
    assert len(tokens.ids) == len(tokens.spans) == min(count, SIZE) + 2
    assert tokens.spans[1:-1] == tuple((place, place + 4) for place in range(0, 5 * min(count, SIZE), 5))
    assert (tokens.ids[0], tokens.ids[-1]) == (ID["[CLS]"], ID["[SEP]"])


def test_marks_that_a_comment_holds_are_no_marks(tokeniser: Tokeniser) -> None:
    tokens = tokeniser.tokens(folded("[CLS] you [SEP] [PAD]").skeleton.text)
    assert {ID["[CLS]"], ID["[SEP]"], ID["[PAD]"]}.isdisjoint(tokens.ids[1:-1])


@pytest.mark.parametrize("raw", [b"", b"{", b"{}", b"\xff", b'{"model": 3}'])
def test_what_is_no_tokeniser_is_named_in_one_line(raw: bytes) -> None:
    with pytest.raises(ModelError, match=r"^not a tokeniser \(.*\); restore the model or train again$"):
        Tokeniser(raw).tokens("hello")


# --------------------------------------------------------------------------- the network


@pytest.mark.parametrize("raw", [b"", b"no network", b"\x08\x08"])
def test_what_is_no_network_is_named_in_one_line(tokeniser: Tokeniser, raw: bytes) -> None:
    with pytest.raises(ModelError) as caught:
        Network(raw).run(tokeniser.tokens("hello"))
    assert str(caught.value).startswith("not a network (")
    assert "\n" not in str(caught.value)


def test_network_runs_an_exported_graph(tokeniser: Tokeniser) -> None:
    onnx = pytest.importorskip("onnx")
    from onnx import helper

    whole, real = onnx.TensorProto.INT64, onnx.TensorProto.FLOAT
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["ids"], ["tokens"], to=real),
            helper.make_node("ReduceMax", ["tokens"], ["most"], axes=[0], keepdims=1),
            helper.make_node("Concat", ["most"] * N, ["logits"], axis=0),
        ],
        "toy",
        [helper.make_tensor_value_info("ids", whole, ["n"])],
        [
            helper.make_tensor_value_info("logits", real, [N]),
            helper.make_tensor_value_info("tokens", real, ["n"]),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    read = tokeniser.tokens("you fine")
    logits, tokens = Network(model.SerializeToString()).run(read)
    assert logits.tolist() == [ID["fine"]] * N
    assert tokens.tolist() == list(read.ids)


# --------------------------------------------------------------------------- scores


class FakeNetwork:
    """Gives a logit to each piece, and to each output the highest of the pieces that speak for it."""

    def __init__(self, marked: dict[str, float], outputs: dict[str, str] | None = None) -> None:
        self.marked = marked
        self.outputs = outputs or {}
        self.read: list[Tokens] = []

    def run(self, read: Tokens) -> tuple[np.ndarray, np.ndarray]:
        self.read.append(read)
        pieces = [VOCABULARY[number] for number in read.ids]
        tokens = np.array([self.marked.get(piece, -4.0) for piece in pieces], np.float32)
        speaking = [
            [logit for piece, logit in zip(pieces, tokens.tolist(), strict=True) if self.outputs.get(piece) == output]
            for output in OUTPUTS
        ]
        return np.array([max(found, default=-4.0) for found in speaking], np.float32), tokens


def test_running_it_leaves_nothing_in_the_home_folder(tmp_path: Path) -> None:
    program = (
        "from moderation.model import default_model, load; from moderation.normalise import fold; "
        "from moderation.words import Words; m = load(default_model()); "
        "print(m.encoder.score([fold('Thank you.', Words(()))]).shape)"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("XDG_", "ORT_"))}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment | {"HOME": str(tmp_path)}, capture_output=True, text=True
    )
    assert (done.stdout.strip(), done.returncode) == (f"(1, {len(OUTPUTS)})", 0), done.stderr
    assert list(tmp_path.rglob("*")) == []


def linear_knowing(word: str) -> LinearClassifier:
    """Give a linear stage whose logit is 1, and 3 for a comment that is this word alone."""
    weights = np.zeros((1 << 16, N), np.float16)
    weights[features(word, 16)[0][0]] = 2
    return LinearClassifier("toy-1", weights, np.ones(N, np.float32), np.ones((N, 2), np.float32))


Make = Callable[..., tuple[EncoderClassifier, FakeNetwork]]


@pytest.fixture(scope="module")
def make(tokeniser: Tokeniser) -> Make:
    def made(
        marked: dict[str, float],
        outputs: dict[str, str] | None = None,
        stacking: Sequence[float] = (1, 0, 0),
        bar: float = 0.0,
        gap: float = np.inf,
    ) -> tuple[EncoderClassifier, FakeNetwork]:
        network = FakeNetwork(marked, outputs)
        own, linear, offset = (np.float32(share) for share in stacking)
        weights = np.hstack([own * np.eye(N), linear * np.eye(N), np.full((N, 1), offset)]).astype(np.float32)
        return EncoderClassifier(linear_knowing("fine"), network, tokeniser, weights, UNSHIFTED, bar, gap), network  # type: ignore[arg-type]

    return made


def sigmoid(logit: float) -> float:
    return 1 / (1 + float(np.exp(-logit)))


def test_version_is_the_models(make: Make) -> None:
    encoder, _ = make({})
    assert (encoder.version, encoder.stage) == ("toy-1", "encoder")


SENTENCE = "word word word word word word word. "


@pytest.mark.parametrize(
    ("text", "begins", "why"),
    [
        ("word " * 79 + "clown", 0, "all of a comment that is short enough"),
        ("fine clown. " + SENTENCE * 50, 0, "the beginning, where the worst is"),
        (SENTENCE * 50 + "fine clown.", 50 * len(SENTENCE), "the end"),
        (SENTENCE * 25 + "fine clown. " + SENTENCE * 25, 25 * len(SENTENCE), "the middle"),
        (SENTENCE * 50, 0, "the beginning, where all is alike"),
        ("word" * 500 + " word", 0, "a sentence that is too long, alone"),
    ],
)
def test_the_passage_around_the_worst_sentence_is_read(make: Make, text: str, begins: int, why: str) -> None:
    encoder, network = make({"clown": 2.0}, {"clown": "abuse"})
    logits = encoder.logits([folded(text)])[0]
    (read,) = network.read
    assert logits[OUTPUTS.index("abuse")] == (2.0 if "clown" in text else -4.0), why
    words = [span for span, _ in encoder.word_logits(folded(text))]
    first, last = words[0][0], words[-1][1]
    assert first <= begins < last, why
    assert "word" * 500 in text or last - first <= PASSAGE_CHARACTERS
    assert (
        len(text) <= PASSAGE_CHARACTERS or "word" * 500 in text or last - first > PASSAGE_CHARACTERS - 2 * len(SENTENCE)
    )
    assert len(read.ids) <= MAX_TOKENS


@pytest.mark.parametrize(
    ("text", "own", "linear"),
    [("fine", -4.0, 3.0), ("clown", 2.0, 1.0), ("word", -4.0, 1.0), ("", -4.0, 1.0)],
)
@pytest.mark.parametrize("stacking", [(1, 0, 0), (0, 1, 0), (0.5, 0.25, -1.5), (-1, 2, 3)])
def test_score_adds_up_by_hand(make: Make, text: str, own: float, linear: float, stacking: tuple[float, ...]) -> None:
    encoder, _ = make({"clown": 2.0}, {"clown": "any"}, stacking)
    score = encoder.score([folded(text)])[0, 0]
    assert score == pytest.approx(sigmoid(stacking[0] * own + stacking[1] * linear + stacking[2]), abs=1e-6)


def test_the_highest_shifted_logit_is_that_of_any(tokeniser: Tokeniser) -> None:
    stacking = np.hstack([np.eye(N), np.zeros((N, N + 1))]).astype(np.float32)
    shift = np.zeros(N, np.float32)
    shift[OUTPUTS.index("threat")], shift[OUTPUTS.index("abuse")] = 1.5, -9.0
    network = FakeNetwork({"clown": 2.0, "you": 1.0, "fine": 5.0}, {"clown": "any", "you": "threat", "fine": "abuse"})
    encoder = EncoderClassifier(linear_knowing("fine"), network, tokeniser, stacking, shift, 0.0)  # type: ignore[arg-type]
    scores = encoder.score([folded(text) for text in ("clown", "you clown", "fine clown")])
    assert scores[:, 0] == pytest.approx([sigmoid(2.0), sigmoid(2.5), sigmoid(2.0)], abs=1e-6)
    # The guidelines' own scores stay as they are.
    assert scores[1, OUTPUTS.index("threat")] == pytest.approx(sigmoid(1.0), abs=1e-6)


def test_one_output_may_take_from_another(tokeniser: Tokeniser) -> None:
    stacking = np.zeros((N, 2 * N + 1), np.float32)
    stacking[0, [0, OUTPUTS.index("threat")]] = 1, 0.5
    network = FakeNetwork({"clown": 2.0, "you": 1.0}, {"clown": "any", "you": "threat"})
    encoder = EncoderClassifier(linear_knowing("fine"), network, tokeniser, stacking, UNSHIFTED, 0.0)  # type: ignore[arg-type]
    assert encoder.score([folded("you clown")])[0, 0] == pytest.approx(sigmoid(2.0 + 0.5), abs=1e-6)


def test_each_output_has_weights_of_its_own(tokeniser: Tokeniser) -> None:
    stacking = np.zeros((N, 2 * N + 1), np.float32)
    stacking[:, -1] = np.arange(N) / 4
    encoder = EncoderClassifier(linear_knowing("fine"), FakeNetwork({}), tokeniser, stacking, UNSHIFTED, 0.0)  # type: ignore[arg-type]
    assert encoder.score([folded("hello")])[0] == pytest.approx([sigmoid(place / 4) for place in range(N)], abs=1e-6)


@pytest.mark.parametrize(
    ("written", "other", "logit", "readings"),
    [
        (1.0, 3.0, 2.0, ["kurds", "jews"]),
        (3.0, -1.0, 1.0, ["kurds", "jews"]),
        (-0.8, 0.0, -0.4, ["kurds", "jews"]),  # a score of .31 is enough
        (-0.9, 9.0, -0.9, ["kurds"]),  # and .29 is not
    ],
)
def test_a_comment_about_a_group_is_read_about_the_other_where_that_may_matter(
    make: Make, written: float, other: float, logit: float, readings: list[str]
) -> None:
    encoder, network = make({"kurds": written, "jews": other}, {"kurds": "any", "jews": "any"})
    scores = encoder.score([folded("word"), folded("Kurds!"), folded("Jews!")])
    assert scores[:, 0] == pytest.approx([sigmoid(-4.0), sigmoid(logit), sigmoid(other)], abs=1e-6)
    assert [VOCABULARY[read.ids[1]] for read in network.read] == ["word", "kurds", "jews", *readings[1:]]
    assert encoder.logits([folded("Kurds!")])[0, 0] == (written + other) / 2


def test_score_of_no_comments(make: Make) -> None:
    encoder, network = make({})
    scores = encoder.score([])
    assert (scores.shape, scores.dtype, network.read) == ((0, N), np.float32, [])


WORD = st.sampled_from(
    "you an idiot clown ! , fine word sh1t ünder باش 👍 idіot i<b>d</b>iot c\u200blown &amp; ﬁne".split(" ")
)
TEXT = st.lists(WORD, max_size=12).map(" ".join)
RELAXED = settings(deadline=None, max_examples=100)


@RELAXED
@given(texts=st.lists(TEXT, max_size=5), data=st.data())
def test_alone_equals_batch(make: Make, texts: list[str], data: st.DataObject) -> None:
    encoder, _ = make({"clown": 2.0, "##iot": 1.0}, {"clown": "any", "##iot": "any"}, (1, 0.5, 0))
    comments = [folded(text) for text in texts]
    alone = [encoder.score([comment])[0].tolist() for comment in comments]
    assert encoder.score(comments).tolist() == alone
    order = data.draw(st.permutations(range(len(comments))))
    assert encoder.score([comments[place] for place in order]).tolist() == [alone[place] for place in order]


# --------------------------------------------------------------------------- evidence


@pytest.mark.parametrize(
    ("text", "spans", "why"),
    [
        ("you are a clown", ["clown"], "the word"),
        ("You are a CLOWN", ["CLOWN"], "as written"),
        ("an idiot", ["idiot"], "a word counts as much as its highest piece"),
        ("clown clown", ["clown clown"], "neighbours are joined"),
        ("clown  \n clown", ["clown  \n clown"], "over white space of any length"),
        ("clown idiot", ["clown idiot"], "whatever their pieces"),
        ("clown, clown", ["clown", "clown"], "a comma between them says nothing"),
        ("clown word clown", ["clown", "clown"], "others are not joined"),
        ("an idiot!", ["idiot"], "a mark that touches it is no part of it"),
        ("an i<b>d</b>iot here", ["i<b>d</b>iot"], "tags within it"),
        ("an id\u200biot here", ["id\u200biot"], "an invisible character within it"),
        ("an idіot here", ["idіot"], "a letter of another script"),
        ("what a ＣＬＯＷＮ", ["ＣＬＯＷＮ"], "wide letters"),
        ("an i<b>d</b>iot c\u200blown", ["i<b>d</b>iot c\u200blown"], "joined and disguised"),
        ("word. " * 300 + "fine clown.", ["clown"], "in the passage that is read"),
        ("you fine", ["you"], "none reaches the bar: the nearest"),
        ("word fine word", ["word fine word"], "all as far from it"),
        ("", [], "nothing to show"),
        (" \n", [], "no word"),
    ],
)
@pytest.mark.parametrize("output", ["any", "threat"])
def test_evidence(make: Make, text: str, spans: list[str], why: str, output: str) -> None:
    encoder, _ = make({"clown": 1.0, "##iot": 0.5, "you": -2.0})
    assert [text[start:end] for start, end in encoder.evidence(folded(text), output)] == spans, why


@pytest.mark.parametrize(("bar", "spans"), [(-3, ["you", "clown"]), (1, ["clown"]), (1.5, ["clown"])])
def test_bar_is_inclusive_and_the_models_own(make: Make, bar: float, spans: list[str]) -> None:
    encoder, _ = make({"clown": 1.0, "you": -2.0}, bar=bar)
    text = "you word clown"
    assert [text[start:end] for start, end in encoder.evidence(folded(text), "any")] == spans


@pytest.mark.parametrize(("gap", "spans"), [(0, ["clown"]), (2.9, ["clown"]), (3, ["you", "clown"])])
def test_gap_is_inclusive_and_counts_from_the_highest(make: Make, gap: float, spans: list[str]) -> None:
    encoder, _ = make({"clown": 1.0, "you": -2.0}, bar=-9, gap=gap)
    text = "you word clown"
    assert [text[start:end] for start, end in encoder.evidence(folded(text), "any")] == spans


def test_word_logits_are_of_the_highest_piece(make: Make) -> None:
    encoder, _ = make({"clown": 1.0, "id": 0.5, "##iot": -1.0})
    comment = folded("an idiot clown!")
    text = comment.skeleton.text
    assert [(text[start:end], logit) for (start, end), logit in encoder.word_logits(comment)] == [
        ("an", -4.0),
        ("idiot", 0.5),
        ("clown", 1.0),
        ("!", -4.0),
    ]


@RELAXED
@given(text=TEXT, output=st.sampled_from(OUTPUTS))
def test_evidence_lies_in_the_text(make: Make, text: str, output: str) -> None:
    encoder, _ = make({"clown": 1.0, "##iot": 0.5, "you": -2.0})
    spans = encoder.evidence(folded(text), output)
    assert bool(spans) == bool(folded(text).skeleton.text.strip())
    assert all(0 <= start < end <= len(text) for start, end in spans)
    assert all(left[1] <= right[0] for left, right in pairwise(spans))

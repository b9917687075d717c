from collections.abc import Sequence

import numpy as np
import pytest
import threadpoolctl
from hypothesis import given
from hypothesis import strategies as st

from moderation.classifier import OUTPUTS, Array
from moderation.encoder import Tokens
from moderation.linear import LinearClassifier
from moderation.model import default_model, load
from moderation.normalise import Words, fold
from moderation.router import LEAST_DOUBT, ROUTED_CHARACTERS, Convolutions, Router

N = len(OUTPUTS)
PIECES, EMBEDDED, HIDDEN = 20, 4, 6


def arrays(layers: int = 2, seed: int = 3) -> dict[str, Array]:
    source = np.random.default_rng(seed)
    shapes: dict[str, tuple[int, ...]] = {"head": (2 * HIDDEN, HIDDEN), "out": (HIDDEN, N)}
    shapes |= {f"weights_{n}": (3 * (HIDDEN if n else EMBEDDED), HIDDEN) for n in range(layers)}
    shapes |= {f"bias_{n}": (HIDDEN,) for n in range(layers)} | {"head_bias": (HIDDEN,), "out_bias": (N,)}
    found = {name: source.normal(scale=0.3, size=shape).astype(np.float32) for name, shape in shapes.items()}
    words = source.integers(-127, 128, (PIECES, EMBEDDED)).astype(np.int8)
    return {**found, "words": words, "scales": source.uniform(0, 0.02, PIECES).astype(np.float32)}


def by_hand(network: dict[str, Array], ids: Sequence[int], starts: Sequence[int]) -> Array:
    """The same sums, a position after another."""
    rows = [network["words"][i] * network["scales"][i] for i in ids]
    layer = 0
    while f"weights_{layer}" in network:
        weights, bias = network[f"weights_{layer}"], network[f"bias_{layer}"]
        nothing = np.zeros_like(rows[0])
        around = [nothing, *rows, nothing]
        read = [np.maximum(np.concatenate(around[at : at + 3]) @ weights + bias, 0) for at in range(len(rows))]
        rows = [old + new for old, new in zip(rows, read, strict=True)] if layer else read
        layer += 1
    ends = [*starts[1:], len(ids)]
    windows = [rows[start:end] for start, end in zip(starts, ends, strict=True)] + [rows] * (len(starts) > 1)
    found = []
    for window in windows:
        pooled = np.concatenate([np.max(window, axis=0), np.sum(window, axis=0) / len(window) ** 0.5])
        hidden = np.maximum(pooled @ network["head"] + network["head_bias"], 0)
        found.append(hidden @ network["out"] + network["out_bias"])
    return np.array(found)


@pytest.mark.parametrize("layers", [1, 2, 3])
@given(ids=st.lists(st.integers(0, PIECES - 1), min_size=1, max_size=12), cuts=st.sets(st.integers(1, 11)))
def test_logits_are_those_of_each_sentence_and_of_the_whole(layers: int, ids: list[int], cuts: set[int]) -> None:
    starts = [0, *sorted(cut for cut in cuts if cut < len(ids))]
    network = arrays(layers)
    assert Convolutions(network).logits(ids, starts) == pytest.approx(by_hand(network, ids, starts), rel=1e-4, abs=1e-4)


class Spelling:
    """Cuts a text into its letters, each of which is its place in the alphabet."""

    def __init__(self) -> None:
        self.read: list[str] = []

    def tokens(self, text: str, most: int) -> Tokens:
        self.read.append(text)
        letters = [(place, letter) for place, letter in enumerate(text) if letter.isalpha()][: most - 2]
        ids = (0, *(ord(letter) % PIECES for _, letter in letters), 0)
        return Tokens(ids, ((0, 0), *((place, place + 1) for place, _ in letters), (0, 0)))


class Told(Convolutions):
    def __init__(self) -> None:
        super().__init__(arrays())
        self.asked: list[tuple[list[int], list[int]]] = []

    def logits(self, ids: Sequence[int], starts: Sequence[int]) -> Array:
        self.asked.append((list(ids), list(starts)))
        return super().logits(ids, starts)


def router(doubt: Array | None = None, first: Array | None = None) -> tuple[Router, Told, Spelling, LinearClassifier]:
    source = np.random.default_rng(5)
    calibration = np.ones((N, 2), np.float32)
    linear = LinearClassifier("toy-1", source.normal(size=(256, N)).astype(np.float16), np.zeros(N), calibration)
    told, spelling = Told(), Spelling()
    doubt = np.zeros(2 * N + 4, np.float32) if doubt is None else doubt
    first = np.zeros(N + 3, np.float32) if first is None else first
    return Router(linear, told, spelling, first, doubt), told, spelling, linear  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "starts"),
    [
        ("abc", [0]),
        ("ab. cde! fg", [0, 2, 5]),
        ("ab.\ncde", [0, 2]),
        ("ab. ", [0]),
        ("... ab. c", [0, 2]),
        ("ab. ... c", [0, 2]),
        ("", [0]),
        ("!!! 123", [0]),
    ],
)
def test_each_sentence_is_judged_alone(text: str, starts: list[int]) -> None:
    judge, told, _, _ = router()
    judge.seen([fold(text, Words(()))])
    assert told.asked[0][1] == starts


def test_of_a_long_comment_the_worst_part_is_read() -> None:
    judge, told, _, linear = router()
    text = "a quiet word. " * 300 + "you clown. " + "a quiet word. " * 300
    judge.seen([fold(text, Words(()))])
    start, end = linear.passage(text, ROUTED_CHARACTERS)
    assert end - start <= ROUTED_CHARACTERS
    assert told.asked[0][0] == [ord(letter) % PIECES for letter in text[start:end] if letter.isalpha()]


class Says(Convolutions):
    """Says of each sentence the place in the alphabet of its first letter, for any guideline."""

    def __init__(self) -> None:
        super().__init__(arrays())

    def logits(self, ids: Sequence[int], starts: Sequence[int]) -> Array:
        rows = [[float(ids[start])] * N for start in starts]
        return np.array(rows + [[99.0] * N] * (len(rows) > 1), dtype=np.float32)


@pytest.mark.parametrize(
    ("text", "passage", "why"),
    [
        ("dd dd. ff ff. ee ee.", "ff ff. ", "the worst sentence"),
        ("dd dd. ee ee. ff ff.", "ff ff.", "at the end"),
        ("ff ff. dd dd. ee ee.", "ff ff. ", "at the beginning"),
        ("11 22. dd dd. 33 44.", "dd dd. ", "what has no piece of its own is no worse"),
        ("bb. cc", "bb. cc", "a short text is whole"),
    ],
)
def test_the_passage_is_around_the_sentence_that_the_network_finds_worst(text: str, passage: str, why: str) -> None:
    linear = LinearClassifier("toy-1", np.zeros((256, N), np.float16), np.zeros(N), np.ones((N, 2), np.float32))
    judge = Router(linear, Says(), Spelling(), np.zeros(N + 3), np.zeros(2 * N + 4))  # type: ignore[arg-type]
    start, end = judge.passage(text, 7)
    assert text[start:end] == passage, why


def test_of_a_very_long_text_the_passage_is_in_what_the_linear_stage_finds_worst() -> None:
    judge, _, spelling, linear = router()
    text = "a quiet word. " * 300 + "you clown. " + "a quiet word. " * 300
    start, end = judge.passage(text, 60)
    low, high = linear.passage(text, ROUTED_CHARACTERS)
    assert low <= start < end <= high
    assert end - start <= 60
    assert spelling.read == [text[low:high]]


def test_doubt_is_weighed_of_both_logits_and_the_length() -> None:
    doubt = np.random.default_rng(6).normal(size=2 * N + 4).astype(np.float32) / 8
    judge, told, _, linear = router(doubt)
    comments = [fold(text, Words(())) for text in ("abc", "you clown. thanks!", "word " * 18)]
    scores, doubts = judge.score_and_doubt(comments)
    assert (scores == linear.score(comments)).all()
    own = np.array([Convolutions(arrays()).logits(*asked).max(axis=0) for asked in told.asked])
    lengths = np.log1p([3, 18, 90])[:, None]
    both = [np.hstack([found, found[:, 1:].max(axis=1, keepdims=True)]) for found in (own, linear.logits(comments))]
    seen = np.hstack([*both, lengths])
    assert judge.seen(comments) == pytest.approx(seen, abs=1e-5)
    assert doubts == pytest.approx(1 / (1 + np.exp(-(seen @ doubt[:-1] + doubt[-1]))), abs=1e-5)


def test_the_network_is_asked_only_where_the_linear_stage_doubts() -> None:
    first, doubt = np.zeros(N + 3, np.float32), np.zeros(2 * N + 4, np.float32)
    first[-2:] = 1, -np.log1p(6) - np.log(1 / LEAST_DOUBT - 1) + 1e-4  # Just enough at six characters.
    doubt[-1] = 9
    judge, told, _, _ = router(doubt, first)
    _, doubts = judge.score_and_doubt([fold(text, Words(())) for text in ("abc", "abcde", "abcdef", "abcdefg")])
    assert doubts[:2] == pytest.approx([0.0597, 0.087], abs=1e-3)
    assert (doubts[2:] > 0.99).all()
    assert len(told.asked) == 2


def test_no_comments_give_no_doubts() -> None:
    scores, doubts = router()[0].score_and_doubt([])
    assert (scores.shape, doubts.shape) == ((0, N), (0,))


@pytest.mark.parametrize(
    ("plain", "dark"),
    [
        ("Thank you for this thoughtful article about the harbour.", "You people belong at the end of a rope."),
        ("The museum opens at nine on Sundays.", "Women are too stupid to vote."),
    ],
)
def test_shipped_router_doubts_the_worse_comment_more(plain: str, dark: str) -> None:
    judge = load(default_model()).router
    assert judge is not None
    _, (low, high) = judge.score_and_doubt([fold(plain, Words(())), fold(dark, Words(()))])
    assert low < 0.1 < high


def test_a_breach_within_ordinary_text_is_doubted_still() -> None:
    judge = load(default_model()).router
    assert judge is not None
    quiet = "The council will vote on the bridge in spring. Residents asked about noise and about the trees. "
    dark = "Women are too stupid to vote. "
    _, (alone, within, without) = judge.score_and_doubt(
        [fold(text, Words(())) for text in (dark, 4 * quiet + dark + 4 * quiet, 8 * quiet)]
    )
    assert without < 0.1 < within
    assert within > alone / 4


def test_how_many_threads_there_are_changes_no_digit() -> None:
    judge = load(default_model()).router
    assert judge is not None
    comments = [
        fold("The council will vote on the bridge in spring, you clown. " * count, Words(())) for count in (1, 9)
    ]
    found = []
    for threads in (1, 2):
        with threadpoolctl.threadpool_limits(threads, user_api="blas"):
            found.append(judge.seen(comments))
    assert (found[0] == found[1]).all()

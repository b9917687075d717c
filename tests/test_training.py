import random
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from moderation import datasets, training
from moderation.classifier import OUTPUTS, probabilities
from moderation.datasets import Labelled, clusters, fold_of
from moderation.errors import ModelError, ModerationError
from moderation.linear import LinearClassifier, features
from moderation.model import (
    LINEAR,
    NETWORK,
    ROUTER,
    STACKING,
    TOKENISER,
    default_model,
    load,
    origin,
    write_manifest,
)
from moderation.normalise import Folded, Words, fold
from moderation.policy import GUIDELINES, Policy
from moderation.training import (
    ABUSE_SHARE,
    ANY_SHARE,
    ENCODER_ATTACK_SHARE,
    GUIDELINE_SHARE,
    LINEAR_SHARE,
    OWN_WEIGHT,
    ROUTED_OWN_WEIGHT,
    SPEAKING,
    SPOKEN_SCORE,
    THREAT_SHARE,
    Design,
    benign_shift,
    evidence_bar,
    fit_doubt,
    own_weight,
    recalibrate,
    row_weights,
    stack,
    train,
    training_rows,
)

WORDS = dict(zip(GUIDELINES, ("zonk", "wibble", "skreek", "clown", "grockle", "buynow"), strict=True))
FILLERS = (
    "council bridge morning paper reader tram budget school garden winter vote street music window price river "
    "train library dinner football minister coffee ticket history kitchen report signal harbour village station"
).split()
HELD = "the council has decided once more to close the only library in our part of the town for good"
UNCLEAR = "rows of a source whose licence is unclear hold the word snollygoster"


NO_WORDS = Words(())


def folded(text: str) -> Folded:
    return fold(text, NO_WORDS)


def sentence(chance: random.Random, word: str = "") -> str:
    words = chance.choices(FILLERS, k=6)
    return " ".join([*words[:3], *filter(None, [word]), *words[3:]])


def row(source: str, text: str, reject: int | None, label: str = "") -> dict[str, object]:
    return {"source": source, "text": text, "source_label": label, "reject": reject, "profanity": None}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Public rows of five sources and, beside them, sentences of our own, a toy word for each guideline."""
    folder = tmp_path_factory.mktemp("data")
    chance = random.Random(1)
    rows = []
    for _ in range(50):
        rows.append(row("paradetox", sentence(chance, "zonk"), 1, "toxic side"))
        rows.append(row("paradetox", sentence(chance), 0, "neutral paraphrase"))
        rows.append(row("olid", f"{sentence(chance)} {UNCLEAR}", 1))
    rows += [row("trac1", sentence(chance, "snollygoster"), 1) for _ in range(10)]
    rows += [row("gab-hate-corpus", HELD, 0), row("c3-constructive", "a news comment on the tram", 0, "tox=1.00")]
    # Near-duplicates of the held-out rows, which must not train.
    rows += [
        row("paradetox", f"{HELD.upper()}!!!", 0, "neutral paraphrase"),
        row("davidson", f"{HELD} and everybody in the town knows whose fault it is", 1, "1"),
        row("davidson", "A News Comment, on the tram.", 0, "2"),
    ]
    pq.write_table(pa.Table.from_pylist(rows), folder / "english.parquet")
    lines = []
    for guideline, word in WORDS.items():
        lines += [f"{guideline}\ttoy\t{sentence(chance, word)}" for _ in range(40)]
    lines += [f"-\ttoy\t{sentence(chance)}" for _ in range(150)]
    (folder / "own").mkdir()
    (folder / "own" / "toy.tsv").write_text("\n".join([*lines, f"-\tcopy\t{HELD}"]) + "\n")
    return folder


@pytest.fixture(scope="module", autouse=True)
def _own(folder: Path) -> Iterator[None]:
    read = datasets.own
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(datasets, "own", lambda: read(folder / "own"))
        patch.setattr(training, "BITS", 14)  # enough for a handful of words
        yield


@pytest.fixture(scope="module")
def trained(folder: Path, toy_policy: Policy, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    target = tmp_path_factory.mktemp("models") / "toy-3"
    steps: list[str] = []
    train(folder, toy_policy, target, steps.append)
    return target, steps


def scores(model: LinearClassifier, policy: Policy, *texts: str) -> np.ndarray:
    return model.score([fold(text, policy.words) for text in texts])


# --------------------------------------------------------------------------- which rows


def test_only_sources_that_may_train_do(folder: Path) -> None:
    fit, calibrate = training_rows(folder)
    uses = {name: source.use for name, source in datasets.sources().items()}
    found = {one.source for one in (*fit, *calibrate)}
    assert {uses[name] for name in found if not name.startswith("own:")} == {"train"}
    assert found == {"paradetox", "own:toy"}
    assert not any("snollygoster" in one.text for one in (*fit, *calibrate))


def test_near_duplicates_of_held_out_rows_do_not_train(folder: Path) -> None:
    fit, calibrate = training_rows(folder)
    texts = [one.text.lower() for one in (*fit, *calibrate) if not one.source.startswith("own:")]
    assert len(texts) > 70
    assert not [text for text in texts if text.startswith(HELD) or "news comment" in text]


def folds(rows: Sequence[Labelled]) -> set[str]:
    """Give the folds of public rows by their cluster, and of ours by their line."""
    names = clusters([one.text for one in rows])
    return {fold_of(one.line or name) for one, name in zip(rows, names, strict=True)}


def test_the_test_fold_neither_fits_nor_calibrates_and_the_folds_are_apart(folder: Path) -> None:
    fit, calibrate = training_rows(folder)
    assert (folds(fit), folds(calibrate)) == ({"train"}, {"validation"})
    used = {one.text for one in (*fit, *calibrate)}
    left_out = [one for one in datasets.public(folder, ("train",)) if one.text not in used]
    assert len(left_out) > 3  # the near-duplicates, and a test fold


def test_held_out_rows_of_a_source_that_trains_and_their_near_duplicates_do_not_train(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert any(one.labels["reject"] for one in training_rows(folder)[0] if one.source == "paradetox")
    source = replace(datasets.sources()["paradetox"], held_out="toxic side")
    monkeypatch.setattr(datasets, "sources", lambda: {"paradetox": source})
    held = [one.text for one in datasets.public(folder, ("train",)) if one.held_out]
    table = pq.read_table(folder / "english.parquet")
    copy = row("paradetox", f"{held[0].upper()}!", 0, "neutral paraphrase")
    monkeypatch.setattr(pq, "read_table", lambda file: pa.Table.from_pylist([*table.to_pylist(), copy]))
    texts = {one.text for part in training_rows(folder) for one in part if one.source == "paradetox"}
    assert len(texts) > 30
    assert texts.isdisjoint({*held, copy["text"]})


def test_all_fillings_of_a_line_are_in_one_fold(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [f"{{name}} at number {number}" for number in range(60)]
    filled = [Labelled(line.format(name=name), "own:toy", {}, line=line) for line in lines for name in ("Ann", "Bob")]
    monkeypatch.setattr(datasets, "own", lambda: filled)
    fit, calibrate = ({one.line for one in part if one.line} for part in training_rows(folder))
    assert fit
    assert calibrate
    assert not fit & calibrate
    assert len([one for part in training_rows(folder) for one in part if one.line]) == 2 * len(fit | calibrate)


def test_without_data_there_is_nothing_to_train_on(tmp_path: Path, toy_policy: Policy) -> None:
    with pytest.raises(ModerationError, match="--data"):
        train(tmp_path, toy_policy, tmp_path / "x-1", lambda step: None)
    assert not (tmp_path / "x-1").exists()


# --------------------------------------------------------------------------- the model


def test_train_writes_a_model_that_loads(trained: tuple[Path, list[str]]) -> None:
    target, steps = trained
    assert (load(target).version, load(target).encoder) == ("toy-3", None)
    assert sorted(path.name for path in target.iterdir()) == ["linear.npz", "manifest.json"]
    assert steps[0] == "reading the data sets"
    assert steps[-1] == f"wrote {target}"
    assert all("\n" not in step for step in steps)
    assert [f"fitted {name}" in steps for name in OUTPUTS] == [True] * len(OUTPUTS)


@pytest.mark.parametrize("guideline", GUIDELINES)
def test_the_model_separates_what_it_was_shown(
    trained: tuple[Path, list[str]], toy_policy: Policy, guideline: str
) -> None:
    model = load(trained[0]).linear
    chance = random.Random(2)
    broken = [sentence(chance, WORDS[guideline]) for _ in range(20)]
    clean = [sentence(chance) for _ in range(20)]
    others = [sentence(chance, word) for name, word in WORDS.items() if name != guideline]
    column = OUTPUTS.index(guideline)
    found, kept, other = (scores(model, toy_policy, *texts) for texts in (broken, clean, others))
    assert found[:, column].min() > 0.5 > kept[:, column].max()
    assert found[:, column].min() > other[:, column].max()
    assert found[:, 0].min() > kept[:, 0].max()  # any guideline


def test_a_word_of_an_unclear_source_means_nothing_to_the_model(trained: tuple[Path, list[str]]) -> None:
    with np.load(trained[0] / "linear.npz") as arrays:
        weights = arrays["weights"]
    of_word = {word: weights[features(word, training.BITS)[0][0]] for word in ("snollygoster", "zonk")}
    assert np.abs(of_word["zonk"]).max() > 0.1
    assert of_word["snollygoster"] == pytest.approx(0, abs=1e-3)


def test_evidence_names_the_word(trained: tuple[Path, list[str]], toy_policy: Policy) -> None:
    text = "The council bridge skreek morning paper"
    spans = load(trained[0]).linear.evidence(fold(text, toy_policy.words), "threat")
    assert any(start <= text.index("skreek") < end for start, end in spans)


def test_training_twice_gives_the_same_model(
    trained: tuple[Path, list[str]], folder: Path, toy_policy: Policy, tmp_path: Path
) -> None:
    train(folder, toy_policy, tmp_path / "toy-3", lambda step: None)
    with np.load(trained[0] / "linear.npz") as first, np.load(tmp_path / "toy-3" / "linear.npz") as second:
        for name in ("weights", "bias", "calibration"):
            assert np.array_equal(first[name], second[name]), name


def test_the_matrix_adds_up_to_what_the_classifier_computes(
    trained: tuple[Path, list[str]], toy_policy: Policy
) -> None:
    # Training and scoring hash and scale in two places; a comment of one sentence has one window.
    model = load(trained[0]).linear
    text = "zonk the paper and the tram"
    with np.load(trained[0] / "linear.npz") as arrays:
        weights, bias = arrays["weights"].astype(np.float32), arrays["bias"]
    matrix = Design().matrix([[text.split()]])
    assert matrix @ weights + bias == pytest.approx(model.logits([fold(text, toy_policy.words)]), abs=1e-3)


# --------------------------------------------------------------------------- weights of rows


@pytest.mark.parametrize(
    ("source", "weight", "count", "expected"),
    [
        ("paradetox", 1.0, 10, 1.0),
        ("paradetox", 0.5, 4000, 0.5),  # the size from which on a source is damped
        ("paradetox", 1.0, 16000, 0.5),  # by the square root
        ("own:toy", 0.25, 10, 0.25 * OWN_WEIGHT),
        ("own:toy", 0.25, 16000, 0.25 * OWN_WEIGHT),  # ours are never damped
    ],
)
def test_row_weights(source: str, weight: float, count: int, expected: float) -> None:
    found = row_weights([Labelled("x", source, {}, weight)] * count)
    assert found.shape == (count,)
    assert found == pytest.approx(expected)


def test_labels_are_one_zero_or_not_said() -> None:
    rows = [Labelled("x", "s", {"reject": value, "threat": 1}) for value in (1, 0, None)]
    assert training._labels(rows, "any").tolist() == [1, 0, -1]
    assert training._labels(rows, "threat").tolist() == [1, 1, 1]


# --------------------------------------------------------------------------- the encoder's calibration


class Stage:
    """Has a logit for each comment, and marks the words that it knows."""

    def __init__(self, logits: dict[str, float], marks: dict[str, float] | None = None) -> None:
        self.by_text = logits
        self.marks = marks or {}

    def logits(self, comments: Sequence[Folded]) -> np.ndarray:
        return np.array([[self.by_text[one.plain.text]] * len(OUTPUTS) for one in comments], np.float32)

    def word_logits(self, comment: Folded) -> list[tuple[tuple[int, int], float]]:
        text = comment.skeleton.text
        return [((text.index(word), text.index(word) + len(word)), self.marks.get(word, -9.0)) for word in text.split()]


def test_stacking_finds_how_the_stages_add_up() -> None:
    chance = np.random.default_rng(3)
    own, other = chance.normal(size=(2, 4000)) * 2
    broken = chance.random(4000) < 1 / (1 + np.exp(-(1.5 * own + 0.5 * other - 1)))
    rows = [
        Labelled(f"n{number}", "paradetox", dict.fromkeys(("reject", *GUIDELINES), int(label)))
        for number, label in enumerate(broken)
    ]
    both = np.repeat(np.array([own, other], np.float32).T, len(OUTPUTS), axis=1)
    found = stack(both, rows)
    size = len(OUTPUTS)
    assert found.shape == (size, 2 * size + 1)
    assert found.dtype == np.float32
    expected = np.hstack([1.5 * np.eye(size), 0.5 * np.eye(size), np.full((size, 1), -1)])
    assert found[1:] == pytest.approx(expected[1:], abs=0.2)
    # Any: shares that were chosen, of which only the scale and the offset are fitted.
    attack = OUTPUTS.index("personal_attack")
    assert found[0, [attack, size]] / found[0, 0] == pytest.approx([ENCODER_ATTACK_SHARE, LINEAR_SHARE])
    assert np.flatnonzero(found[0, :-1]).tolist() == [0, attack, size]


def test_shift_sets_a_rare_guideline_score_equal_to_a_rare_score_of_any() -> None:
    rising = np.linspace(0.1, 0.9, 1001)
    scores = np.tile(rising[:, None], (1, len(OUTPUTS))).astype(np.float32)
    speaking = [OUTPUTS.index(name) for name in SPEAKING]
    scores[:, speaking[0]] *= 0.9  # a guideline whose score is low on benign comments speaks sooner
    shift = benign_shift(scores)
    any_reached, reached = np.quantile(rising, 1 - ANY_SHARE), np.quantile(rising, 1 - GUIDELINE_SHARE)
    assert shift[0] == 0
    assert shift[speaking[0]] == pytest.approx(log_odds(any_reached) - log_odds(0.9 * reached), abs=1e-3)
    more = {OUTPUTS.index("threat"): THREAT_SHARE, OUTPUTS.index("abuse"): ABUSE_SHARE}
    others = [place for place in speaking[1:] if place not in more]
    assert shift[others] == pytest.approx(log_odds(any_reached) - log_odds(reached), abs=1e-3)
    for place, share in more.items():
        reached_by_more = np.quantile(rising, 1 - share)
        assert shift[place] == pytest.approx(log_odds(any_reached) - log_odds(reached_by_more), abs=1e-3)
    silent = set(range(1, len(OUTPUTS))) - set(speaking)
    assert all(shift[place] == -np.inf for place in silent)
    scores[:, speaking[0]] /= 2  # too low for its odds to count for so much more
    assert benign_shift(scores)[speaking[0]] == pytest.approx(log_odds(SPOKEN_SCORE), abs=1e-3)


def log_odds(share: float) -> float:
    return float(np.log(share / (1 - share)))


def test_stacking_leaves_out_what_is_not_said() -> None:
    unsaid = dict.fromkeys(("reject", *GUIDELINES))
    said = [Labelled(f"n{n}", "s", unsaid | dict.fromkeys(("reject", *GUIDELINES), n % 2)) for n in range(8)]
    both = np.tile((np.arange(9, dtype=np.float32) % 3)[:, None], (1, 2 * len(OUTPUTS)))
    more = stack(both, [*said, Labelled("n8", "s", unsaid)])
    assert (stack(both[:8], said) == more).all()


def test_recalibrating_keeps_the_stages_and_fits_the_rest_anew(
    trained: tuple[Path, list[str]],
    folder: Path,
    toy_policy: Policy,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    earlier, target = tmp_path / "toy-4", tmp_path / "toy-5"
    shutil.copytree(trained[0], earlier)
    for name in (NETWORK, TOKENISER):
        shutil.copyfile(default_model() / name, earlier / name)

    def calibrate(
        folder: Path, linear: LinearClassifier, fit: object, rows: object, policy: Policy, to: Path, report: object
    ) -> None:
        size = len(OUTPUTS)
        arrays = {"stacking": np.ones((size, 2 * size + 1)), "shift": np.zeros(size), "bar": 1.0, "gap": 1.0}
        bar = 2.0 if to == target else 1.0
        np.savez(to / STACKING, **arrays | {"bar": bar}, first=np.zeros(size + 3), doubt=np.zeros(2 * size + 4))
        shutil.copyfile(default_model() / ROUTER, to / ROUTER)

    monkeypatch.setattr(training, "_calibrate_encoder", calibrate)
    calibrate(folder, load(trained[0]).linear, (), (), toy_policy, earlier, None)
    files = (LINEAR, NETWORK, TOKENISER, ROUTER, STACKING)
    write_manifest(earlier, files, "toy-2")

    model = recalibrate(folder, toy_policy, earlier, target, lambda step: None)
    assert [(target / name).read_bytes() == (earlier / name).read_bytes() for name in files] == [True] * 4 + [False]
    assert (model.version, model.encoder and model.encoder.bar) == ("toy-5", 2.0)
    assert (origin(target, "continued"), origin(target, "stages_of")) == ("toy-2", "toy-4")
    with pytest.raises(ModelError, match="name another folder"):
        recalibrate(folder, toy_policy, target, target, lambda step: None)
    with pytest.raises(ModelError, match="has no encoder"):
        recalibrate(folder, toy_policy, trained[0], tmp_path / "toy-6", lambda step: None)


@pytest.mark.parametrize("tells", [0, -2, -1])
def test_doubt_is_told_by_both_networks_and_the_length(tells: int) -> None:
    chance = np.random.default_rng(4)
    clowns = chance.random(2000) < 0.5
    scores = np.where(chance.random(2000) < np.where(clowns, 0.7, 0.1), 0.9, 0.1).astype(np.float32)
    seen = np.ones((2000, 2 * len(OUTPUTS) + 3), dtype=np.float32)
    seen[:, tells] += 3 * clowns
    doubt = fit_doubt(seen, scores, np.ones(2000, np.float32))
    doubts = probabilities(seen @ doubt[:-1] + doubt[-1])
    assert doubts[clowns].mean() == pytest.approx(0.7, abs=0.1)
    assert doubts[~clowns].mean() == pytest.approx(0.1, abs=0.1)


def test_own_sentences_count_more_for_the_doubt() -> None:
    labels = dict.fromkeys(("reject", *GUIDELINES))
    rows = [Labelled("a", "own:a", labels), Labelled("b", "b", labels)]
    assert own_weight(rows).tolist() == [ROUTED_OWN_WEIGHT, 1]


@pytest.mark.parametrize(
    ("marked", "expected", "why"),
    [
        ([(4, 9)], (-3, 0.25), "the nearer to the highest the better"),
        ([(0, 9)], (-3, 2.0), "as far from it as both words are"),
        ([], (1.25, 0.25), "above all words: both find nothing"),
    ],
)
def test_evidence_bar_agrees_best_with_what_is_marked(
    toy_policy: Policy, marked: list[tuple[int, int]], expected: tuple[float, float], why: str
) -> None:
    encoder = Stage({}, {"clown": 1.0, "you": -1.0})
    assert evidence_bar(encoder, [("you clown", marked)], toy_policy) == expected, why  # type: ignore[arg-type]

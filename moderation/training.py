"""Train the classifier: folds without near-duplicates, naive-Bayes weights, calibration."""

import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from moderation import datasets
from moderation.classifier import OUTPUTS, Array, log_odds
from moderation.datasets import Labelled, span_f1
from moderation.encoder import EncoderClassifier, Network, Tokeniser, marked
from moderation.errors import ModelError
from moderation.linear import LinearClassifier, features, pairs, sentences
from moderation.model import (
    LINEAR,
    NETWORK,
    ROUTER,
    STACKING,
    TOKENISER,
    Model,
    convolutions,
    load,
    origin,
    save_linear,
    write_manifest,
)
from moderation.normalise import Folded, fold
from moderation.policy import Policy
from moderation.router import Router

BITS = 18
REGULARISATION = 0.5
"""Inverse strength, ``C`` of scikit-learn's LogisticRegression; chosen on validation folds."""
OWN_WEIGHT = 2.0
"""How much a sentence written for this project counts beside a public comment, to the linear stage. Most breaches of
ours are without telling words, and only the encoder can read those: with more weight the half of the news comments
that chooses was ranked worse."""
PERSONAL_ATTACK_SHARE = 0.5
"""How much of the linear stage's personal-attack logit is added to that of any guideline. What readers of news find
toxic is mostly personal, while the public data sets are mostly about swearing and hate; chosen on the
half of the news comments that chooses (AUC there 0.70 to 0.72 and 0.79 to 0.81)."""
ENCODER_ATTACK_SHARE = 0.2
"""The same for the encoder's logits."""
LINEAR_SHARE = 0.2
"""How much of the linear stage's logit is added to the encoder's, that any guideline is broken. Both chosen on the
same half and the validation lines of our own."""
ANY_SHARE, GUIDELINE_SHARE, THREAT_SHARE, ABUSE_SHARE = 0.01, 0.001, 0.002, 0.003
"""Shares of benign news comments whose scores are set equal, see `benign_shift`. Threats and abuse have more than the
other guidelines: at as many benign news comments rejected, two points more of the breaches in `data/readers` are."""
SPOKEN_SCORE = 0.85
"""What a guideline as likely broken as not counts as at most, when it speaks for any."""
SPEAKING = ("vulgarity", "threat", "personal_attack", "abuse", "promotion")
"""Guidelines that speak for any by themselves: the public data sets hold too few of their breaches, or of the coded
ones, for the score of any to know them. Letting profanity speak as well gains nothing."""
UNSHIFTED = np.array([0.0] + [-np.inf] * (len(OUTPUTS) - 1), dtype=np.float32)
FULL_SOURCE_ROWS = 4000
"""A larger source's rows weigh less, by the square root, so that no source drowns the others."""

DOUBTED_SCORE = 0.8
"""The encoder's score from which the router lets it look; about where the policy rejects."""
ROUTED_OWN_WEIGHT = 4.0
"""How much a sentence of our own counts for that beside a comment of a public source."""

Report = Callable[[str], None]


def training_rows(folder: Path, feedback: Sequence[Labelled] = ()) -> tuple[list[Labelled], list[Labelled]]:
    """Give the rows to fit on and the rows to calibrate on; ``feedback`` is added to the public ones.

    A cluster of near-duplicates that holds a held-out row is left out whole. All fillings of a line of our
    own are in one fold.
    """
    judged = datasets.public(folder, ("held-out", "news"))
    rows = [*datasets.own(), *feedback]
    for row in datasets.public(folder, ("train",)):
        (judged if row.held_out else rows).append(row)
    names = datasets.clusters([row.text for row in (*judged, *rows)])
    held = set(names[: len(judged)])
    fit, calibrate = [], []
    for row, name in zip(rows, names[len(judged) :], strict=True):
        if name in held and not row.source.startswith(datasets.OWN):
            continue
        part = datasets.fold_of(row.line or name)
        if part == "train":
            fit.append(row)
        elif part == "validation":
            calibrate.append(row)
    return fit, calibrate


def train(
    folder: Path,
    policy: Policy,
    target: Path,
    report: Report,
    work: Path | None = None,
    feedback: Sequence[Labelled] = (),
    earlier: Path | None = None,
) -> Model:
    """Fit, calibrate and write a model.

    Parameters
    ----------
    folder
        Where the public data sets lie.
    policy
        Whose terms tell what a disguise may hide.
    target
        Folder to write, ``<name>-<version>``.
    report
        Told of each step in one line.
    work
        Where the encoder's state is kept while it is fine-tuned (about two hours on two cores); a run
        that was cut off goes on from there. None trains the linear stage only.
    earlier
        Folder of a model whose encoder is fine-tuned further, instead of the pre-trained one.

    Raises
    ------
    ModerationError
        When the data sets or the earlier model cannot be read.
    """
    begun = None if earlier is None else _with_encoder(earlier).version
    report("reading the data sets")
    fit, calibrate = training_rows(folder, feedback)
    report(f"{len(fit)} comments to fit on, {len(calibrate)} to calibrate on")
    linear = _train_linear(fit, calibrate, policy, target, report)
    if work is not None:
        from moderation.finetuning import Samples, base_folder, export, fine_tune

        network = fine_tune(Samples(folder, fit, policy, linear), work, report, earlier and earlier / NETWORK)
        export(network, target / NETWORK)
        shutil.copyfile(base_folder() / TOKENISER, target / TOKENISER)
        report(f"exported {target / NETWORK}; calibrating")
        _calibrate_encoder(folder, linear, fit, calibrate, policy, target, report)
        write_manifest(target, (LINEAR, NETWORK, TOKENISER, STACKING, ROUTER), begun)
    return _written(target, report)


def recalibrate(folder: Path, policy: Policy, earlier: Path, target: Path, report: Report) -> Model:
    """Write a model with the stages of an earlier one, and fit anew what its encoder's scores count and where it looks.

    Parameters
    ----------
    folder, policy, target, report
        As in `train`.
    earlier
        Folder of the earlier model.

    Raises
    ------
    ModerationError
        When the data sets or the earlier model cannot be read, or the target is that model.
    """
    linear = _with_encoder(earlier).linear
    if target.resolve() == earlier.resolve():
        raise ModelError(f"{target}: the earlier model stays as it is; name another folder")
    report("reading the data sets")
    fit, calibrate = training_rows(folder)
    report(f"{len(fit)} comments to fit on, {len(calibrate)} to calibrate on; calibrating")
    target.mkdir(parents=True, exist_ok=True)
    for name in (LINEAR, NETWORK, TOKENISER):
        shutil.copyfile(earlier / name, target / name)
    _calibrate_encoder(folder, linear, fit, calibrate, policy, target, report)
    write_manifest(
        target,
        (LINEAR, NETWORK, TOKENISER, STACKING, ROUTER),
        origin(earlier, "continued"),
        origin(earlier, "stages_of") or earlier.name,
    )
    return _written(target, report)


def _written(target: Path, report: Report) -> Model:
    report(f"wrote {target}")
    return load(target)


def _with_encoder(folder: Path) -> Model:
    """Load an earlier model, which must have an encoder."""
    model = load(folder)
    if model.encoder is None:
        raise ModelError(f"{folder}: has no encoder; name a model that has one")
    return model


def _calibrate_encoder(
    folder: Path,
    linear: LinearClassifier,
    fit: Sequence[Labelled],
    calibrate: Sequence[Labelled],
    policy: Policy,
    target: Path,
    report: Report,
) -> None:
    """Write the encoder's stacking, shift and bar of evidence, and the router before it."""
    from moderation.finetuning import Samples, learn_router

    size = len(OUTPUTS)
    network = Network((target / NETWORK).read_bytes())
    tokeniser = Tokeniser((target / TOKENISER).read_bytes())
    arrays: Any = learn_router(Samples(folder, fit, policy, linear), target / NETWORK, report)
    np.savez(target / ROUTER, **arrays)
    none = np.zeros(2 * size + 4, dtype=np.float32)
    router = Router(linear, convolutions((target / ROUTER).read_bytes()), tokeniser, none[: size + 3], none)

    def encoder(stacking: Array, shift: Array = UNSHIFTED) -> EncoderClassifier:
        return EncoderClassifier(linear, network, tokeniser, stacking, shift, 0.0, passage=router.passage)

    bare = encoder(np.zeros((size, 2 * size + 1), dtype=np.float32))

    def folded(rows: Sequence[Labelled]) -> list[Folded]:
        return [fold(row.text, policy.words) for row in rows]

    def both(comments: Sequence[Folded]) -> Array:
        return np.concatenate([bare.logits(comments), linear.logits(comments)], axis=1)

    unseen = folded(calibrate)
    logits = both(unseen)
    stacking = stack(logits, calibrate)
    benign = folded([row for row in datasets.news_half(folder, "choose") if datasets.is_benign_news(row)])
    shift = benign_shift(encoder(stacking).stacked(both(benign)))
    whole = encoder(stacking, shift)
    seen, scores, weight = router.seen(unseen), whole.stacked(logits)[:, 0], own_weight(calibrate)
    first, doubt = (fit_doubt(told, scores, weight) for told in (seen[:, size + 1 :], seen))
    rationales = datasets.rationales(folder)
    explained = [
        (row.text, rationales[row.text]) for row in calibrate if row.labels["reject"] == 1 and row.text in rationales
    ]
    bar, gap = evidence_bar(bare, explained, policy)
    np.savez_compressed(target / STACKING, stacking=stacking, shift=shift, bar=bar, gap=gap, first=first, doubt=doubt)


def own_weight(rows: Sequence[Labelled]) -> Array:
    """Give how much each row counts for the router's doubt, shape (n_rows,)."""
    return np.array([ROUTED_OWN_WEIGHT if row.source.startswith(datasets.OWN) else 1 for row in rows], dtype=np.float32)


def fit_doubt(seen: Array, scores: Array, weight: Array) -> Array:
    """Give how what the router sees tells that the encoder would reject, see `Router`.

    The router's network alone knows the words, but not what the linear stage makes of the sources that it did not see.

    Parameters
    ----------
    seen
        Of comments that the encoder was not trained on, as `Router.seen` gives it, or the columns of the linear stage.
    scores
        The encoder's of the same, that any guideline is broken, shape (n_comments,).
    weight
        How much each comment counts.

    Returns
    -------
    ndarray of shape (n_columns + 1,)
    """
    return np.array(_calibrate(seen, (scores >= DOUBTED_SCORE).astype(np.int8), weight), dtype=np.float32)


def benign_shift(scores: Array) -> Array:
    """Give what to add to each logit, shape (n_outputs,), so that a guideline speaks for any as it should.

    The score of one that speaks which `GUIDELINE_SHARE` of benign news comments reach (of a threat `THREAT_SHARE`, of
    abuse `ABUSE_SHARE`) then counts as much as the score of any guideline that `ANY_SHARE` of them reach; but what is
    as likely broken as not counts as `SPOKEN_SCORE` at most. So few benign news comments come near vulgarity that a
    probability of a third would have counted as much, and grumbles with mild words were rejected.

    Parameters
    ----------
    scores
        Of benign news comments, shape (n_comments, n_outputs), each output unshifted.
    """
    logits = log_odds(scores)
    share_of = {"any": ANY_SHARE, "threat": THREAT_SHARE, "abuse": ABUSE_SHARE}
    shares = [share_of.get(output, GUIDELINE_SHARE) for output in OUTPUTS]
    reached = np.array([np.quantile(column, 1 - share) for column, share in zip(logits.T, shares, strict=True)])
    speaks = np.array([output in ("any", *SPEAKING) for output in OUTPUTS])
    most = log_odds(np.array([SPOKEN_SCORE]))
    return np.where(speaks, np.minimum(reached[0] - reached, most), -np.inf).astype(np.float32)


def _train_linear(
    fit: Sequence[Labelled], calibrate: Sequence[Labelled], policy: Policy, target: Path, report: Report
) -> LinearClassifier:
    matrix = Design().matrix([sentences(fold(row.text, policy.words).skeleton.text) for row in fit])
    report(f"{matrix.shape[1]} features, {matrix.nnz} values")
    weight = row_weights(fit)
    weights = np.zeros((1 << BITS, len(OUTPUTS)), dtype=np.float32)
    bias = np.zeros(len(OUTPUTS), dtype=np.float32)
    for column, output in enumerate(OUTPUTS):
        weights[:, column], bias[column] = _fit(matrix, _labels(fit, output), weight)
        report(f"fitted {output}")
    attack = OUTPUTS.index("personal_attack")
    weights[:, 0] += PERSONAL_ATTACK_SHARE * weights[:, attack]
    bias[0] += PERSONAL_ATTACK_SHARE * bias[attack]
    rough = LinearClassifier(target.name, weights, bias, np.tile(np.array([1, 0], np.float32), (len(OUTPUTS), 1)))
    logits = rough.logits([fold(row.text, policy.words) for row in calibrate])
    weight = row_weights(calibrate)
    calibration = np.array(
        [_calibrate(logits[:, [column]], _labels(calibrate, output), weight) for column, output in enumerate(OUTPUTS)],
        dtype=np.float32,
    )
    save_linear(target, weights, bias, calibration)
    return load(target).linear


def stack(both: Array, rows: Sequence[Labelled]) -> Array:
    """Give how the encoder's and the linear stage's logits add up, shape (n_outputs, 2 * n_outputs + 1).

    A guideline's two logits are weighed by logistic regression; that any is broken by `LINEAR_SHARE` and
    `ENCODER_ATTACK_SHARE`.

    Parameters
    ----------
    both
        The encoder's own logits of the rows, then the linear stage's, shape (n_rows, 2 * n_outputs).

    Source: Wolpert, "Stacked generalization", 1992.
    """
    weight = row_weights(rows)
    size = len(OUTPUTS)
    stacking = np.zeros((size, 2 * size + 1), dtype=np.float32)
    for column, output in enumerate(OUTPUTS):
        if output == "any":
            mix = np.zeros((2 * size, 1), dtype=np.float32)
            mix[[0, OUTPUTS.index("personal_attack"), size], 0] = 1, ENCODER_ATTACK_SHARE, LINEAR_SHARE
        else:
            mix = np.zeros((2 * size, 2), dtype=np.float32)
            mix[column, 0] = mix[size + column, 1] = 1
        *slopes, offset = _calibrate(both @ mix, _labels(rows, output), weight)
        stacking[column, :-1] = mix @ np.array(slopes, dtype=np.float32)
        stacking[column, -1] = offset
    return stacking


def evidence_bar(
    encoder: EncoderClassifier, rows: Sequence[tuple[str, Sequence[tuple[int, int]]]], policy: Policy
) -> tuple[float, float]:
    """Give the bar and the gap, see `EncoderClassifier`, at which evidence agrees best with what annotators marked.

    Parameters
    ----------
    rows
        Texts and the half-open spans marked in them.
    """
    folded = [fold(text, policy.words) for text, _ in rows]
    words = [encoder.word_logits(comment) for comment in folded]

    def agreement(place: tuple[float, float]) -> float:
        found = [marked(comment, scored, *place) for comment, scored in zip(folded, words, strict=True)]
        return float(np.mean([span_f1(spans, marks) for spans, (_, marks) in zip(found, rows, strict=True)]))

    return max(product((step / 4 for step in range(-12, 9)), (0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 9.0)), key=agreement)


class Design:
    """Turns comments into a sparse matrix of features; each distinct word is hashed once."""

    def __init__(self) -> None:
        self._unit: dict[str, int] = {}
        self._features: list[tuple[npt.NDArray[np.int64], Array]] = []

    def matrix(self, comments: Sequence[Sequence[Sequence[str]]]) -> Any:
        """Give a ``scipy.sparse.csr_matrix`` of shape (n_comments, 2**BITS), each row a whole comment."""
        import scipy.sparse as sp

        units: list[int] = []
        starts = [0]
        sizes = []
        for comment in comments:
            for words in comment:
                units.extend(self._index(unit) for unit in (*words, *pairs(words)))
            starts.append(len(units))
            sizes.append(max(1, sum(map(len, comment))))
        counts = sp.csr_matrix(
            (np.ones(len(units), dtype=np.float32), np.array(units), np.array(starts)),
            shape=(len(comments), len(self._features)),
        )
        lengths = np.cumsum([0, *(len(indices) for indices, _ in self._features)])
        by_unit = sp.csr_matrix(
            (
                np.concatenate([values for _, values in self._features]),
                np.concatenate([indices for indices, _ in self._features]),
                lengths,
            ),
            shape=(len(self._features), 1 << BITS),
        )
        scale = sp.diags(np.array(sizes, dtype=np.float32) ** -0.5)
        return ((scale @ counts) @ by_unit).tocsr()

    def _index(self, unit: str) -> int:
        index = self._unit.get(unit)
        if index is None:
            index = self._unit[unit] = len(self._features)
            self._features.append(features(unit, BITS))
        return index


def row_weights(rows: Sequence[Labelled]) -> Array:
    """Give each row's weight: its source's, damped for a large source, more for our own sentences."""
    sizes = Counter(row.source for row in rows)
    return np.array(
        [
            row.weight * OWN_WEIGHT
            if row.source.startswith(datasets.OWN)
            else row.weight * min(1.0, (FULL_SOURCE_ROWS / sizes[row.source]) ** 0.5)
            for row in rows
        ],
        dtype=np.float32,
    )


def _labels(rows: Sequence[Labelled], output: str) -> npt.NDArray[np.int8]:
    """Give 1, 0 or -1 (not said) for each row."""
    name = "reject" if output == "any" else output
    return np.array([-1 if row.labels[name] is None else row.labels[name] for row in rows], dtype=np.int8)


def _fit(matrix: Any, labels: npt.NDArray[np.int8], weight: Array) -> tuple[Array, float]:
    import scipy.sparse as sp
    from sklearn.linear_model import LogisticRegression

    said = labels >= 0
    x, y, w = matrix[said], labels[said], weight[said]
    present = sp.diags(w) @ x
    broken = np.asarray(present[y == 1].sum(axis=0)).ravel() + 1
    kept = np.asarray(present[y == 0].sum(axis=0)).ravel() + 1
    ratio = np.abs(np.log((broken / broken.sum()) / (kept / kept.sum()))).astype(np.float32)
    model = LogisticRegression(C=REGULARISATION, max_iter=300, tol=1e-4)
    model.fit(x @ sp.diags(ratio), y, sample_weight=w)
    return np.asarray(model.coef_[0] * ratio, dtype=np.float32), float(model.intercept_[0])


def _calibrate(logits: Array, labels: npt.NDArray[np.int8], weight: Array) -> tuple[float, ...]:
    """Fit a slope for each column of logits, and an offset, that give the logit of a probability.

    Source: Platt, "Probabilistic outputs for support vector machines", 1999.
    """
    from sklearn.linear_model import LogisticRegression

    said = labels >= 0
    model = LogisticRegression(C=1e6)
    model.fit(logits[said], labels[said], sample_weight=weight[said])
    return (*map(float, model.coef_[0]), float(model.intercept_[0]))

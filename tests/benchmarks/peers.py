"""Run moderation and its peers side by side on comments that trained none of what is ours.

Usage: python tests/benchmarks/peers.py --data DIR [--rows N] [--model DIR] [--policy FILE]
"""

import argparse
import random
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

SEED = 20240607
HELD_OUT = " (held out)"
INSTALL = "pip install -e '.[train,peers]'"
TRAINED_ON = (
    "alt-profanity-check trained on the whole Jigsaw set, which shares no rows with these sources. "
    "better-profanity and glin-profanity give a yes or no only; their AUC is that of the yes or no."
)

Row = TypeVar("Row")
Judge = Callable[[Sequence[str]], list[tuple[float, bool]]]
"""Gives each text a score, the higher the worse, and whether the tool's own default decision is against it."""


@dataclass(frozen=True, slots=True)
class Peer:
    """A tool that we are measured beside.

    Parameters
    ----------
    name
        Of its distribution on PyPI.
    load
        Imports and loads it; raises ImportError where it is not installed.
    once
        A script that imports it and judges the one word "hello".
    """

    name: str
    load: Callable[[], Judge]
    once: str


@dataclass(frozen=True, slots=True)
class Result:
    """What one tool came to on one source: area under the ROC curve and F1 of its own decision, 0 to 1."""

    auc: float
    f1: float


def _alt_profanity_check() -> Judge:
    """Load a linear SVM over words, with probabilities; it decides at 0.5.

    Source: https://pypi.org/project/alt-profanity-check/ (``predict_prob``).
    """
    from profanity_check import predict_prob

    return lambda texts: [(float(score), bool(score >= 0.5)) for score in predict_prob(list(texts))]


def _better_profanity() -> Judge:
    """Load a word list with spellings in leetspeak.

    Source: https://pypi.org/project/better-profanity/ (``contains_profanity``).
    """
    from better_profanity import profanity

    return lambda texts: [(float(found), bool(found)) for found in map(profanity.contains_profanity, texts)]


def _glin_profanity() -> Judge:
    """Load a word list with its default configuration.

    Source: https://pypi.org/project/glin-profanity/ (``Filter().is_profane``).
    """
    from glin_profanity import Filter

    judge = Filter()
    return lambda texts: [(float(found), bool(found)) for found in map(judge.is_profane, texts)]


def _hatesonar() -> Judge:
    """Load a logistic regression over words; the score is 1 less the confidence of ``neither``.

    Source: https://pypi.org/project/hatesonar/ (``Sonar().ping``); Davidson et al., "Automated hate speech
    detection and the problem of offensive language", ICWSM 2017, for the data.
    """
    import onnxruntime
    from hatesonar import Sonar

    onnxruntime.set_default_logger_severity(4)  # A failure is an exception, told once.
    sonar = Sonar()

    def one(text: str) -> tuple[float, bool]:
        said = sonar.ping(text)
        confidence = {entry["class_name"]: float(entry["confidence"]) for entry in said["classes"]}
        return 1 - confidence["neither"], said["top_class"] != "neither"

    return lambda texts: [one(text) for text in texts]


PEERS = (
    Peer(
        "alt-profanity-check",
        _alt_profanity_check,
        "from profanity_check import predict_prob; predict_prob(['hello'])",
    ),
    Peer(
        "better-profanity",
        _better_profanity,
        "from better_profanity import profanity; profanity.contains_profanity('hello')",
    ),
    Peer("glin-profanity", _glin_profanity, "from glin_profanity import Filter; Filter().is_profane('hello')"),
    Peer("hatesonar", _hatesonar, "from hatesonar import Sonar; Sonar().ping('hello')"),
)


def loaded_peers() -> dict[str, Judge]:
    """Load the peers that are there and work; name the others on standard error, a line for each cause."""
    # Their models were pickled by older versions of scikit-learn, which it warns of at every load.
    warnings.filterwarnings("ignore", module=r"sklearn\..*")
    found: dict[str, Judge] = {}
    missing = []
    for peer in PEERS:
        try:
            judge = peer.load()
            judge(["hello"])
        except ImportError:
            missing.append(peer.name)
        except Exception as error:  # A tool that is not ours may fail in any way; we measure the others.
            problem = (str(error).splitlines() or [""])[0][:160]
            if "en_US.UTF-8" in str(error):
                problem = "its onnx model needs the locale en_US.UTF-8; Debian: apt-get install locales-all"
            say(f"{peer.name} left out, it fails: {type(error).__name__}: {problem}")
        else:
            found[peer.name] = judge
    if missing:
        say(f"left out, not installed: {', '.join(missing)}; {INSTALL}")
    return found


def say(message: str) -> None:
    """Write a line to standard error."""
    print(message, file=sys.stderr, flush=True)


def sampled(rows: Sequence[Row], count: int, name: str) -> list[Row]:
    """Give at most so many rows, chosen by a fixed seed, in their order."""
    if len(rows) <= count:
        return list(rows)
    chosen = random.Random(f"{SEED}:{name}").sample(range(len(rows)), count)
    return [rows[index] for index in sorted(chosen)]


def result(labels: Sequence[int], judged: Sequence[tuple[float, bool]]) -> Result:
    """Measure scores and decisions against labels (1 reject, 0 approve).

    Source: scikit-learn's ``roc_auc_score`` and ``f1_score`` (of the class ``reject``).
    """
    from sklearn.metrics import f1_score, roc_auc_score

    return Result(
        auc=float(roc_auc_score(labels, [score for score, _ in judged])),
        f1=float(f1_score(labels, [against for _, against in judged], zero_division=0.0)),
    )


def table(rows: Sequence[tuple[str, int, int, Sequence[Result]]], tools: Sequence[str]) -> str:
    """Lay out results as a Markdown table, the mean over sources last."""
    lines = [
        f"| source | rows | to reject | {' | '.join(f'{tool} AUC | F1' for tool in tools)} |",
        f"| --- | --: | --: |{' --: | --: |' * len(tools)}",
    ]
    for name, count, rejected, results in rows:
        cells = " | ".join(f"{one.auc:.3f} | {one.f1:.3f}" for one in results)
        lines.append(f"| {name} | {count} | {rejected} | {cells} |")
    means = [
        f"{sum(one.auc for one in column) / len(column):.3f} | {sum(one.f1 for one in column) / len(column):.3f}"
        for column in zip(*(results for *_, results in rows), strict=True)
    ]
    count, rejected = sum(row[1] for row in rows), sum(row[2] for row in rows)
    return "\n".join([*lines, f"| mean of the sources | {count} | {rejected} | {' | '.join(means)} |"])


def main() -> int:
    """Run the comparison and print it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the labelled data sets")
    parser.add_argument("--rows", type=int, default=1000, help="rows a source at most (default 1000)")
    parser.add_argument("--model", type=Path, help="model folder; the one shipped if not given")
    parser.add_argument("--policy", type=Path, help="policy file; the one shipped if not given")
    options = parser.parse_args()
    if options.rows < 1:
        parser.error("--rows must be at least 1")
    try:
        import pyarrow  # noqa: F401
        import sklearn  # noqa: F401

        from moderation import Comment, ModerationError, Moderator, Verdict
        from moderation.evaluation import evaluation_sets

    except ImportError as error:
        say(f"{error.name} is not installed: {INSTALL}")
        return 3

    try:
        moderator = Moderator.load(options.policy, options.model)
        sets = {
            name.removesuffix(HELD_OUT): sampled(rows, options.rows, name)
            for name, rows in evaluation_sets(options.data).items()
            if name.endswith(HELD_OUT)
        }
    except ModerationError as error:
        say(str(error))
        return 3
    peers = loaded_peers()
    spent = dict.fromkeys(("moderation", *peers), 0.0)
    rows = []
    for name, chosen in sets.items():
        texts = [row.text for row in chosen]
        labels = [row.labels["reject"] or 0 for row in chosen]
        if len(set(labels)) < 2:
            say(f"{name} left out: its rows are of one class; raise --rows")
            continue
        begun = time.perf_counter()
        decisions = moderator.review_many(Comment(text) for text in texts)
        spent["moderation"] += time.perf_counter() - begun
        unflagged = moderator.policy.thresholds["unflagged"]
        # What a rule rejects ranks above all, as in moderation.evaluation.quality.
        whole = [(d.score + (d.decided_by == "rule"), d.verdict is Verdict.REJECT) for d in decisions]
        alone = [(d.score, d.score >= unflagged) for d in decisions]
        results = [result(labels, whole), result(labels, alone)]
        for peer, judge in peers.items():
            begun = time.perf_counter()
            results.append(result(labels, judge(texts)))
            spent[peer] += time.perf_counter() - begun
        rows.append((name, len(texts), sum(labels), results))
        say(f"{name}: {len(texts)} rows done")
    if not rows:
        say("no source had rows of both classes")
        return 3
    print(table(rows, ("moderation", "its score alone", *peers)))
    print()
    print(f"{moderator.policy.identity}, {moderator.classifier.version}; {options.rows} rows a source at most.")
    print(f"Note: {TRAINED_ON}")
    say(f"seconds: {', '.join(f'{tool} {seconds:.1f}' for tool, seconds in spent.items())}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

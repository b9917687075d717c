"""Measure on one core how many comments a second moderation and its peers do, and how long one process takes.

Usage: python tests/benchmarks/speed.py --data DIR [--rows N] [--model DIR] [--policy FILE] [--core N]
       [--classifier cascade|linear|encoder]
"""

import argparse
import csv
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

NEWS = ("c3-constructive", "unhealthy-conversations")
CHUNK = 1000
REPEATS = 3
PROCESSES = 7
PEER_ROWS = {"better-profanity": 300, "glin-profanity": 2000, "hatesonar": 2000}


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the labelled data sets")
    parser.add_argument("--rows", type=int, default=20_000, help="comments to review (default 20000)")
    parser.add_argument("--model", type=Path, help="model folder; the one shipped if not given")
    parser.add_argument("--policy", type=Path, help="policy file; the one shipped if not given")
    parser.add_argument("--classifier", default="cascade", help="cascade, linear or encoder (default cascade)")
    parser.add_argument("--core", type=int, help="the core to run on; the last one allowed if not given")
    options = parser.parse_args()
    if options.rows < 1:
        parser.error("--rows must be at least 1")
    core = pin(options.core)

    # Imported only now: threads that a library starts at its import stay on the one core as well.
    from peers import INSTALL, PEERS, loaded_peers, sampled, say

    try:
        import pyarrow  # noqa: F401

        from moderation import ModerationError, datasets
    except ImportError as error:
        say(f"{error.name} is not installed: {INSTALL}")
        return 3
    try:
        news = [row.text for row in datasets.public(options.data, ("news",)) if row.source in NEWS]
        texts = sampled(news, options.rows, "speed")
        # In an order of no source, so that the first rows are like the rest.
        texts = sorted(texts, key=hash_of)
        lines = ours(texts, options.policy, options.model, options.classifier)
    except ModerationError as error:
        say(str(error))
        return 3
    peers = loaded_peers()
    for name, judge in peers.items():
        part = texts[: PEER_ROWS.get(name, len(texts))]
        lines.append((f"{name}", len(part), best(partial(judge, part))))
        say(f"{name}: done")

    length = statistics.mean(map(len, texts))
    print(f"{len(texts)} comments of {length:.0f} characters in the mean ({' and '.join(NEWS)});")
    print(f"{processor()}, core {core} alone; Python {platform.python_version()}.")
    print("The classifier keeps what it computed for a word or pair: the first review begins with none of it, the")
    print(f"second and the stages alone have all. Stages and peers are the best of {REPEATS}, in memory.\n")
    print("| what | comments | seconds | comments a second |\n| --- | --: | --: | --: |")
    for name, count, seconds in lines:
        print(f"| {name} | {count or ''} | {seconds:.2f} | {f'{count / seconds:,.0f}' if count else ''} |")

    extra = [
        part
        for key in ("policy", "model", "classifier")
        if (file := getattr(options, key))
        for part in (f"--{key}", str(file))
    ]
    commands = {
        "python, nothing done": [sys.executable, "-c", "pass"],
        'moderation check "hello"': [*command(), "check", "hello", *extra],
        **{peer.name: [sys.executable, "-W", "ignore", "-c", peer.once] for peer in PEERS if peer.name in peers},
    }
    print(f'\nWall time of a whole process that judges "hello", median of {PROCESSES}:\n')
    print("| process | seconds |\n| --- | --: |")
    for name, seconds in processes(commands).items():
        print(f"| {name} | {seconds:.3f} |")
    return 0


def pin(core: int | None) -> int | None:
    """Keep this process and those it starts on one core; None where the system has no such call.

    Source: sched_setaffinity(2), as ``taskset`` uses it.
    """
    if not hasattr(os, "sched_setaffinity"):
        return None
    core = max(os.sched_getaffinity(0)) if core is None else core
    os.sched_setaffinity(0, {core})
    return core


def hash_of(text: str) -> str:
    """Give a text's digest, to order by."""
    import hashlib

    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def ours(
    texts: Sequence[str], policy: Path | None, model: Path | None, classifier: str
) -> list[tuple[str, int, float]]:
    """Time loading, the review of a file, and each stage alone.

    Returns
    -------
    list of (what, comments or 0, seconds)
    """
    from moderation import Moderator
    from moderation.batch import review_file
    from moderation.normalise import fold
    from moderation.rules import apply_rules

    lines = []
    begun = time.perf_counter()
    moderator = Moderator.load(policy, model, classifier)
    moderator.review("hello")  # Terms and patterns are compiled when first used.
    lines.append(("moderation: load policy and model", 0, time.perf_counter() - begun))
    with tempfile.TemporaryDirectory(prefix="moderation-speed-") as folder:
        source, target = Path(folder, "comments.csv"), Path(folder, "decisions.csv")
        with source.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(("id", "text"))
            writer.writerows(enumerate(texts, 1))
        for run in ("first", "second"):
            begun = time.perf_counter()
            summary = review_file(moderator, source, target)
            lines.append((f"moderation: review, CSV to CSV, {run} run", len(texts), time.perf_counter() - begun))
            # Blank texts count as unreadable rows; none may be lost.
            assert summary.rows == len(texts), f"{summary.rows} rows of {len(texts)} were reviewed"
    words = moderator.policy.words
    folded = [fold(text, words) for text in texts]
    chunks = [folded[start : start + CHUNK] for start in range(0, len(folded), CHUNK)]
    stages: dict[str, Callable[[], object]] = {
        "fold alone": lambda: [fold(text, words) for text in texts],
        "rules alone, on folded comments": lambda: [apply_rules(one, moderator.policy) for one in folded],
        "linear stage alone, on folded comments": lambda: [moderator.classifier.score(chunk) for chunk in chunks],
    }
    lines.extend((f"moderation: {name}", len(texts), best(work)) for name, work in stages.items())
    return lines


def best(work: Callable[[], object]) -> float:
    """Give the seconds of the fastest of several runs, the one least disturbed by others.

    Source: the advice in Python's ``timeit`` to take the minimum.
    """
    taken = []
    for _ in range(REPEATS):
        begun = time.perf_counter()
        work()
        taken.append(time.perf_counter() - begun)
    return min(taken)


def command() -> list[str]:
    """Give the installed command that belongs to this interpreter, or the module."""
    script = Path(sys.executable).with_name("moderation")
    return [str(script)] if script.is_file() else [sys.executable, "-m", "moderation"]


def processes(commands: dict[str, list[str]]) -> dict[str, float]:
    """Give each command's median wall time in seconds; they run in turn, so that a disturbance meets all.

    Raises
    ------
    RuntimeError
        When a command fails, with what it said: a failure must not pass for speed.
    """
    taken: dict[str, list[float]] = {name: [] for name in commands}
    for run in range(PROCESSES + 1):
        for name, arguments in commands.items():
            begun = time.perf_counter()
            done = subprocess.run(arguments, capture_output=True, text=True, check=False)
            if done.returncode:
                raise RuntimeError(f"{name}: exit status {done.returncode}: {done.stderr.strip()[-400:]}")
            if run:  # The first fills the file cache.
                taken[name].append(time.perf_counter() - begun)
    return {name: statistics.median(times) for name, times in taken.items()}


def processor() -> str:
    """Name the processor, as Linux's /proc/cpuinfo or else the platform has it."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


if __name__ == "__main__":
    sys.exit(main())

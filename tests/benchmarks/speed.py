"""Measure on one core how many comments a second moderation and its peers do, and how long one process takes.

Usage: python tests/benchmarks/speed.py --data DIR [--rows N] [--model DIR] [--policy FILE] [--core N]
       [--classifier linear|cascade|encoder] [--phrases N]
"""

import argparse
import csv
import os
import platform
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

# Taken in this order until there are rows enough: the comments of news sites first.
SOURCES = (
    "c3-constructive",
    "unhealthy-conversations",
    "civil-toxic-spans",
    "kaggle-insults",
    "trac1",
    "wiki-context-toxicity",
    "jigsaw-subsets",
)
NEWS = SOURCES[:3]
CHUNK = 1000
REPEATS = 3
PROCESSES = 7
PEER_ROWS = {"better-profanity": 300, "glin-profanity": 2000, "hatesonar": 2000}
LEXICON_ROWS = 5000
SMALL, LARGE = 250_000, 1_000_000
"""Sizes of the hostile comments; a larger one than the second is not read from files."""
WANTED = {
    "first": (">=", 10_000),
    "alt-profanity-check": (">=", 0.5),
    "better-profanity": (">=", 50),
    "lexicon": (">=", 0.85),
    "start": ("<=", 0.6),
    "start, alt-profanity-check": ("<=", 0.5),
}


@dataclass(frozen=True, slots=True)
class Taken:
    """What some comments took: seconds on the clock and seconds of the processor."""

    comments: int
    wall_seconds: float
    cpu_seconds: float

    @property
    def rate(self) -> float:
        """Comments a second of the processor, which others on the machine disturb less than the clock."""
        return self.comments / self.cpu_seconds


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the labelled data sets")
    parser.add_argument("--rows", type=int, default=50_000, help="comments to review (default 50000)")
    parser.add_argument("--model", type=Path, help="model folder; the one shipped if not given")
    parser.add_argument("--policy", type=Path, help="policy file; the one shipped if not given")
    parser.add_argument("--classifier", default="linear", help="linear, cascade or encoder (default linear)")
    parser.add_argument("--phrases", type=int, default=100_000, help="phrases of a user's lexicon (default 100000)")
    parser.add_argument("--core", type=int, help="the core to run on; the last one allowed if not given")
    options = parser.parse_args()
    if options.rows < 1 or options.phrases < 10:
        parser.error("--rows must be at least 1 and --phrases at least 10")
    core = pin(options.core)

    # Imported only now: threads that a library starts at its import stay on the one core as well.
    from peers import INSTALL, PEERS, loaded_peers, say

    try:
        import pyarrow.parquet as pq

        from moderation import ModerationError, Moderator
        from moderation.paths import DEFAULT_POLICY
    except ImportError as error:
        say(f"{error.name} is not installed: {INSTALL}")
        return 3
    try:
        table = pq.read_table(options.data / "english.parquet", columns=["source", "text"]).to_pylist()
    except OSError as error:
        say(f"{options.data}: {error}; name the data sets' folder with --data (see data/datasets.toml)")
        return 3
    texts = chosen([(row["source"], row["text"]) for row in table], options.rows)
    del table
    try:
        lines = ours(texts, options.policy, options.model, options.classifier)
        say("moderation: done")
        policy = options.policy or DEFAULT_POLICY
        some = texts[:LEXICON_ROWS]
        with tempfile.TemporaryDirectory(prefix="moderation-speed-") as folder:
            begun = time.process_time()
            larger = Moderator.load(
                with_phrases(policy, Path(folder), options.phrases), options.model, options.classifier
            )
            lines["moderation: load a policy with the lexicon"] = Taken(0, 0, time.process_time() - begun)
        plain = Moderator.load(options.policy, options.model, options.classifier)
        lines |= in_turn(
            {
                "moderation: in memory": partial(plain.review_many, some),
                f"moderation: in memory, with {options.phrases:,} phrases": partial(larger.review_many, some),
            },
            len(some),
        )
        say("lexicon: done")
    except ModerationError as error:
        say(str(error))
        return 3
    peers = loaded_peers()
    for name, judge in peers.items():
        part = texts[: PEER_ROWS.get(name, len(texts))]
        lines |= in_turn({name: partial(judge, part)}, len(part))
        say(f"{name}: done")

    length = statistics.mean(map(len, texts))
    print(f"{len(texts):,} distinct comments of {length:.0f} characters in the mean; {processor()}, core {core} alone;")
    print(f"Python {platform.python_version()}. The first review begins with nothing remembered of any word. Stages,")
    print(f"lexicon and peers are the best of {REPEATS}, in memory.\n")
    print("| what | comments | clock seconds | processor seconds | comments a processor second |")
    print("| --- | --: | --: | --: | --: |")
    for name, taken in lines.items():
        rate = f"{taken.rate:,.0f}" if taken.comments else ""
        wall = f"{taken.wall_seconds:.2f}" if taken.wall_seconds else ""
        print(f"| {name} | {taken.comments or ''} | {wall} | {taken.cpu_seconds:.2f} | {rate} |")

    extra = [
        part
        for key in ("policy", "model", "classifier")
        if (file := getattr(options, key)) and (key != "classifier" or file != "linear")
        for part in (f"--{key}", str(file))
    ]
    commands = {
        "python, nothing done": [sys.executable, "-c", "pass"],
        'moderation check "hello"': [*command(), "check", "hello", *extra],
        **{peer.name: [sys.executable, "-W", "ignore", "-c", peer.once] for peer in PEERS if peer.name in peers},
    }
    started = processes(commands)
    print(f'\nA whole process that judges "hello", the cascade in ours, median of {PROCESSES}:\n')
    print("| process | clock seconds | processor seconds |\n| --- | --: | --: |")
    for name, (wall, cpu) in started.items():
        print(f"| {name} | {wall:.3f} | {cpu:.3f} |")
    print("\n| figure | wanted | measured | reached |\n| --- | --: | --: | --- |")
    for name, key, value in figures(lines, started, options.phrases):
        sign, bound = WANTED[key]
        reached = value >= bound if sign == ">=" else value <= bound
        shown = f"{value:,.0f}" if value >= 20 else f"{value:.2f}"
        print(f"| {name} | {sign} {bound:,} | {shown} | {'yes' if reached else 'no'} |")
    print(f"\nOne hostile comment of {SMALL:,} and of {LARGE:,} characters, processor seconds:\n")
    print("| made of | smaller | larger | times |\n| --- | --: | --: | --: |")
    for name, smaller, larger in hostile(plain.review):
        print(f"| {name} | {smaller:.2f} | {larger:.2f} | {larger / max(smaller, 0.001):.1f} |")
    return 0


def figures(
    lines: dict[str, Taken], started: dict[str, tuple[float, float]], phrases: int
) -> list[tuple[str, str, float]]:
    """Give each figure that is wanted: what it is, its key in `WANTED`, and what was measured."""
    first = lines["moderation: review, CSV to CSV, first run"].rate
    found = [("comments a second, first review of a file", "first", first)]
    if "alt-profanity-check" in lines:
        value = first / lines["alt-profanity-check"].rate
        found.append(("first review, of alt-profanity-check's rate in memory", "alt-profanity-check", value))
    if "better-profanity" in lines:
        value = first / lines["better-profanity"].rate
        found.append(("first review, times the rate of better-profanity", "better-profanity", value))
    share = lines[f"moderation: in memory, with {phrases:,} phrases"].rate / lines["moderation: in memory"].rate
    found.append((f"rate with {phrases:,} phrases, of that without", "lexicon", share))
    own = started['moderation check "hello"'][0]
    found.append(("seconds of `moderation check`", "start", own))
    if "alt-profanity-check" in started:
        value = own / started["alt-profanity-check"][0]
        found.append(("`moderation check`, of a script with alt-profanity-check", "start, alt-profanity-check", value))
    return found


def hostile(review: Callable[[str], object]) -> list[tuple[str, float, float]]:
    """Time comments that are long and of one make; in linear time the larger takes four times as long."""
    pieces = {
        "one letter": "a",
        "one letter, apart": "a ",
        "zero-width joiners": "\u200d",
        "brackets": "(",
        "masks": "f*",
        "nested markup": "<b><i>[url=a]&lt;",
        "a town": "Scunthorpe ",
        "a swear word": "fuck ",
        "links": "https://a.com/b ",
        "digits": "0123456789 ",
        "look-alikes": "\u0430",
        "a group": "gay ",
        "what may be one": "german cars ",
    }
    found = []
    for name, piece in pieces.items():
        taken = []
        for size in (SMALL, LARGE):
            text = (piece * (size // len(piece) + 1))[:size]
            begun = time.process_time()
            review(text)
            taken.append(time.process_time() - begun)
        found.append((name, taken[0], taken[1]))
    return found


def pin(core: int | None) -> int | None:
    """Keep this process and those it starts on one core; None where the system has no such call.

    Source: sched_setaffinity(2), as ``taskset`` uses it.
    """
    if not hasattr(os, "sched_setaffinity"):
        return None
    core = max(os.sched_getaffinity(0)) if core is None else core
    os.sched_setaffinity(0, {core})
    return core


def chosen(rows: Sequence[tuple[str, str]], count: int) -> list[str]:
    """Give so many distinct comments, those of news sites first, in an order of no source."""
    texts: dict[str, None] = {}
    for name in SOURCES:
        texts |= dict.fromkeys(text for source, text in rows if source == name and text.strip())
        if len(texts) >= count:
            break
    mixed = list(texts)[:count]
    random.Random(20240607).shuffle(mixed)
    return mixed


def with_phrases(policy: Path, folder: Path, count: int) -> Path:
    """Write a copy of a policy that refers phrases of a user, most of which occur nowhere.

    Returns
    -------
    Path
        The copy; its term files stand where the policy's did.
    """
    from moderation.policy import load_policy
    from moderation.vocabulary import COMMON

    words = sorted(COMMON)
    source = random.Random(count)
    phrases: dict[str, None] = {}
    while len(phrases) < count:
        phrases[" ".join(source.choices(words, k=source.randint(2, 3))) + f" {source.randrange(10**6)}"] = None
    listed = list(phrases)
    (folder / "terms").mkdir()
    for name in load_policy(policy, check_patterns=False).term_files:
        found = next(file for parent in policy.resolve().parents[:2] if (file := parent / name).is_file())
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(found.read_bytes())
    (folder / "terms" / "phrases.txt").write_text("".join(f"{phrase}\t2\n" for phrase in listed), encoding="utf-8")
    violates = ", ".join(f'"{phrase}"' for phrase in listed[:3])
    rule = f"""
[[rule]]
id = "promotion.phrase-of-a-user"
guideline = "promotion"
effect = "refer"
statement = "Says a phrase of a user's list."
reason = "It says a phrase that is not wanted."
known_problems = "None known."
terms = "terms/phrases.txt"
violates = [{violates}]
allowed = ["a quiet lake", "a long road"]
"""
    copy = folder / "policy.toml"
    copy.write_text(policy.read_text(encoding="utf-8") + rule, encoding="utf-8")
    return copy


def ours(texts: Sequence[str], policy: Path | None, model: Path | None, classifier: str) -> dict[str, Taken]:
    """Time loading, the review of a file, and each stage alone."""
    from moderation import Moderator
    from moderation.batch import review_file
    from moderation.normalise import fold
    from moderation.rules import apply_rules

    lines: dict[str, Taken] = {}
    wall, cpu = time.perf_counter(), time.process_time()
    moderator = Moderator.load(policy, model, classifier)
    moderator.review("hello")  # Terms and patterns are compiled when first used.
    lines["moderation: load policy and model"] = Taken(0, time.perf_counter() - wall, time.process_time() - cpu)
    with tempfile.TemporaryDirectory(prefix="moderation-speed-") as folder:
        source, target = Path(folder, "comments.csv"), Path(folder, "decisions.csv")
        with source.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(("id", "text"))
            writer.writerows(enumerate(texts, 1))
        for run in ("first", "second"):
            wall, cpu = time.perf_counter(), time.process_time()
            summary = review_file(moderator, source, target)
            lines[f"moderation: review, CSV to CSV, {run} run"] = Taken(
                len(texts), time.perf_counter() - wall, time.process_time() - cpu
            )
            # Blank texts count as unreadable rows; none may be lost.
            assert summary.rows == len(texts), f"{summary.rows} rows of {len(texts)} were reviewed"
    words = moderator.policy.words
    folded = [fold(text, words) for text in texts]
    chunks = [folded[start : start + CHUNK] for start in range(0, len(folded), CHUNK)]
    stages: dict[str, Callable[[], object]] = {
        "moderation: fold alone": lambda: [fold(text, words) for text in texts],
        "moderation: rules alone": lambda: [apply_rules(one, moderator.policy) for one in folded],
        f"moderation: {moderator.classifier.stage} stage alone": lambda: list(map(moderator.classifier.score, chunks)),
    }
    return lines | in_turn(stages, len(texts))


def in_turn(works: dict[str, Callable[[], object]], comments: int) -> dict[str, Taken]:
    """Time works, each several times in turn, so that a disturbance meets all; the fastest run of each counts.

    Source: the advice in Python's ``timeit`` to take the minimum.
    """
    fastest: dict[str, Taken] = {}
    for _ in range(REPEATS):
        for name, work in works.items():
            wall, cpu = time.perf_counter(), time.process_time()
            work()
            taken = Taken(comments, time.perf_counter() - wall, time.process_time() - cpu)
            fastest[name] = min(taken, fastest.get(name, taken), key=lambda one: one.cpu_seconds)
    return fastest


def command() -> list[str]:
    """Give the installed command that belongs to this interpreter, or the module."""
    script = Path(sys.executable).with_name("moderation")
    return [str(script)] if script.is_file() else [sys.executable, "-m", "moderation"]


def processes(commands: dict[str, list[str]]) -> dict[str, tuple[float, float]]:
    """Give each command's median seconds, of the clock and of the processor; they run in turn.

    Raises
    ------
    RuntimeError
        When a command fails, with what it said: a failure must not pass for speed.
    """
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
    for run in range(PROCESSES + 1):
        for name, arguments in commands.items():
            wall, cpu = time.perf_counter(), children()
            done = subprocess.run(arguments, capture_output=True, text=True, check=False)
            if done.returncode:
                raise RuntimeError(f"{name}: exit status {done.returncode}: {done.stderr.strip()[-400:]}")
            if run:  # The first fills the file cache.
                taken[name].append((time.perf_counter() - wall, children() - cpu))
    return {
        name: (statistics.median(wall for wall, _ in times), statistics.median(cpu for _, cpu in times))
        for name, times in taken.items()
    }


def children() -> float:
    """Give the processor seconds of the processes that were started and have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


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

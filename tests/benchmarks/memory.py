"""Measure the largest resident size and the processor time of reviews of growing files.

Usage: python tests/benchmarks/memory.py [--data DIR] [--rows N ...] [--fake] [--form csv|jsonl|parquet]

Rows repeat real news comments of the data sets (or sentences of no meaning, without --data). Each review is one
process with one core. With --fake a classifier and rules that cost nothing take the place of the real ones, so that
reading, cutting into parts, writing and noting are what is measured, and ten million rows take minutes.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from inputs import write_comments
from speed import processor

RUN = """
import resource, sys
import numpy as np
from moderation import Moderator
from moderation.batch import review_file
from moderation.decision import Decision, Verdict

class Cheap:
    version, stage = "cheap-1", "linear"

class Fake(Moderator):
    def review_many(self, comments):
        return tuple(
            Decision(comment.id, Verdict.APPROVE, (), "", 0.125, {"threat": 0.125}, 0.5, "linear", (), "p", "m")
            for comment in comments
        )

source, target, fake = sys.argv[1], sys.argv[2], sys.argv[3] == "fake"
moderator = Moderator.load(None, None, "linear")
if fake:
    moderator = Fake(moderator.policy, Cheap())
before = resource.getrusage(resource.RUSAGE_SELF)
summary = review_file(moderator, source, target)
after = resource.getrusage(resource.RUSAGE_SELF)
seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
print(summary.rows, after.ru_maxrss, seconds)
"""


def main() -> int:
    """Measure and print; exit status 1 when memory grows by more than a fifth."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder of the labelled data sets")
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000, 1_000_000], help="sizes (default 1e5 1e6)")
    parser.add_argument("--fake", action="store_true", help="leave rules and classifier out")
    parser.add_argument("--form", default="csv", help="csv, jsonl or parquet (default csv)")
    options = parser.parse_args()
    sizes: list[tuple[int, float, float]] = []
    for rows in options.rows:
        with tempfile.TemporaryDirectory(prefix="moderation-memory-") as folder:
            source = Path(folder, f"in.{options.form}")
            write_comments(options.data, source, rows)
            target = Path(folder, f"out.{options.form}")
            done = subprocess.run(
                [sys.executable, "-c", RUN, str(source), str(target), "fake" if options.fake else ""],
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode:
                print(done.stderr, file=sys.stderr)
                return 3
            reviewed, kilobytes, seconds = done.stdout.split()
            assert int(reviewed) == rows
            sizes.append((rows, int(kilobytes) / 1024, float(seconds)))
            print(f"{rows}: {sizes[-1][1]:.0f} MiB, {seconds} s of processor time", file=sys.stderr)
    what = "reading and writing alone" if options.fake else "the whole review, --classifier linear"
    print(f"{options.form}, {what}; {processor()}, load {os.getloadavg()[0]:.1f} at the end.\n")
    print("| rows | largest resident size, MiB | to the first | processor seconds a million rows | to the first |")
    print("| --: | --: | --: | --: | --: |")
    _, first, pace = sizes[0]
    pace *= 1e6 / sizes[0][0]
    for rows, megabytes, seconds in sizes:
        each = seconds * 1e6 / rows
        print(f"| {rows:,} | {megabytes:.0f} | {megabytes / first:.2f} | {each:.1f} | {each / pace:.2f} |")
    return 0 if max(megabytes for _, megabytes, _ in sizes) <= 1.2 * first else 1


if __name__ == "__main__":
    sys.exit(main())

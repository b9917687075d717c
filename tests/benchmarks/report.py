"""How fast `moderation report` reads decided files, and that its memory does not grow with them.

``python tests/benchmarks/report.py --rows 20000``; one core. The rows are the example comments, again and
again. Linux only.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from moderation import Moderator
from moderation.batch import review_file
from moderation.paths import DATA

MEASURE = """
import json, re, sys, time
from moderation.report import report_file
start = time.process_time()
rows = report_file(sys.argv[1], sys.argv[2]).rows
peak = int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) / 1024
print(json.dumps({"rows": rows, "seconds": time.process_time() - start, "megabytes": peak}))
"""


def main() -> None:
    """Print a line for the number of rows asked for, and one for three and ten times as many."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=20_000, help="rows of the smallest file")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        decided = folder / "decided.jsonl"
        review_file(Moderator.load(classifier="linear"), DATA / "examples" / "comments.csv", decided)
        lines = decided.read_text(encoding="utf-8").splitlines(keepends=True)
        print("| rows | processor seconds | rows a second | most memory, MB |")
        print("| --: | --: | --: | --: |")
        for times in (1, 3, 10):
            source = folder / f"{times}.jsonl"
            with source.open("w", encoding="utf-8") as file:
                for row in range(asked.rows * times):
                    file.write(lines[row % len(lines)])
            done = subprocess.run(
                [sys.executable, "-c", MEASURE, str(source), str(folder / "report.html")],
                check=True,
                capture_output=True,
                text=True,
            )
            found = json.loads(done.stdout)
            rate = found["rows"] / found["seconds"]
            print(f"| {found['rows']:,} | {found['seconds']:.1f} | {rate:,.0f} | {found['megabytes']:.0f} |")


if __name__ == "__main__":
    main()

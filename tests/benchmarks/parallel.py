"""Measure how much faster a review is on several cores and on a Dask cluster, and what large inputs will take.

Usage: python tests/benchmarks/parallel.py --data DIR [--rows N] [--repeats N] [--jobs N] [--no-dask]
       [--model DIR] [--policy FILE] [--classifier linear|cascade]

The same file is reviewed with one process, with several, and by a Dask scheduler with as many worker processes, in
turn; each figure is the best of the repeats, and the outputs must be the same bytes. Where other programs use the
machine, read the ratios with the load that is printed.
"""

import argparse
import filecmp
import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from inputs import write_comments
from speed import command, processor

SIZES = (100_000, 1_000_000, 10_000_000, 100_000_000, 1_000_000_000)
CORES = (1, 8, 64, 512)


def main() -> int:
    """Measure and print; exit status 1 when an output differs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder of the labelled data sets; needed unless --rate is given")
    parser.add_argument("--rows", type=int, default=100_000, help="comments to review (default 100000)")
    parser.add_argument("--repeats", type=int, default=3, help="of each measurement (default 3)")
    parser.add_argument("--jobs", type=int, default=2, help="processes, and Dask workers (default 2)")
    parser.add_argument("--no-dask", action="store_true", help="leave the cluster out")
    parser.add_argument("--model", help="model folder; the one shipped if not given")
    parser.add_argument("--policy", help="policy file; the one shipped if not given")
    parser.add_argument("--classifier", default="linear", help="linear or cascade (default linear)")
    parser.add_argument("--rate", type=float, help="print the sizing table for so many comments a second a core, alone")
    parser.add_argument("--bytes", type=float, default=300, help="of a comment's row, for the table (default 300)")
    options = parser.parse_args()
    if options.rate:
        sizing(options.rate, options.bytes)
        return 0
    if options.data is None:
        parser.error("give --data or --rate")
    fixed = ["--classifier", options.classifier, "--quiet"]
    for name in ("model", "policy"):
        if getattr(options, name):
            fixed += [f"--{name}", str(Path(getattr(options, name)).resolve())]
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="moderation-parallel-")))
        source = folder / "in.csv"
        write_comments(options.data, source, options.rows)
        ways = {"one process": ["--jobs", "1"], f"{options.jobs} processes": ["--jobs", str(options.jobs)]}
        if not options.no_dask:
            address = stack.enter_context(Cluster(folder, options.jobs)).address
            ways[f"Dask, {options.jobs} workers"] = ["--backend", "dask", "--scheduler", address]
        taken = measure(source, ways, fixed, options.repeats)
        same = all(filecmp.cmp(folder / "out-0.csv", folder / f"out-{n}.csv", shallow=False) for n in range(len(ways)))
        first = next(iter(taken.values()))
        print(f"\n{options.rows} comments, {source.stat().st_size / options.rows:.0f} bytes a row; {processor()},")
        print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the end; best of {options.repeats}.\n")
        print("| way | seconds | comments a second | times one process |\n| --- | --: | --: | --: |")
        for way, seconds in taken.items():
            print(f"| {way} | {seconds:.1f} | {options.rows / seconds:,.0f} | {first / seconds:.2f} |")
        print(f"\nThe outputs are {'the same, byte for byte' if same else 'NOT the same'}.\n")
        sizing(options.rows / first, source.stat().st_size / options.rows)
    return 0 if same else 1


def measure(source: Path, ways: dict[str, list[str]], fixed: list[str], repeats: int) -> dict[str, float]:
    """Give the best wall time of each way in seconds, start of the processes included; they run in turn."""
    taken: dict[str, list[float]] = {way: [] for way in ways}
    for repeat in range(repeats):
        for number, (way, arguments) in enumerate(ways.items()):
            target = source.with_name(f"out-{number}.csv")
            begun = time.perf_counter()
            done = subprocess.run([*command(), "review", str(source), "-o", str(target), *arguments, *fixed])
            if done.returncode not in (0, 4):
                raise RuntimeError(f"{way}: exit status {done.returncode}")
            taken[way].append(time.perf_counter() - begun)
            print(f"{way}, {repeat + 1}: {taken[way][-1]:.1f} s, load {os.getloadavg()[0]:.1f}", file=sys.stderr)
    return {way: min(times) for way, times in taken.items()}


class Cluster:
    """A Dask scheduler and workers of one thread, each a process of its own."""

    def __init__(self, folder: Path, workers: int) -> None:
        self._where = folder / "scheduler.json"
        quiet = ["--no-dashboard", "--scheduler-file", str(self._where)]
        commands = [["scheduler", "--host", "127.0.0.1", "--port", "0", *quiet]]
        commands += [["worker", "--nthreads", "1", "--no-nanny", *quiet]] * workers
        with (folder / "dask.log").open("w") as log:
            self._processes = [
                subprocess.Popen([sys.executable, "-m", "dask", *words], stdout=log, stderr=log, cwd=folder)
                for words in commands
            ]

    def __enter__(self) -> "Cluster":
        from distributed import Client

        while not self._where.exists():
            time.sleep(0.1)
        self.address = json.loads(self._where.read_text())["address"]
        with Client(self.address) as client:
            client.wait_for_workers(len(self._processes) - 1)
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes:
            process.kill()
            process.wait()


def sizing(rate: float, row_bytes: float) -> None:
    """Print what inputs of each size take, derived from the rate of one core."""
    print(f"Derived from {rate:,.0f} comments a second a core and {row_bytes:.0f} bytes a row:\n")
    heads = " | ".join(f"{cores} core{'s' if cores > 1 else ''}" for cores in CORES)
    print(f"| comments | input | core hours | {heads} |\n| --: | --: | --: |{' --: |' * len(CORES)}")
    for rows in SIZES:
        hours = rows / rate / 3600
        cells = " | ".join(duration(hours * 3600 / cores) for cores in CORES)
        print(f"| {rows:,} | {size(rows * row_bytes)} | {hours:,.2f} | {cells} |")


def duration(seconds: float) -> str:
    """Put seconds into words."""
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.0f} s"


def size(number: float) -> str:
    """Put bytes into words."""
    for unit, length in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if number >= length:
            return f"{number / length:.1f} {unit}"
    return f"{number:.0f} B"


if __name__ == "__main__":
    sys.exit(main())

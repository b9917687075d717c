"""Kill reviews at random moments, resume them, and compare their output with that of one never killed.

Usage: python tests/benchmarks/kill.py [--runs N] [--rows N] [--seed N] [--processes SHARE]

Each run is a process that gets SIGKILL, which no program can catch, after a random time; so may its resumption be,
up to three times. A small model and small parts make one run take a moment only; the code is that of every review.
"""

import argparse
import filecmp
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from toys import write_toys

PART_BYTES = 512
AGAIN = 0.4
"""Share of the resumptions that are killed as well."""


def main() -> int:
    """Kill, resume, compare; exit status 1 when any output differs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=200, help="how many runs to kill (default 200)")
    parser.add_argument("--rows", type=int, default=1000, help="rows of the input (default 1000)")
    parser.add_argument("--seed", type=int, default=1, help="of the random moments (default 1)")
    parser.add_argument("--processes", type=float, default=0.1, help="share of runs with --jobs 2 (default 0.1)")
    options = parser.parse_args()
    chance = random.Random(options.seed)

    # Loaded once here; each run is a copy of this process.
    from moderation import Moderator
    from moderation.cli import main as command

    assert callable(command)
    with tempfile.TemporaryDirectory(prefix="moderation-kill-") as name:
        folder = Path(name)
        policy, model = write_toys(folder)
        moderator = Moderator.load(policy, model, "linear")
        moderator.review("hello")
        Moderator.load = lambda *_: moderator  # type: ignore[method-assign]
        source = folder / "in.csv"
        write_input(source, options.rows)
        fixed = ["--policy", str(policy), "--model", str(model), "--classifier", "linear", "--quiet"]
        whole = folder / "whole.csv"
        seconds = {}
        for jobs in (1, 2, 1):  # Once more in a file system that knows the folder.
            _, status, used = os.wait4(start(["review", str(source), "-o", str(whole), "--jobs", str(jobs), *fixed]), 0)
            assert os.waitstatus_to_exitcode(status) == 4, "the input has unreadable rows"
            seconds[jobs] = used.ru_utime + used.ru_stime
        print(f"{options.rows} rows take {seconds[1]:.2f} s of processor time, to hand them out {seconds[2]:.2f} s")
        same = kills = 0
        moments = dict.fromkeys(("before anything was done", "with parts done", "after the end"), 0)
        for number in range(1, options.runs + 1):
            target = folder / f"out-{number}.csv"
            jobs = 2 if chance.random() < options.processes else 1
            arguments = ["review", str(source), "-o", str(target), "--resume", "--jobs", str(jobs), *fixed]
            wait = chance.uniform(0, seconds[jobs])
            for _ in range(3):
                process = start(arguments)
                until(process, wait)
                os.kill(process, signal.SIGKILL)
                _, status = os.waitpid(process, 0)
                kills += os.WIFSIGNALED(status)
                moments[moment(target)] += 1
                if chance.random() > AGAIN:
                    break
                wait = chance.uniform(0, seconds[jobs])
            status = finished(start(arguments))
            equal = status == 4 and all(
                filecmp.cmp(str(whole) + ending, str(target) + ending, shallow=False)
                for ending in ("", ".errors.jsonl")
            )
            same += equal and not Path(f"{target}.run").exists()
            if not equal:
                print(f"run {number}: status {status}, output differs; kept in {keep(folder, target)}")
            for path in folder.glob(f"{target.name}*"):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        print(", ".join(f"{count} kills {when}" for when, count in moments.items()))
        print(
            f"{options.runs} runs killed {kills} times in all and resumed: {same} outputs are the same, byte for byte"
        )
        return 0 if same == options.runs else 1


def write_input(path: Path, rows: int) -> None:
    """Write comments of all sorts: quoted newlines, rows that cannot be read, attacks."""
    texts = ("hello", '"two\nlines, one ""quote"""', "a clown", "I will kill you", "naïve \U0001f600")
    lines = ["id,text,n"]
    for number in range(rows):
        broken = number % 97 == 5
        lines.append(f"{number},{'too, many, cells' if broken else texts[number % len(texts)]},{number * 7}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def start(arguments: list[str]) -> int:
    """Run the command in a copy of this process; give its id."""
    process = os.fork()
    if process:
        return process
    status = 70
    try:
        from moderation.batch import review
        from moderation.cli import main as command

        review.LINEAR_BYTES = PART_BYTES
        sys.argv = ["moderation", *arguments]
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        command()
        status = 0
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else 70
    finally:
        os._exit(status)


def until(process: int, seconds: float) -> None:
    """Wait until a process has used so much processor time, or ended: a moment that no other process shifts.

    Source: the first number of /proc/PID/schedstat, nanoseconds on a processor.
    """
    while os.waitid(os.P_PID, process, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        if int(Path(f"/proc/{process}/schedstat").read_text().split()[0]) >= seconds * 1e9:
            return
        time.sleep(0.001)


def finished(process: int) -> int:
    """Wait for a process; give its exit status, below zero for a signal."""
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def moment(target: Path) -> str:
    """Tell when a run was killed, by what it left behind."""
    if target.exists():
        return "after the end"
    try:
        notes = Path(f"{target}.run", "parts.jsonl").read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        notes = []
    return "with parts done" if any(json.loads(line) for line in notes[:1]) else "before anything was done"


def keep(folder: Path, target: Path) -> Path:
    """Keep what a run left behind, to look at."""
    kept = Path(tempfile.mkdtemp(prefix="moderation-kill-kept-"))
    for path in folder.glob(f"{target.name}*"):
        shutil.copytree(path, kept / path.name) if path.is_dir() else shutil.copy(path, kept)
    return kept


if __name__ == "__main__":
    sys.exit(main())

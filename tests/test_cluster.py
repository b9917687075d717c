import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from moderation import Moderator
from moderation.batch import review, review_file

pytest.importorskip("distributed")

PART_BYTES = 2048
CLIENT = """
import sys
from moderation.batch import review
from moderation.cli import main
review.LINEAR_BYTES = int(sys.argv.pop(1))
main()
"""
MINUTES = 5
"""Far longer than needed: a machine may be busy."""


@contextmanager
def process(*arguments: str, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a Python process until the block ends; what it says is kept in a file."""
    with (folder / "log.txt").open("ab") as log:
        started = subprocess.Popen([sys.executable, *arguments], stdout=log, stderr=log, cwd=folder)
        try:
            yield started
        finally:
            started.kill()
            started.wait()


def wait_for(what: Path, lines: int, of: subprocess.Popen[bytes]) -> None:
    """Wait until a file has so many lines."""
    until = time.monotonic() + 60 * MINUTES
    while not what.exists() or what.read_bytes().count(b"\n") < lines:
        assert of.poll() is None, f"ended before {what} was there"
        assert time.monotonic() < until
        time.sleep(0.02)


def test_a_worker_that_is_killed_mid_run_costs_nothing(
    tmp_path: Path, toy_file: Path, toy_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target, alone = tmp_path / "in.csv", tmp_path / "out.csv", tmp_path / "alone.csv"
    texts = ["hello", '"two\nlines"', "a clown", "I will kill you", "too, many, cells"]
    source.write_text("id,text\n" + "".join(f"{n},{texts[n % len(texts)]}\n" for n in range(8000)))
    where = tmp_path / "scheduler.json"
    quiet = ("--no-dashboard", "--scheduler-file", str(where))
    with ExitStack() as running:
        start = lambda *words: running.enter_context(process(*words, folder=tmp_path))  # noqa: E731
        scheduler = start("-m", "dask", "scheduler", "--host", "127.0.0.1", "--port", "0", *quiet)
        wait_for(where, 1, scheduler)
        one, other = (start("-m", "dask", "worker", "--nthreads", "1", "--no-nanny", *quiet) for _ in range(2))
        address = json.loads(where.read_text())["address"]
        options = ["--policy", str(toy_file), "--model", str(toy_model), "--classifier", "linear", "--quiet"]
        cluster = ["--backend", "dask", "--scheduler", address]
        client = start("-c", CLIENT, str(PART_BYTES), "review", "in.csv", "-o", "out.csv", *cluster, *options)
        wait_for(Path(f"{target}.run", "parts.jsonl"), 3, client)
        os.kill(one.pid, signal.SIGKILL)
        status = client.wait(60 * MINUTES)
        assert status == 4, (tmp_path / "log.txt").read_text()
        assert other.poll() is None
    monkeypatch.setattr(review, "LINEAR_BYTES", PART_BYTES)
    review_file(Moderator.load(toy_file, toy_model, "linear"), source, alone)
    assert target.read_bytes() == alone.read_bytes()
    errors = Path(f"{target}.errors.jsonl").read_text()
    assert errors == Path(f"{alone}.errors.jsonl").read_text()
    assert len(errors.splitlines()) == 1600


@pytest.mark.parametrize("address", ["garbage", "tcp://host-without-port", "foo://127.0.0.1:1"])
def test_an_address_that_is_none_is_told_at_once(tmp_path: Path, toy_file: Path, toy_model: Path, address: str) -> None:
    (tmp_path / "in.csv").write_text("text\nhello\n")
    options = ["--policy", str(toy_file), "--model", str(toy_model), "--backend", "dask", "--scheduler", address]
    command = [sys.executable, "-m", "moderation", "review", "in.csv", "-o", "out.csv", *options]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=30)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert f"{address}: no Dask scheduler answers there" in done.stderr

"""Calling a function on many tasks, in this process or in several."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

CHILD = """
import time
from moderation.parallel import call_each

for one in call_each(str, [("one task for two workers",)], jobs=2):
    print(one, flush=True)
    time.sleep(60)
"""


def children(parent: int) -> set[int]:
    found = set()
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rsplit(")", 1)[1].split()
        except OSError:  # It has ended meanwhile.
            continue
        if int(fields[1]) == parent and fields[0] != "Z":
            found.add(int(status.parent.name))
    return found


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="the system has no /proc")
def test_no_worker_outlives_a_parent_that_was_killed() -> None:
    parent = subprocess.Popen([sys.executable, "-c", CHILD], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert parent.stdout
    with parent, parent.stdout:
        parent.stdout.readline()
        deadline = time.monotonic() + 20
        while len(workers := children(parent.pid)) < 3 and time.monotonic() < deadline:  # And joblib's tracker.
            time.sleep(0.1)
        os.kill(parent.pid, signal.SIGKILL)
    assert len(workers) >= 3
    while (left := [pid for pid in workers if Path(f"/proc/{pid}").exists()]) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not left

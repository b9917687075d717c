"""A service in a process of its own, and a client that costs little beside it; for load.py and kill_service.py."""

import asyncio
import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

READY_SECONDS = 600
_LENGTH = re.compile(rb"content-length: *(\d+)", re.I)


class Service:
    """`moderation serve` on a free port of this machine."""

    def __init__(self, state: Path, *options: str, **environment: str) -> None:
        self.state = state
        self.options = options
        self.environment = environment
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> float:
        """Start it; give the seconds until it was ready."""
        started = time.perf_counter()
        command = [sys.executable, "-m", "moderation", "serve", "--port", str(self.port), "--state", str(self.state)]
        with (self.state / "service.log").open("ab") as log:
            self.process = subprocess.Popen(
                [*command, *self.options], stderr=log, stdout=log, env={**os.environ, **self.environment}
            )
        while time.perf_counter() - started < READY_SECONDS:
            if self.process.poll() is not None:
                raise RuntimeError(f"the service ended: see {self.state / 'service.log'}")
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/readyz", timeout=2) as answer:
                    if answer.status == 200:
                        return time.perf_counter() - started
            except OSError:
                time.sleep(0.02)
        raise RuntimeError("the service did not become ready")

    def get(self, path: str) -> dict[str, object]:
        """Give the JSON of one page."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=30) as answer:
            found: dict[str, object] = json.load(answer)
            return found

    def cpu_seconds(self) -> float:
        """Give the processor time that it has used."""
        assert self.process
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def megabytes(self) -> float:
        """Give the memory that it holds."""
        assert self.process
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(r"VmRSS:\s+(\d+) kB", text)
        return int(found[1]) / 1024 if found else 0.0

    def kill(self) -> None:
        """End it without warning."""
        assert self.process
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> int:
        """Ask it to end; give its exit status."""
        assert self.process
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)


class Connection(asyncio.Protocol):
    """One connection that is kept; one request at a time."""

    def __init__(self) -> None:
        self.buffer = bytearray()
        self.waiter: asyncio.Future[tuple[int, bytes, bytes]] | None = None
        self.lost = False

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        end = self.buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        found = _LENGTH.search(self.buffer, 0, end + 2)
        size = end + 4 + (int(found[1]) if found else 0)
        if len(self.buffer) >= size and self.waiter and not self.waiter.done():
            head, body = bytes(self.buffer[:end]), bytes(self.buffer[end + 4 : size])
            del self.buffer[:size]
            self.waiter.set_result((int(head[9:12]), head, body))

    def connection_lost(self, error: Exception | None) -> None:
        self.lost = True
        if self.waiter and not self.waiter.done():
            self.waiter.set_exception(ConnectionResetError("the connection was lost"))

    async def ask(self, request: bytes) -> tuple[int, bytes, bytes]:
        """Send one request; give status, head and body of the answer."""
        if self.lost:
            raise ConnectionResetError("the connection was lost")
        self.waiter = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        return await self.waiter


async def connect(port: int) -> Connection:
    """Open one connection."""
    _, connection = await asyncio.get_running_loop().create_connection(Connection, "127.0.0.1", port)
    return connection


def post(path: str, body: object) -> bytes:
    """Give the bytes of a request."""
    raw = json.dumps(body).encode()
    head = (f"POST {path} HTTP/1.1", "Host: localhost", "Content-Type: application/json", f"Content-Length: {len(raw)}")
    return "\r\n".join((*head, "", "")).encode() + raw


def news(data: Path | None, rows: int) -> list[str]:
    """Give real news comments, in an order of no source; sentences of our own without the data sets."""
    from moderation import datasets

    if data is None:
        texts = [row.text for row in datasets.own() if row.source.endswith(("news", "benign"))]
    else:
        sources = ("c3-constructive", "unhealthy-conversations")
        texts = [row.text for row in datasets.public(data, ("news",)) if row.source in sources]
    random.Random(5).shuffle(texts)
    return texts[:rows]


def percentile(values: Sequence[float], share: float) -> float:
    """Give the value that this share of the others does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")


def load_average() -> str:
    """Tell how busy the machine is, whoever keeps it so."""
    return "machine load " + " ".join(f"{value:.1f}" for value in os.getloadavg()) + f" on {os.cpu_count()} cores"

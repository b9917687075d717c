"""The service as a process: signals, slow clients, several workers, and an end without warning."""

import asyncio
import errno
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import httpx
import pytest
import uvicorn
from toys import POLICY
from uvicorn.server import ServerState

from moderation.cli import main
from moderation.service.audit import AuditLog
from moderation.service.limits import MAX_HEADER_BYTES, PatientProtocol

Start = Callable[..., "Process"]


class Process:
    """`moderation serve` on a free port."""

    def __init__(self, folder: Path, model: Path, *options: str, **environment: str) -> None:
        self.state = folder / "state"
        self.policy = folder / "policy.toml"
        self.policy.write_text(POLICY, encoding="utf-8")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = folder / "log"
        command = [sys.executable, "-m", "moderation", "serve", "--port", str(self.port), "--state", str(self.state)]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [*command, "--policy", str(self.policy), "--model", str(model), *options],
                stdout=log,
                stderr=log,
                env={**os.environ, **environment},
            )
        end = time.monotonic() + 180
        while not self.answers():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < end, self.log.read_text()
            time.sleep(0.05)

    def answers(self) -> bool:
        try:
            return httpx.get(self.url + "/readyz", timeout=5).status_code == 200
        except httpx.HTTPError:
            return False

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(120)

    def until(self, true: Callable[[], bool]) -> None:
        end = time.monotonic() + 120
        while not true():
            assert time.monotonic() < end, self.log.read_text()
            time.sleep(0.05)

    def identity(self) -> str:
        return str(httpx.get(self.url + "/v1/policy", timeout=120).json()["identity"])


@pytest.fixture
def start(toy_model: Path, tmp_path: Path) -> Iterator[Start]:
    started: list[Process] = []

    def begin(*options: str, **environment: str) -> Process:
        started.append(Process(tmp_path, toy_model, *options, **environment))
        return started[-1]

    yield begin
    for one in started:
        if one.process.poll() is None:
            one.process.kill()
            one.process.wait()


def request(body: bytes, path: str = "/v1/decisions", length: int | None = None) -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    return head.encode() + b"Content-Length: %d\r\n\r\n" % (len(body) if length is None else length) + body


def received(connection: socket.socket) -> bytes:
    """Read until the other side closes."""
    connection.settimeout(120)
    found = b""
    while part := connection.recv(65536):
        found += part
    return found


def test_a_signal_ends_it_when_what_was_accepted_is_answered(start: Start) -> None:
    service = start()
    body = json.dumps({"id": "slow", "text": "you clown"}).encode()
    with socket.create_connection(("127.0.0.1", service.port)) as connection:
        connection.sendall(request(body)[:-5])
        time.sleep(0.3)
        service.process.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        assert service.process.poll() is None
        with pytest.raises(OSError, match="refused"):
            socket.create_connection(("127.0.0.1", service.port))
        connection.sendall(body[-5:])
        reply = received(connection)
    assert reply.startswith(b"HTTP/1.1 200")
    assert b'"verdict":"reject"' in reply
    assert service.process.wait(120) == 0
    log = AuditLog(f"sqlite:///{service.state / 'audit.db'}")
    assert [entry["id"] for entry in log.every()] == ["slow"]
    log.close()
    assert "clown" not in service.log.read_text()
    assert "Traceback" not in service.log.read_text()


def test_what_was_sent_before_the_end_is_answered() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 204})
        await send({"type": "http.response.body"})

    async def run() -> bytes:
        config, state = uvicorn.Config(app, log_config=None), ServerState()
        config.load()
        server = await asyncio.get_running_loop().create_server(
            lambda: PatientProtocol(config, state, {}), "127.0.0.1", 0
        )
        with socket.create_connection(server.sockets[0].getsockname()) as client:
            while not state.connections:
                await asyncio.sleep(0.001)
            client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            for connection in list(state.connections):
                connection.shutdown()
            reply = await asyncio.to_thread(received, client)
        server.close()
        return reply

    assert asyncio.run(run()).startswith(b"HTTP/1.1 204")


def test_reload_and_slow_clients(start: Start) -> None:
    service = start(MODERATION_HEADER_TIMEOUT_SECONDS="0.5", MODERATION_BODY_TIMEOUT_SECONDS="0.5")
    first = service.identity()
    service.policy.write_text(POLICY.replace("unflagged = 0.75", "unflagged = 0.65"))
    service.process.send_signal(signal.SIGHUP)
    service.until(lambda: service.identity() != first)
    second = service.identity()
    service.policy.write_text(POLICY.replace("unflagged = 0.75", "unflagged = 75"))
    service.process.send_signal(signal.SIGHUP)
    service.until(lambda: "the old policy and model stay" in service.log.read_text())
    assert service.identity() == second
    assert len(service.log.read_text().split("the old policy and model stay")[1].strip().splitlines()) == 1

    for sent, told in (
        (b"", b""),  # Nothing at all.
        (b"POST /v1/dec", b""),
        (b"POST /v1/decisions HTTP/1.1\r\nHost: localhost\r\nX-", b""),
        (request(b'{"te', length=100), b"HTTP/1.1 408"),
    ):
        with socket.create_connection(("127.0.0.1", service.port)) as connection:
            connection.sendall(sent)
            reply = received(connection)
            assert reply[: len(told)] == told
            assert bool(reply) == bool(told)
    # One that is slow, but not too slow, is served; so is the next request on the same connection.
    body = b'{"text": "hello"}'
    with socket.create_connection(("127.0.0.1", service.port)) as connection:
        for part in (request(body)[:20], request(body)[20:-4], body[-4:], request(body)):
            connection.sendall(part)
            time.sleep(0.1)
        connection.settimeout(120)
        found = b""
        while found.count(b'"verdict"') < 2:
            found += connection.recv(65536)
    assert found.count(b"HTTP/1.1 200") == 2
    assert httpx.post(service.url + "/v1/decisions", content=b"x", headers={"X-Key": "secret"}).status_code == 415
    assert service.end() == 0
    assert "secret" not in service.log.read_text()


@pytest.mark.parametrize("sent", [b"garbage\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"\x16\x03\x01\x02\x00", b"\0" * 100])
def test_what_is_no_http_is_refused(shared: Process, sent: bytes) -> None:
    with socket.create_connection(("127.0.0.1", shared.port)) as connection:
        connection.sendall(sent)
        assert received(connection).startswith(b"HTTP/1.1 400")
    assert shared.answers()


@pytest.mark.parametrize("header", [b"X-A: " + b"a" * 1000 + b"\r\n", b"X" * 1000], ids=["many", "one"])
def test_headers_without_end_are_refused(shared: Process, header: bytes) -> None:
    start = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n"
    with socket.create_connection(("127.0.0.1", shared.port)) as connection:
        connection.sendall(start + header * 20 + b"X: y\r\n\r\n")
        replies = connection.recv(65536)
        connection.sendall(start)
        time.sleep(0.1)  # Else what follows may come with it, and be no further wait.
        connection.sendall((header * 100)[: MAX_HEADER_BYTES + 1])
        replies += received(connection)
    assert replies.startswith(b"HTTP/1.1 200")
    assert b"HTTP/1.1 431" in replies
    assert shared.answers()


@pytest.fixture(scope="module")
def shared(toy_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    service = Process(tmp_path_factory.mktemp("shared"), toy_model)
    yield service
    service.process.kill()
    service.process.wait()


def test_a_client_that_leaves_hurts_nobody(shared: Process) -> None:
    for _ in range(20):
        with socket.create_connection(("127.0.0.1", shared.port)) as connection:
            connection.sendall(request(b'{"text": "hello"}'))
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # Reset, not closed.
    assert httpx.post(shared.url + "/v1/decisions", json={"text": "hello"}, timeout=120).status_code == 200
    assert "Traceback" not in shared.log.read_text()


def test_an_end_without_warning_loses_no_answered_decision(start: Start) -> None:
    service = start()
    answered: list[str] = []
    with httpx.Client(base_url=service.url, timeout=120) as client:
        for number in range(30):
            comments = [{"id": f"{number}-{index}", "text": "hello"} for index in range(3)]
            found = client.post("/v1/decisions", json={"comments": comments}).json()["decisions"]
            answered.extend(one["id"] for one in found)
        service.end(signal.SIGKILL)
    log = AuditLog(f"sqlite:///{service.state / 'audit.db'}")
    assert set(answered) <= {entry["id"] for entry in log.every()}
    log.close()


def test_several_workers_are_one_service(start: Start) -> None:
    service = start("--workers", "2")
    first = service.identity()

    def decided() -> int:
        text = httpx.get(service.url + "/metrics", timeout=120).text
        return sum(int(float(count)) for count in re.findall(r"^moderation_decisions_total\{.*\} (\S+)$", text, re.M))

    for number in range(40):  # A connection each, so that both take some.
        reply = httpx.post(service.url + "/v1/decisions", json={"id": str(number), "text": "hello"}, timeout=120)
        assert reply.status_code == 200
    assert decided() == 40
    service.policy.write_text(POLICY.replace("unflagged = 0.75", "unflagged = 0.65"))
    service.process.send_signal(signal.SIGHUP)
    service.until(lambda: len([1 for _ in range(12) if service.identity() != first]) == 12)
    assert len(httpx.get(service.url + "/v1/audit?limit=100", timeout=120).json()["entries"]) == 40
    assert service.end() == 0


@pytest.fixture
def used() -> Iterator[int]:
    """A port that another listens on."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        yield int(other.getsockname()[1])


def full(**options: str) -> NoReturn:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize(
    ("options", "environment", "status", "told"),
    [
        (["--host", "0.0.0.0"], {}, 2, "moderation keys add"),
        ([], {"MODERATION_HOST": "::"}, 2, "moderation keys add"),
        (["--port", "70000"], {}, 2, "port"),
        (["--config", "none.toml"], {}, 2, "none.toml: no such file"),
        ([], {"MODERATION_WORKERS": "none"}, 2, "workers"),
        ([], {"MODERATION_DRAIN_SECONDS": "inf"}, 2, "drain_seconds"),
        ([], {"MODERATION_IDLE_TIMEOUT_SECONDS": "inf"}, 2, "idle_timeout_seconds"),
        ([], {"MODERATION_SESSION_HOURS": "inf"}, 2, "session_hours"),
        (["--workers", "2"], {"TMPDIR": "full"}, 2, "No space left on device"),
        (["--port", "USED"], {}, 2, "already in use"),
        (["--port", "USED", "--workers", "2"], {}, 2, "already in use"),
        (["--port", "USED", "--host", "localhost"], {}, 2, "already in use"),
        (["--policy", "none.toml"], {}, 3, "none.toml"),
        (["--model", "/"], {}, 3, "no such file"),
        (["--audit", "nonsense"], {}, 2, "audit log"),
    ],
)
def test_what_it_cannot_start_with_is_told_in_a_line(
    tmp_path: Path,
    toy_file: Path,
    toy_model: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    used: int,
    options: list[str],
    environment: dict[str, str],
    status: int,
    told: str,
) -> None:
    given = {"--state": tmp_path, "--policy": toy_file, "--model": toy_model}
    words = [part for name, value in given.items() if name not in options for part in (name, str(value))]
    words += [str(used) if word == "USED" else word for word in options]
    monkeypatch.setattr(sys, "argv", ["moderation", "serve", *words])
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    if "TMPDIR" in environment:
        monkeypatch.setattr(tempfile, "TemporaryDirectory", full)
    with pytest.raises(SystemExit) as end:
        main()
    error = capsys.readouterr().err
    assert end.value.code == status
    assert told in error
    assert len(error.strip().splitlines()) == 1

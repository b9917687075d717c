"""What stands before every handler: the site in the path, limits of the body, and what is measured."""

import asyncio
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from moderation.service.errors import SlowClient, TooLarge
from moderation.service.metrics import Metrics
from moderation.service.settings import Settings

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

MAX_HEADER_BYTES = 64 << 10
_HEADERS_TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
_SITES = "/sites/"


class Limits:
    """Reads the site from ``/sites/NAME/...``, bounds the body in size and time, and counts answers.

    A handler meets `TooLarge` or `SlowClient` where it reads the body, and can render it as its protocol does.
    """

    def __init__(self, app: App, settings: Settings, metrics: Metrics) -> None:
        self.app = app
        self.bytes = settings.max_body_bytes
        self.seconds = settings.body_timeout_seconds
        self.metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = time.perf_counter()
        if scope["path"].startswith(_SITES):
            name, slash, rest = scope["path"][len(_SITES) :].partition("/")
            if name and slash:
                scope = {**scope, "path": "/" + rest, "raw_path": ("/" + rest).encode("utf-8", "replace"), "site": name}
        received = 0
        status = 500
        deadline = started + self.seconds

        async def bounded() -> Message:
            nonlocal received
            if not received and _declared(scope) > self.bytes:
                raise TooLarge(f"a body of {_declared(scope)} bytes; at most {self.bytes}")
            left = deadline - time.perf_counter()
            try:
                async with asyncio.timeout(max(left, 0)):
                    message = await receive()
            except TimeoutError:
                raise SlowClient(f"the body did not arrive within {self.seconds:g} seconds") from None
            received += len(message.get("body", b""))
            if received > self.bytes:
                raise TooLarge(f"a body of more than {self.bytes} bytes")
            return message

        async def counted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = message.setdefault("headers", [])
                headers.append((b"x-content-type-options", b"nosniff"))
                if status in (408, 413):  # What is left of the body is not read.
                    headers.append((b"connection", b"close"))
            await send(message)

        try:
            await self.app(scope, bounded, counted)
        finally:
            endpoint = scope.get("endpoint")
            door = endpoint.__module__.rpartition(".")[2] if endpoint else "none"
            self.metrics.requests.labels(door, str(status)).inc()
            self.metrics.latency.labels(door).observe(time.perf_counter() - started)


def _declared(scope: Scope) -> int:
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit():
            return int(value)
    return 0


class PatientProtocol(HttpToolsProtocol):
    """uvicorn's, with an end to its patience: a request's headers must be there in time, and not without end."""

    header_timeout_seconds = 10.0

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._headers_due: asyncio.TimerHandle | None = None
        self._unfinished = 0
        """Bytes of headers that have no end yet."""

    def data_received(self, data: bytes) -> None:
        """Read what came, and refuse headers that go on and on."""
        due = self._headers_due
        super().data_received(data)
        # The same wait still: all that came was headers.
        self._unfinished = self._unfinished + len(data) if due and due is self._headers_due else 0
        if self._unfinished > MAX_HEADER_BYTES and not self.transport.is_closing():
            self.transport.write(_HEADERS_TOO_LARGE)
            self.transport.close()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start to wait for the first request."""
        super().connection_made(transport)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no more."""
        self._stop()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        """Start to wait for the rest of the headers."""
        super().on_message_begin()
        if self._headers_due is None:
            self._wait()

    def on_headers_complete(self) -> None:
        """Wait no more."""
        self._stop()
        super().on_headers_complete()

    def shutdown(self) -> None:
        """End when what has been sent by now is read: else it would be reset."""
        self.loop.call_later(0.01, super().shutdown)

    def _wait(self) -> None:
        self._headers_due = self.loop.call_later(self.header_timeout_seconds, self._late)

    def _stop(self) -> None:
        if self._headers_due is not None:
            self._headers_due.cancel()
            self._headers_due = None

    def _late(self) -> None:
        self._headers_due = None
        if self.transport and not self.transport.is_closing():
            self.transport.close()

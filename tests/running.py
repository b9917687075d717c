"""The service on a port of its own, in a thread, for tests that need a real one."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import uvicorn
from fastapi import FastAPI

from moderation.service.app import create_app
from moderation.service.settings import Settings


@dataclass(frozen=True, slots=True)
class Service:
    """Where it is, and its shared objects under ``app.state``."""

    url: str
    app: FastAPI


@contextmanager
def running(settings: Settings) -> Iterator[Service]:
    """Serve until the block is left."""
    with serving(create_app(settings)) as service:
        yield service


@contextmanager
def serving(app: FastAPI) -> Iterator[Service]:
    """Serve an application until the block is left."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, ws="none", timeout_keep_alive=1))
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            end = time.monotonic() + 30
            while not server.started:
                assert time.monotonic() < end, "did not start"
                assert thread.is_alive(), "could not start"
                time.sleep(0.01)
            yield Service(f"http://127.0.0.1:{listener.getsockname()[1]}", app)
        finally:
            server.should_exit = True
            thread.join(30)

"""Runs the application on uvicorn: one process, or several behind one socket."""

import asyncio
import gc
import os
import signal
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI
from uvicorn.supervisors import Multiprocess

from moderation.errors import RecordError
from moderation.service.app import collect, create_app
from moderation.service.keys import KeyStore
from moderation.service.limits import PatientProtocol
from moderation.service.settings import Settings, read_settings

LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"plain": {"format": "%(asctime)s %(levelname)s %(message)s"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "plain", "stream": "ext://sys.stderr"}},
    "loggers": {
        name: {"handlers": ["stderr"], "level": "INFO", "propagate": False}
        for name in ("uvicorn.error", "moderation.service")
    },
}


class _Workers(Multiprocess):
    """uvicorn's, but SIGHUP has each worker reload policy and model instead of ending it."""

    def handle_hup(self) -> None:
        for process in self.processes:
            if process.pid:
                os.kill(process.pid, signal.SIGHUP)


def check_exposure(settings: Settings) -> None:
    """Refuse to be reached from elsewhere without keys.

    Raises
    ------
    RecordError
        When there are none and the host is not loopback.
    """
    if not settings.loopback and not KeyStore(settings.keys_file).keys():
        raise RecordError(
            "serve", 0, f"host {settings.host} can be reached from elsewhere: run `moderation keys add NAME` first"
        )


def check_address(settings: Settings) -> None:
    """Refuse an address that cannot be listened on, before anything is loaded.

    Raises
    ------
    RecordError
        When the port is in use, say, or the host no address of this machine.
    """

    async def listen() -> None:
        server = await asyncio.get_running_loop().create_server(
            asyncio.Protocol, settings.host, settings.port, start_serving=False
        )
        server.close()

    try:
        asyncio.run(listen())
    except OSError as error:
        told = error.strerror or error
        raise RecordError("serve", 0, f"cannot listen on {settings.host}, port {settings.port}: {told}") from error


def make_app(file: Path | None, options: dict[str, Any]) -> FastAPI:
    """Make the application from its settings' sources, so that they can be read again."""
    sys.setswitchinterval(0.001)  # What reads the audit log computes in threads; a request shall not wait 5 ms for one.
    PatientProtocol.header_timeout_seconds = read_settings(file, **options).header_timeout_seconds
    app = create_app(read_settings(file, **options), partial(read_settings, file, **options))
    # What was loaded stays, and so do the words that are remembered: the collector need not look through them again
    # and again while requests wait. The young it looks through as before.
    gc.collect()
    gc.freeze()
    gc.set_threshold(2_000, 10, 10_000)
    return app


def serve(file: Path | None, options: dict[str, Any]) -> None:
    """Serve until a signal ends it; requests that were accepted are answered first.

    Raises
    ------
    PolicyError, ModelError, RecordError
        When it cannot start.
    """
    settings = read_settings(file, **options)
    check_exposure(settings)
    check_address(settings)
    connections = _raise_file_limit()
    application = partial(make_app, file, options)
    try:
        if settings.workers > 1:
            folder = tempfile.TemporaryDirectory(prefix="moderation-metrics-")
            os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder.name
        app = application()  # Also where workers make their own: what cannot be used is told here, once.
    except OSError as error:
        raise RecordError("serve", 0, f"cannot start: {error}") from error
    config = uvicorn.Config(
        app if settings.workers == 1 else application,
        factory=settings.workers > 1,
        host=settings.host,
        port=settings.port,
        workers=settings.workers,
        loop="uvloop",
        http=PatientProtocol,
        ws="none",
        access_log=False,  # It would hold keys that stand in a URL.
        server_header=False,
        log_config=LOGGING,
        backlog=4096,
        limit_concurrency=connections,
        timeout_keep_alive=round(settings.idle_timeout_seconds),
        timeout_graceful_shutdown=round(settings.drain_seconds),
        timeout_worker_healthcheck=60,  # A busy machine is no reason to kill a worker.
    )
    # uvicorn raises the signal that ended it once more, when all is done: an orderly end, not a death.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))
    if settings.workers == 1:
        uvicorn.Server(config).run()
        return
    app.state.audit.close()
    del app
    collect()
    _Workers(config, [config.bind_socket()]).run()


def _raise_file_limit() -> int:
    """Allow as many open files as this user may have; give how many connections fit."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = min(hard, 65536) if hard != resource.RLIM_INFINITY else 65536
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        soft = wanted
    return int(soft) - 128

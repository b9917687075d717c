"""The application: the shared objects, the routers, and what happens when it starts, reloads and stops.

An adapter is a module of this folder with a ``router`` and ``check_policy(policy)``, which raises a `PolicyError` for
a table ``[adapters.<name>]`` that it cannot use: asked at start and at every reload.
"""

import asyncio
import ctypes
import gc
import logging
import signal
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException
from starlette.middleware.errors import ServerErrorMiddleware
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.routing import request_response
from starlette.types import ASGIApp

from moderation.errors import ModerationError
from moderation.policy import Policy
from moderation.service import akismet, coral, native, openai, page, perspective, session
from moderation.service.audit import AuditLog
from moderation.service.desk import Desk
from moderation.service.keys import KeyStore
from moderation.service.limits import Limits, Receive, Scope, Send
from moderation.service.metrics import Metrics
from moderation.service.settings import Settings
from moderation.service.sites import load_sites, site_of

LOG = logging.getLogger("moderation.service")
ADAPTERS = (perspective, coral, openai, akismet)


class _Service(FastAPI):
    """FastAPI's application behind `Limits`; what is asked all the time goes past most of its layers."""

    limits: Limits
    decide: ASGIApp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.limits(scope, receive, send)

    async def answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or see to the application's life."""
        if scope["type"] == "http" and scope["path"] == native.DECISIONS and scope["method"] == "POST":
            scope["app"], scope["endpoint"] = self, native.decide
            await self.decide(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)


def create_app(settings: Settings, reread: Callable[[], Settings] | None = None) -> FastAPI:
    """Make the application; policies, model, audit log and keys are loaded when this returns.

    Parameters
    ----------
    reread
        Gives the settings anew when policy and model are reloaded; those of the start if None.

    Raises
    ------
    PolicyError, ModelError
        When a policy or the model cannot be used.
    RecordError
        When the keys or the audit log cannot be opened.
    """

    def check(policy: Policy) -> None:
        for adapter in ADAPTERS:
            adapter.check_policy(policy)

    app = _Service(
        title="moderation",
        summary="Decides which reader comments to publish: approve or reject, with the reasons.",
        version="1",
        docs_url=None,  # Their pages load scripts from the network.
        redoc_url=None,
        redirect_slashes=False,
        lifespan=_lifespan,
    )
    state = app.state
    state.settings = settings
    state.metrics = Metrics()
    state.sites = load_sites(settings, check)
    state.site_of = site_of
    state.audit = AuditLog(settings.audit_url, settings.keep_text, settings.audit_sync)
    state.keys = KeyStore(settings.keys_file, open_without=settings.loopback)
    state.sessions = state.keys.sessions = session.Sessions(state.keys, settings.session_hours)
    state.desk = Desk(settings, state.audit, state.metrics)

    def reload() -> bool:
        """Load policies and model anew; keep the old ones, and say why, if any cannot be used."""
        try:
            sites = load_sites(reread() if reread else settings, check)
        except (ModerationError, OSError) as error:
            state.metrics.reloads.labels("kept the old").inc()
            LOG.error("not reloaded, the old policy and model stay: %s", error)
            return False
        state.sites = sites  # One assignment: a request sees the old or the new, never a mixture.
        frozen = gc.get_freeze_count() > 0
        collect()
        if frozen:  # As the server does.
            gc.freeze()
        state.metrics.reloads.labels("done").inc()
        LOG.info("reloaded: %s", ", ".join(f"{site.name} {site.policy.identity}" for site in sites.values()))
        return True

    state.reload = reload
    for module in (native, session, page, *ADAPTERS):
        app.include_router(module.router)
    app.add_exception_handler(HTTPException, _problem)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(Exception, _bug)
    handled = {kind: handler for kind, handler in app.exception_handlers.items() if kind is not Exception}
    app.decide = ServerErrorMiddleware(ExceptionMiddleware(request_response(native.decide), handled), _bug)
    app.limits = Limits(app.answer, settings, state.metrics)
    document = app.openapi
    app.openapi = lambda: app.openapi_schema or native.add_bodies(document())  # type: ignore[method-assign]
    return app


def collect() -> None:
    """Let go of what is no longer in use, and give its memory back to the system.

    The C library would keep it, for the thread that had it; which thread a reload runs in is chance.
    """
    gc.unfreeze()
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's
    if trim:
        trim(0)


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    loop = asyncio.get_running_loop()
    main = threading.current_thread() is threading.main_thread()
    asked = asyncio.Event()
    if main:
        loop.add_signal_handler(signal.SIGHUP, asked.set)
    tasks = [asyncio.create_task(_checkpoints(app.state.audit)), asyncio.create_task(_reloads(app.state.reload, asked))]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        if main:
            loop.remove_signal_handler(signal.SIGHUP)
        await app.state.desk.close()
        app.state.audit.close()


async def _reloads(reload: Callable[[], bool], asked: asyncio.Event) -> None:
    """Reload when asked, once at a time: side by side, one that read older files could be the last to be done."""
    while True:
        await asked.wait()
        asked.clear()
        try:
            await asyncio.to_thread(reload)
        except Exception as error:
            LOG.error("not reloaded, a bug of moderation: %s", type(error).__name__)


async def _checkpoints(audit: AuditLog) -> None:
    """Keep the write-ahead log short, so that no request waits for it."""
    while True:
        await asyncio.sleep(1)
        with suppress(SQLAlchemyError):  # What cannot be written, the desk tells.
            await asyncio.to_thread(audit.checkpoint)


async def _problem(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    return JSONResponse({"detail": error.detail}, error.status_code, error.headers)


async def _invalid(request: Request, error: Exception) -> JSONResponse:
    """Name the fields; FastAPI's own answer would repeat the comment."""
    assert isinstance(error, RequestValidationError)
    problems = [{"field": ".".join(map(str, one["loc"])) or "body", "problem": one["msg"]} for one in error.errors()]
    first = f"{problems[0]['field']}: {problems[0]['problem']}" if problems else "cannot be read"
    return JSONResponse({"detail": first, "problems": problems}, 422)


async def _bug(request: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"detail": "a bug of moderation; please report it"}, 500)

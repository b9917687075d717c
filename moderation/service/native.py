"""The service's own API: decisions, feedback, the audit log, the policy, and how the service is."""

import json
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal

import anyio.to_thread
from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse
from pydantic import BaseModel, Discriminator, Tag, TypeAdapter, ValidationError
from pydantic.json_schema import models_json_schema

from moderation.comment import Comment
from moderation.decision import Verdict
from moderation.service.adapter import mended
from moderation.service.desk import MAX_ID_CHARS, Desk
from moderation.service.errors import NotFound, ServiceError
from moderation.service.keys import Caller, raw_key_of
from moderation.service.messages import (
    ERRORS,
    CommentIn,
    CommentsIn,
    DecisionOut,
    DecisionsOut,
    EntryOut,
    FeedbackIn,
    FeedbackOut,
    PageOut,
    PolicyOut,
    StateOut,
    SummaryOut,
)
from moderation.service.search import Search
from moderation.service.sites import Site, site_named
from moderation.service.tables import now_ms

DOOR = "native"
DECISIONS = "/v1/decisions"
_JSON = "application/json"
MAX_PROBLEMS = 100
"""Fields of a body that are told to be wrong, each for itself."""


def _check_query(request: Request) -> None:
    """Refuse a parameter that would be ignored: given twice, or unknown where there are some."""
    known = {field.alias for field in request.scope["route"].dependant.query_params}
    for name, times in Counter(name for name, _ in request.query_params.multi_items()).items():
        if times > 1:
            raise ServiceError(422, f"{name[:100]}: given {times} times; give it once")
        if known and name not in known:
            raise ServiceError(422, f"{name[:100]}: no such parameter; there are {', '.join(sorted(known))}")


router = APIRouter(dependencies=[Depends(_check_query)])


def _body(model: type[BaseModel], *more: type[BaseModel]) -> dict[str, Any]:
    """Describe a body that the handler reads itself: FastAPI's way of reading it costs too much here."""
    refs = [{"$ref": f"#/components/schemas/{one.__name__}"} for one in (model, *more)]
    examples = {one.__name__: {"value": one.model_config["json_schema_extra"]["examples"][0]} for one in (model, *more)}  # type: ignore[index]
    schema = refs[0] if not more else {"anyOf": refs}
    return {"requestBody": {"required": True, "content": {_JSON: {"schema": schema, "examples": examples}}}}


def add_bodies(document: dict[str, Any]) -> dict[str, Any]:
    """Add the schemas that `_body` refers to, to the OpenAPI document."""
    models: list[Any] = [(model, "validation") for model in (CommentIn, CommentsIn, FeedbackIn)]
    _, found = models_json_schema(models, ref_template="#/components/schemas/{model}")
    document.setdefault("components", {}).setdefault("schemas", {}).update(found["$defs"])
    return document


def _form(body: Any) -> str:
    return "many" if isinstance(body, Mapping) and "comments" in body else "one"


_DECISIONS: TypeAdapter[CommentIn | CommentsIn] = TypeAdapter(
    Annotated[Annotated[CommentIn, Tag("one")] | Annotated[CommentsIn, Tag("many")], Discriminator(_form)]
)
_FEEDBACK = TypeAdapter(FeedbackIn)


async def _read(request: Request, adapter: TypeAdapter[Any]) -> Any:
    # A form that a page of another site sends cannot have this type without that page asking first.
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _JSON:
        raise ServiceError(415, f"send the body as {_JSON}")
    body = await request.body()
    try:
        return adapter.validate_json(body)
    except ValidationError as error:
        raise RequestValidationError(_problems(error, body)) from None


def _problems(error: ValidationError, body: bytes) -> list[Any]:
    """Give the problems with the places of the fields in the body."""
    if error.error_count() > MAX_PROBLEMS:  # To list them would take long.
        return [{"loc": (), "msg": f"{error.error_count()} fields cannot be used"}]
    found: list[Any] = error.errors(include_url=False, include_context=False, include_input=False)
    if found[0]["type"] == "json_invalid":
        # Python reads half of a surrogate pair, so that its place can be told.
        with suppress(ValueError, RecursionError):
            if place := _half(json.loads(body)):
                return [{"loc": place, "msg": "half of a surrogate pair"}]
    # The first part is the name that `_DECISIONS` has for the form.
    return [{**one, "loc": one["loc"][1:] if one["loc"][:1] in (("one",), ("many",)) else one["loc"]} for one in found]


def _half(data: Any) -> tuple[str | int, ...]:
    """Find the first field with half of a surrogate pair; empty if there is none."""
    many = isinstance(data, dict) and isinstance(data.get("comments"), list)
    for place, comment in enumerate(data["comments"] if many else [data]):
        for name, value in comment.items() if isinstance(comment, dict) else ():
            if isinstance(value, str) and mended(value) != value:
                return ("comments", place, mended(name)) if many else (mended(name),)
    return ()


async def _caller(request: Request, scope: str) -> Caller:
    caller: Caller = await request.app.state.keys.authorise(raw_key_of(request), scope, request)
    return caller


def _site(request: Request, caller: Caller, name: str | None = None) -> Site:
    site: Site = request.app.state.site_of(request, caller, name)
    return site


# --------------------------------------------------------------------------- decisions


@router.post(
    DECISIONS,
    tags=["decisions"],
    responses={**ERRORS, 200: {"model": DecisionOut | DecisionsOut}},
    openapi_extra=_body(CommentIn, CommentsIn),
)
async def decide(request: Request) -> Response:
    """Decide on one comment, or on a batch; every decision is in the audit log before it is answered."""
    desk: Desk = request.app.state.desk
    caller = await _caller(request, "decide")
    desk.admit()  # Before the body costs anything.
    body = await _read(request, _DECISIONS)
    site = _site(request, caller, body.site)
    many = isinstance(body, CommentsIn)
    comments = [Comment(one.text, one.id, one.article, one.parent) for one in (body.comments if many else (body,))]
    found = [one.json for one in await desk.decide_recorded(comments, site=site, door=DOOR, caller=caller)]
    return Response(b'{"decisions":[' + b",".join(found) + b"]}" if many else found[0], media_type=_JSON)


@router.get("/v1/decisions/{comment_id:path}", tags=["decisions"], responses={**ERRORS, 200: {"model": EntryOut}})
async def show_decision(
    comment_id: str, request: Request, site: Annotated[str | None, Query(max_length=100)] = None
) -> JSONResponse:
    """Show the newest decision on a comment, with what people said of it."""
    caller = await _caller(request, "audit")
    audit = request.app.state.audit
    entry = await anyio.to_thread.run_sync(audit.latest, comment_id, _site(request, caller, site).name)
    if entry is None:
        raise NotFound("no decision on a comment of this id")
    return JSONResponse(entry)


@router.post(
    "/v1/decisions/{comment_id:path}/feedback",
    tags=["decisions"],
    status_code=201,
    responses={**ERRORS, 201: {"model": FeedbackOut}},
    openapi_extra=_body(FeedbackIn),
)
async def give_feedback(comment_id: str, request: Request) -> JSONResponse:
    """Record what a person says of a comment, beside the decision and never over it."""
    caller = await _caller(request, "moderate")
    body: FeedbackIn = await _read(request, _FEEDBACK)
    site = _site(request, caller, body.site).name
    audit = request.app.state.audit
    entry = await anyio.to_thread.run_sync(audit.latest, comment_id, site, body.seq)
    if entry is None:
        raise NotFound("no decision on a comment of this id")
    desk: Desk = request.app.state.desk
    row = await desk.feedback(
        comment_id,
        body.verdict,
        door=DOOR,
        caller=caller,
        site=site,
        guidelines=body.guidelines,
        text=body.text,
        note=body.note,
        seq=body.seq,
    )
    return JSONResponse(row, 201)


# --------------------------------------------------------------------------- audit log


@router.get("/v1/audit", tags=["audit"], responses={**ERRORS, 200: {"model": PageOut}})
async def show_audit(
    request: Request,
    since: Annotated[datetime | None, Query(description="From this time on; UTC if it names no zone.")] = None,
    until: Annotated[datetime | None, Query(description="Before this time.")] = None,
    verdict: Verdict | None = None,
    guideline: Annotated[str | None, Query(max_length=100)] = None,
    door: Annotated[str | None, Query(max_length=100)] = None,
    stage: Annotated[Literal["rule", "linear", "encoder"] | None, Query(description="What decided.")] = None,
    search: Annotated[str | None, Query(max_length=200, description="Within the id or the text, if kept.")] = None,
    id: Annotated[str | None, Query(max_length=MAX_ID_CHARS)] = None,
    site: Annotated[str | None, Query(max_length=100)] = None,
    overruled: Annotated[
        bool | None, Query(description="Only those of which the last feedback says otherwise.")
    ] = None,
    before: Annotated[int | None, Query(ge=1, lt=1 << 62, description="`next` of the page before.")] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
) -> JSONResponse:
    """Show decisions, newest first."""
    caller = await _caller(request, "audit")
    sought = Search(
        id=id,
        site=site_named(request, caller, site),
        verdict=verdict.value if verdict else None,
        guideline=guideline,
        door=door,
        since=_milliseconds(since),
        until=_milliseconds(until),
        before=before,
        overruled=overruled,
        stage=stage,
        words=search or None,
    )
    entries = await anyio.to_thread.run_sync(request.app.state.audit.search, sought, limit)
    return JSONResponse({"entries": entries, "next": entries[-1]["seq"] if len(entries) == limit else None})


@router.get("/v1/audit/summary", tags=["audit"], responses={**ERRORS, 200: {"model": SummaryOut}})
async def summarise(
    request: Request,
    hours: Annotated[int, Query(ge=1, le=24 * 366)] = 24,
    site: Annotated[str | None, Query(max_length=100)] = None,
) -> JSONResponse:
    """Count decisions of the last hours, by hour, verdict and guideline."""
    caller = await _caller(request, "audit")
    named = site_named(request, caller, site)
    until = now_ms() + 1
    since = until - round(timedelta(hours=hours).total_seconds() * 1000)
    found = await anyio.to_thread.run_sync(request.app.state.audit.summary, since, until, named)
    return JSONResponse(found)


def _milliseconds(when: datetime | None) -> int | None:
    if when is None:
        return None
    if when.tzinfo is None:
        when = when.replace(tzinfo=UTC)
    return (when - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


# --------------------------------------------------------------------------- the service itself


@router.get("/v1/policy", tags=["policy"], responses={**ERRORS, 200: {"model": PolicyOut}})
async def show_policy(request: Request, site: Annotated[str | None, Query(max_length=100)] = None) -> JSONResponse:
    """Show the policy and model in force."""
    caller = await _caller(request, "decide")
    found = _site(request, caller, site)
    policy = found.policy
    moderator = found.moderator
    stage = moderator.classifier.stage
    return JSONResponse(
        {
            "site": found.name,
            "name": policy.name,
            "version": policy.version,
            "identity": policy.identity,
            "model": moderator.classifier.version,
            "classifier": "cascade" if moderator.encoder else stage,
            "thresholds": dict(policy.thresholds),
            "encoder": asdict(policy.encoder) if policy.encoder and moderator.encoder else None,
            "guidelines": [
                {"id": one.id, "title": one.title, "text": one.text, "kinds": list(one.kinds)}
                for one in policy.guidelines
            ],
            "rules": [
                {"id": one.id, "guideline": one.guideline, "effect": one.effect.value, "statement": one.statement}
                for one in policy.rules
            ],
        }
    )


@router.head("/healthz", include_in_schema=False)
@router.get("/healthz", tags=["service"], responses={200: {"model": StateOut}})
async def healthz() -> JSONResponse:
    """Tell that the process answers."""
    return JSONResponse({"status": "ok"})


@router.head("/readyz", include_in_schema=False)
@router.get("/readyz", tags=["service"], responses={200: {"model": StateOut}, 503: {"model": StateOut}})
async def readyz(request: Request) -> JSONResponse:
    """Tell whether decisions can be made and recorded: 200, else 503."""
    desk: Desk = request.app.state.desk
    status = "ready" if desk.alive else "the desk has stopped"
    if desk.alive and not await anyio.to_thread.run_sync(request.app.state.audit.reachable):
        status = "the audit log cannot be reached"
    elif desk.alive and not desk.records:
        status = "the last decision could not be recorded"
    return JSONResponse({"status": status}, 200 if status == "ready" else 503)


@router.get("/metrics", tags=["service"], responses={**ERRORS, 200: {"content": {"text/plain": {}}}})
async def metrics(request: Request) -> PlainTextResponse:
    """Give the counters in Prometheus' text format."""
    site_named(request, await _caller(request, "audit"))
    return PlainTextResponse(request.app.state.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

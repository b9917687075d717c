"""OpenAI's ``POST /v1/moderations``, for texts.

Source: https://github.com/openai/openai-python, src/openai/types/moderation.py and resources/moderations.py.
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from moderation.comment import Comment
from moderation.decision import Decision, Verdict
from moderation.policy import Policy
from moderation.service.adapter import (
    EVERY_METHOD,
    Malformed,
    Table,
    authorised,
    decide,
    mended,
    no_such_path,
    per_policy,
    read_object,
    shaped,
    site_for,
)
from moderation.service.errors import Failed, Overloaded, RateLimited, ServiceError, TooLarge
from moderation.service.keys import raw_key_of
from moderation.service.scale import Sources, broken, score

DOOR = "openai"
CATEGORIES = (
    "harassment",
    "harassment/threatening",
    "hate",
    "hate/threatening",
    "illicit",
    "illicit/violent",
    "self-harm",
    "self-harm/instructions",
    "self-harm/intent",
    "sexual",
    "sexual/minors",
    "violence",
    "violence/graphic",
)
"""All categories of the protocol; each answer has every one."""


@dataclass(frozen=True, slots=True)
class Options:
    """The table ``[adapters.openai]``, checked."""

    categories: Mapping[str, Sources]
    closed: str


@per_policy
def _options(policy: Policy) -> Options:
    table = Table(policy, DOOR)
    categories = table.mapping("categories", CATEGORIES)
    return Options({name: categories.get(name, ()) for name in CATEGORIES}, table.choice("closed", ("error", "reject")))


def check_policy(policy: Policy) -> None:
    """Raise a `PolicyError` where the table ``[adapters.openai]`` cannot be used."""
    _options(policy)


def _texts(given: Any) -> list[str]:
    """Give the texts of ``input``; parts of one message are one text.

    Raises
    ------
    Malformed
        When there is none, or anything but text.
    """
    if isinstance(given, str):
        return [given]
    if not isinstance(given, list) or not given:
        raise Malformed("'input' must be a string, a list of strings or a list of text parts, and not empty.", "input")
    if all(isinstance(part, str) for part in given):
        return given
    parts = []
    for place, part in enumerate(given):
        where = f"input[{place}]"
        if not isinstance(part, dict):
            raise Malformed("'input' must not mix strings and parts.", where)
        kind = part.get("type")
        if kind == "image_url":
            raise Malformed("Images cannot be judged here; send texts only.", where)
        if kind != "text" or not isinstance(part.get("text"), str):
            raise Malformed("A part must have the type 'text' and a string 'text'.", where)
        parts.append(part["text"])
    return ["\n\n".join(parts)]


def _result(decision: Decision | None, options: Options, *, flagged: bool = False) -> dict[str, Any]:
    """Give one result; without a decision every score is 1 or 0."""
    flat = 1.0 if flagged else 0.0
    return {
        "flagged": decision.verdict is Verdict.REJECT if decision else flagged,
        "categories": {
            name: broken(sources, decision) if decision else flagged for name, sources in options.categories.items()
        },
        "category_scores": {
            name: score(sources, decision) if decision else flat for name, sources in options.categories.items()
        },
        "category_applied_input_types": {name: ["text"] for name in options.categories},
    }


def render(request: Request, error: ServiceError) -> Response:
    """Answer as OpenAI does.

    Source: https://platform.openai.com/docs/guides/error-codes
    """
    code = 400 if error.status == 422 else error.status
    kind, word = "invalid_request_error", None
    message = error.message
    if code == 401:
        word, message = "invalid_api_key", "Incorrect API key provided."
    elif code == 403:
        word = "insufficient_permissions"
    elif isinstance(error, RateLimited):
        kind, word = "requests", "rate_limit_exceeded"
    elif isinstance(error, TooLarge):
        word = "input_too_large"
    elif code >= 500:
        kind = "server_error"
    param = error.param or None if isinstance(error, Malformed) else None
    body = {"message": message, "type": kind, "param": param, "code": word}
    return JSONResponse({"error": body}, code, {**(error.headers or {}), "x-request-id": _request_id()})


def _request_id() -> str:
    return f"req_{secrets.token_hex(16)}"


router = APIRouter(route_class=shaped(render), include_in_schema=False)


@router.post("/v1/moderations")
async def moderations(request: Request) -> Response:
    """Judge one text or a list of texts."""
    caller = await authorised(request, raw_key_of(request), "decide")
    data = read_object(await request.body())
    model = data.get("model")
    if model is not None and not isinstance(model, str):
        raise Malformed("'model' must be a string.", "model")
    if "input" not in data:
        raise Malformed("Missing required parameter: 'input'.", "input")
    texts = [mended(text) for text in _texts(data["input"])]
    site = site_for(request, caller)
    options = _options(site.policy)
    decisions: list[Decision] | None = None
    flagged = False
    try:
        decisions = await decide(request, [Comment(text) for text in texts], site=site, door=DOOR, caller=caller)
    except (Overloaded, Failed) as error:
        if options.closed != "reject" or isinstance(error, RateLimited):
            raise
        flagged = True
    if decisions is None:
        results = [_result(None, options, flagged=flagged) for _ in texts]
    else:
        results = [_result(decision, options) for decision in decisions]
    answer = {
        "id": f"modr-{secrets.token_hex(16)}",
        "model": decisions[0].model if decisions else site.policy.identity,
        "results": results,
    }
    return JSONResponse(answer, headers={"x-request-id": _request_id()})


router.add_api_route("/v1/moderations", no_such_path, methods=[name for name in EVERY_METHOD if name != "POST"])

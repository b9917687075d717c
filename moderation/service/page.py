"""The page at ``/``: its files, and the one question that only it asks.

The page is plain HTML, CSS and JavaScript from the folder ``page``. Its Content-Security-Policy lets it load
nothing from elsewhere, run no inline script, and make no markup out of text: with Trusted Types in force and
no policy for them, a browser refuses ``innerHTML`` altogether.

Source: https://www.w3.org/TR/CSP3/, https://www.w3.org/TR/trusted-types/
"""

import asyncio
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from fastapi.staticfiles import StaticFiles
from pydantic import BaseModel, ConfigDict, Field

from moderation.comment import Comment
from moderation.exchange import exchanged
from moderation.normalise import Folded, View, fold
from moderation.service.keys import raw_key_of
from moderation.service.messages import ERRORS, DecisionOut

HEADERS = {
    "Content-Security-Policy": "; ".join(
        (
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "img-src 'self'",
            "connect-src 'self'",
            "form-action 'self'",
            "frame-ancestors 'none'",
            "base-uri 'none'",
            "require-trusted-types-for 'script'",
            "trusted-types 'none'",
        )
    ),
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-cache",
}
_FILES = StaticFiles(directory=Path(__file__).with_name("page"))

router = APIRouter(tags=["page"])


@router.api_route("/", methods=["GET", "HEAD"], include_in_schema=False)
async def page(request: Request) -> Response:
    """Show the page."""
    return await page_file("index.html", request)


@router.api_route("/page/{name}", methods=["GET", "HEAD"], include_in_schema=False)
async def page_file(name: str, request: Request) -> Response:
    """Give one of the page's files."""
    answer = await _FILES.get_response(name, request.scope)
    answer.headers.update(HEADERS)
    return answer


class Tried(BaseModel):
    """A comment to try."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"text": "You are a f*cking idiot"}]})

    text: str


class ViewRead(BaseModel):
    """One reading of the comment, the one that rules with this view and the classifier see."""

    name: Literal["folded", "skeleton"]
    text: str
    changed: Annotated[
        list[tuple[int, int]],
        Field(description="Half-open spans, in code points of this text, that are not what was written"),
    ]
    dropped: Annotated[int, Field(ge=0, description="Characters of the comment that are not in this text")]


class Explained(BaseModel):
    """A decision as `POST /v1/decisions` gives it, and what normalisation made of the comment."""

    decision: DecisionOut
    views: list[ViewRead]
    exchanged: Annotated[
        str | None,
        Field(
            description="The skeleton with another group's name, where it names one; classifiers may read it as well"
        ),
    ]


@router.post("/v1/explain", responses={**ERRORS, 200: {"model": Explained}})
async def explain(tried: Tried, request: Request) -> JSONResponse:
    """Decide on a comment without recording it, and show what was read.

    It waits its turn among the comments that are to be decided, and counts towards the caller's rate.
    """
    state = request.app.state
    caller = await state.keys.authorise(raw_key_of(request), "decide", request)
    site = state.site_of(request, caller)
    comment = Comment(tried.text, id="tried")
    (recorded,) = await state.desk.decide_recorded([comment], site=site, door="page", caller=caller, record=False)
    folded = await asyncio.to_thread(fold, tried.text, site.policy.words)
    answer = {
        "decision": recorded.decision.to_dict(),
        "views": views_read(folded),
        "exchanged": exchanged(folded.skeleton.text),
    }
    return JSONResponse(answer, headers={"Cache-Control": "no-store"})


def views_read(folded: Folded) -> list[dict[str, Any]]:
    """Give the views of a comment and where they differ from what was written; see `ViewRead`."""
    plain = folded.plain.text
    return [_read(name, view, plain) for name, view in folded.views() if name != "plain"]


def _read(name: str, view: View, plain: str) -> dict[str, Any]:
    changed: list[tuple[int, int]] = []
    seen = bytearray(len(plain))
    for place, character in enumerate(view.text):
        start, end = view.original(place, place + 1)
        seen[start:end] = b"\1" * (end - start)
        if plain[start:end].lower() == character:
            continue
        if changed and changed[-1][1] == place:
            changed[-1] = (changed[-1][0], place + 1)
        else:
            changed.append((place, place + 1))
    return {"name": name, "text": view.text, "changed": changed, "dropped": seen.count(0)}

"""Perspective's protocol: ``comments:analyze`` gives scores, ``comments:suggestscore`` takes a moderator's word.

Source: OpenAPI of the Comment Analyzer API, v1alpha1,
https://github.com/APIs-guru/openapi-directory/tree/main/APIs/googleapis.com/commentanalyzer/v1alpha1
"""

import json
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from moderation.comment import Comment
from moderation.decision import Decision, Verdict
from moderation.finding import Effect
from moderation.policy import Policy
from moderation.service import language
from moderation.service.adapter import (
    EVERY_METHOD,
    Malformed,
    Table,
    authorised,
    decide,
    known_id,
    mended,
    no_such_path,
    per_policy,
    shaped,
    site_for,
    text_id,
)
from moderation.service.analyzer import AnalyzeRequest, Attribute, SuggestRequest, given_id, invalid, read
from moderation.service.errors import Failed, Overloaded, RateLimited, ServiceError, TooLarge, Unauthorised
from moderation.service.scale import RULE_SCORE, Sources, places, score

DOOR = "perspective"
_EXPERIMENTAL = "_EXPERIMENTAL"
_STATUSES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    408: "DEADLINE_EXCEEDED",
    413: "INVALID_ARGUMENT",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
}
_ERROR_INFO = "type.googleapis.com/google.rpc.ErrorInfo"
_SERVICE = "commentanalyzer.googleapis.com"
_NO_KEY = (
    "Method doesn't allow unregistered callers (callers without established identity). "
    "Please use API Key or other form of API consumer identity to call this API."
)
_BAD_KEY = "API key not valid. Please pass a valid API key."


# --------------------------------------------------------------------------- the policy's table


@dataclass(frozen=True, slots=True)
class Options:
    """The table ``[adapters.perspective]``, checked."""

    attributes: Mapping[str, Sources]
    verdict_at: float | None
    closed: str
    strict_languages: bool
    languages: tuple[str, ...]

    def sources(self, name: str) -> Sources | None:
        """Give what speaks for an attribute, ``TOXICITY@6`` and ``TOXICITY_EXPERIMENTAL`` too; None if unknown."""
        plain = name.partition("@")[0]
        return self.attributes.get(plain, self.attributes.get(plain.removesuffix(_EXPERIMENTAL)))


@per_policy
def _options(policy: Policy) -> Options:
    table = Table(policy, DOOR)
    at = table.probability("verdict_at")
    return Options(
        attributes=table.mapping("attributes"),
        verdict_at=at or None,
        closed=table.choice("closed", ("error", "reject")),
        strict_languages=table.flag("strict_languages"),
        languages=table.words("languages"),
    )


def check_policy(policy: Policy) -> None:
    """Raise a `PolicyError` where the table ``[adapters.perspective]`` cannot be used."""
    _options(policy)
    language.detect("")  # Its model is read now, not while a comment waits.


# --------------------------------------------------------------------------- answers


def render(request: Request, error: ServiceError) -> Response:
    """Answer as Google's services do.

    Source: https://cloud.google.com/apis/design/errors
    """
    details: list[Mapping[str, Any]] = list(error.details) if isinstance(error, Malformed) else []
    code, message = error.status, error.message
    if isinstance(error, Unauthorised):
        if code == 401 and _key(request):
            code, message = 400, _BAD_KEY
            details = [{"@type": _ERROR_INFO, "reason": "API_KEY_INVALID", "domain": "googleapis.com"}]
        elif code == 401:
            code, message = 403, _NO_KEY
    elif isinstance(error, TooLarge) and code == 422:
        code, message = 400, "Comment text too long."
        details = list(invalid("", "COMMENT_TOO_LONG").details)
    elif isinstance(error, RateLimited):
        message = f"Quota exceeded for quota metric 'Analysis requests (AnalyzeComment)' of service '{_SERVICE}'."
        details = [
            {
                "@type": _ERROR_INFO,
                "reason": "RATE_LIMIT_EXCEEDED",
                "domain": "googleapis.com",
                "metadata": {"service": _SERVICE},
            }
        ]
    elif code == 422:
        code = 400
    body: dict[str, Any] = {"code": code, "message": message, "status": _STATUSES.get(code, "UNKNOWN")}
    if details:
        body["details"] = details
    headers = error.headers if code != 403 else {}
    return JSONResponse({"error": body}, code, headers)


router = APIRouter(route_class=shaped(render), include_in_schema=False)


def _key(request: Request) -> str | None:
    return request.query_params.get("key") or request.headers.get("x-goog-api-key")


@router.post("/v1alpha1/comments:analyze")
async def analyze(request: Request) -> Response:
    """Score one comment."""
    caller = await authorised(request, _key(request), "decide")
    asked = await read(request, AnalyzeRequest)
    site = site_for(request, caller, asked.community_id)
    options = _options(site.policy)
    comment = asked.as_comment(given_id(asked.client_token))
    wanted = _wanted(asked, options)
    detected = language.detect(comment.text)
    if options.strict_languages:
        _check_languages(asked.languages or [detected], detected, wanted, options)
    comment = (
        comment
        if comment.id
        else Comment(comment.text, text_id(request, comment.text), comment.article, comment.parent)
    )
    decision: Decision | None = None
    flat = 0.0
    try:
        found = await decide(request, [comment], site=site, door=DOOR, caller=caller, keep_text=not asked.do_not_store)
        decision = found[0] if found else None
    except (Overloaded, Failed) as error:
        if options.closed != "reject" or isinstance(error, RateLimited):
            raise
        flat = 1.0
    scores = {}
    offsets = _Utf16(comment.text)
    for name, (attribute, sources) in wanted.items():
        entry = _scores(offsets, decision, sources, options, bool(asked.span_annotations), flat)
        kept = _above(entry, attribute.score_threshold)
        if kept:
            scores[name] = kept
    answer: dict[str, Any] = {
        "attributeScores": scores,
        "languages": asked.languages or [detected],
        "detectedLanguages": [detected],
    }
    if asked.client_token:
        answer["clientToken"] = mended(asked.client_token)
    return JSONResponse(answer)


def _wanted(asked: AnalyzeRequest, options: Options) -> dict[str, tuple[Attribute, Sources]]:
    if not asked.requested_attributes:
        raise invalid("Missing requested_attributes", "NO_REQUESTED_ATTRIBUTES")
    wanted = {}
    for name, attribute in asked.requested_attributes.items():
        sources = options.sources(name)
        if sources is None:
            if asked.drop_unsupported_attributes:
                continue
            raise invalid(f"Unknown requested attribute: {mended(name)[:100]}", "INVALID_REQUEST")
        if attribute.score_type not in (None, "SCORE_TYPE_UNSPECIFIED", "PROBABILITY"):
            raise invalid(
                f"Requested score type {attribute.score_type} is not supported by attribute {name}", "INVALID_REQUEST"
            )
        wanted[name] = attribute, sources
    return wanted


def _check_languages(languages: list[str], detected: str, wanted: Mapping[str, object], options: Options) -> None:
    """Refuse, as Perspective did, a language that the policy does not list."""
    unsupported = [code for code in languages if code.partition("-")[0].lower() not in options.languages]
    if unsupported and wanted:
        name = next(iter(wanted))
        raise invalid(
            f"Attribute {name} does not support request languages: {', '.join(unsupported)[:100]}",
            "LANGUAGE_NOT_SUPPORTED_BY_ATTRIBUTE",
            languageNotSupportedByAttributeError={"detectedLanguages": [detected], "attribute": name},
        )


def _scores(
    offsets: "_Utf16", decision: Decision | None, sources: Sources, options: Options, spans: bool, flat: float
) -> dict[str, Any]:
    """Give summary and span scores of one attribute; the spans are the findings, else the whole text."""
    summary = score(sources, decision, options.verdict_at) if decision else flat
    found = places(sources, decision) if decision and spans else []
    # One span a place: of several findings there the highest score.
    by_span: dict[tuple[int, int], float] = {}
    for finding in found:
        own = max(summary, RULE_SCORE) if finding.effect is Effect.REJECT else summary
        by_span[finding.start, finding.end] = max(own, by_span.get((finding.start, finding.end), 0.0))
    by_span = by_span or {(0, offsets.size): summary}
    return {
        "spanScores": [
            {"begin": offsets(begin), "end": offsets(end), "score": {"value": value, "type": "PROBABILITY"}}
            for (begin, end), value in sorted(by_span.items())
        ],
        "summaryScore": {"value": summary, "type": "PROBABILITY"},
    }


def _above(entry: dict[str, Any], threshold: float | None) -> dict[str, Any]:
    if threshold is None:
        return entry
    kept = {}
    spans = [span for span in entry["spanScores"] if span["score"]["value"] >= threshold]
    if spans:
        kept["spanScores"] = spans
    if entry["summaryScore"]["value"] >= threshold:
        kept["summaryScore"] = entry["summaryScore"]
    return kept


class _Utf16:
    """Turns offsets in code points into offsets in UTF-16 code units, which JavaScript and Java count in."""

    def __init__(self, text: str) -> None:
        self.size = len(text)
        self._wide = [] if text.isascii() else [place for place, letter in enumerate(text) if letter > "\uffff"]

    def __call__(self, offset: int) -> int:
        return offset + bisect_left(self._wide, offset)


@router.post("/v1alpha1/comments:suggestscore")
async def suggest(request: Request) -> Response:
    """Record what a moderator says of a comment."""
    caller = await authorised(request, _key(request), "moderate")
    asked = await read(request, SuggestRequest)
    site = site_for(request, caller, asked.community_id)
    options = _options(site.policy)
    comment = asked.as_comment()
    verdict, note = _suggested(asked, options)
    given = given_id(asked.client_token)
    await request.app.state.desk.feedback(
        await known_id(request, given, comment.text, site),
        verdict,
        door=DOOR,
        caller=caller,
        site=site.name,
        text=comment.text,
        note=note,
    )
    detected = language.detect(comment.text)
    answer: dict[str, Any] = {"detectedLanguages": [detected], "requestedLanguages": asked.languages or []}
    if asked.client_token:
        answer["clientToken"] = mended(asked.client_token)
    return JSONResponse(answer)


def _suggested(asked: SuggestRequest, options: Options) -> tuple[Verdict, str]:
    """Read the verdict, reject where any attribute gets one half or more; and all that was said, as a note."""
    if not asked.attribute_scores:
        raise invalid("Missing attribute_scores", "INVALID_REQUEST")
    values = {}
    for name, scores in asked.attribute_scores.items():
        if options.sources(name) is None:
            raise invalid(f"Unknown attribute: {mended(name)[:100]}", "INVALID_REQUEST")
        spans = scores.span_scores or []
        if any((span.begin is None) != (span.end is None) for span in spans):
            raise invalid("A span score needs both 'begin' and 'end'.", "INVALID_REQUEST")
        given = [
            one.value
            for one in (scores.summary_score, *(span.score for span in spans))
            if one and one.value is not None
        ]
        if not given and not any((scores.summary_score, *spans)):
            raise invalid(f"No score for attribute {name}", "INVALID_REQUEST")
        # A protocol buffer leaves out a value of zero.
        values[name] = max(given, default=0.0)
    note = ", ".join(f"{mended(name)}={value:g}" for name, value in values.items())
    if asked.community_id:
        note += f"; {mended(asked.community_id)}"
    high = any(value >= 0.5 for value in values.values())
    return Verdict.REJECT if high else Verdict.APPROVE, note[:1000]


# --------------------------------------------------------------------------- how clients find it


@lru_cache(maxsize=1)
def _document() -> dict[str, Any]:
    text = resources.files("moderation.service").joinpath("commentanalyzer.json").read_text(encoding="utf-8")
    document: dict[str, Any] = json.loads(text)
    return document


@router.get("/$discovery/rest")
@router.get("/discovery/v1/apis/commentanalyzer/v1alpha1/rest")
async def discovery(request: Request) -> Response:
    """Describe the API for Google's client libraries."""
    if request.query_params.get("version", "v1alpha1") != "v1alpha1":
        raise Malformed("Requested version is not served: only v1alpha1.", "version", 404)
    root = str(request.base_url)
    site = request.scope.get("site")
    root += f"sites/{site}/" if site else ""
    return JSONResponse({**_document(), "rootUrl": root, "baseUrl": root})


router.add_api_route("/v1alpha1/{rest:path}", no_such_path, methods=EVERY_METHOD)
router.add_api_route("/$discovery/{rest:path}", no_such_path, methods=EVERY_METHOD)
router.add_api_route("/discovery/{rest:path}", no_such_path, methods=EVERY_METHOD)

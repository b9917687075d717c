"""Akismet's protocol: ``comment-check`` answers ``true`` for a comment to reject; ham and spam are feedback.

Source: https://akismet.com/developers/detailed-docs/comment-check/ and the pages beside it.
"""

import codecs
import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl

from fastapi import APIRouter, Request, Response
from fastapi.responses import PlainTextResponse

from moderation.comment import Comment
from moderation.decision import Decision, Verdict
from moderation.finding import Effect
from moderation.policy import Policy
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
from moderation.service.errors import Failed, Overloaded, RateLimited, ServiceError, Unauthorised
from moderation.service.keys import Caller
from moderation.service.scale import Sources, broken, places

DOOR = "akismet"
THANKS = "Thanks for making the web a better place."
_JUDGED = ("comment_content", "comment_author", "comment_author_url")
_GUARANTEED = {"comment_author": "viagra-test-123", "comment_author_email": "akismet-guaranteed-spam@example.com"}
"""Akismet's own test values: always spam."""
_MAX_FIELDS = 1000
_CHARSETS = re.compile(r"utf-8|ascii|iso8859-\d+|cp\d+|koi8-\w|gb\w+|big5\w*|shift_jis\w*|euc_\w+|tis-620")
_FORM = "application/x-www-form-urlencoded"


@dataclass(frozen=True, slots=True)
class Options:
    """The table ``[adapters.akismet]``, checked."""

    spam: Sources
    discard: Sources
    judges: tuple[str, ...]
    exempt_roles: tuple[str, ...]
    closed: str


@per_policy
def _options(policy: Policy) -> Options:
    table = Table(policy, DOOR)
    judges = table.words("judges", _JUDGED)
    if not judges:
        table.fail("judges", f"must name at least one of {', '.join(_JUDGED)}")
    return Options(
        spam=table.sources("spam"),
        discard=table.sources("discard"),
        judges=judges,
        exempt_roles=table.words("exempt_roles"),
        closed=table.choice("closed", ("error", "reject")),
    )


def check_policy(policy: Policy) -> None:
    """Raise a `PolicyError` where the table ``[adapters.akismet]`` cannot be used."""
    _options(policy)


# --------------------------------------------------------------------------- what is sent


async def _form(request: Request) -> dict[str, str]:
    """Read the fields of a form; of one that comes twice the last counts.

    Raises
    ------
    Malformed
        When the body is no form, or not in the character set that it names.
    """
    kind = request.headers.get("content-type", _FORM).partition(";")[0].strip().lower()
    raw = await request.body()
    if kind != _FORM:
        raise Malformed(f"Content-Type must be {_FORM}", "content-type")
    try:
        fields = dict(_pairs(raw, "utf-8", "replace"))
        name = codecs.lookup(fields.get("blog_charset") or "utf-8").name
        if not _CHARSETS.fullmatch(name):
            raise LookupError(name)
        return {field: mended(value) for field, value in _pairs(raw, name, "strict")}
    except LookupError:
        raise Malformed("blog_charset: no such character set", "blog_charset") from None
    except ValueError:
        raise Malformed("the body is no form in its character set", "body") from None


def _pairs(raw: bytes, charset: str, errors: str) -> list[tuple[str, str]]:
    return parse_qsl(
        raw.decode("ascii"), keep_blank_values=True, encoding=charset, errors=errors, max_num_fields=_MAX_FIELDS
    )


def _key(request: Request, fields: Mapping[str, str]) -> str | None:
    """Give the key in the field ``api_key``, else the first label of a host name of two labels or more."""
    if fields.get("api_key"):
        return fields["api_key"]
    host = request.headers.get("host", "").partition(":")[0]
    label, dot, _ = host.partition(".")
    return label if dot and not label.isdigit() else None


def _required(fields: Mapping[str, str], *names: str) -> None:
    for name in names:
        if not fields.get(name, "").strip():
            raise Malformed(f"Missing required field: {name}", name)


# --------------------------------------------------------------------------- answers


def render(request: Request, error: ServiceError) -> Response:
    """Answer as Akismet does: a word, and the cause in a header."""
    if isinstance(error, Unauthorised) and error.status == 401:
        return PlainTextResponse("invalid", headers={"X-akismet-debug-help": error.message})
    code = 400 if error.status == 422 else error.status
    headers = {"X-akismet-debug-help": error.message.encode("ascii", "replace").decode(), "X-akismet-error": str(code)}
    return PlainTextResponse(error.message, code, {**headers, **(error.headers or {})})


router = APIRouter(route_class=shaped(render), include_in_schema=False)


@router.post("/1.1/verify-key")
async def verify_key(request: Request) -> Response:
    """Tell whether a key is good."""
    fields = await _form(request)
    _required(fields, "blog")
    try:
        await authorised(request, fields.get("key") or fields.get("api_key"), "decide")
    except Unauthorised as error:
        return PlainTextResponse("invalid", headers={"X-akismet-debug-help": error.message})
    return PlainTextResponse("valid")


@router.post("/1.1/comment-check")
async def comment_check(request: Request) -> Response:
    """Tell whether a comment is to be rejected."""
    fields, caller = await _call(request, "decide")
    site = site_for(request, caller)
    options = _options(site.policy)
    if fields.get("user_role") in options.exempt_roles:
        return PlainTextResponse("false")
    if any(fields.get(name) == value for name, value in _GUARANTEED.items()):
        return PlainTextResponse("true")
    texts = [fields[name] for name in options.judges if fields.get(name, "").strip()]
    comments = [Comment(text, text_id(request, text), fields.get("permalink", "")) for text in texts]
    if not comments:
        return PlainTextResponse("false")
    try:
        decisions = await decide(request, comments, site=site, door=DOOR, caller=caller)
    except (Overloaded, Failed) as error:
        if options.closed != "reject" or isinstance(error, RateLimited):
            raise
        return PlainTextResponse("true")
    spam = [found for found in decisions or () if _is_spam(found, options)]
    headers = {"X-akismet-guid": spam[0].id if spam else comments[0].id}
    if any(_is_blatant(found, options) for found in spam):
        headers["X-akismet-pro-tip"] = "discard"
    return PlainTextResponse("true" if spam else "false", headers=headers)


def _is_spam(decision: Decision, options: Options) -> bool:
    return decision.verdict is Verdict.REJECT and broken(options.spam, decision)


def _is_blatant(decision: Decision, options: Options) -> bool:
    """Whether a rule, which is certain, rejects it for what the policy would have thrown away."""
    return any(found.effect is Effect.REJECT for found in places(options.discard, decision))


@router.post("/1.1/submit-spam")
async def submit_spam(request: Request) -> Response:
    """Record that a comment should have been rejected."""
    return await _submit(request, Verdict.REJECT)


@router.post("/1.1/submit-ham")
async def submit_ham(request: Request) -> Response:
    """Record that a comment should have been approved."""
    return await _submit(request, Verdict.APPROVE)


async def _submit(request: Request, verdict: Verdict) -> Response:
    fields, caller = await _call(request, "moderate")
    _required(fields, "comment_content")
    site = site_for(request, caller)
    text = fields["comment_content"]
    await request.app.state.desk.feedback(
        await known_id(request, "", text, site), verdict, door=DOOR, caller=caller, site=site.name, text=text
    )
    return PlainTextResponse(THANKS)


async def _call(request: Request, scope: str) -> tuple[dict[str, str], Caller]:
    fields = await _form(request)
    caller = await authorised(request, _key(request, fields), scope)
    _required(fields, "blog", "user_ip")
    return fields, caller


router.add_api_route("/1.1/{rest:path}", no_such_path, methods=EVERY_METHOD)
router.add_api_route("/1.2/{rest:path}", no_such_path, methods=EVERY_METHOD)

"""Coral's external moderation phase: Coral sends each comment, signed, and does what the answer says.

Coral publishes the comment when it cannot use an answer (an unknown word, an empty string, any status but 2xx). So
whatever cannot be decided is answered with words that keep the comment back, unless the policy fails open.

Source: https://github.com/coralproject/talk/blob/main/server/EXTERNAL_MODERATION_PHASES.md and, for what Coral
accepts, server/src/core/server/services/comments/pipeline/phases/external.ts there.
"""

import hashlib
import hmac
import html
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import re2
from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from starlette.requests import ClientDisconnect

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
    text_id,
)
from moderation.service.errors import Failed, Overloaded, ServiceError, SlowClient, Unauthorised
from moderation.service.keys import Caller, raw_key_of
from moderation.service.scale import broken
from moderation.service.sites import DEFAULT_SITE, Site

LOG = logging.getLogger("moderation.service")
DOOR = "coral"
CODES = (
    "OFFENSIVE",
    "ABUSIVE",
    "SPAM",
    "BANNED_WORD",
    "AD",
    "ILLEGAL_CONTENT",
    "HARASSMENT_BULLYING",
    "MISINFORMATION",
    "HATE_SPEECH",
    "IRRELEVANT_CONTENT",
    "OTHER",
)
"""Coral's reasons of a rejection."""
ROLES = ("COMMENTER", "MEMBER", "STAFF", "MODERATOR", "ADMIN")
REJECTIONS = ("REJECTED", "SYSTEM_WITHHELD", "PREMOD")
_SPAM_CODES = ("SPAM", "AD")
_MAX_SIGNATURES = 16
_ACTIONS = ("NEW", "EDIT")


@dataclass(frozen=True, slots=True)
class Options:
    """The table ``[adapters.coral]``, checked."""

    reasons: Mapping[str, str]
    approve: str
    reject_by_rule: str
    reject_by_score: str
    closed: str
    exempt_roles: tuple[str, ...]
    legal_grounds: str


@per_policy
def _options(policy: Policy) -> Options:
    table = Table(policy, DOOR)
    return Options(
        reasons=table.reasons("reasons", CODES),
        approve=table.choice("approve", ("NONE", "APPROVED")),
        reject_by_rule=table.choice("reject_by_rule", REJECTIONS),
        reject_by_score=table.choice("reject_by_score", REJECTIONS),
        closed=table.choice("closed", ("withhold", "reject", "error")),
        exempt_roles=table.words("exempt_roles", ROLES),
        legal_grounds=table.text("legal_grounds"),
    )


def check_policy(policy: Policy) -> None:
    """Raise a `PolicyError` where the table ``[adapters.coral]`` cannot be used."""
    _options(policy)


# --------------------------------------------------------------------------- who sends it


def is_signed(header: str, body: bytes, secrets: Sequence[str]) -> bool:
    """Whether any of the signatures is one of the body by any of the secrets; the time taken tells nothing.

    Parameters
    ----------
    header
        ``X-Coral-Signature``: ``sha256=<hex>``, several with commas between them while a secret is replaced.
    body
        The very bytes that came.

    Source: https://github.com/coralproject/talk/blob/main/server/WEBHOOKS.md
    """
    given = [part.strip() for part in header.split(",", _MAX_SIGNATURES)[:_MAX_SIGNATURES]]
    right = False
    for secret in secrets:
        expected = "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
        for signature in given:
            right |= hmac.compare_digest(expected.encode(), signature.encode("utf-8", "replace"))
    return right


async def _caller(request: Request, body: bytes) -> Caller:
    secrets = [secret for secret in request.app.state.settings.coral_secrets if secret]
    header = request.headers.get("x-coral-signature")
    if secrets:
        if not is_signed(header or "", body, secrets):
            raise Unauthorised("X-Coral-Signature is missing or not that of this body by a secret known here")
        return Caller("coral", frozenset(("decide",)))
    return await authorised(request, request.query_params.get("key") or raw_key_of(request), "decide")


# --------------------------------------------------------------------------- what is sent


def _table(data: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = data.get(name)
    if found is not None and not isinstance(found, dict):
        raise Malformed(f"{name}: must be an object", name)
    return found or {}


def _text(data: Mapping[str, Any], table: str, name: str) -> str | None:
    found = _table(data, table).get(name)
    if found is not None and not isinstance(found, str):
        raise Malformed(f"{table}.{name}: must be a string", f"{table}.{name}")
    return None if found is None else mended(found)


_HREF = re2.compile(r"""(?i)\bhref\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+))""")
_TAG = re2.compile(r"""<[^<>"']*(?:"[^"]*"[^<>"']*|'[^']*'[^<>"']*)*>""")
_MAX_LINKS = 200


def with_links(body: str) -> str:
    """Give the body, and below it the addresses that only its markup holds: a reader would follow them.

    Patterns that run in linear time, not a parser: Python's raises an error on some malformed markup and takes
    seconds for other, and Coral publishes what it gets no answer for.
    """
    if "<" not in body or "href" not in body.lower():
        return body
    shown = html.unescape(_TAG.sub(" ", body))
    found = islice(_HREF.finditer(body), _MAX_LINKS)
    addresses = dict.fromkeys(html.unescape(one[1] or one[2] or one[3] or "").strip() for one in found)
    hidden = [
        address
        for address in addresses
        if address.lower().startswith(("http://", "https://", "//")) and address not in shown
    ]
    return "\n".join((body, *hidden))


# --------------------------------------------------------------------------- answers


def answer(decision: Decision, options: Options, policy: Policy) -> dict[str, Any]:
    """Give what Coral is to do; no value is ever an empty string."""
    if decision.verdict is Verdict.APPROVE:
        return {"status": options.approve}
    status = options.reject_by_rule if decision.decided_by == "rule" else options.reject_by_score
    code = next((code for source, code in options.reasons.items() if broken(((source,),), decision)), "OTHER")
    if status != "REJECTED":
        reason = "COMMENT_DETECTED_SPAM" if code in _SPAM_CODES else "COMMENT_DETECTED_TOXIC"
        return {"status": status, "actions": [{"actionType": "FLAG", "reason": reason}]}
    titles = {guideline.id: guideline.title for guideline in policy.guidelines}
    rejection = {"code": code, "detailedExplanation": decision.reason}
    if code == "OTHER":
        rejection["customReason"] = ", ".join(titles[name] for name in decision.guidelines)
    if code == "ILLEGAL_CONTENT":
        rejection["legalGrounds"] = options.legal_grounds
    rejection = {name: text for name, text in rejection.items() if text.strip()}
    return {"status": status, "moderationAction": {"status": status, "rejectionReason": rejection}}


def _closed(error: ServiceError, options: Options) -> dict[str, Any]:
    if options.closed == "error":
        raise error
    if options.closed == "reject":
        rejection = {"code": "OTHER", "customReason": "The comment could not be checked."}
        return {"status": "REJECTED", "moderationAction": {"status": "REJECTED", "rejectionReason": rejection}}
    return {"status": "SYSTEM_WITHHELD"}


def render(request: Request, error: ServiceError) -> Response:
    """Answer an error; Coral only logs its status and text."""
    code = 400 if error.status == 422 else error.status
    return JSONResponse({"error": {"code": code, "message": error.message}}, code, error.headers)


router = APIRouter(route_class=shaped(render), include_in_schema=False)


@router.post("/coral")
async def moderate(request: Request) -> Response:
    """Tell Coral what to do with a comment; anything wrong with the request but its sender counts as a failure."""
    sites = request.app.state.sites
    site: Site = sites.get(request.scope.get("site"), sites[DEFAULT_SITE])
    failure: ServiceError
    try:
        body = await request.body()
        caller = await _caller(request, body)
        site = site_for(request, caller)
        data = read_object(body)
        site = site_for(request, caller, _text(data, "site", "id"))
        return JSONResponse(await _judged(request, data, site, caller))
    except (Unauthorised, ClientDisconnect):
        raise
    except ServiceError as error:
        if not isinstance(error, Overloaded | Failed):  # Those are logged or counted where they arise.
            LOG.warning("coral: %s", error.message)
        failure = error
    except Exception as error:  # A bug of ours is no way past the phase; its message may hold the comment.
        LOG.error("coral: %s", type(error).__name__)
        failure = Failed()
    # Of a comment that could not be judged `decide` has asked already, and goes on only where it is let through.
    fails_open = request.app.state.desk.fails_open(site, DOOR)
    answered = {"status": "NONE"} if fails_open else _closed(failure, _options(site.policy))
    return JSONResponse(answered, headers={"Connection": "close"} if isinstance(failure, SlowClient) else {})


async def _judged(request: Request, data: Mapping[str, Any], site: Site, caller: Caller) -> dict[str, Any]:
    if data.get("action", "NEW") not in _ACTIONS:
        raise Malformed(f"action: must be one of {', '.join(_ACTIONS)}", "action")
    text = _text(data, "comment", "body")
    if text is None:
        raise Malformed("comment.body: missing", "comment.body")
    role = _text(data, "author", "role")
    article = _text(data, "story", "url") or ""
    options = _options(site.policy)
    if role in options.exempt_roles:
        return {"status": "NONE"}
    text = with_links(text)
    comment = Comment(text, text_id(request, text), article)
    decisions = await decide(request, [comment], site=site, door=DOOR, caller=caller)
    return answer(decisions[0], options, site.policy) if decisions else {"status": "NONE"}


router.add_api_route("/coral", no_such_path, methods=[name for name in EVERY_METHOD if name != "POST"])
router.add_api_route("/coral/{rest:path}", no_such_path, methods=EVERY_METHOD)

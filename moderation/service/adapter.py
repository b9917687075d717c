"""What the adapters share: their table in the policy, reading a body, and what happens when nothing can be decided.

An adapter speaks another service's protocol, errors included, so that a client of that service need not know that
it talks to us.
"""

import asyncio
import json
import logging
import re
import tomllib
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import cache
from typing import Any, NoReturn, TypeVar
from weakref import finalize

from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from moderation.comment import Comment
from moderation.decision import Decision
from moderation.errors import PolicyError
from moderation.paths import DEFAULT_POLICY
from moderation.policy import Policy
from moderation.service.errors import (
    Failed,
    NotFound,
    Overloaded,
    RateLimited,
    ServiceError,
    SlowClient,
    Unauthorised,
)
from moderation.service.keys import Caller
from moderation.service.sites import Site

LOG = logging.getLogger("moderation.service")
EVERY_METHOD = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
_SURROGATE = re.compile("[\ud800-\udfff]")


class Malformed(ServiceError):  # noqa: N818 (named as its siblings are)
    """The request does not keep to the protocol.

    Parameters
    ----------
    param
        The field that is wrong; empty for the body as a whole.
    details
        What the protocol says beside the message.
    """

    def __init__(
        self, message: str, param: str = "", status: int = 400, details: Sequence[Mapping[str, Any]] = ()
    ) -> None:
        super().__init__(status, message)
        self.param = param
        self.details = details


class Table:
    """One adapter's table of a policy; keys that it leaves out are those of the policy that ships.

    Parameters
    ----------
    name
        Of `moderation.policy.ADAPTERS`.
    """

    def __init__(self, policy: Policy, name: str) -> None:
        self.policy = policy
        self.where = f"{policy.source or policy.name}: adapters.{name}"
        self.own = policy.adapters.get(name, {})
        self.shipped = _shipped(name)
        for key in self.own:
            if key not in self.shipped:
                self.fail(key, f"unknown key; valid keys are {', '.join(self.shipped)}")
        self.choice("on_failure", ("open", "closed"))

    def fail(self, key: str, problem: str) -> NoReturn:
        """Complain of a key, naming the file."""
        raise PolicyError(f"{self.where}: {key}" if key else self.where, problem)

    def choice(self, key: str, valid: Iterable[str]) -> str:
        """Give one of several words."""
        value = self._value(key)
        if not isinstance(value, str) or value not in (valid := tuple(valid)):
            self.fail(key, f"must be one of {', '.join(valid)}")
        return value

    def text(self, key: str) -> str:
        """Give a text, which may be empty."""
        value = self._value(key)
        if not isinstance(value, str):
            self.fail(key, "must be a text; write it between quotes")
        return value

    def flag(self, key: str) -> bool:
        """Give true or false."""
        value = self._value(key)
        if not isinstance(value, bool):
            self.fail(key, "must be true or false")
        return value

    def probability(self, key: str) -> float:
        """Give a number from 0 to 1."""
        value = self._value(key)
        if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= 1:
            self.fail(key, "must be a number from 0 to 1")
        return float(value)

    def words(self, key: str, valid: Sequence[str] = ()) -> tuple[str, ...]:
        """Give a list of words, each one of the valid ones if there are any."""
        value = self._value(key)
        if not isinstance(value, list) or not all(isinstance(word, str) and word for word in value):
            self.fail(key, "must be a list of words between quotes")
        for word in value:
            if valid and word not in valid:
                self.fail(key, f"{word!r} is none of {', '.join(valid)}")
        return tuple(value)

    def sources(self, key: str) -> tuple[tuple[str, ...], ...]:
        """Give a list of guidelines and rules; each entry holds the ones that must speak together."""
        return self._sources(key, self._value(key), own=key in self.own)

    def mapping(self, key: str, valid: Iterable[str] = ()) -> dict[str, tuple[tuple[str, ...], ...]]:
        """Give a table of foreign names and the guidelines and rules that speak for each."""
        table = self._table(key, valid)
        return {name: self._sources(f"{key}.{name}", listed, own=key in self.own) for name, listed in table.items()}

    def reasons(self, key: str, valid: Iterable[str]) -> dict[str, str]:
        """Give a table of guidelines and rules, and a foreign word for each; in its order."""
        valid = tuple(valid)
        found = {}
        for name, word in self._table(key).items():
            if word not in valid:
                self.fail(f"{key}.{name}", f"must be one of {', '.join(valid)}")
            if self._sources(f"{key}.{name}", [name], own=key in self.own, referring=True):
                found[name] = str(word)
        return found

    def _value(self, key: str) -> Any:
        return self.own.get(key, self.shipped[key])

    def _table(self, key: str, valid: Iterable[str] = ()) -> Mapping[str, Any]:
        table = self._value(key)
        if not isinstance(table, dict):
            self.fail(key, f"must be a table; write [{self.where.rpartition(': ')[2]}.{key}] above its lines")
        for name in table:
            if (valid := tuple(valid)) and name not in valid:
                self.fail(f"{key}.{name}", f"unknown name; valid names are {', '.join(valid)}")
        return table

    def _sources(self, key: str, listed: Any, *, own: bool, referring: bool = False) -> tuple[tuple[str, ...], ...]:
        if not isinstance(listed, list) or not all(isinstance(entry, str) for entry in listed):
            self.fail(key, "must be a list of guidelines, rules or `any`")
        known = {"any", *(guideline.id for guideline in self.policy.guidelines)}
        known |= {rule.id for rule in self.policy.rules if referring or rule.effect == "reject"}
        found = []
        for entry in listed:
            together = tuple(part.strip() for part in entry.split("+"))
            unknown = [part for part in together if part not in known]
            if unknown and own:
                valid = ", ".join(["any", *(guideline.id for guideline in self.policy.guidelines)])
                kind = "" if referring else " that rejects"
                self.fail(key, f"{unknown[0]!r} is neither one of {valid} nor a rule{kind}")
            # A policy of fewer guidelines than the shipped one does without the shipped lines for them.
            if not unknown:
                found.append(together)
        return tuple(found)


Options = TypeVar("Options")


def per_policy(read: Callable[[Policy], Options]) -> Callable[[Policy], Options]:
    """Let a table be read once for each policy loaded, not for each request; what was read goes with the policy."""
    known: dict[int, Options] = {}

    def options(policy: Policy) -> Options:
        key = id(policy)
        if key not in known:
            known[key] = read(policy)
            finalize(policy, known.pop, key, None)
        return known[key]

    return options


@cache
def _shipped(name: str) -> Mapping[str, Any]:
    return dict(tomllib.loads(DEFAULT_POLICY.read_text(encoding="utf-8"))["adapters"][name])


# --------------------------------------------------------------------------- reading


def read_object(raw: bytes) -> dict[str, Any]:
    """Read a body that must be a JSON object in UTF-8.

    Raises
    ------
    Malformed
        When it is none.
    """
    try:
        found = json.loads(raw.decode("utf-8-sig"), parse_constant=_no_constant)
    except (ValueError, RecursionError):  # A UnicodeDecodeError is a ValueError as well.
        raise Malformed("the body is no JSON") from None
    if not isinstance(found, dict):
        raise Malformed("the body is no JSON object")
    return found


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)


def mended(text: str) -> str:
    """Put U+FFFD for each half of a surrogate pair, which scripts leave when they cut an emoji; all offsets stay."""
    return _SURROGATE.sub("\ufffd", text)


# --------------------------------------------------------------------------- asking the desk


async def authorised(request: Request, raw_key: str | None, scope: str) -> Caller:
    """Tell who asks.

    The clients of these protocols insist on a key. Where the service needs none, what they send is no key of ours.

    Raises
    ------
    Unauthorised
        As ``keys.authorise`` does.
    """
    keys = request.app.state.keys
    if keys.open_without and not keys.keys():
        raw_key = None
        # Browsers name the page's origin; a form, as these protocols take it, any page may send without asking first.
        if "origin" in request.headers:
            raise Unauthorised("without keys, no web page is answered; add one", 403)
    caller: Caller = await keys.authorise(raw_key, scope, request)
    return caller


def site_for(request: Request, caller: Caller, name: str | None = None) -> Site:
    """Tell which site is meant; a name in the protocol's own field counts only where a site is called so."""
    known = name if name in request.app.state.sites else None
    site: Site = request.app.state.site_of(request, caller, known)
    return site


async def decide(
    request: Request, comments: Sequence[Comment], *, site: Site, door: str, caller: Caller, keep_text: bool = True
) -> list[Decision] | None:
    """Have comments decided; None where that failed and the policy lets them through at this door.

    Raises
    ------
    ServiceError
        Where it does not.
    """
    desk = request.app.state.desk
    try:
        decisions: list[Decision] = await desk.decide(
            comments, site=site, door=door, caller=caller, keep_text=keep_text
        )
        return decisions
    except ServiceError as error:
        # A limit of the caller's own making is no failure of ours.
        if not isinstance(error, Overloaded | Failed) or isinstance(error, RateLimited):
            raise
        failure = error
    except Exception as error:
        LOG.error("%s: a comment could not be judged: %s", door, type(error).__name__)
        failure = Failed()
    if desk.fails_open(site, door):
        return None
    raise failure


def text_id(request: Request, text: str) -> str:
    """Give the id of a comment whose protocol carries none: a keyed hash of its text.

    What a moderator says later of the same text then stands beside the decision.
    """
    found: str = request.app.state.desk.audit.text_id(text.encode())
    return found


async def known_id(request: Request, given: str, text: str, site: Site) -> str:
    """Give the id of the decision that feedback is about: the one given, else that of the text."""
    audit = request.app.state.desk.audit
    if given and await asyncio.to_thread(audit.latest, given, site.name):
        return given
    by_text = text_id(request, text)
    if given and not await asyncio.to_thread(audit.latest, by_text, site.name):
        return given
    return by_text


# --------------------------------------------------------------------------- answering

Renderer = Callable[[Request, ServiceError], Response]


def shaped(render: Renderer) -> type[APIRoute]:
    """Make a class of routes whose every error is rendered in the protocol's shape."""

    class Shaped(APIRoute):
        def get_route_handler(self) -> Callable[[Request], Awaitable[Response]]:  # type: ignore[override]
            answer = super().get_route_handler()

            async def handler(request: Request) -> Response:
                try:
                    return await answer(request)
                except ServiceError as error:
                    return render(request, error)
                except ClientDisconnect:
                    return render(request, SlowClient("the client went away"))
                except HTTPException as error:
                    return render(request, ServiceError(error.status_code, str(error.detail)))
                except Exception as error:  # A bug of ours; its message may hold a comment.
                    LOG.error("%s: %s", request.url.path, type(error).__name__)
                    return render(request, Failed("something went wrong here; try again"))

            return handler

    return Shaped


async def no_such_path(request: Request) -> Response:
    """Answer what no other route of the protocol does."""
    raise NotFound("no such method or path")

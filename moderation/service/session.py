"""The page's session: a signed cookie opened with an API key, and a token that every write must carry.

``SameSite=Strict`` keeps the cookie from requests that other sites start; the token in a header, which they
cannot read, keeps writes safe where a browser does not know that attribute.
"""

import hmac
from hashlib import sha256
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from itsdangerous import BadSignature, URLSafeTimedSerializer
from pydantic import BaseModel, ConfigDict, Field

from moderation.service.errors import Unauthorised
from moderation.service.keys import Caller, KeyStore
from moderation.service.messages import ERRORS

COOKIE = "moderation_session"
TOKEN_HEADER = "X-CSRF-Token"
_READS = ("GET", "HEAD", "OPTIONS")


class Sessions:
    """Signs and reads sessions; a session ends with its key, or after ``hours``."""

    def __init__(self, keys: KeyStore, hours: float) -> None:
        self._keys = keys
        self._seconds = round(hours * 3600)

    def _signer(self) -> URLSafeTimedSerializer:
        return URLSafeTimedSerializer(
            self._keys.secret, salt="moderation-session", signer_kwargs={"digest_method": sha256}
        )

    def cookie(self, raw_key: str) -> str:
        """Give the cookie of a new session."""
        return self._signer().dumps(raw_key[:8])

    def token(self, cookie: str) -> str:
        """Give the token that writes of this session must carry."""
        return hmac.new(self._keys.secret.encode(), b"csrf:" + cookie.encode(), sha256).hexdigest()

    def caller_of(self, request: Request) -> Caller | None:
        """Tell whose session a request has; None if it has none.

        Raises
        ------
        Unauthorised
            When the session is over, or the request writes and its token is not the session's.
        """
        cookie = request.cookies.get(COOKIE)
        if not cookie:
            return None
        try:
            caller = self._keys.caller_with_id(str(self._signer().loads(cookie, max_age=self._seconds)))
        except BadSignature:
            caller = None
        if caller is None:
            raise Unauthorised("the session is over; sign in again")
        if request.method not in _READS:
            sent = request.headers.get(TOKEN_HEADER, "")
            if not hmac.compare_digest(sent.encode(), self.token(cookie).encode()):
                raise Unauthorised(f"the header {TOKEN_HEADER} is missing or wrong; reload the page", 403)
        return caller


class SignIn(BaseModel):
    """An API key, to open a session with."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"key": "abcdefgh-..."}]})

    key: str = Field(max_length=200)


class SessionState(BaseModel):
    """Who is signed in, and the token for the header ``X-CSRF-Token`` of writes."""

    name: str
    scopes: list[str]
    site: str | None
    token: str


router = APIRouter(tags=["session"])


def _state(caller: Caller, token: str) -> dict[str, Any]:
    return {"name": caller.name, "scopes": sorted(caller.scopes), "site": caller.site, "token": token}


@router.post("/session", responses={**ERRORS, 200: {"model": SessionState}})
async def sign_in(body: SignIn, request: Request) -> JSONResponse:
    """Open a session with an API key."""
    keys: KeyStore = request.app.state.keys
    caller = keys.caller_of(body.key)
    sessions: Sessions = request.app.state.sessions
    cookie = sessions.cookie(body.key)
    answer = JSONResponse(_state(caller, sessions.token(cookie)))
    answer.set_cookie(COOKIE, cookie, path="/", httponly=True, samesite="strict", secure=request.url.scheme == "https")
    return answer


@router.get("/session", responses={**ERRORS, 200: {"model": SessionState}})
async def show_session(request: Request) -> JSONResponse:
    """Tell who is signed in; 401 if nobody is."""
    caller = await request.app.state.keys.authorise(None, "audit", request)
    cookie = request.cookies.get(COOKIE, "")
    return JSONResponse(_state(caller, request.app.state.sessions.token(cookie) if cookie else ""))


@router.delete("/session", status_code=204, responses={204: {"description": "Closed"}})
async def sign_out() -> Response:
    """Close the session."""
    answer = Response(status_code=204)
    answer.delete_cookie(COOKIE, path="/", httponly=True, samesite="strict")
    return answer

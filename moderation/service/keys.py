"""API keys: made once, shown once, kept as a digest.

A key is ``id-secret``. The secret has 256 random bits, so that one SHA-256 is as good as a slow password hash:
there is no guessing it, with or without the digest, and looking it up costs microseconds. All characters are
lower-case letters and digits and the whole fits in one label of a host name, where Akismet's clients put it.
"""

import base64
import hashlib
import hmac
import json
import logging
import math
import os
import secrets
import time
from collections.abc import Iterable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from moderation.errors import RecordError
from moderation.service.errors import Unauthorised

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fastapi import Request

    from moderation.service.session import Sessions

SCOPES = ("decide", "audit", "moderate", "admin")
"""What a key may do: have comments decided; read the audit log; overrule; all of it. ``admin`` includes the rest."""

LOG = logging.getLogger("moderation.service")
_NO_DIGEST = "0" * 64
_FORWARDED = ("forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-real-ip")
_LOCAL_HOSTS = ("localhost", "127.0.0.1", "[::1]", "testserver")


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks.

    Parameters
    ----------
    name
        The key's id and name, ``local`` where none is needed.
    scopes
        Of `SCOPES`.
    site
        The only site that it may ask about; None for any.
    rate
        Comments a second that it may send; None for the service's limit.
    """

    name: str
    scopes: frozenset[str]
    site: str | None = None
    rate: float | None = None

    def may(self, scope: str) -> bool:
        """Whether it has this scope."""
        return scope in self.scopes or "admin" in self.scopes


LOCAL = Caller("local", frozenset(SCOPES))


@dataclass(frozen=True, slots=True)
class Key:
    """One key as it is kept; ``digest`` is that of the whole key."""

    id: str
    name: str
    digest: str
    scopes: tuple[str, ...]
    site: str | None
    rate: float | None
    created: str

    @property
    def caller(self) -> Caller:
        """Who asks with it."""
        return Caller(f"{self.id}:{self.name}", frozenset(self.scopes), self.site, self.rate)


class KeyStore:
    """The file of the keys; read again when it changes, so that a revoked key ends at once.

    Parameters
    ----------
    file
        JSON, readable by its owner only; need not exist.
    open_without
        Whether a request without a key may do all as long as none was ever made: on loopback only.
    """

    def __init__(self, file: Path, open_without: bool = False) -> None:
        self.file = file
        self.open_without = open_without
        self.sessions: Sessions | None = None
        self._stamp: tuple[int, int] | None = (0, 0)
        self._checked = 0.0
        self._keys: dict[str, Key] = {}
        self._had_keys = False
        self._secret = ""
        self._read()

    # ------------------------------------------------------------------ keeping

    def keys(self) -> tuple[Key, ...]:
        """Give the keys, oldest first."""
        self._read()
        return tuple(self._keys.values())

    @property
    def secret(self) -> str:
        """What sessions are signed with; made when first asked for."""
        self._read()
        if not self._secret:
            with self._changing():
                self._secret = self._secret or secrets.token_hex(32)
        return self._secret

    def add(self, name: str, scopes: Iterable[str], site: str | None = None, rate: float | None = None) -> str:
        """Make a key and give it; it cannot be shown again.

        Raises
        ------
        RecordError
            When the name is empty, a scope has no such name, the rate is no number, or the file cannot be written.
        """
        if not name.strip():
            raise RecordError("keys", 0, "a key needs a name, which the audit log tells")
        if rate is not None and not 0 < rate < math.inf:
            raise RecordError("keys", 0, f"a rate is a number of comments a second above 0, not {rate}")
        scopes = tuple(scopes)
        wrong = [scope for scope in scopes if scope not in SCOPES]
        if wrong or not scopes:
            raise RecordError("keys", 0, f"scopes are {', '.join(SCOPES)}, not {', '.join(wrong) or 'none'}")
        raw = f"{_random(5)}-{_random(32)}"
        created = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        with self._changing():
            key = Key(raw[:8], name, _digest(raw), scopes, site, rate, created)
            self._keys[key.id] = key
        return raw

    def revoke(self, key_id: str) -> Key:
        """Remove a key.

        Raises
        ------
        RecordError
            When there is none of this id, or the file cannot be written.
        """
        with self._changing():
            if key_id not in self._keys:
                raise RecordError("keys", 0, f"no key {key_id!r}; `moderation keys list` shows them")
            return self._keys.pop(key_id)

    def _give(self, file: int) -> None:
        """Let a file that root makes belong to whom the folder belongs to: the service must read it."""
        if os.geteuid() == 0:
            owner = self.file.parent.stat()
            os.fchown(file, owner.st_uid, owner.st_gid)

    @contextmanager
    def _changing(self) -> "Iterator[None]":
        """Let one process at a time change the file; it is replaced as a whole."""
        import fcntl

        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            with self.file.with_suffix(".lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                self._give(lock.fileno())
                self._read()
                yield
                data = {
                    "secret": self._secret or secrets.token_hex(32),
                    "had_keys": self._had_keys or bool(self._keys),
                    "keys": [{slot: getattr(key, slot) for slot in Key.__slots__} for key in self._keys.values()],
                }
                new = self.file.with_suffix(".new")
                with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as target:
                    self._give(target.fileno())
                    json.dump(data, target, indent=2)
                    target.flush()
                    os.fsync(target.fileno())
                new.replace(self.file)
                self._read()
        except OSError as error:
            problem = f"cannot be written ({error.strerror}); name another folder with --state"
            raise RecordError(str(self.file), 0, problem) from error

    def _read(self) -> None:
        try:
            stat = self.file.stat()
            stamp = (stat.st_mtime_ns, stat.st_ino)
        except FileNotFoundError:
            stamp = None
        if stamp == self._stamp:
            return
        try:
            data: Mapping[str, Any] = json.loads(self.file.read_text(encoding="utf-8")) if stamp else {}
            keys = [Key(**{**entry, "scopes": tuple(entry["scopes"])}) for entry in data.get("keys", ())]
            secret, had_keys = str(data.get("secret", "")), bool(data.get("had_keys", keys))
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise RecordError(str(self.file), 0, f"not a file of keys ({error}); restore it") from error
        self._keys, self._secret, self._stamp = {key.id: key for key in keys}, secret, stamp
        self._had_keys = had_keys

    # ------------------------------------------------------------------ asking

    def caller_of(self, raw_key: str) -> Caller:
        """Tell whose key it is; the time taken does not depend on how much of it is right.

        Raises
        ------
        Unauthorised
            When it is nobody's.
        """
        key = self._keys.get(raw_key[:8])
        right = hmac.compare_digest(_digest(raw_key), key.digest if key else _NO_DIGEST)
        if key is None or not right:
            raise Unauthorised("no such API key")
        return key.caller

    def caller_with_id(self, key_id: str) -> Caller | None:
        """Tell who holds the key of this id, None if it was revoked: for a session that it opened."""
        key = self._keys.get(key_id)
        return key.caller if key else None

    async def authorise(self, raw_key: str | None, scope: str, request: "Request") -> Caller:
        """Tell who asks, and that they may.

        Parameters
        ----------
        raw_key
            The key as the protocol carries it; None or empty if it carries none. Then the page's session
            counts, and on loopback, as long as no key was ever made, anyone.

        Raises
        ------
        Unauthorised
            Status 401 without a good key, 403 where it lacks the scope.
        """
        now = time.monotonic()
        if now - self._checked > 0.5:
            self._checked = now
            try:
                self._read()
            except RecordError as error:  # Half restored, say; those that were good stay so.
                LOG.error("%s", error)
                self._had_keys = True  # There is a file: somebody made keys.
        if raw_key:
            caller = self.caller_of(raw_key)
        elif self.sessions and (found := self.sessions.caller_of(request)):
            caller = found
        elif self.open_without and not self._had_keys:
            # Else a page of another site could reach us through a name that it lets point to 127.0.0.1.
            if request.headers.get("host", "").rpartition(":")[0] not in _LOCAL_HOSTS and (
                request.headers.get("host", "") not in _LOCAL_HOSTS
            ):
                raise Unauthorised("without keys, call the service by the name localhost; or add one", 403)
            # A proxy on this machine would make the whole network local.
            if any(name in request.headers for name in _FORWARDED):
                raise Unauthorised("without keys, nobody is answered through a proxy; add one", 403)
            caller = LOCAL
        else:
            raise Unauthorised("an API key is needed: `moderation keys add` makes one")
        if not caller.may(scope):
            raise Unauthorised(f"this key lacks the scope {scope}", 403)
        return caller


def raw_key_of(request: "Request") -> str | None:
    """Read the key that a request carries in ``Authorization: Bearer`` or ``X-API-Key``."""
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and value:
        return value.strip()
    return request.headers.get("x-api-key") or None


def _random(size: int) -> str:
    return base64.b32encode(secrets.token_bytes(size)).decode().rstrip("=").lower()


def _digest(raw: str) -> str:
    return hashlib.sha256(raw.encode("utf-8", "surrogatepass")).hexdigest()

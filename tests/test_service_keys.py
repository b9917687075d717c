"""API keys and the page's session."""

import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from moderation import RecordError
from moderation.service.app import create_app
from moderation.service.errors import Unauthorised
from moderation.service.keys import SCOPES, KeyStore
from moderation.service.session import COOKIE, TOKEN_HEADER
from moderation.service.settings import Settings


@pytest.fixture
def store(tmp_path: Path) -> KeyStore:
    return KeyStore(tmp_path / "state" / "keys.json", open_without=True)


@pytest.fixture
def app(toy_file: Path, toy_model: Path, tmp_path: Path) -> FastAPI:
    sites = {"sport": {"policy": str(toy_file)}}
    return create_app(Settings(policy=toy_file, model=toy_model, state=tmp_path, sites=sites))  # type: ignore[arg-type]


@pytest.fixture
def client(app: FastAPI) -> Iterator[TestClient]:
    with TestClient(app) as found:
        yield found


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


# --------------------------------------------------------------------------- the file


def test_a_key_is_kept_as_a_digest_for_its_owner_only(store: KeyStore) -> None:
    raw = store.add("coral", ["decide"], "sport", 5)
    assert len(raw.split("-")[1]) == 52  # 256 bits in base 32
    assert len(raw) <= 63  # a label of a host name: Akismet's clients put it there
    assert raw == raw.lower()
    content = store.file.read_text()
    assert raw not in content
    assert raw.split("-")[1] not in content
    assert stat.S_IMODE(store.file.stat().st_mode) == 0o600
    caller = store.caller_of(raw)
    assert (caller.name, caller.scopes, caller.site, caller.rate) == (f"{raw[:8]}:coral", {"decide"}, "sport", 5)


def test_another_process_sees_it(store: KeyStore) -> None:
    raw = store.add("one", ["decide"])
    other = KeyStore(store.file)
    assert other.caller_of(raw).name.endswith(":one")
    second = other.add("two", ["admin"])
    assert [key.name for key in store.keys()] == ["one", "two"]
    store.revoke(second[:8])
    assert [key.name for key in other.keys()] == ["one"]
    assert other.secret == store.secret


@pytest.mark.parametrize("wrong", ["", "a", "abcdefgh-" + "a" * 52, "KEY", "\ud800", "é" * 60])
def test_a_wrong_key_is_nobodys(store: KeyStore, wrong: str) -> None:
    raw = store.add("one", ["decide"])
    for key in (wrong, raw[:-1], raw + "a", raw[:8] + wrong, raw.upper()):
        with pytest.raises(Unauthorised) as caught:
            store.caller_of(key)
        assert caught.value.status == 401


def test_wrong_names_are_told(store: KeyStore) -> None:
    with pytest.raises(RecordError, match="scopes are decide, audit, moderate, admin, not read"):
        store.add("x", ["read"])
    with pytest.raises(RecordError, match="no key"):
        store.revoke("nothing")
    store.file.parent.mkdir(exist_ok=True)
    store.file.write_text("{")
    with pytest.raises(RecordError, match="not a file of keys"):
        KeyStore(store.file)


# --------------------------------------------------------------------------- asking

PAGES = (
    ("POST", "/v1/decisions", "decide"),
    ("GET", "/v1/policy", "decide"),
    ("GET", "/v1/decisions/1", "audit"),
    ("GET", "/v1/audit", "audit"),
    ("GET", "/v1/audit/summary", "audit"),
    ("GET", "/metrics", "audit"),
    ("POST", "/v1/decisions/1/feedback", "moderate"),
)
BODY = {"decide": {"text": "hi", "id": "1"}, "moderate": {"verdict": "approve"}}


@pytest.mark.parametrize(("method", "path", "needed"), PAGES)
def test_each_scope_opens_its_pages_only(client: TestClient, app: FastAPI, method: str, path: str, needed: str) -> None:
    admin = app.state.keys.add("admin", ["admin"])
    client.post("/v1/decisions", json=BODY["decide"], headers=bearer(admin)).raise_for_status()
    body = BODY.get(needed) if method == "POST" else None
    for scope in SCOPES:
        key = app.state.keys.add(scope, [scope])
        reply = client.request(method, path, json=body, headers=bearer(key))
        assert reply.status_code == (403 if scope not in (needed, "admin") else 201 if needed == "moderate" else 200)
    assert client.request(method, path, json=body).status_code == 401
    assert client.request(method, path, json=body, headers=bearer("nobody")).headers["www-authenticate"] == "Bearer"
    assert client.request(method, path, json=body, headers={"X-API-Key": admin}).status_code in (200, 201)


def test_health_needs_no_key(client: TestClient, app: FastAPI) -> None:
    app.state.keys.add("admin", ["admin"])
    assert client.get("/healthz").status_code == client.get("/readyz").status_code == 200


def test_without_any_key_loopback_is_open_until_one_was_made(client: TestClient, app: FastAPI) -> None:
    assert client.get("/v1/policy").status_code == 200
    raw = app.state.keys.add("one", ["decide"])
    assert client.get("/v1/policy").status_code == 401
    app.state.keys.revoke(raw[:8])
    # To revoke the last one closes the door, it does not open it.
    assert client.get("/v1/policy").status_code == 401
    assert json.loads(app.state.keys.file.read_text())["keys"] == []


@pytest.mark.parametrize("kind", ["no JSON", "cannot be read"])
def test_a_file_of_keys_that_cannot_be_used_opens_nothing(client: TestClient, app: FastAPI, kind: str) -> None:
    assert client.get("/v1/policy").status_code == 200
    file: Path = app.state.keys.file
    if kind == "no JSON":
        file.write_text("{")
    else:
        file.mkdir()  # What root may read too is no file that cannot be read.
    app.state.keys._checked = 0.0
    assert client.get("/v1/policy").status_code == 401
    with pytest.raises(RecordError, match="not a file of keys"):
        KeyStore(file)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make files for others")
def test_keys_that_root_makes_belong_to_the_owner_of_the_folder(tmp_path: Path) -> None:
    os.chown(tmp_path, 4321, 4322)
    store = KeyStore(tmp_path / "keys.json")
    store.add("one", ["decide"])
    for file in tmp_path.iterdir():
        assert (file.stat().st_uid, file.stat().st_gid) == (4321, 4322), file


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8000", "localhost.evil.example", "127.0.0.1.evil", ""])
def test_without_keys_no_other_name_is_answered(client: TestClient, host: str) -> None:
    assert client.get("/v1/policy", headers={"Host": host}).status_code == 403


@pytest.mark.parametrize("host", ["localhost", "localhost:8000", "127.0.0.1:1", "[::1]:8000", "[::1]"])
def test_names_of_this_machine_are(client: TestClient, host: str) -> None:
    assert client.get("/v1/policy", headers={"Host": host}).status_code == 200


def test_elsewhere_nothing_is_open(toy_file: Path, toy_model: Path, tmp_path: Path) -> None:
    app = create_app(Settings(host="0.0.0.0", policy=toy_file, model=toy_model, state=tmp_path))
    with TestClient(app) as client:
        assert client.get("/v1/policy", headers={"Host": "localhost"}).status_code == 401


def test_a_key_of_one_site_sees_no_other(client: TestClient, app: FastAPI) -> None:
    admin = app.state.keys.add("admin", ["admin"])
    sport = app.state.keys.add("sport", ["decide", "audit", "moderate"], site="sport")
    client.post("/v1/decisions", json={"text": "hi", "id": "main"}, headers=bearer(admin))
    client.post("/v1/decisions", json={"text": "hi", "id": "own"}, headers=bearer(sport))
    listed = client.get("/v1/audit", headers=bearer(sport)).json()["entries"]
    assert [(entry["id"], entry["site"]) for entry in listed] == [("own", "sport")]
    assert client.get("/v1/audit?site=default", headers=bearer(sport)).status_code == 403
    assert client.get("/v1/decisions/main", headers=bearer(sport)).status_code == 404
    said = client.post("/v1/decisions/main/feedback", json={"verdict": "reject"}, headers=bearer(sport))
    assert said.status_code == 404
    assert client.get("/v1/audit/summary", headers=bearer(sport)).json()["doors"] == {"native": 1}
    for named in (
        {"headers": bearer(sport) | {"X-Site": "default"}},
        {"headers": bearer(sport), "params": {"site": "x"}},
    ):
        assert client.get("/v1/policy", **named).status_code == 403  # type: ignore[arg-type]
    assert client.get("/sites/default/v1/policy", headers=bearer(sport)).status_code == 403


# --------------------------------------------------------------------------- the session


def test_a_session_reads_with_its_cookie_and_writes_with_its_token(client: TestClient, app: FastAPI) -> None:
    raw = app.state.keys.add("desk", ["decide", "audit", "moderate"])
    assert client.post("/session", json={"key": "x"}).status_code == 401
    reply = client.post("/session", json={"key": raw})
    assert reply.json()["scopes"] == ["audit", "decide", "moderate"]
    cookie = reply.headers["set-cookie"].lower()
    assert all(part in cookie for part in ("httponly", "samesite=strict", "path=/"))
    assert raw.split("-")[1] not in reply.headers["set-cookie"]
    token = reply.json()["token"]
    assert client.get("/session").json()["token"] == token
    assert client.get("/v1/audit").status_code == 200
    body = {"text": "hi", "id": "1"}
    assert client.post("/v1/decisions", json=body).status_code == 403
    assert client.post("/v1/decisions", json=body, headers={TOKEN_HEADER: token[:-1]}).status_code == 403
    assert client.post("/v1/decisions", json=body, headers={TOKEN_HEADER: token}).status_code == 200
    closed = client.delete("/session")
    assert (closed.status_code, closed.content) == (204, b"")  # A server refuses to send a body with this status.
    assert client.get("/v1/audit").status_code == 401


def test_a_session_ends_with_its_key(client: TestClient, app: FastAPI) -> None:
    raw = app.state.keys.add("desk", ["audit"])
    client.post("/session", json={"key": raw})
    assert client.get("/v1/audit").status_code == 200
    app.state.keys.revoke(raw[:8])
    assert client.get("/v1/audit").status_code == 401


def test_a_forged_cookie_opens_nothing(client: TestClient, app: FastAPI) -> None:
    raw = app.state.keys.add("desk", ["audit"])
    client.post("/session", json={"key": raw})
    good = client.cookies[COOKIE]
    for forged in (good[:-1], good + "x", "", json.dumps(raw[:8]), "." + good):
        client.cookies.clear()
        assert client.get("/v1/audit", headers={"Cookie": f"{COOKIE}={forged}"}).status_code == 401


def test_a_session_grows_old(toy_file: Path, toy_model: Path, tmp_path: Path) -> None:
    settings = Settings(policy=toy_file, model=toy_model, state=tmp_path, session_hours=1e-9)
    app = create_app(settings)
    with TestClient(app) as client:
        client.post("/session", json={"key": app.state.keys.add("desk", ["audit"])})
        app.state.sessions._seconds = -1
        assert client.get("/v1/audit").status_code == 401

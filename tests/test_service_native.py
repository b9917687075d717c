"""The native API, the desk behind it, and its limits."""

import asyncio
import ctypes
import gc
import json
import resource
import signal
import sqlite3
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from conftest import Fake
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy.exc import OperationalError
from toys import POLICY

from moderation import Comment, Decision, ModelError, Moderator, Policy, PolicyError
from moderation.service import desk as desk_module
from moderation.service.app import collect, create_app
from moderation.service.audit import decision_json
from moderation.service.desk import LONG_CHARS, TOGETHER, Desk
from moderation.service.errors import Failed, Overloaded, RateLimited, ServiceError
from moderation.service.keys import LOCAL, Caller
from moderation.service.metrics import Metrics
from moderation.service.settings import Settings, read_settings
from moderation.service.sites import Site

Make = Callable[..., FastAPI]


@pytest.fixture
def make(toy_file: Path, toy_model: Path, tmp_path: Path) -> Make:
    def made(**options: Any) -> FastAPI:
        return create_app(Settings(**{"policy": toy_file, "model": toy_model, "state": tmp_path} | options))

    return made


@pytest.fixture
def client(make: Make) -> Iterator[TestClient]:
    with TestClient(make()) as found:
        yield found


# --------------------------------------------------------------------------- decisions


def test_one_comment_is_decided_as_by_the_moderator(client: TestClient, toy_file: Path, toy_model: Path) -> None:
    reply = client.post(
        "/v1/decisions", json={"id": "1", "text": "you clown \U0001f921", "article": "a", "parent": "0"}
    )
    expected = Moderator.load(toy_file, toy_model).review(Comment("you clown \U0001f921", "1"))
    assert reply.status_code == 200
    assert reply.content == decision_json(expected)
    assert reply.json()["verdict"] == "reject"
    entry = client.get("/v1/decisions/1").json()
    assert entry["decision"] == reply.json()
    assert (entry["door"], entry["caller"], entry["text"]) == ("native", "local", None)


def test_a_batch_keeps_its_order(client: TestClient) -> None:
    texts = [("hello", "i will kill you")[number % 7 == 0] for number in range(3 * TOGETHER + 5)]
    comments = [{"id": str(number), "text": text} for number, text in enumerate(texts)]
    found = client.post("/v1/decisions", json={"comments": comments}).json()["decisions"]
    assert [one["id"] for one in found] == [one["id"] for one in comments]
    assert [one["verdict"] == "reject" for one in found] == [text != "hello" for text in texts]
    assert len(list(client.app.state.audit.every())) == len(texts)  # type: ignore[attr-defined]


def test_a_comment_without_id_gets_one(client: TestClient) -> None:
    found = client.post("/v1/decisions", json={"comments": [{"text": "a"}, {"text": "a"}]}).json()["decisions"]
    first, second = (one["id"] for one in found)
    assert first != second
    assert client.get(f"/v1/decisions/{first}").status_code == 200


@pytest.mark.parametrize("name", ["a/b", "a b", "ü\U0001f921", "..", "a?b#c", "x\0y", "feedback", "a/feedback"])
def test_any_id_is_found_again(client: TestClient, name: str) -> None:
    from urllib.parse import quote

    client.post("/v1/decisions", json={"id": name, "text": "hi"}).raise_for_status()
    path = f"/v1/decisions/{quote(name, safe='').replace('..', '%2E%2E')}"
    assert client.get(path).json()["decision"]["id"] == name
    assert client.post(path + "/feedback", json={"verdict": "reject"}).status_code == 201
    assert len(client.get(path).json()["feedback"]) == 1


JSON = {"content-type": "application/json"}


@pytest.mark.parametrize(
    ("content", "headers", "status", "told"),
    [
        (b"", JSON, 422, "body: Invalid JSON"),
        (b"{", JSON, 422, "body: Invalid JSON"),
        (b"null", JSON, 422, ""),
        (b"[]", JSON, 422, ""),
        (b'"text"', JSON, 422, ""),
        (b"{}", JSON, 422, "text: "),
        (b'{"text": null}', JSON, 422, "text"),
        (b'{"text": 5}', JSON, 422, "text"),
        (b'{"text": "a", "texd": "b"}', JSON, 422, "texd: "),
        (b'{"comments": []}', JSON, 422, "comments: "),
        (b'{"comments": {}}', JSON, 422, "comments"),
        (b'{"comments": [{"text": "a"}, {"text": 7}]}', JSON, 422, "comments.1.text: "),
        (b'{"comments": [{"text": "a", "site": "strict"}]}', JSON, 422, "comments.0.site: "),
        (b'{"text": "\\ud800"}', JSON, 422, "text: half of a surrogate pair"),
        (
            b'{"comments": [{"text": "a"}, {"text": "b\\ude00"}]}',
            JSON,
            422,
            "comments.1.text: half of a surrogate pair",
        ),
        (b'{"text": "a", "\\ud800": "\\ud800"}', JSON, 422, "\ufffd: half of a surrogate pair"),
        (b'{"text": "\\ud800"', JSON, 422, "body: Invalid JSON"),
        (b'{"text": "\xff"}', JSON, 422, ""),
        (b'{"comments": [' + b"1, " * 10 + b"1]}", JSON, 422, "comments.0: "),
        (b'{"text": "a"' + b"".join(b', "%d": 1' % n for n in range(300)) + b"}", JSON, 422, "body: 300 fields"),
        (b'{"text": "a", "id": "' + b"x" * 501 + b'"}', JSON, 422, "id"),
        (b"[" * 100_000, JSON, 422, ""),
        (b'{"text": "a"}', {"content-type": "text/plain"}, 415, "send the body as application/json"),
        (b"text=a", {"content-type": "application/x-www-form-urlencoded"}, 415, "send the body as application/json"),
        (b'{"text": "a"}', {}, 415, "send the body as application/json"),
        (b'{"text": "a"}', {"content-type": "application/json; charset=utf-8"}, 200, ""),
        (b'{"text": ""}', JSON, 200, ""),
    ],
)
def test_what_cannot_be_read(
    client: TestClient, content: bytes, headers: dict[str, str], status: int, told: str
) -> None:
    reply = client.post("/v1/decisions", content=content, headers=headers)
    assert reply.status_code == status
    if status != 200:
        assert reply.json()["detail"].startswith(told)
        assert len(reply.json().get("problems", ())) <= 1


def test_an_error_does_not_repeat_the_comment(client: TestClient) -> None:
    reply = client.post("/v1/decisions", json={"comments": [{"text": "hush"}, {"text": ["whisper"]}], "hum": "murmur"})
    assert reply.status_code == 422
    assert not any(word in reply.text for word in ("hush", "whisper", "murmur"))


def test_limits(make: Make) -> None:
    with TestClient(make(max_batch=3, max_text_chars=10, max_body_bytes=1000)) as client:
        for body, status, told in (
            ({"text": "x" * 10}, 200, ""),
            ({"text": "x" * 11}, 422, "11 characters; at most 10"),
            ({"comments": [{"text": "a"}] * 3}, 200, ""),
            ({"comments": [{"text": "a"}] * 4}, 422, "4 comments; at most 3"),
            ({"text": "x" * 1000}, 413, "at most 1000"),
        ):
            reply = client.post("/v1/decisions", json=body)
            assert reply.status_code == status
            assert told in reply.json().get("detail", "")
        client.post("/v1/decisions", json={"text": "a", "id": "1"}).raise_for_status()
        for text, status in (("x" * 10, 201), ("x" * 11, 422)):
            reply = client.post("/v1/decisions/1/feedback", json={"verdict": "reject", "text": text})
            assert reply.status_code == status

        def chunks() -> Iterable[bytes]:
            yield from [b"x" * 600] * 2

        reply = client.post("/v1/decisions", content=chunks(), headers=JSON)  # type: ignore[arg-type]
        assert reply.status_code == 413
        assert reply.headers["connection"] == "close"
        assert client.post("/session", json={"key": "x" * 2000}).status_code == 413


# --------------------------------------------------------------------------- sites


def test_sites_are_chosen_by_header_field_and_path(make: Make, toy_file: Path, tmp_path: Path) -> None:
    other = tmp_path / "strict.toml"
    other.write_text(POLICY.replace('name = "toy"', 'name = "strict"').replace("unflagged = 0.75", "unflagged = 0.55"))
    app = make(sites={"strict": {"policy": str(other)}})
    assert app.state.sites["strict"].moderator.classifier is app.state.sites["default"].moderator.classifier
    with TestClient(app) as client:
        told = {"text": "hello"}
        for reply in (
            client.post("/v1/decisions", json=told, headers={"X-Site": "strict"}),
            client.post("/v1/decisions", json={"text": "hello", "site": "strict"}),
            client.post("/sites/strict/v1/decisions", json=told),
        ):
            assert reply.json()["policy"].startswith("strict-1")
        assert client.post("/v1/decisions", json=told).json()["policy"].startswith("toy-1")
        assert client.get("/v1/policy?site=strict").json()["thresholds"]["unflagged"] == 0.55
        for path in ("/sites/none/v1/policy", "/v1/policy?site=none", "/sites/", "/sites/strict"):
            assert client.get(path).status_code == 404
        sites = {entry["site"] for entry in client.get("/v1/audit").json()["entries"]}
        assert sites == {"strict", "default"}


@pytest.mark.parametrize(
    ("prefix", "headers", "field", "site"),
    [
        ("", {}, {}, "default"),
        ("/sites/default", {}, {}, "default"),
        ("", {"X-Site": "default"}, {}, "default"),
        ("", {}, {"site": "default"}, "default"),
        ("/sites/sport", {}, {}, "sport"),
        ("", {"X-Site": "sport"}, {}, "sport"),
        ("", {}, {"site": "sport"}, "sport"),
        ("/sites/sport", {"X-Site": "default"}, {"site": "default"}, "sport"),
    ],
)
def test_the_audit_log_is_asked_about_one_site(
    make: Make, prefix: str, headers: dict[str, str], field: dict[str, str], site: str
) -> None:
    with TestClient(make(sites={"sport": {}})) as client:
        for name in ("default", "sport", "sport", "default"):
            client.post(f"/sites/{name}/v1/decisions", json={"id": "17", "text": "hello"}).raise_for_status()
        named = {"headers": headers, "params": field}
        assert client.get(f"{prefix}/v1/decisions/17", **named).json()["site"] == site
        said = {"verdict": "reject", **field}
        reply = client.post(f"{prefix}/v1/decisions/17/feedback", json=said, headers=headers)
        assert (reply.status_code, reply.json()["site"]) == (201, site)
        entries = client.get(f"{prefix}/v1/audit", **named).json()["entries"]
        every = not (prefix or headers or field)
        assert len(entries) == (4 if every else 2)
        assert {entry["site"] for entry in entries} == ({"default", "sport"} if every else {site})
        doors = client.get(f"{prefix}/v1/audit/summary", **named).json()["doors"]
        assert doors == {"native": len(entries)}


@pytest.mark.parametrize(("site", "status"), [("sport", 200), ("default", 403), ("none", 404)])
@pytest.mark.parametrize(
    "path",
    ["/v1/decisions/17", "/v1/audit", "/v1/audit/summary", "/v1/policy", "/metrics", "/v1/decisions/17/feedback"],
)
def test_a_site_that_may_not_be_asked_about_is_refused(make: Make, path: str, site: str, status: int) -> None:
    app = make(sites={"sport": {}})
    bound = app.state.keys.add("sport", ["admin"], "sport" if status != 404 else None)
    with TestClient(app, headers={"Authorization": f"Bearer {bound}"}) as client:
        client.post("/sites/sport/v1/decisions", json={"id": "17", "text": "hello"}).raise_for_status()
        method, body = ("POST", {"verdict": "reject"}) if path.endswith("feedback") else ("GET", None)
        wanted = 201 if status == 200 and body else status
        assert client.request(method, f"/sites/{site}{path}", json=body).status_code == wanted
        assert client.request(method, path, json=body, headers={"X-Site": site}).status_code == wanted


def test_a_site_with_a_bad_policy_is_told_at_start(make: Make, tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_text("[policy]\n")
    with pytest.raises(PolicyError, match=r"bad\.toml"):
        make(sites={"x": {"policy": str(tmp_path / "bad.toml")}})
    with pytest.raises(ModelError):
        make(model=tmp_path)


def test_reload_takes_the_new_and_keeps_the_old_if_it_is_bad(make: Make, tmp_path: Path) -> None:
    file = tmp_path / "own.toml"
    file.write_text(POLICY)
    with TestClient(make(policy=file)) as client:
        first = client.get("/v1/policy").json()["identity"]
        file.write_text(POLICY.replace("unflagged = 0.75", "unflagged = 0.65"))
        assert client.app.state.reload()  # type: ignore[attr-defined]
        second = client.get("/v1/policy").json()
        assert second["identity"] != first
        assert second["thresholds"]["unflagged"] == 0.65
        for bad in (POLICY + "[nonsense", POLICY.replace("0.75", "7"), POLICY.replace("thank you", "thanks")):
            file.write_text(bad)
            assert not client.app.state.reload()  # type: ignore[attr-defined]
            assert client.get("/v1/policy").json() == second
        file.unlink()
        assert not client.app.state.reload()  # type: ignore[attr-defined]
        assert client.post("/v1/decisions", json={"text": "hi"}).json()["policy"] == second["identity"]
        assert 'moderation_reloads_total{outcome="kept the old"} 4.0' in client.get("/metrics").text


def test_a_reload_lets_go_of_the_old_policy(make: Make) -> None:
    state = make().state
    old = weakref.ref(state.sites["default"].policy)
    assert state.reload()
    gc.collect()
    assert old() is None


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="needs glibc")
def test_what_a_reload_frees_goes_back_to_the_system() -> None:
    def resident_mb() -> int:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * resource.getpagesize() >> 20

    def load() -> bytes:
        return [bytes(600) for _ in range(300_000)][-1]  # The last lies above all that is freed.

    with ThreadPoolExecutor(1) as pool:
        kept = pool.submit(load).result()
        before = resident_mb()
        collect()
        assert resident_mb() < before - 100
    assert len(kept) == 600


def test_reloads_follow_one_another_and_the_last_that_was_asked_for_is_made(make: Make) -> None:
    app = make()
    begun, go = threading.Semaphore(0), threading.Semaphore(0)

    def reload() -> bool:
        begun.release()
        assert go.acquire(timeout=5)
        raise ZeroDivisionError  # Even a bug is not the end of reloads.

    app.state.reload = reload

    async def run() -> None:
        async with app.router.lifespan_context(app):
            signal.raise_signal(signal.SIGHUP)
            assert await asyncio.to_thread(begun.acquire, timeout=120)
            for _ in range(2):
                signal.raise_signal(signal.SIGHUP)
            assert not await asyncio.to_thread(begun.acquire, timeout=0.2)
            go.release()
            assert await asyncio.to_thread(begun.acquire, timeout=120)
            go.release()
            assert not await asyncio.to_thread(begun.acquire, timeout=0.2)

    asyncio.run(run())


# --------------------------------------------------------------------------- audit, policy, metrics


def test_feedback_and_audit(client: TestClient) -> None:
    client.post("/v1/decisions", json={"comments": [{"id": str(n), "text": "you clown"} for n in range(5)]})
    said = client.post(
        "/v1/decisions/3/feedback",
        json={"verdict": "approve", "note": "a circus", "guidelines": [], "text": "you clown"},
    )
    assert said.status_code == 201
    assert client.post("/v1/decisions/none/feedback", json={"verdict": "approve"}).status_code == 404
    for bad in (
        {},
        {"verdict": "maybe"},
        {"verdict": "reject", "guidelines": ["rude"]},
        {"verdict": "approve", "guidelines": ["threat"]},
        {"verdict": "reject", "x": 1},
    ):
        assert client.post("/v1/decisions/3/feedback", json=bad).status_code == 422
    page = client.get("/v1/audit?limit=2").json()
    assert [entry["id"] for entry in page["entries"]] == ["4", "3"]
    assert page["entries"][1]["feedback"][0]["note"] == "a circus"
    page = client.get(f"/v1/audit?limit=3&before={page['next']}").json()
    assert [entry["id"] for entry in page["entries"]] == ["2", "1", "0"]
    assert client.get(f"/v1/audit?before={page['next']}").json() == {"entries": [], "next": None}
    assert [one["id"] for one in client.get("/v1/audit?overruled=true").json()["entries"]] == ["3"]
    for query, count in (
        ("since=2020-01-01T00:00:00", 5),
        ("since=2020-01-01T00:00:00%2B02:00&until=2020-01-02", 0),
        ("verdict=reject&guideline=personal_attack&door=native", 5),
        ("guideline=threat", 0),
        ("id=4", 1),
    ):
        assert len(client.get(f"/v1/audit?{query}").json()["entries"]) == count
    wrong = (
        "since=yesterday",
        "limit=0",
        "limit=501",
        "verdict=x",
        "before=x",
        f"before={1 << 70}",
        "id=1&id=2",
        "verdicts=reject",
    )
    for query in wrong:
        assert client.get(f"/v1/audit?{query}").status_code == 422
    assert client.get("/healthz?at=1").status_code == 200
    found = client.get("/v1/audit/summary?hours=2").json()
    assert found["verdicts"] == {"approve": 0, "reject": 5}
    assert found["overruled"] == 1
    assert sum(hour["guidelines"].get("personal_attack", 0) for hour in found["hours"]) == 5


def test_feedback_is_about_the_row_that_it_names(client: TestClient) -> None:
    for text in ("you clown", "hello", "hi"):
        client.post("/v1/decisions", json={"id": "edit", "text": text}).raise_for_status()
    newest, between, oldest = (entry["seq"] for entry in client.get("/v1/audit").json()["entries"])
    for seq, status in ((oldest, 201), (None, 201), (newest + 1, 404)):
        reply = client.post("/v1/decisions/edit/feedback", json={"verdict": "approve", "seq": seq})
        assert reply.status_code == status
    client.post("/v1/decisions", json={"id": "other", "text": "hi"}).raise_for_status()
    assert client.post("/v1/decisions/other/feedback", json={"verdict": "reject", "seq": between}).status_code == 404
    said = {entry["seq"]: len(entry["feedback"]) for entry in client.get("/v1/audit?id=edit").json()["entries"]}
    assert said == {newest: 1, between: 0, oldest: 1}


def test_policy_tells_what_is_in_force(client: TestClient, toy_policy: Policy) -> None:
    found = client.get("/v1/policy").json()
    assert found["identity"] == toy_policy.identity
    assert (found["site"], found["model"], found["classifier"], found["encoder"]) == (
        "default",
        "toy-1",
        "linear",
        None,
    )
    assert [rule["id"] for rule in found["rules"]] == ["threat.kill", "personal_attack.you"]
    assert len(found["guidelines"]) == 6


def test_metrics_count(client: TestClient) -> None:
    client.post("/v1/decisions", json={"comments": [{"text": "hello"}, {"text": "i will kill you"}]})
    client.post("/v1/decisions", json={})
    text = client.get("/metrics").text
    for line in (
        'moderation_decisions_total{door="native",site="default",stage="linear",verdict="approve"} 1.0',
        'moderation_decisions_total{door="native",site="default",stage="rule",verdict="reject"} 1.0',
        'moderation_guidelines_total{guideline="threat",site="default"} 1.0',
        'moderation_requests_total{door="native",status="200"} 1.0',
        'moderation_requests_total{door="native",status="422"} 1.0',
        'moderation_request_seconds_count{door="native"} 2.0',
        "moderation_queue_comments 0.0",
    ):
        assert line in text


def test_a_bug_is_a_plain_500(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    app = make()

    def broken(*args: Any) -> Any:
        raise ZeroDivisionError("with a comment in it")

    monkeypatch.setattr(app.state.audit, "latest", broken)
    with TestClient(app, raise_server_exceptions=False) as client:
        reply = client.get("/v1/decisions/1")
    assert reply.status_code == 500
    assert reply.json() == {"detail": "a bug of moderation; please report it"}


def test_not_ready_without_its_audit_log(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    app = make()
    with TestClient(app) as client:
        assert client.get("/readyz").json() == {"status": "ready"}
        assert [client.head(path).status_code for path in ("/healthz", "/readyz")] == [200, 200]
        monkeypatch.setattr(app.state.audit, "reachable", lambda: False)
        assert client.get("/readyz").status_code == 503
        client.portal.call(app.state.desk.close)  # type: ignore[union-attr]
        assert client.get("/readyz").json() == {"status": "the desk has stopped"}
        reply = client.post("/v1/decisions", json={"text": "late"})
        assert (reply.status_code, reply.headers["retry-after"]) == (503, "2")


def test_not_ready_after_a_decision_could_not_be_recorded(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    app = make()
    with TestClient(app) as client:

        def decided() -> tuple[int, int]:
            status = client.post("/v1/decisions", json={"text": "hello"}).status_code
            client.post("/v1/explain", json={"text": "hello"})  # Records nothing, so that it tells nothing.
            return status, client.get("/readyz").status_code

        assert decided() == (200, 200)
        connection = app.state.audit._kept
        connection.exec_driver_sql("PRAGMA query_only=1")
        connection.commit()
        assert decided() == (503, 503)
        assert client.get("/readyz").json() == {"status": "the last decision could not be recorded"}
        monkeypatch.setattr(desk_module, "UNREADY_SECONDS", 0)
        assert client.get("/readyz").status_code == 200
        monkeypatch.undo()
        assert client.get("/readyz").status_code == 503
        assert decided() == (200, 200)


# --------------------------------------------------------------------------- the desk


class Counting:
    """A moderator that remembers how many comments came together, and in which threads."""

    def __init__(self, moderator: Moderator) -> None:
        self.moderator = moderator
        self.policy = moderator.policy
        self.took: list[int] = []
        self.threads: list[threading.Thread] = []

    def review_many(self, comments: list[Comment]) -> tuple[Decision, ...]:
        self.took.append(len(comments))
        self.threads.append(threading.current_thread())
        if any(comment.text == "boom" for comment in comments):
            raise ModelError("boom with a comment in it")
        return self.moderator.review_many(comments)


class Log:
    """An audit log on a server that waits to be told and keeps rows in memory, or cannot."""

    keep_text = False
    remote = True

    def __init__(self) -> None:
        self.may = threading.Semaphore(0)
        self.rows: list[Any] = []
        self.broken = False

    def row(self, recorded: Any, *rest: Any) -> Any:
        return recorded.decision.id, *rest

    def record(self, rows: list[Any]) -> None:
        if self.broken:
            raise OperationalError("INSERT", {"text": "a comment"}, OSError("disk full"))
        assert self.may.acquire(timeout=120)
        self.rows.extend(rows)


@pytest.fixture
def counting(toy_policy: Policy) -> Counting:
    return Counting(Moderator(toy_policy, Fake()))


@pytest.fixture
def site(counting: Counting) -> Site:
    return Site("default", counting)  # type: ignore[arg-type]


@pytest.fixture
def opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Desk]:
    # Nothing here shall depend on how busy this machine is.
    monkeypatch.setattr(desk_module, "TOGETHER_SECONDS", 1e9)

    def made(**options: Any) -> Desk:
        settings = Settings(**{"state": tmp_path, "max_wait_seconds": 1e9} | options)
        return Desk(settings, Log(), Metrics())  # type: ignore[arg-type]

    return made


def named(*names: str) -> list[Comment]:
    return [Comment(name, name) for name in names]


async def settled(desk: Desk, waiting: int) -> None:
    end = time.monotonic() + 120
    while desk.waiting != waiting or (waiting and desk._jobs and len(desk._jobs) == waiting):
        assert time.monotonic() < end
        await asyncio.sleep(0.002)


def test_what_waits_is_decided_together_and_recorded_before_it_is_answered(
    opened: Callable[..., Desk], counting: Counting, site: Site
) -> None:
    desk = opened()
    log: Any = desk.audit

    async def run() -> None:
        tasks = [asyncio.create_task(desk.decide(named("0"), site=site, door="d", caller=LOCAL))]
        await settled(desk, 1)  # The first is being recorded; the rest must wait for it.
        for number in range(1, 6):
            tasks.append(asyncio.create_task(desk.decide(named(str(number)), site=site, door="d", caller=LOCAL)))
        await settled(desk, 6)
        log.may.release()
        assert [one.id for one in await tasks[0]] == ["0"]
        assert log.rows == [("0", "default", "d", "local", True)]
        log.may.release()
        assert [(await task)[0].id for task in tasks[1:]] == ["1", "2", "3", "4", "5"]

    asyncio.run(run())
    assert counting.took == [1, 5]
    assert [row[0] for row in log.rows] == ["0", "1", "2", "3", "4", "5"]
    assert (desk.waiting, desk._ahead) == (0, 0)


def test_a_large_batch_does_not_hold_up_one_comment(opened: Callable[..., Desk], site: Site) -> None:
    desk = opened()
    log: Any = desk.audit

    async def run() -> None:
        many = asyncio.create_task(
            desk.decide(named(*(f"m{number}" for number in range(100))), site=site, door="d", caller=LOCAL)
        )
        while not desk.waiting:
            await asyncio.sleep(0)
        one = asyncio.create_task(desk.decide(named("one"), site=site, door="d", caller=LOCAL))
        await asyncio.sleep(0.05)
        for _ in range(2):
            log.may.release()
        assert [found.id for found in await one] == ["one"]
        assert not many.done()
        for _ in range(100):
            log.may.release()
        assert [found.id for found in await many] == [f"m{number}" for number in range(100)]

    asyncio.run(run())
    assert (desk.waiting, desk._ahead) == (0, 0)


def test_a_full_queue_refuses_and_then_is_itself_again(opened: Callable[..., Desk], site: Site) -> None:
    desk = opened(max_queue=3)
    log: Any = desk.audit

    async def run() -> None:
        tasks = [
            asyncio.create_task(desk.decide(named(str(number)), site=site, door="d", caller=LOCAL))
            for number in range(5)
        ]
        done, waiting = await asyncio.wait(tasks, timeout=0.2)
        assert {type(task.exception()) for task in done} == {Overloaded}
        assert (len(done), len(waiting)) == (2, 3)
        assert all(task.exception().headers["Retry-After"] == "1" for task in done)  # type: ignore[union-attr]
        for _ in range(10):
            log.may.release()
        await asyncio.wait(waiting)
        assert [found.id for found in await desk.decide(named("again"), site=site, door="d", caller=LOCAL)] == ["again"]

    asyncio.run(run())


def test_what_would_wait_too_long_is_refused(opened: Callable[..., Desk], site: Site) -> None:
    desk = opened(max_wait_seconds=0.5)
    desk._seconds_each = 0.2
    desk.waiting, desk._ahead = 2, 2
    desk.admit()
    desk.waiting, desk._ahead = 1000, 32
    with pytest.raises(Overloaded) as caught:
        desk.admit()
    assert caught.value.retry_after_seconds == 6
    desk.waiting = desk._ahead = 0
    desk.admit(1000)


def test_one_that_cannot_be_judged_takes_no_other_down(
    opened: Callable[..., Desk], site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    desk = opened()
    log: Any = desk.audit

    async def run() -> None:
        names = ("first", "good", "boom", "fine")
        tasks = []
        for name in names:
            tasks.append(asyncio.create_task(desk.decide(named(name), site=site, door="d", caller=LOCAL)))
            await settled(desk, len(tasks)) if len(tasks) == 1 else await asyncio.sleep(0.01)
        for _ in range(20):
            log.may.release()
        found = await asyncio.gather(*tasks, return_exceptions=True)
        assert [isinstance(one, Failed) for one in found] == [False, False, True, False]

    asyncio.run(run())
    assert "comment in it" not in caplog.text
    assert "ModelError" in caplog.text
    assert (desk.waiting, desk._ahead) == (0, 0)


def test_what_cannot_be_recorded_is_not_answered(
    opened: Callable[..., Desk], site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    desk = opened()
    log: Any = desk.audit
    for _ in range(200):
        log.may.release()

    async def decided(*names: str) -> list[Decision]:
        return await desk.decide(named(*names), site=site, door="d", caller=LOCAL)

    log.broken = True
    with pytest.raises(Failed, match="recorded"):
        asyncio.run(decided("a", "b"))
    with pytest.raises(Failed, match="recorded"):
        asyncio.run(decided(*map(str, range(70))))
    log.broken = False
    assert len(asyncio.run(decided("a"))) == 1
    assert "a comment" not in caplog.text
    assert (desk.waiting, desk._ahead) == (0, 0)


def test_a_locked_log_holds_up_its_own_requests_only(make: Make, tmp_path: Path) -> None:
    app = make(max_wait_seconds=0.3)
    lock = sqlite3.connect(tmp_path / "audit.db", isolation_level=None, check_same_thread=False)
    with TestClient(app) as client, ThreadPoolExecutor(4) as pool:

        def decide(_: int) -> tuple[int, float]:
            started = time.monotonic()
            status = client.post("/v1/decisions", json={"text": "hello"}).status_code
            return status, time.monotonic() - started

        assert decide(0)[0] == 200
        lock.execute("BEGIN IMMEDIATE")
        waiting = pool.submit(decide, 1)
        started = time.monotonic()
        for _ in range(3):
            assert client.get("/healthz").status_code == 200
        assert not waiting.done()
        assert waiting.result()[0] == 503
        assert [status for status, _ in pool.map(decide, range(4))] == [503] * 4
        assert time.monotonic() - started < 5
        lock.execute("ROLLBACK")
        assert decide(0)[0] == 200
        # One that is locked out for a short time only is decided.
        lock.execute("BEGIN IMMEDIATE")
        waiting = pool.submit(decide, 1)
        time.sleep(0.1)
        lock.execute("ROLLBACK")
        assert waiting.result()[0] == 200
    lock.close()


def test_closing_decides_what_waits(opened: Callable[..., Desk], site: Site) -> None:
    desk = opened()
    log: Any = desk.audit

    async def run() -> None:
        task = asyncio.create_task(desk.decide(named(*map(str, range(80))), site=site, door="d", caller=LOCAL))
        await asyncio.sleep(0.05)
        closing = asyncio.create_task(desk.close())
        while not desk._closed:
            await asyncio.sleep(0.002)
        with pytest.raises(Overloaded, match="shutting down"):
            await desk.decide(named("late"), site=site, door="d", caller=LOCAL)
        for _ in range(100):
            log.may.release()
        assert len(await task) == 80
        await closing

    asyncio.run(run())


def test_a_long_comment_is_judged_in_a_thread(opened: Callable[..., Desk], counting: Counting, site: Site) -> None:
    desk = opened()
    desk.audit.remote = False  # Recorded where it is judged.
    log: Any = desk.audit

    async def run() -> None:
        for text in ("short", "long " * LONG_CHARS, "short again"):
            log.may.release()
            assert [one.id for one in await desk.decide([Comment(text, text[:5])], site=site, door="d", caller=LOCAL)]

    asyncio.run(run())
    assert [thread is threading.main_thread() for thread in counting.threads] == [True, False, True]
    assert [row[0] for row in log.rows] == ["short", "long ", "short"]


def test_the_rate_of_a_key(opened: Callable[..., Desk], site: Site) -> None:
    desk = opened(rate_per_key=10)
    log: Any = desk.audit
    for _ in range(100):
        log.may.release()

    async def send(count: int, caller: Caller) -> int:
        return len(await desk.decide(named(*map(str, range(count))), site=site, door="d", caller=caller))

    one, other = Caller("one", frozenset()), Caller("other", frozenset(), rate=1000)

    async def run() -> None:
        assert await send(15, one) == 15
        with pytest.raises(RateLimited) as caught:
            await send(10, one)
        assert (caught.value.status, caught.value.retry_after_seconds) == (429, 1)
        assert await send(100, other) == 100
        # A batch above the bucket's size goes through on a full bucket, and is paid for afterwards.
        desk._buckets.clear()
        assert await send(50, one) == 50
        with pytest.raises(RateLimited) as caught:
            await send(1, one)
        assert caught.value.retry_after_seconds == 3

    asyncio.run(run())


def test_what_is_refused_under_overload_is_not_taken_from_the_rate(opened: Callable[..., Desk], site: Site) -> None:
    desk = opened(rate_per_key=10)
    log: Any = desk.audit
    log.may.release()
    batch = named(*map(str, range(20)))

    async def run() -> None:
        desk.waiting = desk.settings.max_queue
        with pytest.raises(Overloaded):
            await desk.decide(batch, site=site, door="d", caller=LOCAL)
        desk.waiting = 0
        assert len(await desk.decide(batch, site=site, door="d", caller=LOCAL)) == 20

    asyncio.run(run())


@pytest.mark.parametrize(("text", "name"), [("\ud800", "a"), ("a", "\udfff"), ("a", "x" * 501)])
def test_what_cannot_be_stored_is_refused(opened: Callable[..., Desk], site: Site, text: str, name: str) -> None:
    desk = opened()
    with pytest.raises(ServiceError) as caught:
        asyncio.run(desk.decide([Comment(text, name)], site=site, door="d", caller=LOCAL))
    assert caught.value.status == 422


# --------------------------------------------------------------------------- settings


def test_options_count_before_the_environment_before_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "service.toml"
    file.write_text('port = 1\nworkers = 2\nhost = "::1"\n[sites.sport]\npolicy = "sport.toml"\n')
    monkeypatch.setenv("MODERATION_PORT", "3")
    monkeypatch.setenv("MODERATION_WORKERS", "4")
    monkeypatch.setenv("MODERATION_CORAL_SECRETS", json.dumps(["one", "two"]))
    found = read_settings(file, port=5, policy=None)
    assert (found.port, found.workers, found.host, found.policy) == (5, 4, "::1", None)
    assert found.coral_secrets == ["one", "two"]
    assert found.sites["sport"].policy == tmp_path / "sport.toml"
    assert found.loopback


@pytest.mark.parametrize(
    ("line", "name", "given"),
    [
        ('policy = "house.toml"', "policy", "{folder}/house.toml"),
        ('policy = "/etc/house.toml"', "policy", "/etc/house.toml"),
        ('model = "../m"', "model", "{folder}/../m"),
        ('state = "state"', "audit_url", "sqlite:///{folder}/state/audit.db"),
        ('audit = "sqlite:///log.db"', "audit_url", "sqlite:///{folder}/log.db"),
        ('audit = "sqlite:////var/log.db"', "audit_url", "sqlite:////var/log.db"),
        ('audit = "postgresql://a@b/c"', "audit_url", "postgresql://a@b/c"),
        ("port = 8000", "state", "moderation-state"),
    ],
)
def test_paths_in_the_file_are_relative_to_it(tmp_path: Path, line: str, name: str, given: str) -> None:
    file = tmp_path / "service.toml"
    file.write_text(line)
    assert str(getattr(read_settings(file), name)) == given.format(folder=tmp_path)


def test_paths_in_options_and_environment_are_relative_to_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "service.toml"
    file.write_text('policy = "file.toml"\nmodel = "file"\n[sites.sport]\npolicy = "sport.toml"\n')
    monkeypatch.setenv("MODERATION_MODEL", "environment")
    monkeypatch.setenv("MODERATION_SITES__SPORT__POLICY", "environment.toml")
    found = read_settings(file, policy="option.toml")
    assert (found.policy, found.model, found.sites["sport"].policy) == (
        Path("option.toml"),
        Path("environment"),
        Path("environment.toml"),
    )


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("port = 70000", "port: "),
        ("sites = 5", "sites: "),
        ("[sites]\nx = 5", "sites.x: "),
        ("policy = 5", "policy: "),
        ('workers = "many"', "workers: "),
        ("prot = 1", "prot: "),
        ('[sites.x]\npolice = "x"', "sites.x.police: "),
        ('classifier = "fast"', "classifier: "),
        ("port =", "service.toml: "),
    ],
)
def test_bad_settings_are_told_in_a_line(tmp_path: Path, content: str, told: str) -> None:
    from moderation import RecordError

    file = tmp_path / "service.toml"
    file.write_text(content)
    with pytest.raises(RecordError) as caught:
        read_settings(file)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_no_file_is_told(tmp_path: Path) -> None:
    from moderation import RecordError

    with pytest.raises(RecordError, match="no such file"):
        read_settings(tmp_path / "none.toml")

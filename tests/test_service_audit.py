"""The audit log, on SQLite and on a PostgreSQL of the tests' own."""

import json
import os
import pwd
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import Fake
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError

from moderation import Comment, Moderator, Policy, RecordError, Verdict
from moderation.service.audit import AuditLog, Recorded, decision_json
from moderation.service.search import Search
from moderation.service.tables import DECISIONS, DELETIONS, FEEDBACK, HOUR_MS, now_ms


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a fresh PostgreSQL on a socket in a folder; skipped where none is installed."""
    folder = Path(shutil.which("initdb") or "").resolve().parent
    found = [path.parent for path in (folder / "pg_ctl", *sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl")))]
    programs = next((path for path in found if (path / "initdb").is_file()), None)
    if programs is None:
        pytest.skip("no PostgreSQL is installed")
    user: dict[str, Any] = {}
    home = Path("/tmp") if os.geteuid() == 0 else tmp_path_factory.mktemp("postgres")
    home = home / f"moderation-test-postgres-{os.getpid()}"  # Short: a socket's path has at most 107 characters.
    home.mkdir()
    if os.geteuid() == 0:  # It refuses to run as root.
        try:
            account = pwd.getpwnam("postgres")
        except KeyError:
            pytest.skip("PostgreSQL does not run as root, and there is no user postgres")
        os.chown(home, account.pw_uid, account.pw_gid)
        user = {"user": account.pw_uid, "group": account.pw_gid, "cwd": home}
    run = {"check": True, "capture_output": True, **user}
    try:
        subprocess.run([programs / "initdb", "-D", home / "data", "-U", "test", "-A", "trust", "--no-sync"], **run)
        options = f"-c listen_addresses='' -c unix_socket_directories={home} -c fsync=off"
        start = [programs / "pg_ctl", "-D", home / "data", "-w", "-l", home / "log", "-o", options, "start"]
        subprocess.run(start, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **user)
        try:
            yield f"postgresql://test@/postgres?host={home}"
        finally:
            subprocess.run([programs / "pg_ctl", "-D", home / "data", "-m", "immediate", "stop"], **run)
    finally:
        shutil.rmtree(home)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'new' / 'audit.db'}"
    found = request.getfixturevalue("postgres")
    log = AuditLog(found)
    with log.engine.begin() as connection:
        connection.execute(text("DROP TABLE decisions, feedback, deletions, audit_settings"))
    log.close()
    return str(found)


def test_a_postgresql_data_base_without_an_encoding_serves_as_well(postgres: str, moderator: Moderator) -> None:
    first = AuditLog(postgres)
    with first.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        kind = "ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0"
        connection.execute(text(f"CREATE DATABASE plain {kind}"))
    first.close()
    log = AuditLog(postgres.replace("/postgres?", "/plain?"), keep_text=True)
    add(log, moderator, "17 what a clown, Łukasz")
    assert log.latest("17")["text"] == "17 what a clown, Łukasz"  # type: ignore[index]
    log.close()


@pytest.fixture
def log(url: str) -> Iterator[AuditLog]:
    opened = AuditLog(url, keep_text=True)
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def moderator(toy_policy: Policy) -> Moderator:
    return Moderator(toy_policy, Fake({"clown": 0.9}))


def add(
    log: AuditLog, moderator: Moderator, *texts: str, site: str = "default", door: str = "native", **how: Any
) -> None:
    """Record decisions on texts; each has its text as its id up to the first space."""
    rows = []
    for one in texts:
        decision = moderator.review(Comment(one, one.split(" ")[0]))
        rows.append(log.row(Recorded(decision, decision_json(decision), one.encode()), site, door, "tests", **how))
    log.record(rows)


def test_a_row_holds_all_that_a_decision_was(log: AuditLog, moderator: Moderator) -> None:
    add(log, moderator, "17 what a clown")
    entry = log.latest("17")
    assert entry
    decision = moderator.review(Comment("17 what a clown", "17"))
    assert entry["decision"] == json.loads(json.dumps(decision.to_dict()))
    assert log.stored_json(entry["seq"]).encode() == decision_json(decision)
    assert (entry["id"], entry["site"], entry["door"], entry["caller"]) == ("17", "default", "native", "tests")
    assert entry["text"] == "17 what a clown"
    assert entry["text_hash"] == log.text_hash(b"17 what a clown")
    assert entry["time"].endswith("Z")
    assert entry["feedback"] == []


@pytest.mark.parametrize(("configured", "allowed"), [(False, True), (True, False), (False, False)])
def test_a_text_is_kept_only_if_both_say_so(url: str, moderator: Moderator, configured: bool, allowed: bool) -> None:
    log = AuditLog(url, keep_text=configured)
    add(log, moderator, "17 hello", keep_text=allowed)
    assert log.latest("17")["text"] is None  # type: ignore[index]
    log.close()


def test_what_a_data_base_cannot_hold_is_held(log: AuditLog, moderator: Moderator) -> None:
    # PostgreSQL's text has no NUL; a name may have half a surrogate pair.
    decision = moderator.review(Comment("nul \0 clown", "a\0b"))
    log.record([log.row(Recorded(decision, decision_json(decision), b"nul \0 clown"), "default", "native", "k\ud800")])
    entry = log.latest("a\0b")
    assert entry
    assert [found["seq"] for found in log.search(Search(words="Clown"))] == [entry["seq"]]
    assert (entry["text"], entry["decision"]["id"]) == ("nul \0 clown", "a\0b")
    log.add_feedback("a\0b", Verdict.APPROVE, site="default", door="native", caller="x", note="n\0", text="\ud800 \0")
    assert log.latest("a\0b")["feedback"][0]["note"] == "n\N{REPLACEMENT CHARACTER}"  # type: ignore[index]
    assert log.training_rows()[0]["text"] == "\ud800 \0"


@pytest.mark.parametrize(
    ("search", "found"),
    [
        (Search(), ["e", "d", "c", "b", "a"]),
        (Search(id="b"), ["b"]),
        (Search(id="%"), []),
        (Search(verdict="reject"), ["c", "b"]),
        (Search(guideline="threat"), ["b"]),
        (Search(guideline="thr"), []),
        (Search(guideline="%"), []),
        (Search(door="akismet"), ["d"]),
        (Search(site="other"), ["e"]),
        (Search(site="default", verdict="approve"), ["d", "a"]),
        (Search(since=0), ["e", "d", "c", "b", "a"]),
        (Search(until=0), []),
        (Search(overruled=True), ["b", "a"]),
        (Search(overruled=False), ["e", "d", "c"]),
        (Search(stage="rule"), ["b"]),
        (Search(words="CLOWN"), ["c"]),
        (Search(words="will kill", stage="linear"), []),
        (Search(words="%"), []),
        (Search(words="\\"), []),
    ],
)
def test_search(log: AuditLog, moderator: Moderator, search: Search, found: list[str]) -> None:
    add(log, moderator, "a hello", "b i will kill you", "c what a clown")
    add(log, moderator, "d hello", door="akismet")
    add(log, moderator, "e hello", site="other")
    log.add_feedback("b", Verdict.APPROVE, site="default", door="native", caller="x")
    # The last word counts: «a» and «b» were overruled, «c» too, but no more.
    for name, verdict in (("c", Verdict.APPROVE), ("c", Verdict.REJECT), ("a", Verdict.APPROVE), ("a", Verdict.REJECT)):
        log.add_feedback(name, verdict, site="default", door="native", caller="x")
    assert [entry["id"] for entry in log.search(search)] == found


def test_pages_meet_without_gap_or_overlap(log: AuditLog, moderator: Moderator) -> None:
    add(log, moderator, *(f"{number} hello" for number in range(25)))
    pages, before = [], None
    while page := log.search(Search(before=before), 10):
        pages.append([entry["id"] for entry in page])
        before = page[-1]["seq"]
    assert [len(page) for page in pages] == [10, 10, 5]
    assert [name for page in pages for name in page] == [str(number) for number in range(24, -1, -1)]
    assert [entry["id"] for entry in log.every()] == [name for page in pages for name in page]


def test_every_goes_on_past_a_thousand(log: AuditLog, moderator: Moderator) -> None:
    add(log, moderator, *["x hello"] * 1000, "y hello")
    assert len(list(log.every())) == 1001


def test_feedback_stands_beside_the_newest_decision_of_the_site(log: AuditLog, moderator: Moderator) -> None:
    add(log, moderator, "a hello", "a what a clown")
    add(log, moderator, "a hello", site="other")
    before = [log.stored_json(entry["seq"]) for entry in log.every()]
    log.add_feedback("a", Verdict.APPROVE, site="default", door="page", caller="eve", note="a circus")
    log.add_feedback("nobody", Verdict.REJECT, site="default", door="perspective", caller="bob", text="never seen")
    other, newest, older = log.every()
    assert [len(entry["feedback"]) for entry in (other, newest, older)] == [0, 1, 0]
    said = newest["feedback"][0]
    assert (said["verdict"], said["note"], said["caller"], said["door"]) == ("approve", "a circus", "eve", "page")
    assert before == [log.stored_json(entry["seq"]) for entry in (other, newest, older)]


def test_training_rows_are_what_was_said_last(log: AuditLog, moderator: Moderator) -> None:
    add(log, moderator, "a hello", "b you clown", "c hello", keep_text=True)
    add(log, moderator, "d hello", keep_text=False)
    for name, verdict, guidelines, given in (
        ("a", Verdict.REJECT, (), None),
        ("a", Verdict.REJECT, ("threat", "abuse"), None),
        ("b", Verdict.APPROVE, (), None),
        ("d", Verdict.REJECT, (), None),  # No text: of no use.
        ("e", Verdict.REJECT, (), "only told"),
    ):
        log.add_feedback(name, verdict, site="default", door="page", caller="x", guidelines=guidelines, text=given)
    rows = log.training_rows()
    assert [(row["text"], row["reject"]) for row in rows] == [("a hello", 1), ("b you clown", 0), ("only told", 1)]
    assert [name for name, value in rows[0].items() if value == 1] == ["reject", "threat", "abuse"]
    assert set(list(rows[1].values())[1:]) == {0}
    assert set(list(rows[2].values())[2:]) == {None}
    assert log.training_rows(since=now_ms() + 60_000) == []


def test_summary_counts_by_hour(log: AuditLog, moderator: Moderator) -> None:
    hour = now_ms() // HOUR_MS
    for back, words in ((0, "clown hello"), (0, "i will kill you"), (1, "hello"), (2, "hello"), (30, "what a clown")):
        decision = moderator.review(Comment(words, words[:1]))
        row = log.row(Recorded(decision, decision_json(decision), b""), "default", "native", "x")
        log.record([row | {"time": (hour - back) * HOUR_MS + 5}])
    # Of one decision that is overruled twice, and one of which that was withdrawn, one is overruled.
    for name, verdict in (
        ("c", Verdict.APPROVE),
        ("c", Verdict.APPROVE),
        ("h", Verdict.REJECT),
        ("h", Verdict.APPROVE),
    ):
        log.add_feedback(name, verdict, site="default", door="page", caller="x")
    found = log.summary((hour - 23) * HOUR_MS, (hour + 1) * HOUR_MS)
    assert found["verdicts"] == {"approve": 2, "reject": 2}
    assert found["guidelines"] == {"personal_attack": 1, "threat": 1}
    assert found["doors"] == {"native": 4}
    assert found["overruled"] == 1
    assert [(one["approve"], one["reject"]) for one in found["hours"]][-3:] == [(1, 0), (1, 0), (0, 2)]
    assert len(found["hours"]) == 24
    assert log.summary(0, 1, "default")["verdicts"] == {"approve": 0, "reject": 0}
    assert log.summary((hour - 23) * HOUR_MS, (hour + 1) * HOUR_MS, "other")["doors"] == {}


def test_erasure_leaves_that_there_was_a_decision(log: AuditLog, moderator: Moderator) -> None:
    add(log, moderator, "a what a clown you are", "b hello")
    log.add_feedback(
        "a", Verdict.REJECT, site="default", door="page", caller="x", note="named her", text="what a clown"
    )
    assert log.erase("a", "tests") == 2
    entry = log.latest("a")
    assert entry
    assert (entry["text"], entry["text_hash"]) == (None, "")
    assert entry["decision"]["verdict"] == "reject"
    assert {finding["excerpt"] for finding in entry["decision"]["findings"]} == {""}
    assert entry["feedback"][0]["note"] == ""
    assert [(row["kind"], row["id"], row["rows"], row["caller"]) for row in log.deletions()] == [
        ("erasure", "a", 2, "tests")
    ]
    assert log.latest("b")["text"] == "b hello"  # type: ignore[index]
    assert log.training_rows() == []
    assert log.erase("nobody", "tests") == 0
    assert len(log.deletions()) == 1
    # Nothing of the text is left in the rows.
    with log.engine.connect() as connection:
        rows = connection.execute(select(DECISIONS).where(DECISIONS.c.id == "a")).all()
        rows = [*rows, *connection.execute(select(FEEDBACK).where(FEEDBACK.c.id == "a")).all()]
    assert "clown" not in repr(rows)


def test_erasure_leaves_no_id_that_was_made_of_the_text(log: AuditLog, moderator: Moderator) -> None:
    said = "what a clown"
    name = log.text_id(said.encode())
    decision = moderator.review(Comment(said, name))
    log.record([log.row(Recorded(decision, decision_json(decision), said.encode()), "default", "akismet", "tests")])
    log.add_feedback(name, Verdict.APPROVE, site="default", door="akismet", caller="x", text=said)
    add(log, moderator, "text-17 hello")
    assert log.erase(name, "tests") == 2
    assert log.erase("text-17", "tests") == 1
    assert [(entry["id"], entry["decision"]["id"]) for entry in log.every()] == [("text-17",) * 2, ("text-",) * 2]
    assert [row["id"] for row in log.deletions()] == ["text-", "text-17"]
    with log.engine.connect() as connection:
        rows = [connection.execute(select(table)).all() for table in (DECISIONS, FEEDBACK, DELETIONS)]
    assert name.removeprefix("text-") not in repr(rows)


@pytest.mark.parametrize("away", [lambda log: log.erase("a", "tests"), lambda log: log.retain(now_ms() + 1, "tests")])
def test_what_was_taken_away_is_in_no_file_of_sqlite(
    tmp_path: Path, moderator: Moderator, away: Callable[[AuditLog], int]
) -> None:
    log = AuditLog(f"sqlite:///{tmp_path / 'audit.db'}", keep_text=True)
    for number in range(50):
        add(log, moderator, f"{'a' if number == 20 else 'b'} zyzzyva clown {number}")
        add(log, moderator, f"a quixotic clown {number}")
    log.checkpoint()

    def held() -> bool:
        return any(b"quixotic clown" in file.read_bytes() for file in tmp_path.iterdir())

    assert held()
    assert away(log)
    assert not held()
    log.close()


def test_erasure_keeps_to_its_site(log: AuditLog, moderator: Moderator) -> None:
    add(log, moderator, "a hello")
    add(log, moderator, "a hello", site="other")
    assert log.erase("a", "tests", site="other") == 1
    assert [entry["text"] for entry in log.every()] == [None, "a hello"]


def test_retention_removes_what_is_old(log: AuditLog, moderator: Moderator) -> None:
    add(log, moderator, "a hello")
    then = now_ms() + 1
    decision = moderator.review(Comment("b", "b"))
    log.record([log.row(Recorded(decision, decision_json(decision), b"b"), "default", "n", "x") | {"time": then + 10}])
    assert log.retain(then, "tests") == 1
    assert [entry["id"] for entry in log.every()] == ["b"]
    assert log.retain(then, "tests") == 0
    assert [(row["kind"], row["rows"]) for row in log.deletions()] == [("retention", 1)]


BLANK = "text = NULL, text_hash = ''"


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE decisions SET verdict = 'approve'",
        "UPDATE decisions SET text_hash = '1'",
        f"UPDATE decisions SET {BLANK}, id = 'z'",
        f"UPDATE decisions SET {BLANK}, score = 0.01",
        f"UPDATE decisions SET {BLANK}, decided_by = 'x'",
        f'UPDATE decisions SET {BLANK}, decision = replace(decision, \'"verdict":"reject"\', \'"verdict":"approve"\')',
        f"UPDATE decisions SET {BLANK}, decision = replace(decision, '0.9', '0.8')",
        f"UPDATE decisions SET {BLANK}, decision = '{{}}'",
        "UPDATE feedback SET verdict = 'approve'",
        "UPDATE feedback SET note = '', guidelines = ' abuse '",
        "UPDATE feedback SET note = '', decision_seq = NULL",
        "UPDATE deletions SET caller = 'z'",
        "DELETE FROM deletions",
    ],
)
def test_a_row_can_be_blanked_but_not_changed(log: AuditLog, moderator: Moderator, statement: str) -> None:
    add(log, moderator, "a what a clown", "b hello")
    log.erase("b", "tests")
    log.add_feedback("a", Verdict.REJECT, site="default", door="page", caller="x")
    with pytest.raises(DBAPIError, match="append-only"), log.engine.begin() as connection:
        connection.execute(text(statement.replace(":", r"\:")))


@pytest.mark.parametrize("table", ["decisions", "feedback", "deletions"])
def test_a_row_of_sqlite_cannot_be_replaced(tmp_path: Path, moderator: Moderator, table: str) -> None:
    log = AuditLog(f"sqlite:///{tmp_path / 'audit.db'}")
    add(log, moderator, "a what a clown")
    log.add_feedback("a", Verdict.REJECT, site="default", door="page", caller="x")
    log.erase("a", "tests")
    with pytest.raises(DBAPIError, match="append-only"), log.engine.begin() as connection:
        connection.execute(text(f"INSERT OR REPLACE INTO {table} SELECT * FROM {table}"))
    log.close()


def test_a_log_that_was_made_before_gets_the_triggers_of_today(tmp_path: Path, moderator: Moderator) -> None:
    file = tmp_path / "audit.db"
    AuditLog(f"sqlite:///{file}").close()
    before = "BEFORE UPDATE ON decisions BEGIN SELECT RAISE(ABORT, 'as before'); END"
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("DROP TRIGGER decisions_update")
        connection.execute(f"CREATE TRIGGER decisions_append_only {before}")
    log = AuditLog(f"sqlite:///{file}")
    add(log, moderator, "a what a clown")
    assert log.erase("a", "tests") == 1
    log.close()


def test_a_log_is_opened_again_with_the_same_hash_key(url: str) -> None:
    first = AuditLog(url)
    found = first.text_hash(b"x")
    first.close()
    again = AuditLog(url)
    assert again.text_hash(b"x") == found
    assert len(found) == 64
    again.close()


def test_two_write_and_read_at_once(log: AuditLog, url: str, moderator: Moderator) -> None:
    other = AuditLog(url)
    add(log, moderator, "a hello")
    add(other, moderator, "b hello")
    assert {entry["id"] for entry in other.every()} == {entry["id"] for entry in log.every()} == {"a", "b"}
    other.close()


@pytest.mark.parametrize(
    ("bad", "told"),
    [
        ("nonsense", "not a data base URL"),
        ("oracle://x", "cannot be opened|not a data base URL"),
        ("postgresql://nobody@127.0.0.1:1/x", "cannot be opened"),
        ("sqlite:////proc/none/audit.db", "cannot be opened"),
    ],
)
def test_what_cannot_be_opened_is_told_in_a_line(bad: str, told: str) -> None:
    with pytest.raises(RecordError, match=told) as caught:
        AuditLog(bad)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_no_data_base_is_told(tmp_path: Path) -> None:
    (tmp_path / "audit.db").write_bytes(b"not a data base, though long enough to be looked at" * 50)
    with pytest.raises(RecordError, match="cannot be opened"):
        AuditLog(f"sqlite:///{tmp_path / 'audit.db'}")


def test_the_files_of_sqlite_are_for_their_owner_alone(tmp_path: Path, moderator: Moderator) -> None:
    log = AuditLog(f"sqlite:///{tmp_path / 'audit.db'}")
    add(log, moderator, "a hello")
    modes = {file.name: file.stat().st_mode & 0o777 for file in tmp_path.iterdir()}
    assert modes == dict.fromkeys(["audit.db", "audit.db-wal", "audit.db-shm"], 0o600)
    log.close()


def test_a_password_is_not_told(tmp_path: Path) -> None:
    log = AuditLog(f"sqlite:///{tmp_path / 'audit.db'}")
    log.engine.url = log.engine.url.set(password="secret")
    assert "secret" not in log.where
    log.close()


def test_reachable(log: AuditLog, moderator: Moderator) -> None:
    assert log.reachable()
    with log.engine.begin() as connection:
        connection.execute(text("DROP TABLE audit_settings"))
    assert not log.reachable()
    assert replace(Search(), id="a").id == "a"

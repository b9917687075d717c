"""``moderation keys``, ``moderation audit``, and feedback that becomes training data."""

import csv
import io
import json
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from moderation import Comment, Moderator, RecordError, Verdict
from moderation.cli import Exit, main
from moderation.datasets import feedback
from moderation.policy import GUIDELINES
from moderation.service.audit import AuditLog, Recorded, decision_json
from moderation.service.keys import KeyStore
from moderation.service.tables import DECISIONS, now_ms

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Run a command on the state folder of the test; give status, output and errors."""
    monkeypatch.setenv("MODERATION_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("COLUMNS", "200")

    def ran(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["moderation", *words])
        with pytest.raises(SystemExit) as end:
            main()
        out, err = capsys.readouterr()
        return int(end.value.code or 0), out, err

    return ran


@pytest.fixture
def log(tmp_path: Path, toy_file: Path, toy_model: Path) -> AuditLog:
    """A log with two decisions and an overrule, as a service would leave it."""
    opened = AuditLog(f"sqlite:///{tmp_path / 'state' / 'audit.db'}", keep_text=True)
    moderator = Moderator.load(toy_file, toy_model)
    for number, text in enumerate(("hello", "you clown \x1b[31m", "i will kill you"), 1):
        decision = moderator.review(Comment(text, str(number)))
        row = opened.row(Recorded(decision, decision_json(decision), text.encode()), "default", "native", "tests")
        opened.record([row])
    opened.add_feedback("2", Verdict.APPROVE, site="default", door="page", caller="eve", note="a circus")
    opened.add_feedback("3", Verdict.REJECT, site="default", door="page", caller="eve", guidelines=["threat", "abuse"])
    return opened


# --------------------------------------------------------------------------- keys


def test_keys_are_made_listed_and_revoked(run: Run, tmp_path: Path) -> None:
    status, out, err = run(
        "keys", "add", "coral", "--scope", "decide", "--scope", "audit", "--site", "x", "--rate", "5"
    )
    raw = out.strip()
    assert (status, len(out.splitlines())) == (0, 1)
    assert "cannot be shown again" in err
    caller = KeyStore(tmp_path / "state" / "keys.json").caller_of(raw)
    assert (caller.scopes, caller.site, caller.rate) == ({"decide", "audit"}, "x", 5)
    status, out, _ = run("keys", "list")
    assert (status, raw[:8] in out, raw[9:] in out, "decide audit" in out) == (0, True, False, True)
    assert run("keys", "revoke", raw[:8])[0] == 0
    assert run("keys", "revoke", raw[:8])[0] == Exit.USAGE


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("x", "--scope", "read"), "scopes are"),
        (("x", "--rate", "nan"), "not nan"),
        (("x", "--rate", "inf"), "not inf"),
        (("",), "needs a name"),
        ((" ",), "needs a name"),
        # A folder in which nobody may write, not even root.
        (("x", "--state", "/proc"), "/proc/keys.json: cannot be written"),
    ],
)
def test_a_key_that_cannot_be_made_is_told_in_a_line(
    run: Run, tmp_path: Path, words: tuple[str, ...], told: str
) -> None:
    status, out, err = run("keys", "add", *words)
    assert (status, out) == (Exit.USAGE, "")
    assert told in err
    assert len(err.strip().splitlines()) == 1
    assert not list(tmp_path.glob("state/keys.json"))


# --------------------------------------------------------------------------- audit


def test_search_shows_what_matches(run: Run, log: AuditLog) -> None:
    status, out, _ = run("audit", "search", "--verdict", "reject")
    assert status == 0
    lines = out.splitlines()
    assert len(lines) == 3
    assert "threat" in lines[1]
    assert "approve (eve)" in lines[2]
    assert "\x1b" not in out
    assert len(run("audit", "search", "1")[1].splitlines()) == 2
    assert len(run("audit", "search", "--overruled")[1].splitlines()) == 2
    assert len(run("audit", "search", "--until", "2020-01-01")[1].splitlines()) == 1


@pytest.mark.parametrize(
    ("excerpts", "told"),
    [
        (["one"], "one"),
        (["one", "two", "one", "three"], "one | two | three"),
        (["one", "two", "three", "four", "five"], "one | two | three | 2 more"),
        (["x" * 100], "x" * 39 + "…"),
    ],
)
def test_search_shows_the_first_of_the_evidence(run: Run, log: AuditLog, excerpts: list[str], told: str) -> None:
    stored = json.loads(log.stored_json(2))
    stored["findings"] = [stored["findings"][0] | {"excerpt": excerpt} for excerpt in excerpts]
    with log.engine.begin() as connection:
        row = dict(connection.execute(select(DECISIONS).where(DECISIONS.c.seq == 2)).mappings().one())
    log.record([row | {"id": "evidence", "decision": json.dumps(stored)}])
    assert f"  {told}\n" in re.sub(" +\n", "\n", run("audit", "search", "evidence")[1])


@pytest.mark.parametrize("to_file", [False, True])
def test_export(run: Run, log: AuditLog, tmp_path: Path, to_file: bool) -> None:
    target = tmp_path / "out.csv"
    status, out, err = run("audit", "export", *(["-o", str(target)] if to_file else ["--format", "csv"]))
    assert (status, err.strip()) == (0, "3 rows")
    text = target.read_text(encoding="utf-8") if to_file else out
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [(row["decision_id"], row["decision_verdict"]) for row in rows] == [
        ("3", "reject"),
        ("2", "reject"),
        ("1", "approve"),
    ]
    assert json.loads(rows[1]["feedback"])[0]["note"] == "a circus"
    entries = [json.loads(line) for line in run("audit", "export", "--guideline", "threat")[1].splitlines()]
    assert ["threat" in entry["decision"]["guidelines"] for entry in entries] == [True]
    assert entries[0]["text"] == "i will kill you"
    assert not list(tmp_path.glob("*.part"))


def test_an_export_that_cannot_be_written_is_told(run: Run, log: AuditLog, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    status, _, err = run("audit", "export", "-o", str(tmp_path / "pipe.csv"))
    assert (status, "it is no file" in err) == (2, True)
    assert (tmp_path / "pipe.csv").is_fifo()
    status, _, err = run("audit", "export", "-o", str(tmp_path / "none" / "out.csv"))
    assert (status, len(err.splitlines())) == (Exit.USAGE, 1)
    assert "out.csv: cannot be written" in err


@pytest.mark.parametrize(
    "narrowed",
    [["--until", "2026-01-01"], ["--verdict", "reject"], ["--guideline", "abuse"], ["--door", "page"], ["--overruled"]],
)
def test_training_rows_are_narrowed_by_no_filter_that_they_do_not_know(
    run: Run, log: AuditLog, tmp_path: Path, narrowed: list[str]
) -> None:
    status, out, err = run("audit", "export", "--training", "-o", str(tmp_path / "said.csv"), *narrowed)
    assert (status, out) == (Exit.USAGE, "")
    assert "leave the other filters out" in err
    assert not list(tmp_path.glob("said*"))


@pytest.mark.parametrize("name", ["said.csv", "said.jsonl"])
def test_feedback_becomes_labelled_comments(run: Run, log: AuditLog, tmp_path: Path, name: str) -> None:
    assert run("audit", "export", "--training", "-o", str(tmp_path / name))[0] == 0
    rows = feedback(tmp_path / name)
    assert [row.text for row in rows] == ["you clown \x1b[31m", "i will kill you"]
    assert rows[0].labels == {"reject": 0, **dict.fromkeys(GUIDELINES, 0)}
    assert rows[1].labels == {"reject": 1, **{one: int(one in ("threat", "abuse")) for one in GUIDELINES}}
    assert {row.source for row in rows} == {"feedback"}


@pytest.mark.parametrize("name", ["said.csv", "said.jsonl"])
def test_feedback_is_measured_as_it_was_exported(
    run: Run, log: AuditLog, toy_file: Path, toy_model: Path, tmp_path: Path, name: str
) -> None:
    log.add_feedback("1", Verdict.REJECT, site="default", door="page", caller="eve")
    file = str(tmp_path / name)
    run("audit", "export", "--training", "-o", file)
    toys = ("--policy", str(toy_file), "--model", str(toy_model))
    labels = ("--text", "text", "--label", "reject")
    status, out, err = run("evaluate", "--file", file, *labels, "--label", "threat=threat", "--json", *toys)
    assert (status, err) == (0, "")
    # A rejection for which no guideline was named says nothing of any.
    assert [(one["name"], one["rows"], one["rejected"]) for one in json.loads(out)] == [
        ("reject", 3, 2),
        ("threat", 2, 1),
    ]
    assert run("tune", file, *labels, "--false-rejection", "0.01", *toys)[0] == 0


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("a.csv", "text\nhello\n", "row 1"),
        ("a.csv", "text,reject\nhello,1\nhello,2\n", "row 2"),
        ("a.csv", "text,reject\nhello,\n", "row 1"),
        ("a.jsonl", "[]\n", "row 1"),
        ("a.jsonl", '{"text": 5, "reject": 1}\n', "row 1"),
        ("a.jsonl", "{\n", "cannot be read"),
        ("a.jsonl", None, "cannot be read"),
    ],
)
def test_feedback_that_cannot_be_read_is_told(tmp_path: Path, name: str, content: str | None, told: str) -> None:
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(RecordError, match=told):
        feedback(tmp_path / name)


def test_feedback_is_trained_on_beside_the_public_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from moderation import datasets, training

    monkeypatch.setattr(datasets, "own", lambda: [])
    monkeypatch.setattr(datasets, "public", lambda folder, uses: [])
    (tmp_path / "a.jsonl").write_text(
        "".join(json.dumps({"text": f"words {n}", "reject": 1}) + "\n" for n in range(50))
    )
    fit, calibrate = training.training_rows(tmp_path, feedback(tmp_path / "a.jsonl"))
    assert len(fit) > len(calibrate) > 0
    assert {row.source for row in (*fit, *calibrate)} == {"feedback"}


def test_replay_is_the_same_byte_for_byte(
    run: Run, log: AuditLog, toy_file: Path, toy_model: Path, tmp_path: Path
) -> None:
    with_toy = ("--policy", str(toy_file), "--model", str(toy_model))
    status, out, err = run("audit", "replay", "2", *with_toy)
    assert (status, err) == (0, "")
    assert out.startswith("the same, byte for byte")
    (tmp_path / "own.txt").write_text("hello\n")
    assert run("audit", "replay", "1", "--text", str(tmp_path / "own.txt"), *with_toy)[0] == 0
    status, _, err = run("audit", "replay", "2", "--text", str(tmp_path / "own.txt"), *with_toy)
    assert (status, "not the text" in err) == (Exit.USAGE, True)
    decision = Moderator.load(toy_file, toy_model).review(Comment("you clown", "8"))
    recorded = Recorded(decision, decision_json(decision), b"you clown")
    log.record([log.row(recorded, "default", "perspective", "tests", keep_text=False)])
    (tmp_path / "own.txt").write_text("you clown")
    assert run("audit", "replay", "8", "--text", str(tmp_path / "own.txt"), *with_toy)[0] == 0
    # Another policy or model is told, not taken for a difference.
    other = tmp_path / "other.toml"
    other.write_text(toy_file.read_text().replace("unflagged = 0.75", "unflagged = 0.8"))
    status, _, err = run("audit", "replay", "2", "--policy", str(other), "--model", str(toy_model))
    assert (status, "was decided by toy-1" in err) == (Exit.UNUSABLE, True)


@pytest.mark.parametrize(
    ("site", "settings", "status"),
    [
        ("default", 'policy = "{toy}"', 0),
        ("sport", '[sites.sport]\npolicy = "{toy}"', 0),
        ("sport", 'policy = "{toy}"\n[sites.sport]\nclassifier = "linear"', 0),
        ("default", '[sites.sport]\npolicy = "{toy}"', Exit.UNUSABLE),  # By the policy that ships.
    ],
)
def test_replay_takes_the_site_s_policy_from_the_settings(
    run: Run, log: AuditLog, toy_file: Path, toy_model: Path, tmp_path: Path, site: str, settings: str, status: int
) -> None:
    decision = Moderator.load(toy_file, toy_model).review(Comment("hello", "9"))
    log.record([log.row(Recorded(decision, decision_json(decision), b"hello"), site, "native", "tests")])
    config = tmp_path / "service.toml"
    config.write_text(f'model = "{toy_model}"\n' + settings.format(toy=toy_file))
    assert run("audit", "replay", "9", "--config", str(config))[0] == status


def test_replay_tells_what_differs(run: Run, log: AuditLog, toy_file: Path, toy_model: Path) -> None:
    decision = Moderator.load(toy_file, toy_model).review(Comment("hello", "9"))
    altered = decision_json(decision).replace(b'"decided_by":"linear"', b'"decided_by":"encoder"')
    log.record([log.row(Recorded(decision, altered, b"hello"), "default", "native", "tests")])
    status, out, _ = run("audit", "replay", "9", "--policy", str(toy_file), "--model", str(toy_model))
    assert status == Exit.DIFFERS
    assert 'decided_by: then "encoder", now "linear"' in out


def test_delete_and_prune(run: Run, log: AuditLog) -> None:
    assert run("audit", "delete", "2")[2].strip() == "2 rows blanked"
    assert run("audit", "delete", "nobody")[0] == Exit.USAGE
    assert "erased" in run("audit", "replay", "2")[2]
    assert run("audit", "prune", "--older-than", "1")[2].strip() == "0 rows removed"
    log.record([_old(log, now_ms() - 3 * 86_400_000)])
    assert run("audit", "prune", "--older-than", "2")[2].strip() == "1 rows removed"
    kinds = [json.loads(line)["kind"] for line in run("audit", "deletions")[1].splitlines()]
    assert kinds == ["erasure", "retention"]


def _old(log: AuditLog, when: int) -> dict[str, Any]:
    with log.engine.connect() as connection:
        found = connection.execute(select(DECISIONS).where(DECISIONS.c.id == "1")).mappings().one()
    return {name: value for name, value in found.items() if name != "seq"} | {"time": when, "id": "old"}


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("audit", "search"), "audit.db: no such audit log"),
        (("audit", "search", "--audit", "sqlite:///none/a.db"), "none/a.db: no such audit log"),
        (("audit", "search", "--audit", "nonsense"), "not a data base URL"),
        (("audit", "replay", "1"), "no such audit log"),
        (("audit", "search", "--config", "none.toml"), "no such file"),
    ],
)
def test_without_a_log_that_is_told(
    run: Run, words: tuple[str, ...], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    status, out, err = run(*words)
    assert (status, out) == (Exit.USAGE, "")
    assert told in err
    assert len(err.strip().splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_a_missing_package_is_told(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sqlalchemy", None)
    status, _, err = run("audit", "search")
    assert status == Exit.UNUSABLE
    assert "pip install 'moderation[serve]'" in err

"""``moderation review`` as its users call it: pipes, formats, what it refuses, what it tells."""

import csv
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from moderation.batch import Summary, review, reviewed
from moderation.cli import app
from moderation.cli.pace import Pace
from moderation.errors import ModerationError, RecordError
from moderation.records import Columns

Call = Callable[..., Result]


@pytest.fixture(scope="module")
def options(toy_file: Path, toy_model: Path) -> list[str]:
    return ["--policy", str(toy_file), "--model", str(toy_model), "--classifier", "linear"]


@pytest.fixture
def call(options: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Call:
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object, given: bytes = b"") -> Result:
        return CliRunner().invoke(app, ["review", *map(str, arguments), *options], input=given)

    return run


LINES = b'{"text":"hello","n":1.50}\n{"text":"a clown","n":2}\nnonsense\n'


@pytest.mark.parametrize("arguments", [("-", "--format", "jsonl"), ("-", "-o", "-"), ("-", "-o", "-", "--jobs", "1")])
def test_a_pipe_of_json_lines(call: Call, arguments: tuple[str, ...]) -> None:
    result = call(*arguments, given=LINES)
    assert result.exit_code == 4
    first, second = result.stdout.splitlines()
    assert first.startswith('{"text":"hello","n":1.50, "verdict": "approve"')  # as it was written
    assert json.loads(second)["verdict"] == "reject"
    assert "-: row 3: not JSON" in " ".join(result.stderr.split())


def test_a_pipe_of_csv(call: Call) -> None:
    result = call("-", "--format", "csv", "--quiet", given=b"id;text\n1;hello\n2;a clown\n")
    assert (result.exit_code, result.stderr) == (0, "")
    rows = list(csv.DictReader(io.StringIO(result.stdout)))
    assert [(row["id"], row["verdict"]) for row in rows] == [("1", "approve"), ("2", "reject")]


def test_a_pipe_to_a_file(call: Call, tmp_path: Path) -> None:
    assert call("-", "-o", "out.jsonl", given=LINES).exit_code == 4
    assert [json.loads(line)["n"] for line in (tmp_path / "out.jsonl").read_text().splitlines()] == [1.5, 2]


def test_strict_ends_with_status_4_and_names_file_and_row(call: Call, tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_bytes(LINES)
    result = call("in.jsonl", "-o", "out.jsonl", "--strict")
    assert result.exit_code == 4
    assert "in.jsonl: row 3: not JSON" in " ".join(result.stderr.split())
    assert not (tmp_path / "out.jsonl").exists()
    for to in (["--format", "csv"], ["--format", "csv", "--jobs", "2"], []):
        result = call("in.jsonl", "--strict", *to)
        assert result.exit_code == 4
        assert "in.jsonl: row 3: not JSON" in " ".join(result.stderr.split())
        if to:  # What was decided before it is passed on.
            assert [row["verdict"] for row in csv.DictReader(io.StringIO(result.stdout))] == ["approve", "reject"]


def test_a_folder_of_files_into_one_table(call: Call, tmp_path: Path) -> None:
    pq = pytest.importorskip("pyarrow.parquet")
    (tmp_path / "all").mkdir()
    (tmp_path / "all/a.csv").write_text("id,text\n1,hello\n")
    (tmp_path / "all/b.jsonl").write_text('{"id": 2, "text": "a clown", "extra": [1]}\nnonsense\n')
    result = call("all", "-o", "out.csv")
    assert result.exit_code == 4
    rows = list(csv.DictReader(io.StringIO((tmp_path / "out.csv").read_text())))
    assert [(row["id"], row["extra"], row["verdict"]) for row in rows] == [("1", "", "approve"), ("2", "[1]", "reject")]
    (error,) = (tmp_path / "out.csv.errors.jsonl").read_text().splitlines()
    assert (json.loads(error)["file"], json.loads(error)["row"]) == ("all/b.jsonl", 2)
    assert call("all/*.csv", "out.csv", "-o", "out.parquet").exit_code == 0
    table = pq.read_table(tmp_path / "out.parquet")
    assert table.column("moderation_verdict").to_pylist() == ["approve", "approve", "reject"]


def test_parquet_keeps_its_columns_and_types(call: Call, tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    given = pa.table(
        {
            "text": ["hello", None, "a clown"],
            "n": pa.array([1, 2, 3], pa.int16()),
            "when": pa.array([1, 2, 3], pa.timestamp("ns", "UTC")),
            "kind": pa.array(["x", "y", "x"]).dictionary_encode(),
            "deep": [[{"a": 1}], [], None],
            "view": pa.array(["x", "y", "z"], pa.string_view()),  # which Arrow cannot take single rows of
        }
    )
    pq.write_table(given, tmp_path / "in.parquet")
    assert call("in.parquet", "-o", "out.parquet").exit_code == 4
    found = pq.read_table(tmp_path / "out.parquet")
    assert found.select(given.column_names) == pa.concat_tables([given.slice(0, 1), given.slice(2)])
    assert found.column("verdict").to_pylist() == ["approve", "reject"]
    assert found.column("findings").to_pylist()[1][0]["excerpt"] == "clown"
    for name in ("out.jsonl", "out.csv"):
        assert call("in.parquet", "-o", name).exit_code == 4
    back = [decision for _, decision in reviewed(tmp_path / "out.parquet")]
    assert back == [decision for _, decision in reviewed(tmp_path / "out.jsonl")]
    assert back == [decision for _, decision in reviewed(tmp_path / "out.csv", Columns("text"))]


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("timestamp[us]", "<value out of range: 4611686018427387904>"),  # as an infinite date of PostgreSQL comes out
        ("date32", "<value out of range: 2147483647>"),
        ("duration[s]", "4611686018427387904"),
        ("list", "<value out of range: 4611686018427387904>"),
        ("time zone", "00:00:01"),
    ],
)
def test_values_of_parquet_that_python_has_no_form_for_end_nothing(
    call: Call, tmp_path: Path, kind: str, told: str
) -> None:
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    odd = {
        "timestamp[us]": lambda: pa.array([2**62], pa.timestamp("us")),
        "date32": lambda: pa.array([2**31 - 1], pa.int32()).cast(pa.date32()),
        "duration[s]": lambda: pa.array([2**62], pa.duration("s")),
        "list": lambda: pa.array([[2**62]], pa.list_(pa.timestamp("us"))),
        "time zone": lambda: pa.array([10**6], pa.timestamp("us", tz="Mars/Phobos")),
    }[kind]()
    pq.write_table(pa.table({"text": ["a clown"], "odd": odd}), tmp_path / "in.parquet")
    for name in ("out.csv", "out.jsonl"):
        assert call("in.parquet", "-o", name).exit_code == 0
        (found,) = reviewed(tmp_path / name)
        assert told in found[0].values["odd"]
        assert found[1]["verdict"] == "reject"
    assert call("in.parquet", "-o", "out.parquet").exit_code == 0
    assert pq.read_table(tmp_path / "out.parquet").column("odd").combine_chunks() == odd


@pytest.mark.parametrize(
    ("column", "name", "lost"),
    [
        *(("text", f"out.{form}", [2]) for form in ("csv", "jsonl", "parquet")),
        ("other", "out.csv", [2]),
        ("other", "out.jsonl", [2]),
        ("other", "out.parquet", []),  # which keeps the bytes
    ],
)
def test_a_text_of_parquet_that_is_none_is_a_bad_row(
    call: Call, tmp_path: Path, column: str, name: str, lost: list[int]
) -> None:
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    data = pa.array([b"hello", b"\xff a clown", b"a clown"])
    bad = pa.StringArray.from_buffers(3, *data.buffers()[1:])  # as other programs write what is Latin-1
    good = pa.array(["hello", "hello", "a clown"])
    pq.write_table(
        pa.table({"text": good, "other": bad} if column == "other" else {"text": bad}), tmp_path / "in.parquet"
    )
    assert call("in.parquet", "-o", name).exit_code == (4 if lost else 0)
    errors = tmp_path / f"{name}.errors.jsonl"
    entries = [json.loads(line) for line in errors.read_text().splitlines()] if lost else []
    assert [(entry["row"], "not UTF-8" in entry["problem"]) for entry in entries] == [(row, True) for row in lost]
    if name != "out.parquet":
        assert [decision["verdict"] for _, decision in reviewed(tmp_path / name)] == ["approve", "reject"]


@pytest.mark.parametrize("name", ["out.csv", "out.jsonl", "out.parquet", "out/"])
def test_an_output_is_read_back(call: Call, tmp_path: Path, name: str) -> None:
    # A column of an earlier review without its twin: ours is `verdict`, and theirs `moderation_verdict`.
    (tmp_path / "in.csv").write_text("text,moderation_verdict\nhello,theirs\na clown,theirs\n")
    assert call("in.csv", "-o", name, *(["--format", "csv"] if name == "out/" else [])).exit_code == 0
    found = list(reviewed(f"{tmp_path}/{name}"))
    assert [(row.comment.text, decision["verdict"]) for row, decision in found] == [
        ("hello", "approve"),
        ("a clown", "reject"),
    ]


def test_a_file_that_is_no_output_is_told(tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("text\nhello\n")
    with pytest.raises(RecordError, match=r"in\.csv: has no column 'verdict'"):
        list(reviewed(tmp_path / "in.csv"))


@pytest.mark.parametrize("name", ["out.csv", "out.jsonl", "out.parquet"])
@pytest.mark.parametrize(("content", "status"), [("id,text\n", 0), ("id,text\n1\n", 4)])
def test_a_report_is_written_even_of_no_decision(
    call: Call, tmp_path: Path, name: str, content: str, status: int
) -> None:
    (tmp_path / "in.csv").write_text(content)
    assert call("in.csv", "-o", name, "--report", "report.html").exit_code == status
    assert "Review report" in (tmp_path / "report.html").read_text()


@pytest.mark.parametrize("name", ["out.csv", "out.jsonl", "out.parquet"])
def test_a_lone_column_of_any_name_is_reported_on(call: Call, tmp_path: Path, name: str) -> None:
    (tmp_path / "in.csv").write_text("Kommentar\nhello\na clown\n")
    assert call("in.csv", "-o", name, "--report", "report.html").exit_code == 0
    assert "a <mark" in (tmp_path / "report.html").read_text()
    assert [row.comment.text for row, _ in reviewed(tmp_path / name)] == ["hello", "a clown"]


@pytest.mark.parametrize("report", ["in.csv", "out.csv", "./out.csv"])
def test_a_report_never_takes_the_place_of_what_it_is_of(call: Call, tmp_path: Path, report: str) -> None:
    (tmp_path / "in.csv").write_text("text\nhello\n")
    result = call("in.csv", "-o", "out.csv", "--report", report)
    assert (result.exit_code, isinstance(result.exception, RecordError)) in ((2, False), (1, True))
    assert (tmp_path / "in.csv").read_text() == "text\nhello\n"
    assert not (tmp_path / "out.csv").exists()


def test_an_output_in_parts(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(review, "LINEAR_BYTES", 200)
    (tmp_path / "in.csv").write_text("text\n" + "hello\na clown\n" * 50)
    assert call("in.csv", "-o", "out/", "--format", "csv").exit_code == 0
    parts = sorted((tmp_path / "out").iterdir())
    assert parts[0].name == "part-000000.csv"
    rows = [row for part in parts for row in csv.DictReader(io.StringIO(part.read_text()))]
    assert [row["verdict"] for row in rows] == ["approve", "reject"] * 50
    assert not (tmp_path / "out.run").exists()
    again = call("in.csv", "-o", "out/", "--format", "csv")
    assert (again.exit_code, isinstance(again.exception, Exception)) != (0, False)


@pytest.mark.parametrize("target", ["out.csv", "out.jsonl", "out/", os.fsdecode(b"\xe9.csv")])
def test_file_names_need_be_no_text(call: Call, tmp_path: Path, target: str) -> None:
    (tmp_path / "all").mkdir()
    name = os.fsdecode(b"all/caf\xe9.csv")  # as archives of the last century have it
    (tmp_path / name).write_text("id,text\n1,hello\n2\n")
    (tmp_path / "all/other.csv").write_text("id,text\n1,a clown\n")
    result = call("all", "-o", target, *(["--format", "csv"] if target.endswith("/") else []))
    assert result.exit_code == 4
    (error,) = Path(f"{tmp_path / target}.errors.jsonl").read_text().splitlines()
    assert (json.loads(error)["file"], json.loads(error)["row"]) == (name, 2)
    assert CliRunner().invoke(app, ["report", target, "-o", os.fsdecode(b"\xe9.html")]).exit_code == 0


TOO_LONG = "x" * 300


@pytest.mark.parametrize(
    "arguments",
    [
        (TOO_LONG,),  # a comment where a file should be
        (TOO_LONG, "-o", "out.csv"),
        ("in.csv", "-o", f"{TOO_LONG}.csv"),
        ("in.csv", "-o", f"{'x' * 245}.csv"),  # too long with .errors.jsonl after it
        ("in.csv", "-o", "out.csv", "--report", TOO_LONG),
    ],
    ids=["table", "source", "target", "errors", "report"],
)
def test_a_name_that_is_too_long_is_told_in_one_line(call: Call, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    (tmp_path / "in.csv").write_text("text\nhello\n")
    result = call(*arguments)
    (told,) = result.stderr.splitlines() or [str(result.exception)]
    assert "File name too long" in told
    assert isinstance(result.exception, ModerationError)
    assert [file.name for file in tmp_path.iterdir()] == ["in.csv"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("in.csv", "-o", "out.csv", "--backend", "dask"),
        ("in.csv", "-o", "out.csv", "--scheduler", "tcp://127.0.0.1:1"),
        ("in.csv", "--resume"),
        ("in.csv", "-o", "-", "--restart"),
        ("in.csv", "-o", "out.csv", "--resume", "--restart"),
        ("in.csv", "--format", "parquet"),
        ("in.csv", "-o", "out.csv", "--format", "jsonl"),
        ("in.csv", "--delimiter", ";;"),
        ("in.csv", "-o", "out.csv", "--jobs", "0"),
    ],
    ids=" ".join,
)
def test_options_that_do_not_go_together(call: Call, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    (tmp_path / "in.csv").write_text("text\nhello\n")
    result = call(*arguments)
    assert result.exit_code == 2
    assert "--help" in result.stderr
    assert not (tmp_path / "out.csv").exists()


def test_a_pipe_that_is_not_ended_gives_its_rows_at_once(options: list[str]) -> None:
    command = [sys.executable, "-m", "moderation", "review", "-", "--format", "jsonl", "--quiet", *options]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for text, verdict in (("hello", "approve"), ("a clown", "reject")):
            process.stdin.write(json.dumps({"text": text}).encode() + b"\n")
            process.stdin.flush()
            assert json.loads(process.stdout.readline())["verdict"] == verdict
        process.stdin.close()
        assert process.wait(120) == 0


def test_what_is_told_while_it_goes_on() -> None:
    times = iter([0.0, 10.0, 20.0, 80.0])
    pace = Pace(lambda: next(times))

    def told(share: float, **counts: Any) -> str:
        return pace.told(Summary(**counts), share)

    assert told(0.0) == "0 rows: 0 approved, 0 rejected"
    assert told(0.0, approved=900, rejected=100) == "1,000 rows, 100 rows/s: 900 approved, 100 rejected"
    assert told(0.2, approved=1800, rejected=199, unreadable=1) == (
        "2,000 rows (20%), 100 rows/s, 1.3 min left: 1,800 approved, 199 rejected, 1 unreadable"
    )
    # The last seconds count: it became slower.
    assert told(0.25, approved=2500) == "2,500 rows (25%), 8 rows/s, 15.0 min left: 2,500 approved, 0 rejected"

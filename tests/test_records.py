import csv
import io
import json
import string
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moderation.comment import Comment
from moderation.decision import Decision, Verdict
from moderation.errors import RecordError
from moderation.finding import Effect, Finding
from moderation.records import (
    DECISION_COLUMNS,
    MAX_TEXT_CHARACTERS,
    Columns,
    Record,
    Writer,
    file_format,
    guessed,
    read,
)

DECISION = Decision(
    id="7",
    verdict=Verdict.REJECT,
    guidelines=("threat",),
    reason="It threatens «someone».",
    score=0.25,
    scores={"threat": 0.125},
    threshold=0.5,
    decided_by="rule",
    findings=(Finding("threat.kill", "threat", Effect.REJECT, 0, 4, "kill"),),
    policy="toy-1+0123456789ab",
    model="toy-1",
)


def rows_of(folder: Path, name: str, content: bytes, columns: Columns | None = None) -> list[Record | RecordError]:
    file = folder / name
    file.write_bytes(content)
    return list(read(file, columns or Columns()))


def written(name: str, *rows: dict[str, object]) -> str:
    stream = io.StringIO(newline="")
    writer = Writer(stream, file_format(Path(name)), tabs=name.endswith(".tsv"))
    for number, values in enumerate(rows, 1):
        writer.write(Record(number, values, Comment(str(values.get("text", "")), str(number))), DECISION)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("a.csv", "csv"),
        ("a.tsv", "csv"),
        ("a.jsonl", "jsonl"),
        ("a.ndjson", "jsonl"),
        ("A.CSV", "csv"),  # endings in capitals, as old exports have them
        ("a.b.jsonl", "jsonl"),
        ("a.csv.gz", "csv"),
        ("a.JSONL.ZST", "jsonl"),
        ("a.parquet", "parquet"),
    ],
)
def test_file_format(name: str, form: str) -> None:
    assert file_format(Path(name)) == form


@pytest.mark.parametrize("name", ["a.txt", "a", "a.gz", "a.json", "csv", "a.parquet.gz"])
def test_file_format_that_is_not_known_names_the_endings(name: str) -> None:
    with pytest.raises(RecordError, match=r"\.csv, \.tsv, \.jsonl, \.ndjson or \.parquet"):
        file_format(Path(name))


@pytest.mark.parametrize(
    ("name", "content", "texts"),
    [
        ("a.csv", b"text\nhello\n", ["hello"]),
        ("a.csv", b"text\nhello", ["hello"]),  # no newline at the end of the file
        ("a.csv", b"\xef\xbb\xbftext\nhello\n", ["hello"]),  # Excel writes a byte order mark
        ("a.csv", b'\xef\xbb\xbf"text"\nhello\n', ["hello"]),  # and before a quoted header it would break CSV
        ("a.csv", b'text\n"one, two"\n', ["one, two"]),  # a comma in quotes is no separator
        ("a.csv", b'text\n"one\ntwo"\nthree\n', ["one\ntwo", "three"]),  # a newline in quotes ends no row
        ("a.csv", b'text\n"one\n\n\ntwo"\n', ["one\n\n\ntwo"]),  # nor do blank lines in quotes
        ("a.csv", b'text\n"say ""hi"""\n', ['say "hi"']),  # doubled quotes are one
        ("a.csv", b"text\r\nhello\r\nthere\r\n", ["hello", "there"]),  # Windows line ends
        ("a.csv", b'text\r\n"one\r\ntwo"\r\n', ["one\r\ntwo"]),  # kept within quotes
        ("a.csv", b"text\n\nhello\n\n\n", ["hello"]),  # blank lines are no rows
        ("a.csv", b'text,n\n"",1\n', [""]),  # an empty comment is a comment
        ("a.csv", b"text\n  padded  \n", ["  padded  "]),  # spaces belong to the comment
        ("a.csv", "text\n\u2028naïve\x85 \U0001f600\n".encode(), ["\u2028naïve\x85 \U0001f600"]),  # not line ends
        ("a.csv", b"text\na\tb\n", ["a\tb"]),  # a tab separates only in .tsv
        ("a.tsv", b"id\ttext\n1\thello, you\n", ["hello, you"]),
        ("a.tsv", b'id\ttext\n1\t"a\tb"\n', ["a\tb"]),
        ("a.jsonl", b'{"text": "hello"}\n{"text": "there"}', ["hello", "there"]),
        ("a.jsonl", b'\xef\xbb\xbf{"text": "hello"}\n', ["hello"]),
        ("a.jsonl", b'\n{"text": "hello"}\r\n   \n\n{"text": "there"}\n', ["hello", "there"]),  # blank lines
        ("a.jsonl", b'{"text": "one\\ntwo \\u00e9"}\n', ["one\ntwo é"]),
        ("a.jsonl", '{"text": "a\u2028b"}\n'.encode(), ["a\u2028b"]),  # legal in JSON, a line end for splitlines
        ("a.jsonl", b'{"text": "x", "n": null, "deep": {"a": [1]}}\n', ["x"]),
        ("a.jsonl", b'{"text": "x", "n": ' + b"[" * 99 + b"]" * 99 + b"}\n", ["x"]),  # as deep as may be
        ("a.jsonl", b'{"text": "' + b"[{" * 999 + b'"}\n', ["[{" * 999]),  # of brackets in a text there may be more
    ],
)
def test_reads(tmp_path: Path, name: str, content: bytes, texts: list[str]) -> None:
    rows = rows_of(tmp_path, name, content)
    assert [row.comment.text for row in rows if isinstance(row, Record)] == texts
    assert [row.row for row in rows] == list(range(1, len(texts) + 1))


@pytest.mark.parametrize(
    ("name", "content", "number", "problem"),
    [
        ("a.csv", b"text,n\ngood,1\nbad\ngood,3\n", 2, "has 1 cells for 2 columns"),
        ("a.csv", b"text,n\ngood,1\nbad, I say,2\ngood,3\n", 2, "has 3 cells for 2 columns"),  # unquoted comma
        ("a.csv", b"text,n\ngood,1\nb\xffd,2\ngood,3\n", 2, "not UTF-8"),
        ("a.csv", b'text,n\ngood,1\n"bad"ly,2\ngood,3\n', 2, "not CSV"),  # text after a closing quote
        ("a.csv", b'text,n\ngood,1\n"b\xff\xfe\nc",2\ngood,3\n', 2, "not UTF-8"),  # the first line of two in quotes
        ("a.csv", b'text,n\ngood,1\n"b\nc\xff",2\ngood,3\n', 2, "not UTF-8"),  # the line with the closing quote
        ("a.csv", b'text,n\ngood,1\n"b\xff\nc\xff\nd",2\ngood,3\n', 2, "not UTF-8"),  # two bad lines, one row
        ("a.csv", b"text,n\ngood,1\n" + b"x" * (MAX_TEXT_CHARACTERS + 1) + b",2\ngood,3\n", 2, "1000001 characters"),
        ("a.jsonl", b'{"text":"good"}\n{"text":\n{"text":"good"}\n', 2, "not JSON"),
        ("a.jsonl", b'{"text":"good"}\n["text"]\n{"text":"good"}\n', 2, "not a JSON object"),
        ("a.jsonl", b'{"text":"good"}\n"text"\n{"text":"good"}\n', 2, "not a JSON object"),
        ("a.jsonl", b'{"text":"good"}\n\nnull\n{"text":"good"}\n', 2, "not a JSON object"),  # the blank line is no row
        ("a.jsonl", b'{"text":"good"}\n{"text":null}\n{"text":"good"}\n', 2, "'text' is missing"),
        ("a.jsonl", b'{"text":"good"}\n{"txet":"x"}\n{"text":"good"}\n', 2, "'text' is missing"),
        ("a.jsonl", b'{"text":"good"}\n{"text":5}\n{"text":"good"}\n', 2, "is a int, not a text"),
        ("a.jsonl", b'{"text":"good"}\n{"text":["a"]}\n{"text":"good"}\n', 2, "is a list, not a text"),
        ("a.jsonl", b'{"text":"good"}\n{"text":"b\xff"}\n{"text":"good"}\n', 2, "not UTF-8"),
        ("a.jsonl", b'{"text":"good"}\n{"text":"x","n":' + b"[" * 100_000 + b'}\n{"text":"good"}\n', 2, "not JSON"),
        # At this depth Python reads it in one place and cannot write it in another.
        (
            "a.jsonl",
            b'{"text":"good"}\n{"text":"\\ud83d\\ude00","n":' + b"[" * 900 + b"]" * 900 + b'}\n{"text":"good"}\n',
            2,
            "nested more than 100 deep",
        ),
        ("a.jsonl", b'{"text":"good"}\n{"text":"x","n":' + b"1" * 5000 + b'}\n{"text":"good"}\n', 2, ""),  # huge int
        ("a.jsonl", b'{"text":"good"}\n{"text":"\\ud800"}\n{"text":"good"}\n', 2, ""),  # half a surrogate pair
        ("a.jsonl", b'{"text":"good"}\n{"text":"x","n":"\\ud800"}\n{"text":"good"}\n', 2, ""),  # cannot be written
        (
            "a.jsonl",
            b'{"text":"good"}\n{"text":"' + b"x" * (MAX_TEXT_CHARACTERS + 1) + b'"}\n{"text":"good"}\n',
            2,
            "1000001 characters",
        ),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_row_that_cannot_be_read_costs_only_itself(
    tmp_path: Path, name: str, content: bytes, number: int, problem: str
) -> None:
    rows = rows_of(tmp_path, name, content)
    errors = [row for row in rows if isinstance(row, RecordError)]
    assert [(error.row, problem in error.problem) for error in errors] == [(number, True)]
    assert [(row.row, row.comment.text) for row in rows if isinstance(row, Record)] == [(1, "good"), (3, "good")]


def test_the_longest_comment_that_is_read(tmp_path: Path) -> None:
    (row,) = rows_of(tmp_path, "a.csv", b"text\n" + b"x" * MAX_TEXT_CHARACTERS + b"\n")
    assert isinstance(row, Record)
    assert len(row.comment.text) == MAX_TEXT_CHARACTERS


def test_a_quote_that_is_never_closed_costs_its_line_only(tmp_path: Path) -> None:
    first, second, third = rows_of(tmp_path, "a.csv", b'text\ngood\n"open\nkept\n')
    assert isinstance(first, Record)
    assert isinstance(second, RecordError)
    assert "not CSV" in second.problem
    assert isinstance(third, Record)
    assert (third.row, third.comment.text) == (3, "kept")


@pytest.mark.parametrize(
    ("name", "content", "columns", "problem"),
    [
        ("a.csv", b"", Columns(), "is empty"),
        ("a.csv", b"\xef\xbb\xbf", Columns(), "is empty"),
        ("a.csv", b"t\xffxt\nhello\n", Columns(), "header is not UTF-8"),
        ("a.csv", b"who,what\na,b\n", Columns(), "--text; its columns are who, what"),
        ("a.csv", b'who,"what\nis it"\na,b\n', Columns(), "its columns are who, what is it"),  # in one line
        ("a.csv", b",".join(b"c%d" % n for n in range(5000)), Columns(), ", c18, c19 and 4980 more"),
        ("a.csv", b"who," + b"what" * 5000 + b"\n", Columns(), "its columns are who, " + "what" * 20 + "…"),
        ("a.csv", b"text,n\na,b\n", Columns(text="body"), "no column 'body'; its columns are text, n"),
        ("a.csv", b"text,n\na,b\n", Columns(id="key"), "no column 'key'"),
        ("a.csv", b"text,n\na,b\n", Columns(article="url"), "no column 'url'"),
        ("a.csv", b"text,n\na,b\n", Columns(parent="up"), "no column 'up'"),
        ("a.csv", b"Text,n\na,b\n", Columns(text="text"), "no column 'text'"),  # a name that is given is meant exactly
        ("a.csv", b"text,n,n\na,1,2\n", Columns(), "'n'"),  # two columns of one name: one would be lost
        ("a.jsonl", b'{"who":"a","what":"b"}\n', Columns(), "--text"),
        ("a.txt", b"hello", Columns(), ".csv, .tsv, .jsonl"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_whole(
    tmp_path: Path, name: str, content: bytes, columns: Columns, problem: str
) -> None:
    with pytest.raises(RecordError) as caught:
        rows_of(tmp_path, name, content, columns)
    assert caught.value.row == 0
    assert problem in caught.value.problem
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match=r"nowhere\.csv.*cannot be read"):
        list(read(tmp_path / "nowhere.csv", Columns()))
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(RecordError, match=r"folder\.csv.*cannot be read"):
        list(read(tmp_path / "folder.csv", Columns()))


@pytest.mark.parametrize("content", [b"", b"\n\n", b"\xef\xbb\xbf"])
def test_json_lines_may_be_empty(tmp_path: Path, content: bytes) -> None:
    assert rows_of(tmp_path, "a.jsonl", content) == []


def test_a_csv_file_may_hold_a_header_only(tmp_path: Path) -> None:
    assert rows_of(tmp_path, "a.csv", b"text\n") == []


@pytest.mark.parametrize(
    ("columns", "present", "expected"),
    [
        (Columns(), ["text"], Columns("text")),
        (Columns(), ["whatever"], Columns("whatever")),  # a lone column is the comment
        (Columns(), ["whatever", *DECISION_COLUMNS], Columns("whatever")),  # after its review as well
        (Columns(), ["id", "Comment"], Columns("Comment", "id")),  # whatever the capitals
        (Columns(), ["BODY", "UUID"], Columns("BODY", "UUID")),
        (Columns(), ["body", "text"], Columns("text")),  # the first of the known names, not of the file
        (Columns(), ["comment_id", "comment_text", "n"], Columns("comment_text", "comment_id")),
        (Columns(), ["text", "article", "parent"], Columns("text", None, "article", "parent")),
        (Columns(text="body"), ["body", "text"], Columns("body")),  # a given name wins
        (Columns(id="key"), ["text", "id", "key"], Columns("text", "key")),
        (Columns(article="url", parent="up"), ["text", "url", "up"], Columns("text", None, "url", "up")),
    ],
)
def test_column_names_are_guessed(columns: Columns, present: list[str], expected: Columns) -> None:
    assert guessed(columns, present, "a.csv") == expected


@pytest.mark.parametrize(
    ("name", "content", "comment"),
    [
        ("a.csv", b"id,text,article,parent\nx1,hi,a9,p3\n", Comment("hi", "x1", "a9", "p3")),
        ("a.csv", b"text,n\nhi,1\n", Comment("hi", "1")),  # no id: the row's number
        ("a.csv", b"id,text\n,hi\n", Comment("hi", "1")),  # an empty id as well
        ("a.jsonl", b'{"id": 42, "text": "hi", "article": null}\n', Comment("hi", "42")),
        ("a.jsonl", b'{"id": 0, "text": "hi"}\n', Comment("hi", "0")),  # zero is an id
    ],
)
def test_the_comment_of_a_row(tmp_path: Path, name: str, content: bytes, comment: Comment) -> None:
    (row,) = rows_of(tmp_path, name, content)
    assert isinstance(row, Record)
    assert row.comment == comment


def test_a_first_json_row_without_text_does_not_turn_its_id_into_the_comment(tmp_path: Path) -> None:
    first, second = rows_of(tmp_path, "a.jsonl", b'{"id": "x"}\n{"id": "y", "text": "hello"}\n')
    assert isinstance(first, RecordError)
    assert isinstance(second, Record)
    assert second.comment == Comment("hello", "y")


# --------------------------------------------------------------------------- writing


def test_csv_keeps_the_columns_and_adds_the_decision() -> None:
    lines = list(csv.reader(io.StringIO(written("a.csv", {"id": "7", "text": 'kill, "it"\nnow', "n": " 01 "}))))
    assert lines[0] == ["id", "text", "n", *DECISION_COLUMNS]
    cells = dict(zip(*lines, strict=True))
    assert (cells["id"], cells["text"], cells["n"]) == ("7", 'kill, "it"\nnow', " 01 ")
    assert (cells["verdict"], cells["reason"], cells["decided_by"]) == ("reject", "It threatens «someone».", "rule")
    as_json = DECISION.to_dict()
    for name in ("guidelines", "score", "scores", "threshold", "findings"):
        assert json.loads(cells[name]) == as_json[name]


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        (None, ""),
        (True, "true"),
        (1.50, "1.5"),
        (2**70, str(2**70)),
        (["a", None], '["a", null]'),
        (float("nan"), "NaN"),
        ([1.5, float("nan"), {"a": float("-inf")}], '[1.5, null, {"a": null}]'),  # JSON has no such numbers
        ({"a": date(2024, 1, 2)}, '{"a": "2024-01-02"}'),
        # What a Parquet file may hold and JSON has no form for stands as a text does, without quotes of JSON.
        (datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC), "2024-01-02 03:04:05+00:00"),
        (Decimal("1.50"), "1.50"),
        (b"\xff", "/w=="),
    ],
    ids=str,
)
def test_values_in_a_cell(value: object, cell: str) -> None:
    _, cells = csv.reader(io.StringIO(written("a.csv", {"text": "x", "n": value})))
    assert cells[1] == cell


def test_jsonl_keeps_the_columns_and_adds_the_decision() -> None:
    values = {"id": 7, "text": "kill «it»\u2028", "n": None, "deep": {"a": [1, 2.5, True]}}
    text = written("a.jsonl", values)
    assert text.count("\n") == 1
    assert "«it»" in text  # readable, not escaped
    row = json.loads(text)
    assert {key: row[key] for key in values} == values
    assert list(row) == [*values, *DECISION_COLUMNS]
    assert {key: row[key] for key in DECISION_COLUMNS} == {key: DECISION.to_dict()[key] for key in DECISION_COLUMNS}


def test_json_lines_hold_no_number_that_json_has_not() -> None:
    row = written("a.jsonl", {"text": "x", "n": float("nan"), "deep": [{"a": float("inf")}, 1.5]})
    assert json.loads(row, parse_constant=lambda name: pytest.fail(name))["deep"] == [{"a": None}, 1.5]


def test_tsv_is_separated_by_tabs() -> None:
    header, cells = csv.reader(io.StringIO(written("a.tsv", {"text": "a\tb, c"})), delimiter="\t")
    assert header == ["text", *DECISION_COLUMNS]
    assert cells[0] == "a\tb, c"


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl"])
@pytest.mark.parametrize("column", DECISION_COLUMNS)
def test_a_column_that_the_input_has_already_is_kept_beside_ours(name: str, column: str) -> None:
    text = written(name, {"text": "x", column: "theirs"})
    row = json.loads(text) if name == "a.jsonl" else dict(zip(*csv.reader(io.StringIO(text)), strict=True))
    assert row[column] == "theirs"
    ours = DECISION.to_dict()[column]
    assert row[f"moderation_{column}"] in (ours, json.dumps(ours, ensure_ascii=False))


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl"])
def test_a_file_that_was_reviewed_twice_keeps_both_earlier_verdicts(name: str) -> None:
    text = written(name, {"text": "x", "verdict": "first", "moderation_verdict": "second"})
    row = json.loads(text) if name == "a.jsonl" else dict(zip(*csv.reader(io.StringIO(text)), strict=True))
    assert (row["verdict"], row["moderation_verdict"]) == ("first", "second")
    assert "reject" in row.values()


def test_a_verdict_that_a_later_row_brings_along_never_stands_where_ours_stands() -> None:
    text = written("a.csv", {"text": "x"}, {"text": "y", "verdict": "approve"})
    (only,) = csv.DictReader(io.StringIO(text))  # the second row is an error, see Writer.write
    assert (only["text"], only["verdict"]) == ("x", "reject")


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.jsonl"])
@pytest.mark.parametrize(
    "text",
    [
        "a\rb",  # Python 3.11 does not quote a lone carriage return of its own accord, nor read it back unquoted
        "a\r\nb",
        "\r",
        "\n",
        '"',
        "a,b\tc",
        "\ufeffa",
        "a\x00b",
        "",
        " ",
    ],
)
def test_a_text_that_needs_care_reads_back_the_same(tmp_path: Path, name: str, text: str) -> None:
    (row,) = rows_of(tmp_path, name, written(name, {"text": text, "n": text}).encode(), Columns(text="text"))
    assert isinstance(row, Record), row
    assert (row.values["text"], row.values["n"]) == (text, text)


CELL = st.text(
    st.one_of(st.sampled_from("\",\t\r\n;'\\ \u2028\x00\ufeff"), st.characters(exclude_categories=["Cs"])), max_size=12
)
NAME = st.text(string.ascii_lowercase, min_size=1, max_size=6)


@given(
    st.lists(NAME, max_size=3, unique=True).filter(lambda names: not {"text", *DECISION_COLUMNS} & set(names)),
    st.lists(st.lists(CELL, min_size=4, max_size=4), min_size=1, max_size=5),
    st.sampled_from(["a.csv", "a.tsv", "a.jsonl"]),
)
@settings(max_examples=150, deadline=None)
def test_what_is_written_reads_back_the_same(
    tmp_path_factory: pytest.TempPathFactory, names: list[str], cells: list[list[str]], name: str
) -> None:
    given_rows: list[dict[str, object]] = [dict(zip(("text", *names), row, strict=False)) for row in cells]
    file = tmp_path_factory.mktemp("round", numbered=True) / name
    file.write_bytes(written(name, *given_rows).encode())
    found = list(read(file, Columns(text="text")))
    assert all(isinstance(row, Record) for row in found), found
    assert [
        {key: row.values[key] for key in ("text", *names)} for row in found if isinstance(row, Record)
    ] == given_rows


JSON_VALUE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | CELL,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(NAME, inner, max_size=3)),
    max_leaves=5,
)


@given(st.dictionaries(NAME, JSON_VALUE, max_size=4), CELL)
@settings(max_examples=100, deadline=None)
def test_json_values_of_any_shape_are_kept(values: dict[str, object], text: str) -> None:
    row = values | {"text": text}
    back = json.loads(written("a.jsonl", row))
    assert {key: back[key] for key in row} == row

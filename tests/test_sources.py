"""Files of every format, encoding and dialect, found and cut into parts."""

import csv
import gzip
import io
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moderation.comment import Comment
from moderation.errors import RecordError
from moderation.records import Columns, Input, Reading, Record, expand, read_all, rows_of
from moderation.records.cutting import MAX_ROW_BYTES, Cutter, Dialect
from moderation.records.formats import compressor

TEXTS = ("déjà vu, vraiment", "Größe: «süß»", "naïve café", "¡qué tontería!", "œuvre à l'ancienne", "Ça va très bien")


def texts_of(file: Path, reading: Reading | None = None) -> list[str]:
    rows = list(read_all([str(file)], reading or Reading()))
    assert all(isinstance(row, Record) for row in rows), rows
    return [row.comment.text for row in rows if isinstance(row, Record)]


def table(texts: tuple[str, ...] = TEXTS, delimiter: str = ",") -> str:
    stream = io.StringIO(newline="")
    csv.writer(stream, delimiter=delimiter).writerows([("id", "text"), *enumerate(texts)])
    return stream.getvalue()


# --------------------------------------------------------------------------- encodings and dialects


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le-with-mark", "utf-32", "windows-1252"])
def test_encodings_are_told(tmp_path: Path, encoding: str) -> None:
    file = tmp_path / "in.csv"
    if encoding == "utf-16-le-with-mark":
        file.write_bytes(b"\xff\xfe" + table().encode("utf-16-le"))
    else:
        file.write_bytes(table().encode(encoding))
    assert texts_of(file) == list(TEXTS)


@pytest.mark.parametrize("encoding", ["shift_jis", "gb18030", "koi8-r", "utf-16-be", "iso2022_jp", "cp437"])
def test_an_encoding_that_is_named_is_used(tmp_path: Path, encoding: str) -> None:
    text = {"koi8-r": "Это глупо", "cp437": "très"}.get(encoding, "ばか, 能力")
    text = text if encoding != "gb18030" else "笨蛋"
    file = tmp_path / "in.csv"
    file.write_bytes(f'id,text\n1,"{text}"\n2,"two\nlines"\n'.encode(encoding))
    assert texts_of(file, Reading(encoding=encoding)) == [text, "two\nlines"]


def test_few_bytes_that_are_no_utf8_are_bad_rows_and_no_other_encoding(tmp_path: Path) -> None:
    file = tmp_path / "in.csv"
    file.write_bytes(b"text\n" + "naïve\n".encode() * 30 + b"b\xffd\n" * 3)
    rows = list(read_all([str(file)], Reading()))
    assert [row.row for row in rows if isinstance(row, RecordError)] == [31, 32, 33]
    assert "name the file's encoding with --encoding" in str(rows[-1])


def test_half_a_character_at_the_end_of_utf16_is_a_bad_row(tmp_path: Path) -> None:
    file = tmp_path / "in.csv"
    file.write_bytes("text\nfine\nbad".encode("utf-16")[:-1])
    fine, bad = read_all([str(file)], Reading())
    assert isinstance(fine, Record)
    assert isinstance(bad, RecordError)


def test_an_unknown_encoding_is_refused(tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("text\n")
    for name in ("latin-x", "base64", "undefined"):
        with pytest.raises(RecordError, match=f"no encoding is named '{name}'"):
            list(read_all([str(tmp_path / "in.csv")], Reading(encoding=name)))


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "idna", "punycode"])
def test_an_encoding_that_the_file_is_not_in_is_refused(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "in.csv").write_text("id,text\n1,hello\n")
    with pytest.raises(RecordError, match=rf"in\.csv: is not {encoding.upper()} .*--encoding"):
        list(read_all([str(tmp_path / "in.csv")], Reading(encoding=encoding)))


def test_half_a_surrogate_pair_of_an_encoding_that_has_it_is_a_bad_row(tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_bytes(b"text\nfine\nbad +2AA-\n")
    fine, bad = read_all([str(tmp_path / "in.csv")], Reading(encoding="utf-7"))
    assert isinstance(fine, Record)
    assert isinstance(bad, RecordError)


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("name", ["in.csv", "in.tsv"])
def test_delimiters_are_told(tmp_path: Path, delimiter: str, name: str) -> None:
    texts = ("a, b; c", "d; e, f", "two\nlines; and, more", "x | y")
    (tmp_path / name).write_text(table(texts, delimiter), newline="")
    assert texts_of(tmp_path / name) == list(texts)


@pytest.mark.parametrize(
    ("content", "texts"),
    [
        ('id,text\n1,"say \\"hi\\", you"\n2,"\\\\"\n', ['say "hi", you', "\\"]),  # as MySQL writes it
        ('id,text\n1,"C:\\new ""folder"""\n', ['C:\\new "folder"']),  # a backslash that is a letter like others
        ("text\none; two\nthree; four\n", ["one; two", "three; four"]),  # one column: the header has no separator
        ("id,text\r1,a\r2,b\r", ["a", "b"]),  # as old Macs end lines
        ("\n\r\nid;text\n1;a\n", ["a"]),  # blank lines before the header
    ],
)
def test_dialects(tmp_path: Path, content: str, texts: list[str]) -> None:
    (tmp_path / "in.csv").write_text(content, newline="")
    assert texts_of(tmp_path / "in.csv") == texts


def test_a_delimiter_that_is_named_is_used(tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("id:text\n1:a, b\n")
    assert texts_of(tmp_path / "in.csv", Reading(delimiter=":")) == ["a, b"]
    # How quotes are written is told from the file all the same.
    (tmp_path / "in.csv").write_text('id:text\n1:"say \\"a: b\\""\n')
    assert texts_of(tmp_path / "in.csv", Reading(delimiter=":")) == ['say "a: b"']


# --------------------------------------------------------------------------- cut into parts

CONTENT = st.lists(
    st.sampled_from(
        ['"', '""', "a", ",", "\n", "\r\n", "\r", "x,y\n", '1,"two\nlines"\n', '"open', "naïve", "\\", "\x00", " "]
    ),
    max_size=30,
).map("".join)


@given(CONTENT, st.integers(1, 40), st.sampled_from([Dialect(), Dialect(backslash=True)]), st.integers(1, 9))
@settings(max_examples=200, deadline=None)
def test_parts_hold_the_rows_that_the_whole_holds(content: str, size: int, dialect: Dialect, block: int) -> None:
    from moderation.records.text import csv_rows

    data = content.encode()
    blocks = [data[start : start + block] for start in range(0, len(data), block)]
    pieces = list(Cutter(dialect).pieces(iter(blocks), 0, size))
    assert b"".join(piece.data for piece in pieces) == data
    assert [piece.end for piece in pieces[:-1]] == [piece.start for piece in pieces[1:]]

    def rows(part: bytes) -> list[object]:
        found = csv_rows(part, dialect, "utf-8", ("a", "b"))
        # An open quote may be told as such, or by what follows it in the next part.
        return [row.partition(" (")[0] if isinstance(row, str) else row for row in found]

    assert [row for piece in pieces for row in rows(piece.data)] == rows(data)


def test_what_the_pattern_steps_over_is_what_python_reads() -> None:
    data = b'id,text\n1,"a ""b"" c"\n2,\n"3\n\n4","x"\n5,5" pipe, "odd\n6,y\n'
    cutter = Cutter(Dialect())
    ends = []
    place = 0
    while place < len(data):
        end = cutter.end(data, place, place + 1, True)
        assert end == cutter.row(data, place, True)
        assert end is not None
        ends.append(end)
        place = end
    assert [data[start:end].count(b"\n") for start, end in zip([0, *ends], ends, strict=False)] == [1, 1, 1, 3, 1, 1]


@pytest.mark.parametrize("name", ["in.csv", "in.jsonl"])
def test_a_row_of_megabytes_is_one_bad_row(tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    fine, head = ("fine\n", "text\n") if name == "in.csv" else ('{"text":"fine"}\n', "")
    for length, told in ((10_000_000, "10000000 characters"), (MAX_ROW_BYTES + 5, "longer than 16 MiB")):
        text = "x" * length
        row = f"{text}\n" if name == "in.csv" else f'{{"text":"{text}"}}\n'
        file.write_text(head + fine + row + fine)
        first, bad, last = read_all([str(file)], Reading())
        assert isinstance(first, Record)
        assert isinstance(last, Record)
        assert isinstance(bad, RecordError)
        assert (bad.row, told in bad.problem, last.row) == (2, True, 3)


def test_parts_are_the_same_each_time_and_read_alone(tmp_path: Path) -> None:
    file = tmp_path / "in.csv"
    file.write_text(table(tuple(f'{n} "quoted"\nand more' for n in range(200))), newline="")
    whole = Input([str(file)], Reading())
    parts = list(whole.parts(500))
    assert len(parts) > 10
    assert parts == list(Input([str(file)], Reading()).parts(500))
    assert parts[-1].share == 1
    rows = [row for part in reversed(parts) for row in reversed(list(rows_of(whole.sources[0], part)))]
    assert [row.values["id"] for row in rows if isinstance(row, Record)] == [str(n) for n in reversed(range(200))]


def test_a_file_that_changes_while_it_is_read_is_noticed(tmp_path: Path) -> None:
    file = tmp_path / "in.csv"
    file.write_text("text\nfine\n")
    whole = Input([str(file)], Reading())
    (part,) = whole.parts()
    file.write_text("text\nFINE\n")
    with pytest.raises(RecordError, match="was changed while it was read"):
        list(rows_of(whole.sources[0], part))


# --------------------------------------------------------------------------- compressed


@pytest.mark.parametrize("compression", ["gz", "zst"])
@pytest.mark.parametrize("name", ["in.csv", "in.jsonl"])
def test_compressed_files(tmp_path: Path, compression: str, name: str) -> None:
    plain = table() if name == "in.csv" else "".join(json.dumps({"text": text}) + "\n" for text in TEXTS)
    # Two pieces one after another are one file, and a name need not tell.
    press = compressor(compression)
    data = press(plain.encode()[:30]) + press(plain.encode()[30:])
    for file in (tmp_path / name, tmp_path / f"{name}.{compression}"):
        file.write_bytes(data)
        assert texts_of(file) == list(TEXTS)


@pytest.mark.parametrize("compression", ["gz", "zst"])
def test_a_compressed_file_that_was_cut_off_costs_its_end_only(tmp_path: Path, compression: str) -> None:
    lines = [f"{n},{os.urandom(40).hex()}\n" for n in range(4000)]
    data = compressor(compression)(("id,text\n" + "".join(lines)).encode())
    file = tmp_path / f"in.csv.{compression}"
    file.write_bytes(data[:-1000])
    *rows, bad = read_all([str(file)], Reading())
    assert isinstance(bad, RecordError)
    assert "damaged or cut off" in bad.problem
    assert len(rows) > 1000
    assert all(isinstance(row, Record) for row in rows)
    assert [f"{row.values['id']},{row.comment.text}\n" for row in rows if isinstance(row, Record)] == lines[: len(rows)]


@pytest.mark.parametrize("data", [b"\x1f\x8b", b"\x1f\x8bnonsense", b"\x28\xb5\x2f\xfdnonsense"])
def test_a_compressed_file_of_which_nothing_can_be_read(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "in.csv").write_bytes(data)
    with pytest.raises(RecordError, match=r"in\.csv: the file is damaged or cut off here"):  # not: is empty
        list(read_all([str(tmp_path / "in.csv")], Reading()))


# --------------------------------------------------------------------------- Parquet


def test_parquet_is_read_in_parts_of_row_groups(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    file = tmp_path / "in.parquet"
    rows = [{"id": n, "text": None if n == 7 else f"text {n}", "when": [n]} for n in range(500)]
    pq.write_table(pa.Table.from_pylist(rows), file, row_group_size=100)
    for size in (100, 3000, 1 << 20):
        whole = Input([str(file)], Reading())
        found = [row for part in whole.parts(size) for row in rows_of(whole.sources[0], part)]
        assert len(found) == 500
        assert isinstance(found[7], RecordError)
        assert [dict(row.values) for row in found if isinstance(row, Record)] == rows[:7] + rows[8:]
    assert found[3].comment == Comment("text 3", "3")  # type: ignore[union-attr]


def test_a_damaged_parquet_file(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    file = tmp_path / "in.parquet"
    file.write_bytes(b"PAR1 nonsense")
    with pytest.raises(RecordError, match=r"in\.parquet: not Parquet"):
        list(read_all([str(file)], Reading()))
    pq.write_table(pa.table({"text": [os.urandom(50).hex() for _ in range(2000)]}), file, row_group_size=1000)
    data = bytearray(file.read_bytes())
    start = len(data) * 6 // 10  # Within the second group; the first may end on either side of the middle.
    data[start : start + 30_000] = b"\xff" * 30_000  # No text; zeros would be one, where all of them fell within it.
    file.write_bytes(data)
    found = list(read_all([str(file)], Reading()))
    assert len(found) == 2000
    bad = [row for row in found if isinstance(row, RecordError)]
    assert 0 < len(bad) <= 1000
    assert "damaged here" in bad[0].problem


# --------------------------------------------------------------------------- folders, patterns, pipes


def test_folders_and_patterns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("b.csv", "a.csv", "deep/c.jsonl.gz", "out.csv", "note.txt", ".hidden.csv", "x.csv.errors.jsonl"):
        file = Path("all", name)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    (tmp_path / "all/out.csv.run/parts").mkdir(parents=True)
    (tmp_path / "all/out.csv.run/parts/part-000000.csv").touch()
    assert expand(["all"], [Path("all/out.csv")]) == ["all/a.csv", "all/b.csv", "all/deep/c.jsonl.gz"]
    assert expand(["all"], [Path("all/deep"), Path("all/out.csv")]) == ["all/a.csv", "all/b.csv"]
    assert expand(["all/?.csv", "-", "no.csv"]) == ["all/a.csv", "all/b.csv", "-", "no.csv"]
    # What reviews leave is no comment, for patterns as for folders, unless it is asked for.
    assert expand(["all/**/*.*sv"], [Path("all/out.csv")]) == ["all/a.csv", "all/b.csv"]
    assert expand(["all/**/*.jsonl*"]) == ["all/deep/c.jsonl.gz"]
    assert expand(["all/*.run/parts/*"]) == ["all/out.csv.run/parts/part-000000.csv"]
    assert expand(["all/*.errors.*"]) == ["all/x.csv.errors.jsonl"]
    (tmp_path / "odd[1].csv").touch()
    assert expand(["odd[1].csv"]) == ["odd[1].csv"]  # a name that looks like a pattern
    for nothing in ("all/z*.csv", "all/deep/none"):
        if nothing.endswith("none"):
            (tmp_path / nothing).mkdir()
        with pytest.raises(RecordError, match=r"fits no file|holds no"):
            expand([nothing])
    with pytest.raises(RecordError, match="is no name"):
        expand([""])  # of a shell's variable that is not set; not this folder


def test_rows_of_several_files_are_numbered_in_each(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text\none\ntwo\n")
    (tmp_path / "b.jsonl").write_text('{"body": "three"}\nnonsense\n')
    rows = list(read_all([str(tmp_path / "a.csv"), str(tmp_path / "b.jsonl")], Reading()))
    assert [row.row for row in rows] == [1, 2, 1, 2]
    assert isinstance(rows[3], RecordError)
    assert rows[3].source == str(tmp_path / "b.jsonl")


class Pipe(io.RawIOBase):
    """Gives what is written into a pipe, piece by piece."""

    def __init__(self, pieces: list[bytes]) -> None:
        self.pieces = pieces

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        piece = self.pieces.pop(0) if self.pieces else b""
        buffer[: len(piece)] = piece
        return len(piece)


@pytest.fixture
def pipe(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[bytes]]:
    pieces: list[bytes] = []
    with io.TextIOWrapper(io.BufferedReader(Pipe(pieces))) as stream:
        monkeypatch.setattr(sys, "stdin", stream)
        yield pieces


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_standard_input(pipe: list[bytes], form: str, compressed: bool) -> None:
    data = b'id,text\n1,one\n2,"two\nlines"\n' if form == "csv" else b'{"text":"one"}\n{"text":"two\\nlines"}\n'
    data = gzip.compress(data) if compressed else data
    pipe.extend(data[start : start + 7] for start in range(0, len(data), 7))
    rows = list(read_all(["-"], Reading()))
    assert [row.comment.text for row in rows if isinstance(row, Record)] == ["one", "two\nlines"]


def test_rows_of_a_pipe_come_as_soon_as_they_are_there(pipe: list[bytes]) -> None:
    pipe.extend([b'{"text":"one"}\n{"te', b'xt":"two"}\n', b'{"text":"three"}\n'])
    rows = read_all(["-"], Reading(), interactive=True)
    first = next(rows)
    assert isinstance(first, Record)
    assert len(pipe) == 2  # The second line's end was not waited for.
    assert [row.comment.text for row in rows if isinstance(row, Record)] == ["two", "three"]


def test_a_first_row_longer_than_what_is_looked_at(tmp_path: Path) -> None:
    long = "word " * 100_000
    (tmp_path / "in.jsonl").write_text(json.dumps({"n": long, "body": "hello"}) + "\n")
    assert texts_of(tmp_path / "in.jsonl") == ["hello"]
    (tmp_path / "in.csv").write_text(f'"{long}\n",body\n1,hello\n')
    assert texts_of(tmp_path / "in.csv", Reading(Columns(text="body"))) == ["hello"]

import csv
import io
import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from conftest import Fake

from moderation import Moderator, Policy, RecordError
from moderation.batch import CHUNK_ROWS, review_file, review_rows, review_to_stream
from moderation.errors import RunError
from moderation.normalise import Folded
from moderation.records import Columns, Record, read


class Explodes(Fake):
    """Breaks where it reads «explode»."""

    def score(self, comments: Sequence[Folded]) -> npt.NDArray[np.float32]:
        if any("explode" in comment.plain.text for comment in comments):
            raise ZeroDivisionError("as a bug would")
        return super().score(comments)


@pytest.fixture(scope="module")
def moderator(toy_policy: Policy) -> Moderator:
    return Moderator(toy_policy, Explodes({"clown": 0.75}))


def errors_of(target: Path) -> Path:
    return target.with_name(target.name + ".errors.jsonl")


def table(file: Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream, strict=True))


def test_counts_order_and_columns(tmp_path: Path, moderator: Moderator) -> None:
    source, target = tmp_path / "in.csv", tmp_path / "out.csv"
    source.write_text("id,text,n\na,hello,1\nb,I will kill you clown,2\nc,a clown,3\nd,fine,4\n")
    summary = review_file(moderator, source, target)
    assert (summary.approved, summary.rejected, summary.unreadable, summary.rows) == (2, 2, 0, 4)
    assert summary.guidelines == {"threat": 1, "personal_attack": 2}
    assert summary.decided_by == {"rule": 1, "linear": 1}
    rows = table(target)
    assert [(row["id"], row["n"], row["verdict"]) for row in rows] == [
        ("a", "1", "approve"),
        ("b", "2", "reject"),
        ("c", "3", "reject"),
        ("d", "4", "approve"),
    ]
    assert json.loads(rows[1]["guidelines"]) == ["threat", "personal_attack"]
    assert json.loads(rows[2]["findings"])[0]["excerpt"] == "clown"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.csv", "out.csv"]


def test_a_file_holds_the_same_decisions_as_one_by_one(tmp_path: Path, moderator: Moderator) -> None:
    texts = ["hello", "I will kill you", "clown", "", "naïve \u200bclown \U0001f600", "two\nlines"]
    source, target = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    review_file(moderator, source, target)
    for text, line in zip(texts, target.read_text().splitlines(), strict=True):
        row, alone = json.loads(line), moderator.review(text).to_dict()
        assert {key: row[key] for key in alone if key != "id"} == {key: alone[key] for key in alone if key != "id"}


def test_the_target_appears_only_complete(tmp_path: Path, moderator: Moderator) -> None:
    source, target = tmp_path / "in.csv", tmp_path / "out.csv"
    source.write_text("text\n" + "fine\n" * (CHUNK_ROWS + 10) + "explode\n")
    with pytest.raises(ZeroDivisionError):
        review_file(moderator, source, target)
    assert not target.exists()
    assert not errors_of(target).exists()


def test_an_older_target_stays_when_a_review_breaks(tmp_path: Path, moderator: Moderator) -> None:
    source, target = tmp_path / "in.csv", tmp_path / "out.csv"
    target.write_text("older\n")
    source.write_text("text\nexplode\n")
    with pytest.raises(ZeroDivisionError):
        review_file(moderator, source, target)
    assert target.read_text() == "older\n"


def test_the_target_is_not_there_while_rows_are_reviewed(tmp_path: Path, moderator: Moderator) -> None:
    source, target = tmp_path / "in.csv", tmp_path / "out.csv"
    source.write_text("text\n" + "fine\n" * (2 * CHUNK_ROWS))
    seen: list[tuple[int, bool]] = []
    review_file(moderator, source, target, progress=lambda told, share: seen.append((told.rows, target.exists())))
    assert dict.fromkeys(seen) == dict.fromkeys(
        [(0, False), (CHUNK_ROWS, False), (2 * CHUNK_ROWS, False), (2 * CHUNK_ROWS, True)]
    )


def test_unreadable_rows_go_to_the_errors_file(tmp_path: Path, moderator: Moderator) -> None:
    source, target = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_bytes(b'{"text":"one"}\n{"text":null}\n{"text":"clown"}\nnonsense\n')
    summary = review_file(moderator, source, target)
    assert (summary.approved, summary.rejected, summary.unreadable) == (1, 1, 2)
    assert [json.loads(line)["text"] for line in target.read_text().splitlines()] == ["one", "clown"]
    errors = [json.loads(line) for line in errors_of(target).read_text().splitlines()]
    assert [sorted(error) for error in errors] == [["problem", "row"]] * 2
    assert [error["row"] for error in errors] == [2, 4]
    assert "missing" in errors[0]["problem"]
    assert "not JSON" in errors[1]["problem"]


def test_a_clean_review_leaves_no_errors_file_and_takes_a_stale_one_away(tmp_path: Path, moderator: Moderator) -> None:
    source, target = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text("nonsense\n" + '{"text":"one"}\n')
    with pytest.raises(RecordError):
        review_file(moderator, source, target, Columns(text="body"))
    review_file(moderator, source, target)
    assert errors_of(target).exists()
    source.write_text('{"text":"one"}\n')
    review_file(moderator, source, target)
    assert target.exists()
    assert not errors_of(target).exists()


def test_csv_to_json_lines_and_back(tmp_path: Path, moderator: Moderator) -> None:
    source, middle, last = tmp_path / "in.csv", tmp_path / "out.jsonl", tmp_path / "back.csv"
    source.write_text('id,text,n\n1,"one, ""two""\nthree",01\n2,clown ü,\n', encoding="utf-8")
    review_file(moderator, source, middle)
    review_file(moderator, middle, last)
    given, back = table(source), table(last)
    assert [{key: row[key] for key in ("id", "text", "n")} for row in back] == given
    # Reviewed a second time: the same decision stands beside the first.
    assert [row["moderation_verdict"] for row in back] == [row["verdict"] for row in back] == ["approve", "reject"]
    assert json.loads(back[1]["findings"]) == json.loads(back[1]["moderation_findings"])


@pytest.mark.parametrize("count", [0, 1, CHUNK_ROWS - 1, CHUNK_ROWS, CHUNK_ROWS + 1, 2 * CHUNK_ROWS + 1])
def test_any_number_of_rows_keeps_its_order(tmp_path: Path, moderator: Moderator, count: int) -> None:
    source, target = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    lines = [
        "broken" if n % 400 == 7 else json.dumps({"id": n, "text": "clown" if n % 3 else "ok"}) for n in range(count)
    ]
    source.write_text("".join(f"{line}\n" for line in lines))
    summary = review_file(moderator, source, target)
    readable = [n for n in range(count) if n % 400 != 7]
    rows = [json.loads(line) for line in target.read_text().splitlines()]
    assert [row["id"] for row in rows] == readable
    assert [row["verdict"] for row in rows] == ["reject" if n % 3 else "approve" for n in readable]
    assert (summary.rows, summary.unreadable) == (count, count - len(readable))


def test_rows_are_read_only_as_they_are_needed(tmp_path: Path, moderator: Moderator) -> None:
    source = tmp_path / "in.csv"
    source.write_text("text\n" + "fine\n" * (3 * CHUNK_ROWS))
    taken = 0

    def counted():
        nonlocal taken
        for row in read(source, Columns()):
            taken += 1
            yield row

    result = next(review_rows(moderator, counted()))
    assert not isinstance(result, RecordError)
    assert isinstance(result[0], Record)
    assert taken == CHUNK_ROWS


@pytest.mark.parametrize(
    "target",
    [
        "no/such/folder/out.csv",
        "folder.csv",  # a folder is there already
        "in.csv/out.csv",  # a file where a folder should be
        "out.txt",
        "pipe.csv",  # would be replaced by a file, and its reader wait without end
    ],
)
def test_a_target_that_cannot_be_written_is_named_in_one_line(
    tmp_path: Path, moderator: Moderator, target: str
) -> None:
    source = tmp_path / "in.csv"
    source.write_text("text\nfine\n")
    (tmp_path / "folder.csv").mkdir()
    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(RecordError) as caught:
        review_file(moderator, source, tmp_path / target)
    assert str(tmp_path / target) in str(caught.value)
    assert re.search("name (a|one)", str(caught.value))
    assert "\n" not in str(caught.value)


def test_a_source_that_is_not_there_leaves_nothing_behind(tmp_path: Path, moderator: Moderator) -> None:
    with pytest.raises(RecordError, match=r"nowhere\.csv"):
        review_file(moderator, tmp_path / "nowhere.csv", tmp_path / "out.csv")
    assert list(tmp_path.iterdir()) == []


def test_a_file_may_be_reviewed_onto_itself(tmp_path: Path, moderator: Moderator) -> None:
    file = tmp_path / "in.csv"
    file.write_text("text\nfine\nclown\n")
    review_file(moderator, file, file)
    assert [(row["text"], row["verdict"]) for row in table(file)] == [("fine", "approve"), ("clown", "reject")]


@pytest.mark.parametrize("name", ["in.csv", "link.csv"])
def test_a_file_that_is_reviewed_onto_itself_loses_no_row(tmp_path: Path, moderator: Moderator, name: str) -> None:
    file = tmp_path / "in.csv"
    file.write_text("id,text\n1,fine\n2\n")
    (tmp_path / "link.csv").symlink_to(file)
    with pytest.raises(RunError, match=rf"{name}: is what is read, and would lose a row"):
        review_file(moderator, [tmp_path / name], tmp_path / name)
    assert file.read_text() == "id,text\n1,fine\n2\n"


class Sips(io.BytesIO):
    """Takes a few bytes at a time, as a stream without a buffer may."""

    def write(self, data: Any) -> int:
        return super().write(bytes(data[:7]))


def test_a_stream_that_takes_a_part_only_gets_all(tmp_path: Path, moderator: Moderator) -> None:
    (tmp_path / "in.csv").write_text("text\nfine\nclown\n")
    sips, whole = Sips(), io.BytesIO()
    for out in (sips, whole):
        review_to_stream(moderator, [tmp_path / "in.csv"], out, "csv")
    assert sips.getvalue() == whole.getvalue() != b""

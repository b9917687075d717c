"""Reviews that are cut off and go on."""

import errno
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from moderation import Moderator, RecordError
from moderation.batch import Summary, review, review_file, review_to_stream
from moderation.errors import RunError
from moderation.records import Columns
from moderation.runs import Run, put_in_place, write_whole

PART_BYTES = 256
TEXTS = ["hello", '"two\nlines, ""quoted"""', "a clown", "I will kill you", "too, many, cells", "naïve"]


class CutOffError(Exception):
    """Stands for whatever ends a process."""


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(review, "LINEAR_BYTES", PART_BYTES)


@pytest.fixture(scope="module")
def moderator(toy_file: Path, toy_model: Path) -> Moderator:
    return Moderator.load(toy_file, toy_model, "linear")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    file = tmp_path / "in.csv"
    rows = "".join(f"{n},{TEXTS[n % len(TEXTS)]}\n" for n in range(120))
    file.write_text(f"id,text\n{rows}", encoding="utf-8")
    return file


def cut_off_after(rows: int) -> Callable[[Summary, float], None]:
    def told(summary: Summary, share: float) -> None:
        if summary.rows >= rows:
            raise CutOffError

    return told


def begun(moderator: Moderator, source: Path, target: Path | str, rows: int = 40, **options: Any) -> Path:
    """Cut a review off; give its run directory."""
    with pytest.raises(CutOffError):
        review_file(moderator, source, target, progress=cut_off_after(rows), **options)
    return Path(f"{Path(target)}.run")


def outputs(target: Path) -> list[bytes]:
    return [Path(f"{target}{ending}").read_bytes() for ending in ("", ".errors.jsonl")]


def notes(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "parts.jsonl").read_text().splitlines()]


@pytest.mark.parametrize(
    ("ending", "rows"),
    [(".csv", 1), (".tsv", 40), (".jsonl", 119), (".csv.gz", 40), (".jsonl.zst", 40), (".parquet", 40)],
)
def test_a_resumed_review_gives_the_same_bytes(
    tmp_path: Path, moderator: Moderator, source: Path, ending: str, rows: int
) -> None:
    whole, target = tmp_path / f"whole{ending}", tmp_path / f"out{ending}"
    expected = review_file(moderator, source, whole)
    run = begun(moderator, source, target, rows)
    assert not target.exists()
    done = len(notes(run))
    assert done
    seen: list[int] = []
    summary = review_file(moderator, source, target, resume=True, progress=lambda told, share: seen.append(told.rows))
    assert seen[0] >= rows  # Nothing was done twice.
    assert summary == expected
    assert outputs(target) == outputs(whole)
    assert not run.exists()


def test_a_review_may_be_cut_off_again_and_again(tmp_path: Path, moderator: Moderator, source: Path) -> None:
    whole, target = tmp_path / "whole.csv", tmp_path / "out.csv"
    review_file(moderator, source, whole)
    run = begun(moderator, source, target, 20)
    for rows in (40, 60, 110):
        before = len(notes(run))
        begun(moderator, source, target, rows, resume=True)
        assert len(notes(run)) > before
    review_file(moderator, source, target, resume=True)
    assert outputs(target) == outputs(whole)


def test_resume_begins_where_nothing_was_begun(tmp_path: Path, moderator: Moderator, source: Path) -> None:
    target = tmp_path / "out.csv"
    assert review_file(moderator, source, target, resume=True).rows == 120
    assert target.exists()


def test_without_resume_nothing_that_is_done_is_thrown_away(tmp_path: Path, moderator: Moderator, source: Path) -> None:
    target = tmp_path / "out.csv"
    run = begun(moderator, source, target)
    with pytest.raises(RunError, match=r"cut off after \d+ rows; add --resume to go on, or --restart"):
        review_file(moderator, source, target)
    assert notes(run)
    assert review_file(moderator, source, target, restart=True).rows == 120
    assert not run.exists()


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ("policy", "another policy"),
        ("model", "another model"),
        ("size", "another input"),
        ("letter", "in.csv: was changed"),
        ("columns", "another columns"),
    ],
)
def test_another_policy_model_input_or_output_is_refused(
    tmp_path: Path, toy_file: Path, toy_model: Path, moderator: Moderator, source: Path, change: str, named: str
) -> None:
    target = tmp_path / "out.csv"
    run = begun(moderator, source, target)
    before = notes(run)
    policy, model = toy_file, toy_model
    if change == "policy":
        policy = tmp_path / "other.toml"
        policy.write_text(toy_file.read_text().replace("unflagged = 0.75", "unflagged = 0.8"))
    elif change == "model":
        model = tmp_path / "toy-1"
        model.mkdir()
        for file in toy_model.iterdir():
            (model / file.name).write_bytes(file.read_bytes())
        manifest = model / "manifest.json"
        manifest.write_text(manifest.read_text() + "\n")
    elif change == "size":
        source.write_text(source.read_text() + "121,more\n")
    elif change == "letter":
        source.write_text(source.read_text().replace("hello", "hallo", 1))
    columns = Columns(text="id") if change == "columns" else None
    with pytest.raises(RunError, match=named) as caught:
        review_file(Moderator.load(policy, model, "linear"), source, target, columns, resume=True)
    assert "\n" not in str(caught.value)
    assert "--restart" in str(caught.value)
    assert notes(run) == before


@pytest.mark.parametrize("damage", ["torn note", "part gone", "part altered", "half a part beside"])
def test_what_a_power_cut_leaves_is_noticed(tmp_path: Path, moderator: Moderator, source: Path, damage: str) -> None:
    whole, target = tmp_path / "whole.csv", tmp_path / "out.csv"
    review_file(moderator, source, whole)
    run = begun(moderator, source, target)
    first = run / "parts" / "part-000001.csv"
    if damage == "torn note":
        with (run / "parts.jsonl").open("a") as file:
            file.write('{"source": 0, "start": 12')
    elif damage == "part gone":
        first.unlink()
    elif damage == "part altered":
        first.write_bytes(first.read_bytes()[:-10] + b"\0" * 10)
    else:
        (run / "parts" / ".part-000099.csv.0123").write_text("half")
    review_file(moderator, source, target, resume=True)
    assert outputs(target) == outputs(whole)


@pytest.fixture
def uncleared(tmp_path: Path, moderator: Moderator, source: Path) -> Path:
    """The output of a review that ended before it cleared anything away."""
    target = tmp_path / "out.csv"
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Run, "close", lambda self: self._lock.close())
        review_file(moderator, source, target)
    return target


def test_a_review_that_ended_while_it_cleaned_up_has_nothing_to_do(
    uncleared: Path, moderator: Moderator, source: Path
) -> None:
    target = uncleared
    before = target.stat().st_mtime_ns
    assert notes(Path(f"{target}.run"))[-1] == {"finished": True}
    assert review_file(moderator, source, target, resume=True).rows == 120
    assert target.stat().st_mtime_ns == before
    assert not Path(f"{target}.run").exists()


def test_a_review_that_ended_while_its_notes_were_cleared_away_is_done_anew(
    uncleared: Path, moderator: Moderator, source: Path
) -> None:
    target = uncleared
    before = outputs(target)
    run = Path(f"{target}.run")
    shutil.rmtree(run / "parts")
    (run / "parts.jsonl").unlink()
    assert (run / "manifest.json").is_file()
    assert review_file(moderator, source, target, resume=True).rows == 120
    assert outputs(target) == before
    assert not run.exists()


@pytest.mark.parametrize("gone", [["parts"], ["parts", "manifest.json"], ["parts", "manifest.json", "parts.jsonl"]])
def test_a_review_that_ended_anywhere_in_its_clearing_goes_on(
    uncleared: Path, moderator: Moderator, source: Path, gone: list[str]
) -> None:
    before, run = outputs(uncleared), Path(f"{uncleared}.run")
    for name in gone:
        shutil.rmtree(run / name) if name == "parts" else (run / name).unlink()
    assert review_file(moderator, source, uncleared, resume=True).rows == 120
    assert outputs(uncleared) == before
    assert not run.exists()


def test_a_finished_review_whose_output_was_moved_away_is_done_anew(
    uncleared: Path, moderator: Moderator, source: Path
) -> None:
    before = outputs(uncleared)
    shutil.rmtree(f"{uncleared}.run/parts")
    uncleared.unlink()
    assert review_file(moderator, source, uncleared, resume=True).rows == 120
    assert outputs(uncleared) == before


@pytest.mark.parametrize("last", ["before", "after"])
def test_an_output_in_parts_may_be_cut_off_when_it_is_put_in_its_place(
    tmp_path: Path, moderator: Moderator, source: Path, monkeypatch: pytest.MonkeyPatch, last: str
) -> None:
    def places(path: Path, target: Path) -> None:
        if path.name != "parts" or last == "after":
            put_in_place(path, target)
        if path.name == "parts":
            raise CutOffError

    with monkeypatch.context() as patched:
        patched.setattr(review, "put_in_place", places)
        patched.setattr(Run, "close", lambda self: self._lock.close())
        with pytest.raises(CutOffError):
            review_file(moderator, source, f"{tmp_path}/out/", form="csv")
    assert (tmp_path / "out").exists() == (last == "after")
    assert review_file(moderator, source, f"{tmp_path}/out/", form="csv", resume=True).rows == 120
    assert len(list((tmp_path / "out").iterdir())) > 5
    assert not (tmp_path / "out.run").exists()
    with pytest.raises(RecordError, match="is there already"):
        review_file(moderator, source, f"{tmp_path}/out/", form="csv", resume=True)


def test_an_output_that_is_a_link_to_another_file_system(
    tmp_path: Path, moderator: Moderator, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, link, other = tmp_path / "whole.csv", tmp_path / "link" / "out.csv", tmp_path / "other" / "out.csv"
    review_file(moderator, source, whole)
    for path in (link, other):
        path.parent.mkdir()
    link.symlink_to(other)

    def replace(path: Path, target: Path) -> None:
        if (link.parent in Path(path).parents) != (link.parent in Path(target).parents):
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
        Path(path).rename(target)

    monkeypatch.setattr("moderation.runs.os.replace", replace)
    review_file(moderator, source, link)
    assert link.is_symlink()
    assert outputs(link) == outputs(whole)


def test_an_output_in_parts_holds_nothing_else(tmp_path: Path, moderator: Moderator, source: Path) -> None:
    run = begun(moderator, source, f"{tmp_path}/out/", form="csv")
    (run / "parts" / ".part-000099.csv.0123").write_text("half, as a kill leaves it")
    review_file(moderator, source, f"{tmp_path}/out/", form="csv", resume=True)
    assert {file.suffix for file in (tmp_path / "out").iterdir()} == {".csv"}


@pytest.mark.parametrize("damage", ["gone", "no JSON"])
@pytest.mark.parametrize("resume", [False, True])
def test_without_its_manifest_nothing_that_is_done_is_thrown_away(
    tmp_path: Path, moderator: Moderator, source: Path, damage: str, resume: bool
) -> None:
    target = tmp_path / "out.csv"
    run = begun(moderator, source, target)
    manifest = run / "manifest.json"
    manifest.unlink() if damage == "gone" else manifest.write_text("{")
    with pytest.raises(RunError, match="--restart to begin anew"):
        review_file(moderator, source, target, resume=resume)
    assert notes(run)
    assert review_file(moderator, source, target, restart=True).rows == 120


@pytest.mark.parametrize("options", [{}, {"resume": True}, {"restart": True}])
def test_a_folder_of_somebody_else_is_left_alone(
    tmp_path: Path, moderator: Moderator, source: Path, options: dict[str, bool]
) -> None:
    other = tmp_path / "out.csv.run" / "diary.txt"
    other.parent.mkdir()
    other.write_text("mine")
    with pytest.raises(RunError, match=r"out\.csv\.run: holds 'diary\.txt', which is no part of a review"):
        review_file(moderator, source, tmp_path / "out.csv", **options)
    assert other.read_text() == "mine"


def test_two_reviews_into_one_output_at_once_are_refused(tmp_path: Path, moderator: Moderator, source: Path) -> None:
    target = tmp_path / "out.csv"

    def told(summary: Summary, share: float) -> None:
        if not target.exists():
            with pytest.raises(RunError, match="another process is at work there"):
                review_file(moderator, source, target, restart=True)

    assert review_file(moderator, source, target, progress=told).rows == 120


def test_a_full_disk_ends_in_one_line_and_costs_nothing(
    tmp_path: Path, moderator: Moderator, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, target = tmp_path / "whole.csv", tmp_path / "out.csv"
    review_file(moderator, source, whole)

    def full(path: Path, data: bytes) -> None:
        if path.name == "part-000003.csv":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write_whole(path, data)

    with monkeypatch.context() as patched:
        patched.setattr("moderation.batch.parts.write_whole", full)
        with pytest.raises(RecordError, match=r"out\.csv: cannot be written \(No space left on device\)"):
            review_file(moderator, source, target)
    assert len(notes(Path(f"{target}.run"))) == 3
    review_file(moderator, source, target, resume=True)
    assert outputs(target) == outputs(whole)


def test_strict_stops_at_the_first_bad_row_and_keeps_what_was_done(
    tmp_path: Path, moderator: Moderator, source: Path
) -> None:
    whole, target = tmp_path / "whole.csv", tmp_path / "out.csv"
    review_file(moderator, source, whole)
    text = source.read_text().splitlines(keepends=True)
    source.write_text("".join(line for line in text if "too, many" not in line or line.startswith("100,")))
    review_file(moderator, source, whole)
    with pytest.raises(RecordError) as caught:
        review_file(moderator, source, target, strict=True)
    assert str(caught.value).startswith(f"{source}: row 85: has 4 cells for 2 columns")
    assert notes(Path(f"{target}.run"))
    assert not target.exists()
    review_file(moderator, source, target, resume=True)
    assert outputs(target) == outputs(whole)


def test_processes_that_are_there_already_find_files_in_another_folder(
    tmp_path: Path, moderator: Moderator, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "in.csv").write_text(f"text\nthis is {name}\nclown\n" * 20 + "a,b\n")
        monkeypatch.chdir(tmp_path / name)
        assert review_file(moderator, "in.csv", "out.csv", jobs=2).rows == 60
        assert f"this is {name}" in Path("out.csv").read_text()
        out, problems = io.BytesIO(), list[RecordError]()
        review_to_stream(moderator, ["in.csv"], out, "csv", problem=problems.append, jobs=2)
        assert out.getvalue() == Path("out.csv").read_bytes()
        assert [str(problem)[:14] for problem in problems] == ["in.csv: row 60"]


def small_parts_command(source: Path, target: Path, policy: Path, model: Path) -> list[str]:
    code = (
        "import sys\nfrom moderation.batch import review\nfrom moderation.cli import main\n"
        f"review.LINEAR_BYTES = {PART_BYTES}\nmain()"
    )
    options = ["--policy", str(policy), "--model", str(model), "--classifier", "linear", "--quiet"]
    return [sys.executable, "-c", code, "review", str(source), "-o", str(target), "--jobs", "2", *options]


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_a_review_and_its_processes_without_advice(
    tmp_path: Path, source: Path, toy_file: Path, toy_model: Path, number: int, status: int
) -> None:
    target = tmp_path / "out.csv"
    source.write_text(source.read_text() + "7,hello\n" * 100_000)
    command = small_parts_command(source, target, toy_file, toy_model)
    process = subprocess.Popen(command, stderr=subprocess.PIPE, start_new_session=True)
    journal, until = Path(f"{target}.run", "parts.jsonl"), time.monotonic() + 300
    while not journal.exists() and process.poll() is None and time.monotonic() < until:
        time.sleep(0.002)
    sent = 0
    while process.poll() is None and time.monotonic() < until:
        process.send_signal(number)
        sent += 1
        with suppress(subprocess.TimeoutExpired):  # Python drops an interrupt that comes while it clears up.
            process.wait(1)
    _, told = process.communicate(timeout=300)
    assert process.returncode == status
    # A second signal may hit the clearing up. A thread of loky's may still stumble over its own end.
    assert sent > 1 or b"UserWarning" not in told
    assert journal.exists()
    assert not target.exists()


def test_several_processes_give_the_same_bytes_and_survive_a_kill(
    tmp_path: Path, moderator: Moderator, source: Path, toy_file: Path, toy_model: Path
) -> None:
    whole, target = tmp_path / "whole.csv", tmp_path / "out.csv"
    review_file(moderator, source, whole)
    command = small_parts_command(source, target, toy_file, toy_model)
    process = subprocess.Popen(command)
    try:
        journal, until = Path(f"{target}.run", "parts.jsonl"), time.monotonic() + 300
        while not journal.exists() and process.poll() is None and time.monotonic() < until:
            time.sleep(0.002)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    done = subprocess.run([*command, "--resume"], timeout=300, capture_output=True, text=True)
    assert done.returncode == 4, done.stderr
    assert outputs(target) == outputs(whole)

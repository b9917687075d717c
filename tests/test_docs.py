import doctest
import importlib
import inspect
import pkgutil
import re
import shlex
from pathlib import Path

import pytest
import typer

import moderation
from moderation.cli import Exit, app
from moderation.errors import ModerationError

ROOT = Path(__file__).resolve().parent.parent
DOCS = {str(path.relative_to(ROOT)): path for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))}
TEXT = {name: path.read_text(encoding="utf-8") for name, path in DOCS.items()}
COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]
FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```", re.M | re.S)
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]+")


def blocks(*languages: str) -> list[tuple[str, str]]:
    return [
        (f"{name}:{text[: found.start()].count(chr(10)) + 1}", found[2])
        for name, text in TEXT.items()
        for found in FENCE.finditer(text)
        if found[1] in languages
    ]


def shell_calls() -> list[tuple[str, list[str]]]:
    """Every call of `moderation` in a shell block, its words, and where it stands."""
    found = []
    for where, block in blocks("sh", "bash", "shell", "console"):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line.removeprefix("$ "), comments=True)
            parts: list[list[str]] = [[]]
            for word in words:
                if word in ("|", "&&", ";", "||"):
                    parts.append([])
                else:
                    parts[-1].append(word)
            for part in parts:
                cut = next((i for i, word in enumerate(part) if word in (">", ">>", "2>")), len(part))
                if part[:1] == ["moderation"]:
                    found.append((f"{where}: {' '.join(part)}", part[1:cut]))
    return found


CALLS = shell_calls()
PYTHON = blocks("python", "py")


def named(found: list[tuple[str, object]]) -> list[str]:
    return [where for where, _ in found]


def test_the_readme_has_examples_of_both_doors() -> None:
    assert any(where.startswith("README.md") for where, _ in CALLS)
    assert any(where.startswith("README.md") for where, _ in PYTHON)


@pytest.mark.parametrize(("where", "block"), PYTHON, ids=named(PYTHON))
def test_python_blocks_run(where: str, block: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    if ">>>" in block:
        test = doctest.DocTestParser().get_doctest(block, {}, where, where, 0)
        assert doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(test).failed == 0
    else:
        exec(compile(block, where, "exec"), {"__name__": "__docs__"})


@pytest.mark.parametrize(("where", "words"), CALLS, ids=named(CALLS))
def test_shell_examples_name_commands_and_options_that_exist(where: str, words: list[str]) -> None:
    if words == ["--help"]:
        return
    assert words, f"{where}: names no command"
    assert words[0] in COMMANDS, where
    command, rest = COMMANDS[words[0]], words[1:]
    while hasattr(command, "commands"):
        assert rest[:1], f"{where}: names no command of {command.name}"
        assert rest[0] in command.commands, where
        command, rest = command.commands[rest[0]], rest[1:]
    # Raises for an option that is not there, a missing argument, or one too many; nothing is run.
    command.make_context(words[0], rest)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_documented(command: str) -> None:
    assert command in {words[0] for _, words in CALLS if words}


@pytest.mark.parametrize("status", Exit, ids=lambda status: status.name)
def test_every_exit_status_is_documented(status: Exit) -> None:
    sections = [part for text in TEXT.values() for part in re.split(r"^#+ ", text, flags=re.M)]
    tables = [part for part in sections if re.search(r"exit status", part, re.I)]
    assert any(re.search(rf"^(?:\||[-*]) *`?{status.value}`?(?: *\||[ :])", part, re.M) for part in tables)


def test_no_exit_status_is_documented_that_we_do_not_have() -> None:
    rows = re.findall(r"^\| *`?(\d+)`? *\|", "\n".join(TEXT.values()), re.M)
    assert {int(row) for row in rows} <= {status.value for status in Exit}


@pytest.mark.parametrize("name", TEXT)
def test_options_named_in_the_text_exist(name: str) -> None:
    every = [*COMMANDS.values(), *(sub for one in COMMANDS.values() for sub in getattr(one, "commands", {}).values())]
    known = {option for command in every for param in command.params for option in param.opts}
    scripts = "".join(file.read_text(encoding="utf-8") for file in (ROOT / "tests" / "benchmarks").glob("*.py"))
    known |= set(re.findall(r'add_argument\(\s*"(--[a-z-]+)"', scripts))
    prose = FENCE.sub("", TEXT[name])
    assert set(OPTION.findall(prose)) - known - {"--help"} == set()


@pytest.mark.parametrize("name", TEXT)
def test_links_to_files_lead_somewhere(name: str) -> None:
    links = re.findall(r"\]\((?!https?:|mailto:|#)([^)#\s]+)", TEXT[name])
    assert [link for link in links if not (DOCS[name].parent / link).exists()] == []


@pytest.mark.parametrize("name", TEXT)
def test_files_named_in_the_text_exist(name: str) -> None:
    files = re.findall(r"`((?:data|models|docs|tests|moderation)/[\w./-]+)`", TEXT[name])
    assert [file for file in files if not (ROOT / file).exists()] == []


@pytest.mark.parametrize("name", [*TEXT, "CHANGELOG.md"])
def test_nothing_is_left_to_be_filled_in(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    assert re.findall(r"@@|\bTODO\b|\bTBD\b|\bFIXME\b|lorem ipsum", text, re.I) == []


@pytest.mark.parametrize("name", moderation.__all__)
def test_public_names_have_a_docstring(name: str) -> None:
    value = getattr(moderation, name)
    own = inspect.getdoc(value)
    assert own
    assert own.splitlines()[0].endswith((".", "?", "::"))
    if isinstance(value, type) and issubclass(value, ModerationError):
        assert name in str(importlib.import_module("moderation.errors").__doc__)


MODULES = [module.name for module in pkgutil.iter_modules(moderation.__path__) if module.name != "__main__"]


@pytest.mark.parametrize("name", ["__init__", *MODULES])
def test_examples_in_docstrings_run(name: str) -> None:
    if name == "finetuning":
        pytest.importorskip("torch", reason="fine-tuning is no part of what the tests install")
    module = moderation if name == "__init__" else importlib.import_module(f"moderation.{name}")
    assert module.__doc__
    assert doctest.testmod(module, optionflags=doctest.ELLIPSIS).failed == 0

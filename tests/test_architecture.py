import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import moderation

PACKAGE = Path(moderation.__file__).parent
FOLDERS = sorted(path.parent.name for path in PACKAGE.glob("*/__init__.py"))
MODULES = sorted([*(path.stem for path in PACKAGE.glob("*.py")), *FOLDERS])
# Each imports from rows above its own only; those of one row know nothing of each other.
ORDER = (
    ("errors", "markdown", "paths", "vocabulary"),
    ("english", "exchange"),
    ("attacks", "comment", "finding", "labels", "literals", "parallel", "runs", "view", "words"),
    ("signs",),
    ("usual",),
    ("disguise",),
    ("skeleton",),
    ("normalise",),
    ("policy",),
    ("rules", "classifier", "datasets"),
    ("decision", "linear"),
    ("encoder", "evasion", "fairness", "records", "tuning"),
    ("router",),
    ("model", "finetuning"),
    ("moderator", "training"),
    ("evaluation", "batch"),
    ("card", "charts", "report", "service"),
    ("comparison",),
    ("cli",),
)
ROW = {name: row for row, names in enumerate(ORDER) for name in names}
DOORS = {"__init__", "__main__"}
TRAINING = ("sklearn", "scipy", "pandas", "pyarrow", "matplotlib", "torch", "transformers", "onnx")
SERVING = ("fastapi", "uvicorn", "sqlalchemy", "prometheus_client", "orjson")
HEAVY = (*TRAINING, "onnxruntime", "tokenizers", "joblib", "distributed", "charset_normalizer")


def tree_of(name: str) -> ast.Module:
    """Give the code of a module; a folder counts as one."""
    files = sorted((PACKAGE / name).glob("*.py")) if name in FOLDERS else [PACKAGE / f"{name}.py"]
    return ast.Module([node for file in files for node in ast.parse(file.read_text(encoding="utf-8")).body], [])


def imported(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Yield each dotted name that is imported anywhere in the code, with its line."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: a relative import"
            yield from ((f"{node.module}.{alias.name}", node.lineno) for alias in node.names)


def own_modules(tree: ast.AST) -> Iterator[tuple[str, int]]:
    for name, line in imported(tree):
        parts = name.split(".")
        if parts[0] == "moderation":
            yield parts[1] if len(parts) > 1 and parts[1] in MODULES else "__init__", line


def test_every_module_has_its_place() -> None:
    assert set(MODULES) - DOORS == set(ROW)
    assert len(ROW) == sum(map(len, ORDER))
    assert not list(PACKAGE.glob("*/*/__init__.py"))


@pytest.mark.parametrize("name", [name for name in MODULES if name not in DOORS])
def test_imports_point_one_way(name: str) -> None:
    wrong = [
        f"{name}.py:{line} imports {other}"
        for other, line in own_modules(tree_of(name))
        if other in DOORS or (ROW[other] >= ROW[name] and not (other == name and name in FOLDERS))
    ]
    assert wrong == []


def test_the_direction_is_checked_everywhere_in_a_module() -> None:
    source = (
        "from moderation import datasets\ndef f():\n    import moderation.cli\n    from moderation.policy import Rule\n"
    )
    assert list(own_modules(ast.parse(source))) == [("datasets", 1), ("cli", 3), ("policy", 4)]


def test_the_package_re_exports_and_does_nothing_else() -> None:
    body = tree_of("__init__").body
    assert isinstance(body[0], ast.Expr)  # the docstring
    assert all(isinstance(node, ast.ImportFrom | ast.Assign) for node in body[1:])
    bound = [alias.name for node in body if isinstance(node, ast.ImportFrom) for alias in node.names]
    assert moderation.__all__ == sorted(moderation.__all__)
    assert moderation.__all__ == sorted(set(bound))
    assert all(hasattr(moderation, name) for name in moderation.__all__)


@pytest.mark.parametrize("name", MODULES)
def test_heavy_packages_are_imported_where_used(name: str) -> None:
    outside = [node for node in tree_of(name).body if isinstance(node, ast.Import | ast.ImportFrom)]
    at_load = {found.split(".")[0] for node in outside for found, _ in imported(node)}
    # `train` alone imports it, once it knows that an encoder is wanted.
    allowed = {"torch"} if name == "finetuning" else set()
    assert at_load & set(HEAVY) == allowed
    # Typer carries its own click.
    assert "click" not in {found.split(".")[0] for found, _ in imported(tree_of(name))}


@pytest.mark.parametrize("name", [name for name in MODULES if name != "finetuning"])
def test_fine_tuning_is_imported_where_used(name: str) -> None:
    at_load = [node for node in tree_of(name).body if isinstance(node, ast.Import | ast.ImportFrom)]
    assert [line for node in at_load for other, line in own_modules(node) if other == "finetuning"] == []


# --------------------------------------------------------------------------- in a process of its own

RUN = """
import sys
from moderation.cli import main
try:
    main()
finally:
    print("LOADED", *sorted({name.split(".")[0] for name in sys.modules}), file=sys.stderr)
"""


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (["--help"], 0),
        (["check", "--help"], 0),
        (["rules"], 0),
        (["check", "What a thoughtful article", "--model", "MODEL"], 0),
        (["check", "You are a fucking idiot", "--model", "MODEL"], 1),
        (["check", "call +44 20 7946 0958, see https://a.com https://a.com", "--explain", "--model", "MODEL"], None),
    ],
    ids=["help", "check-help", "rules", "approve", "reject", "detectors"],
)
def test_quick_commands_load_no_heavy_package(toy_model: Path, arguments: list[str], status: int | None) -> None:
    done = subprocess.run(
        [sys.executable, "-c", RUN, *(str(toy_model) if word == "MODEL" else word for word in arguments)],
        capture_output=True,
        text=True,
        encoding="utf-8",
        env={**os.environ, "PYTHONPATH": str(PACKAGE.parent), "PYTHONIOENCODING": "utf-8"},
        timeout=60,
    )
    assert done.returncode == status or (status is None and done.returncode in (0, 1)), done.stderr
    loaded = done.stderr.rsplit("LOADED ", 1)[1].split()
    assert "moderation" in loaded
    assert [name for name in (*HEAVY, *SERVING) if name in loaded] == []

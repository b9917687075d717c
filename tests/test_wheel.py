import json
import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

import moderation
from moderation.model import default_model
from moderation.paths import DATA, DEFAULT_POLICY
from moderation.policy import load_policy

ROOT = Path(__file__).resolve().parent.parent


def run(*command: str | Path, cwd: Path) -> str:
    # Nothing of this checkout or of this environment may help.
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "VIRTUAL_ENV"))}
    done = subprocess.run(
        [*map(str, command)],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        timeout=300,
        env=kept | {"PYTHONIOENCODING": "utf-8", "PIP_DISABLE_PIP_VERSION_CHECK": "1"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", folder, ROOT, cwd=folder)
    (built,) = folder.glob("moderation-*.whl")
    return built


@pytest.fixture(scope="module")
def scripts(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of commands of a fresh environment with the wheel and nothing but what it needs."""
    folder = tmp_path_factory.mktemp("fresh")
    venv.create(folder, with_pip=False)
    commands = folder / ("Scripts" if os.name == "nt" else "bin")
    # The pip that is here installs there: it need not be installed twice.
    run(sys.executable, "-m", "pip", "--python", commands / "python", "install", "-q", wheel, cwd=folder)
    return commands


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    folder = tmp_path / "empty"
    folder.mkdir()
    return folder


def test_the_wheel_holds_all_data_that_the_package_reads(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    model = default_model()
    single = (DEFAULT_POLICY, DATA / "datasets.toml", DATA / "groups.toml")
    for path in (*single, *(DATA / "terms").glob("*"), *(DATA / "examples").glob("*")):
        assert f"moderation/data/{path.relative_to(DATA).as_posix()}" in names
    for path in model.iterdir():
        assert f"moderation/models/{model.name}/{path.name}" in names
    # `moderation train` and `evaluate` read these as well; without them they would go on, silently, with less.
    for folder in ("training", "suites", "counterfactual"):
        for path in (DATA / folder).iterdir():
            assert f"moderation/data/{folder}/{path.name}" in names
    package = Path(moderation.__file__).parent
    for folder in ("service/page", "report/templates"):
        for path in (package / folder).iterdir():
            assert f"moderation/{folder}/{path.name}" in names
    assert not [name for name in names if name.startswith("tests/") or "__pycache__" in name]
    assert any(name.endswith("LICENSE") for name in names)


def test_the_wheel_decides_in_an_empty_folder(scripts: Path, empty: Path) -> None:
    assert run(scripts / "moderation", "check", "hello", cwd=empty).startswith("approve")
    decision = json.loads(run(scripts / "python", "-m", "moderation", "check", "hello", "--json", cwd=empty))
    assert decision["verdict"] == "approve"
    assert decision["policy"] == load_policy(DEFAULT_POLICY).identity
    assert decision["model"] == json.loads((default_model() / "manifest.json").read_text())["version"]
    assert list(empty.iterdir()) == []


def test_the_wheel_needs_none_of_the_training_packages(scripts: Path, empty: Path) -> None:
    heavy = {"sklearn", "pyarrow", "scipy", "matplotlib", "torch", "transformers", "onnx"}
    code = f"import sys, moderation, moderation.cli; print({heavy | {'onnxruntime', 'tokenizers'}} & set(sys.modules))"
    assert run(scripts / "python", "-c", code, cwd=empty).strip() == "set()"
    code = f"import importlib.util; print([name for name in {sorted(heavy)} if importlib.util.find_spec(name)])"
    assert run(scripts / "python", "-c", code, cwd=empty).strip() == "[]"


def test_the_wheel_reviews_a_file(scripts: Path, empty: Path) -> None:
    (empty / "in.csv").write_text("text\nhello\n")
    run(scripts / "moderation", "review", "in.csv", "-o", "out.csv", cwd=empty)
    assert sorted(path.name for path in empty.iterdir()) == ["in.csv", "out.csv"]

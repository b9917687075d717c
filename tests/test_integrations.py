"""The examples for WordPress, Discourse, Django and FastAPI, against the real service."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from fastapi.testclient import TestClient
from running import Service, running

from moderation import Moderator
from moderation.service.settings import Settings

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = ROOT / "examples"
STANDS_IN = Path(__file__).with_name("integrations")
NOBODY = "http://127.0.0.1:9"
"""The discard port, where nothing listens."""
# Markup, quotes and a backslash come through each system's own escaping.
THREAT = "So, <b>I will</b> k1ll you, \"they\" said \\ 'here'"
INSULT = "what a clown"
FINE = "hello, «world»"


@pytest.fixture(scope="module")
def service(toy_file: Path, toy_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    state = tmp_path_factory.mktemp("state")
    with running(Settings(policy=toy_file, model=toy_model, state=state, keep_text=True)) as found:
        yield found


@pytest.fixture(scope="module")
def key(service: Service) -> str:
    return service.app.state.keys.add("example", ["decide", "moderate"])


def example(folder: str, file: str) -> ModuleType:
    path = EXAMPLES / folder / file
    spec = importlib.util.spec_from_file_location(f"example_{folder}", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def lines_of(command: list[str], **environment: str) -> list[object]:
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        encoding="utf-8",
        env={**os.environ, "MODERATION_TIMEOUT": "20", **environment},
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize("path", sorted(EXAMPLES.rglob("*.*")), ids=lambda path: path.name)
def test_examples_are_short(path: Path) -> None:
    if "__pycache__" not in path.parts:
        assert len(path.read_text(encoding="utf-8").splitlines()) <= 75


# --------------------------------------------------------------------------- WordPress

PHP = shutil.which("php")
needs_php = pytest.mark.skipif(PHP is None, reason="php is not installed")


@needs_php
def test_wordpress_publishes_hides_and_tells_of_the_overrule(service: Service, key: str) -> None:
    assert PHP
    subprocess.run([PHP, "-l", EXAMPLES / "wordpress" / "moderation-prescreen.php"], check=True, capture_output=True)
    found = lines_of([PHP, str(STANDS_IN / "wordpress.php"), service.url, key, THREAT, INSULT, FINE])
    assert found == [
        {"approved": "trash", "id": "wordpress-1"},
        {"approved": "trash", "id": "wordpress-2"},
        {"approved": 1, "id": "wordpress-3"},
    ]
    entry = service.app.state.audit.latest("wordpress-1")
    assert entry["text"] == THREAT
    assert [said["verdict"] for said in entry["feedback"]] == ["approve"]


@needs_php
@pytest.mark.parametrize("wrong", ["address", "key"])
def test_wordpress_holds_a_comment_without_an_answer(service: Service, key: str, wrong: str) -> None:
    assert PHP
    url, used = (NOBODY, key) if wrong == "address" else (service.url, "aaaaaaaa-wrong")
    found = lines_of([PHP, str(STANDS_IN / "wordpress.php"), url, used, FINE])
    assert found == [{"approved": 0, "id": ""}]


# --------------------------------------------------------------------------- Discourse

RUBY = shutil.which("ruby")
needs_ruby = pytest.mark.skipif(RUBY is None, reason="ruby is not installed")


@needs_ruby
def test_discourse_publishes_refuses_with_the_reason_and_spares_the_staff(service: Service, key: str) -> None:
    assert RUBY
    subprocess.run([RUBY, "-wc", EXAMPLES / "discourse" / "plugin.rb"], check=True, capture_output=True)
    found = lines_of(
        [RUBY, str(STANDS_IN / "discourse.rb"), THREAT, INSULT, FINE], MODERATION_URL=service.url, MODERATION_KEY=key
    )
    assert found == [
        [{"refused": [["base", "It threatens someone."]], "success": False}],
        [{"refused": [["base", "No personal_attack."]], "success": False}],
        [None],
        [None],
    ]


@needs_ruby
@pytest.mark.parametrize("wrong", ["address", "key"])
def test_discourse_queues_a_post_without_an_answer(service: Service, key: str, wrong: str) -> None:
    assert RUBY
    url, used = (NOBODY, key) if wrong == "address" else (service.url, "aaaaaaaa-wrong")
    found = lines_of([RUBY, str(STANDS_IN / "discourse.rb"), FINE], MODERATION_URL=url, MODERATION_KEY=used)
    assert found == [["queued: moderation_unavailable"], [None]]


# --------------------------------------------------------------------------- Django, in a process of its own

DJANGO = """
import json, sys
import demo
from django.test import Client
client = Client()
for text in sys.argv[1:]:
    reply = client.post("/", {"text": text})
    told = [str(error) for errors in reply.context["form"].errors.values() for error in errors]
    print(json.dumps([reply.status_code, reply.content.decode().count("<p>"), told]))
print(json.dumps(list(demo.Comment.objects.values_list("text", "held"))))
"""


def django_says(tmp_path: Path, url: str, key: str, *texts: str) -> list[object]:
    pytest.importorskip("django", reason="django is not installed")
    code = "import sys; from django.test.utils import setup_test_environment as up\nimport demo\nup()\n" + DJANGO
    return lines_of(
        [sys.executable, "-c", code, *texts],
        PYTHONPATH=str(EXAMPLES / "django"),
        DB=str(tmp_path / "comments.sqlite3"),
        MODERATION_URL=url,
        MODERATION_KEY=key,
    )


def test_django_saves_what_is_approved_and_tells_why_not(service: Service, key: str, tmp_path: Path) -> None:
    found = django_says(tmp_path, service.url, key, THREAT, FINE)
    assert found == [[422, 0, ["It threatens someone."]], [200, 1, []], [[FINE, False]]]


@pytest.mark.parametrize("wrong", ["address", "key"])
def test_django_holds_a_comment_without_an_answer(service: Service, key: str, wrong: str, tmp_path: Path) -> None:
    url, used = (NOBODY, key) if wrong == "address" else (service.url, "aaaaaaaa-wrong")
    assert django_says(tmp_path, url, used, FINE) == [[200, 0, []], [[FINE, True]]]


# --------------------------------------------------------------------------- FastAPI


def test_fastapi_saves_what_is_approved_and_tells_why_not(toy_file: Path, toy_model: Path) -> None:
    module = example("fastapi", "app.py")
    module.app.dependency_overrides[module.moderator] = lambda: Moderator.load(toy_file, toy_model)
    client = TestClient(module.app)
    refused = client.post("/comments", json={"text": THREAT})
    assert refused.status_code == 422
    assert refused.json() == {"detail": {"reason": "It threatens someone.", "guidelines": ["threat"]}}
    assert client.post("/comments", json={"text": FINE}).status_code == 201
    assert client.get("/comments").json() == [FINE]


def test_fastapi_keeps_nothing_when_the_review_fails() -> None:
    module = example("fastapi", "app.py")

    class Broken:
        def review(self, comment: object) -> object:
            raise RuntimeError

    module.app.dependency_overrides[module.moderator] = Broken
    client = TestClient(module.app, raise_server_exceptions=False)
    assert client.post("/comments", json={"text": FINE}).status_code == 500
    assert client.get("/comments").json() == []

"""Clients of other services from the package indexes, unchanged, against `moderation serve` in a process of its own."""

import hashlib
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from moderation.service.audit import AuditLog
from moderation.service.keys import KeyStore

HERE = Path(__file__).parent
SECRET = "a-signing-secret-of-coral"
FINE = "The council should publish the figures before the vote."
INSULT = "You are a complete idiot and everybody knows it."
THREAT = "I will kill you and your family"


@dataclass(frozen=True, slots=True)
class Server:
    """Where it is; a key that may decide and overrule, and one that may only decide."""

    url: str
    key: str
    deciding_key: str
    state: Path


@pytest.fixture
def until_end() -> Iterator[ExitStack]:
    """What is entered here is left when the test ends."""
    with ExitStack() as stack:
        yield stack


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The shipped policy and model, linear stage alone, so that it starts quickly."""
    state = tmp_path_factory.mktemp("state")
    keys = KeyStore(state / "keys.json")
    key, deciding = keys.add("clients", ["decide", "moderate"]), keys.add("reader", ["decide"])
    settings = state / "service.toml"
    settings.write_text(
        f'state = "{state}"\nclassifier = "linear"\ncoral_secrets = ["old", "{SECRET}"]\nkeep_text = true\n'
    )
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with (state / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "moderation", "serve", "--config", str(settings), "--port", str(port)],
            stderr=log,
            stdout=log,
        )
    url = f"http://localhost:{port}"
    try:
        end = time.monotonic() + 180
        while True:
            assert process.poll() is None, (state / "log").read_text()
            assert time.monotonic() < end, "did not start"
            try:
                if httpx.get(f"{url}/readyz").status_code == 200:
                    break
            except httpx.TransportError:
                time.sleep(0.1)
        yield Server(url, key, deciding, state)
    finally:
        process.terminate()
        process.wait(30)
    assert INSULT not in (state / "log").read_text()


def feedback(server: Server, text: str) -> list[tuple[str, str]]:
    """What stands beside the decision on a text: door and verdict, oldest first."""
    log = AuditLog(f"sqlite:///{server.state / 'audit.db'}", keep_text=True)
    try:
        entries = [entry for entry in log.search(limit=1000) if entry["text"] == text]
    finally:
        log.close()
    return [(said["door"], said["verdict"]) for entry in entries for said in entry["feedback"]]


# --------------------------------------------------------------------------- Perspective


def test_google_api_python_client(server: Server, until_end: ExitStack) -> None:
    from googleapiclient import discovery
    from googleapiclient.errors import HttpError

    def client(key: str) -> discovery.Resource:
        where = f"{server.url}/$discovery/rest?version=v1alpha1"
        return until_end.enter_context(
            discovery.build(
                "commentanalyzer", "v1alpha1", developerKey=key, discoveryServiceUrl=where, static_discovery=False
            )
        )

    comments = client(server.key).comments()
    asked = {
        "comment": {"text": "🙂 You are a complete idiot and everybody knows it."},
        "requestedAttributes": {"TOXICITY@6": {}, "INSULT": {"scoreThreshold": 0.5}, "SPAM": {"scoreThreshold": 0.5}},
        "languages": ["ar"],
        "clientToken": "comment:17",
        "spanAnnotations": True,
        "context": {"entries": [{"text": "An article"}]},
    }
    found = comments.analyze(body=asked).execute()
    assert set(found["attributeScores"]) == {"TOXICITY@6", "INSULT"}  # SPAM's score is below the threshold
    assert found["attributeScores"]["TOXICITY@6"]["summaryScore"]["value"] > 0.8
    spans = found["attributeScores"]["INSULT"]["spanScores"]
    utf16 = asked["comment"]["text"].encode("utf-16-le")
    assert "idiot" in {utf16[2 * span["begin"] : 2 * span["end"]].decode("utf-16-le").split()[-1] for span in spans}
    assert (found["languages"], found["detectedLanguages"], found["clientToken"]) == (["ar"], ["en"], "comment:17")

    said = comments.suggestscore(
        body={
            "comment": {"text": asked["comment"]["text"]},
            "attributeScores": {"TOXICITY": {"summaryScore": {"value": 0}}},
            "clientToken": "comment:17",
        }
    ).execute()
    assert said["clientToken"] == "comment:17"
    assert feedback(server, asked["comment"]["text"]) == [("perspective", "approve")]

    refused = [
        (server.key, {"comment": {"text": " "}}, 400, "Comment must be non-empty."),
        (server.key, {"comment": {"text": FINE}}, 400, "Missing requested_attributes"),
        ("wrong", asked, 400, "API key not valid. Please pass a valid API key."),
    ]
    for key, body, status, message in refused:
        with pytest.raises(HttpError) as raised:
            client(key).comments().analyze(body=body).execute()
        assert (raised.value.status_code, raised.value.reason) == (status, message)
    with pytest.raises(HttpError, match="lacks the scope moderate"):
        client(server.deciding_key).comments().suggestscore(
            body={"comment": {"text": FINE}, "attributeScores": {"TOXICITY": {"summaryScore": {"value": 1}}}}
        ).execute()


# --------------------------------------------------------------------------- OpenAI


def test_openai(server: Server) -> None:
    import openai

    with openai.OpenAI(api_key=server.key, base_url=f"{server.url}/v1", max_retries=0) as client:
        found = client.moderations.create(input=[FINE, THREAT], model="omni-moderation-latest")
        assert [result.flagged for result in found.results] == [False, True]
        threat = found.results[1]
        assert threat.categories.violence
        assert threat.categories.harassment_threatening
        assert threat.category_scores.violence >= 0.99
        for part in (threat.categories, threat.category_scores, threat.category_applied_input_types):
            values = [getattr(part, name) for name in type(part).model_fields]
            assert len(values) == 13
            assert None not in values
        assert client.moderations.create(input=INSULT).results[0].categories.harassment

        image = {"type": "image_url", "image_url": {"url": "https://news.example/a.png"}}
        with pytest.raises(openai.BadRequestError, match="Images cannot be judged here") as bad:
            client.moderations.create(input=[image])  # type: ignore[list-item]
        assert (bad.value.type, bad.value.param) == ("invalid_request_error", "input[0]")
        with pytest.raises(openai.AuthenticationError) as stranger:
            client.with_options(api_key="sk-wrong").moderations.create(input=FINE)
        assert stranger.value.code == "invalid_api_key"
        assert stranger.value.request_id


# --------------------------------------------------------------------------- Akismet


class Redirected(httpx.HTTPTransport):
    """Sends what the client means for Akismet to the server."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self.to = httpx.URL(url)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        assert request.url.host == "rest.akismet.com"
        request.url = request.url.copy_with(scheme=self.to.scheme, host=self.to.host, port=self.to.port)
        return super().handle_request(request)


def test_akismet(server: Server, until_end: ExitStack) -> None:
    import akismet

    def client(key: str) -> akismet.SyncClient:
        config = akismet.Config(key=key, url="https://news.example")
        http = until_end.enter_context(httpx.Client(transport=Redirected(server.url)))
        return akismet.SyncClient(config=config, http_client=http)

    ours = client(server.key)
    assert ours.verify_key()
    assert not client("wrong").verify_key()
    reader = {"user_ip": "192.0.2.7", "comment_author": "Ann", "user_agent": "Mozilla/5.0"}
    assert ours.comment_check(comment_content=INSULT, **reader) is akismet.CheckResponse.SPAM
    assert ours.comment_check(comment_content=FINE, **reader) is akismet.CheckResponse.HAM
    assert ours.comment_check(comment_content=INSULT, user_role="administrator", **reader) is akismet.CheckResponse.HAM
    guaranteed = {**reader, "comment_author": "viagra-test-123"}
    assert ours.comment_check(comment_content=FINE, **guaranteed) is akismet.CheckResponse.SPAM

    missed = "Nobody asked for her opinion, as usual."
    ours.comment_check(comment_content=missed, **reader)
    assert ours.submit_spam(comment_content=missed, **reader)
    assert ours.submit_ham(comment_content=missed, **reader)
    assert feedback(server, missed) == [("akismet", "reject"), ("akismet", "approve")]

    with pytest.raises(akismet.APIKeyError):
        client("wrong").comment_check(comment_content=FINE, **reader)
    with pytest.raises(akismet.RequestError, match="403"):
        client(server.deciding_key).submit_spam(comment_content=FINE, **reader)


# --------------------------------------------------------------------------- npm


def npm_clients() -> Path:
    """Give the folder where the npm clients are installed; of one version of the lock file once only."""
    if not shutil.which("npm") or not shutil.which("node"):
        pytest.skip("npm and node are not installed: the npm clients are not run")
    lock = HERE / "clients" / "package-lock.json"
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "moderation-tests"
    folder = cache / f"clients-{hashlib.sha256(lock.read_bytes()).hexdigest()[:12]}"
    if not (folder / "node_modules" / ".package-lock.json").is_file():
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(HERE / "clients" / name, folder)
        done = subprocess.run(
            ["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=300,
        )
        if done.returncode:
            shutil.rmtree(folder)
            # Where these must run, that they cannot be installed is a failure; elsewhere there may be no network.
            if os.environ.get("CI"):
                pytest.fail(f"npm ci: {done.stderr[-500:]}")
            pytest.skip(f"the npm clients could not be installed: {done.stderr.strip()[:200]}")
    return folder


def test_npm_clients_and_coral(server: Server) -> None:
    folder = npm_clients()
    # Modules are sought beside the script.
    script = shutil.copy(HERE / "clients" / "clients.test.mjs", folder)
    done = subprocess.run(
        ["node", "--test", "--test-reporter=tap", str(script)],
        env={**os.environ, "BASE": server.url, "KEY": server.key, "SECRET": SECRET},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "# fail 0" in done.stdout
    assert int(done.stdout.rpartition("# pass ")[2].split()[0]) > 5, done.stdout

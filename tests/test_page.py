"""The page: what it is served with, what it may ask, and how it works in a browser."""

import json
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient
from running import Service, running

from moderation.normalise import fold
from moderation.policy import GUIDELINES, Policy
from moderation.service import page as page_module
from moderation.service.app import create_app
from moderation.service.page import views_read
from moderation.service.settings import Settings

FILES = sorted(path.name for path in Path(page_module.__file__).with_name("page").iterdir())
THREAT = "So I w\u200bill k1ll you"
# None of this may run, load anything, or end up as markup.
HOSTILE = (
    "what a clown <script>window.ran = 1</script><img src=x onerror='window.ran = 2'>"
    "<svg onload='window.ran = 3'></svg>\"><a href='javascript:window.ran=4'>x</a>{{7*7}} \u202eesrever"
)


@pytest.fixture(scope="module")
def service(toy_file: Path, toy_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    state = tmp_path_factory.mktemp("state")
    with running(Settings(policy=toy_file, model=toy_model, state=state, keep_text=True)) as found:
        yield found


@pytest.fixture(scope="module")
def key(service: Service) -> str:
    return service.app.state.keys.add("newsroom", ["decide", "audit", "moderate"])


@pytest.fixture
def client(service: Service, key: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=service.url, headers={"Authorization": f"Bearer {key}"}) as found:
        yield found


# --------------------------------------------------------------------------- files


@pytest.mark.parametrize("path", ["/", *(f"/page/{name}" for name in FILES)])
def test_files_come_with_a_strict_policy(client: httpx.Client, path: str) -> None:
    reply = client.get(path)
    assert reply.status_code == 200
    directives = dict(part.strip().split(" ", 1) for part in reply.headers["content-security-policy"].split(";"))
    assert directives["default-src"] == "'none'"
    assert {directives[name] for name in ("script-src", "style-src", "connect-src", "form-action")} == {"'self'"}
    assert {directives[name] for name in ("frame-ancestors", "base-uri")} == {"'none'"}
    assert "unsafe" not in reply.headers["content-security-policy"]
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert reply.headers["referrer-policy"] == "no-referrer"
    assert client.head(path).status_code == 200
    assert client.get(path, headers={"If-None-Match": reply.headers["etag"]}).status_code == 304


@pytest.mark.parametrize(
    "path", ["/page/../page.py", "/page/%2e%2e/page.py", "/page/..%2fpage.py", "/page/no.js", "/page/"]
)
def test_nothing_else_is_served(client: httpx.Client, path: str) -> None:
    assert client.get(path).status_code == 404


@pytest.mark.parametrize("name", [name for name in FILES if name.endswith((".html", ".js"))])
def test_the_sources_keep_to_the_policy(name: str) -> None:
    text = Path(page_module.__file__).with_name("page").joinpath(name).read_text(encoding="utf-8")
    assert (
        re.findall(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|https?://(?!www\.w3\.org|example\.)", text
        )
        == []
    )
    if name.endswith(".html"):
        assert re.findall(r"\son\w+=|\sstyle=|<style|<script(?! type=\"module\" src=)|javascript:", text) == []
        assert re.findall(r'<option value="([a-z_]+)">', text) == list(GUIDELINES)


# --------------------------------------------------------------------------- explain


def test_explain_decides_as_the_service_does_and_records_nothing(client: httpx.Client, service: Service) -> None:
    def counted() -> list[str]:
        return re.findall(r"^moderation_(?:decisions|guidelines)_total.*", client.get("/metrics").text, re.M)

    before = counted()
    explained = client.post("/v1/explain", json={"text": THREAT}).json()
    assert counted() == before
    assert service.app.state.audit.latest("tried") is None
    assert client.get("/v1/audit", params={"door": "page"}).json()["entries"] == []
    decided = client.post("/v1/decisions", json={"text": THREAT, "id": "tried"}).json()
    assert explained["decision"] == decided
    assert explained["views"] == [
        {"name": "folded", "text": "so i will k1ll you", "changed": [], "dropped": 1},
        {"name": "skeleton", "text": "so i will kill you", "changed": [[11, 12]], "dropped": 1},
    ]
    assert explained["exchanged"] is None
    assert client.post("/v1/explain", json={"text": "Kurds sang."}).json()["exchanged"] == "jews sang."
    assert counted() != before


@pytest.mark.parametrize(
    ("text", "views"),
    [
        ("hello", [("folded", "hello", [], 0)]),
        ("", [("folded", "", [], 0)]),
        ("Ｈ½", [("folded", "h1⁄2", [(0, 4)], 0)]),  # each wide or composed character is read as others
        ("a<b>b</b>c", [("folded", "abc", [], 7)]),
    ],
)
def test_views_say_what_differs_from_what_was_written(
    text: str, views: list[tuple[Any, ...]], toy_policy: Policy
) -> None:
    found = [
        (view["name"], view["text"], view["changed"], view["dropped"])
        for view in views_read(fold(text, toy_policy.words))
    ]
    assert found[: len(views)] == views


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 422),
        ({"text": 1}, 422),
        ({"text": "a", "id": "b"}, 422),
        ({"text": "x" * 50_001}, 422),
        ({"text": ""}, 200),
    ],
    ids=["nothing", "number", "unknown-field", "too-long", "empty"],
)
def test_explain_refuses_what_cannot_be_judged(client: httpx.Client, body: dict[str, Any], status: int) -> None:
    assert client.post("/v1/explain", json=body).status_code == status


def test_explain_needs_a_key_that_may_decide(service: Service) -> None:
    other = service.app.state.keys.add("auditor", ["audit"])
    body = {"text": "hello"}
    assert httpx.post(f"{service.url}/v1/explain", json=body).status_code == 401
    headers = {"Authorization": f"Bearer {other}"}
    assert httpx.post(f"{service.url}/v1/explain", json=body, headers=headers).status_code == 403


@pytest.mark.parametrize("header", ["Forwarded", "Via", "X-Forwarded-For", "X-Real-IP"])
def test_without_keys_nobody_behind_a_proxy_is_answered(
    toy_file: Path, toy_model: Path, tmp_path: Path, header: str
) -> None:
    client = TestClient(create_app(Settings(policy=toy_file, model=toy_model, state=tmp_path)))
    assert client.post("/v1/explain", json={"text": "hello"}).status_code == 200
    assert client.post("/v1/explain", json={"text": "hello"}, headers={header: "192.0.2.1"}).status_code == 403
    client.app.state.audit.close()


def test_writes_of_a_session_need_its_token(service: Service, key: str, client: httpx.Client) -> None:
    client.post("/v1/decisions", json={"text": "hello", "id": "csrf"})
    with httpx.Client(base_url=service.url) as browser:
        token = browser.post("/session", json={"key": key}).json()["token"]
        write = "/v1/decisions/csrf/feedback"
        assert browser.post(write, json={"verdict": "reject"}).status_code == 403
        assert browser.post(write, json={"verdict": "reject"}, headers={"X-CSRF-Token": token[::-1]}).status_code == 403
        assert browser.post("/v1/explain", json={"text": "hello"}).status_code == 403
        assert client.get("/v1/decisions/csrf").json()["feedback"] == []
        assert browser.post(write, json={"verdict": "reject"}, headers={"X-CSRF-Token": token}).status_code == 201


def test_the_audit_log_is_filtered_by_stage_and_words(client: httpx.Client) -> None:
    texts = {"words-1": "I will kill you, Müller", "words-2": "what a clown 100%", "words-3": "nothing\0here"}
    for name, text in texts.items():
        client.post("/v1/decisions", json={"text": text, "id": name}).raise_for_status()

    def found(**query: str) -> list[str]:
        entries = client.get("/v1/audit", params=query).json()["entries"]
        return [entry["id"] for entry in entries if entry["id"] in texts]

    assert found(stage="rule") == ["words-1"]
    assert found(stage="linear") == ["words-3", "words-2"]
    assert found(search="MÜLLER".replace("Ü", "ü")) == ["words-1"]
    assert found(search="0%") == ["words-2"]
    assert found(search="%") == ["words-2"]
    assert found(search="words-") == ["words-3", "words-2", "words-1"]
    assert found(search="clown", stage="rule") == []


# --------------------------------------------------------------------------- in a browser

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    " --disable-component-update --disable-sync"
)
VIEWPORTS = {"wide": (1100, 900), "phone": (360, 740)}


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("chromium is not installed")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS.split())
        yield browser
        browser.close()


def wait_until(page: Any, expression: str) -> None:
    """Ask again and again; Playwright's own way would `eval` in the page, which its policy forbids."""
    end = time.monotonic() + 60
    while not page.evaluate(expression):
        assert time.monotonic() < end, expression
        page.wait_for_timeout(20)


def wait_for_rows(page: Any, text: str) -> None:
    """Wait until decisions are shown, all with this text: those shown before are replaced when the answer is there."""
    wait_until(
        page,
        "(rows => rows.length > 0 && rows.every(row => row.innerText.includes("
        f"{json.dumps(text)})))([...document.querySelectorAll('.row')])",
    )


class Tab:
    """One tab with what went wrong in it."""

    def __init__(self, chromium: Any, **options: Any) -> None:
        self.context = chromium.new_context(reduced_motion="reduce", **options)
        self.page = self.context.new_page()
        self.page.set_default_timeout(60_000)
        self.problems: list[str] = []
        self.page.on("console", self._told)
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.on("requestfailed", lambda request: self.problems.append(request.url))

    def _told(self, message: Any) -> None:
        # That nobody is signed in is an answer of the service, not a problem of the page.
        if message.type in ("error", "warning") and "401" not in message.text:
            self.problems.append(message.text)

    def sign_in(self, url: str, key: str) -> None:
        self.page.goto(f"{url}/#decisions")
        self.page.get_by_label("API key").fill(key)
        self.page.get_by_role("button", name="Sign in").click()
        self.page.locator("#desk").wait_for()


@pytest.fixture
def tab(chromium: Any) -> Iterator[Tab]:
    found = Tab(chromium, viewport={"width": 1100, "height": 900})
    yield found
    found.context.close()
    assert found.problems == []


@pytest.fixture(scope="module")
def decided(service: Service, key: str) -> list[str]:
    """Ids of four decisions, oldest first, with markup in a text, an id and a note."""
    texts = {"one": "I will kill you", "two": "hello & <i>bye</i>", "three/<b>": HOSTILE, "four": "what a clown"}
    headers = {"Authorization": f"Bearer {key}"}
    body = {"comments": [{"id": name, "text": text} for name, text in texts.items()]}
    httpx.post(f"{service.url}/v1/decisions", json=body, headers=headers).raise_for_status()
    httpx.post(
        f"{service.url}/v1/decisions/one/feedback", json={"verdict": "reject", "note": "<b>note</b>"}, headers=headers
    ).raise_for_status()
    return list(texts)


def test_a_comment_is_tried(tab: Tab, service: Service, key: str) -> None:
    tab.sign_in(service.url, key)
    page = tab.page
    page.get_by_role("link", name="Try a comment").click()
    page.get_by_role("textbox", name="Comment").fill(THREAT)
    page.keyboard.press("Control+Enter")
    result = page.locator("#result")
    result.locator(".verdict.reject").wait_for()
    assert page.locator("#check-status").text_content() == "Verdict: reject, threat"
    told = result.inner_text()
    for part in ("It threatens someone.", "threat.kill", "so i will kill you", "decided by rule", "toy-1"):
        assert part in told
    assert result.locator("mark.reject").first.inner_text() == "I wU+200Bill k1ll you"
    assert result.locator("mark.read").inner_text() == "i"
    bars = result.locator("tbody tr")
    assert [bars.nth(i).locator("th").inner_text() for i in range(bars.count())] == [
        "any guideline",
        *(name.replace("_", " ") for name in GUIDELINES),
    ]
    page.get_by_role("textbox", name="Comment").fill("hello")
    page.get_by_role("button", name="Check").click()
    page.locator("#result .verdict.approve").wait_for()
    assert page.locator("#result mark").count() == 0


def test_overlapping_findings_show_the_strongest(tab: Tab, service: Service, key: str) -> None:
    tab.sign_in(service.url, key)
    tab.page.get_by_role("link", name="Try a comment").click()
    text = "\N{GRINNING FACE} you clown, I will kill you"  # offsets are code points, not UTF-16 units
    tab.page.get_by_role("textbox", name="Comment").fill(text)
    tab.page.get_by_role("button", name="Check").click()
    marks = tab.page.locator("#result .text.box").first.locator("mark")
    marks.first.wait_for()
    found = [(marks.nth(i).get_attribute("class"), marks.nth(i).inner_text()) for i in range(marks.count())]
    assert found == [("refer", "you"), ("reject", "I will kill you")]


def test_without_a_key_the_page_says_what_to_do(tab: Tab, service: Service, key: str) -> None:
    tab.page.goto(service.url)
    tab.page.get_by_role("button", name="Check").click()
    tab.page.get_by_text("This service asks for a key").wait_for()
    tab.page.get_by_role("link", name="Decisions").click()
    tab.page.get_by_label("API key").fill("aaaaaaaa-wrong")
    tab.page.get_by_role("button", name="Sign in").click()
    tab.page.get_by_text("No such API key.").wait_for()
    assert tab.page.locator("#desk").is_hidden()


def test_markup_in_comments_is_shown_and_never_run(tab: Tab, service: Service, key: str, decided: list[str]) -> None:
    tab.sign_in(service.url, key)
    page = tab.page
    page.get_by_role("searchbox", name="Search").fill("three/<b>")
    page.get_by_role("button", name="Show").click()
    wait_for_rows(page, "<script>")
    row = page.locator(".row").first
    assert row.locator(".preview").inner_text() == HOSTILE.replace("\u202e", "U+202E")
    row.get_by_role("button", name="Details").click()
    assert HOSTILE.replace("\u202e", "U+202E") in row.locator(".details .text.box").inner_text()
    assert "three/<b>" in row.inner_text()
    page.keyboard.press("j")
    page.keyboard.press("o")
    assert page.locator("#overrule-text").inner_text() == HOSTILE.replace("\u202e", "U+202E")
    page.keyboard.press("Escape")
    page.get_by_role("link", name="Try a comment").click()
    page.get_by_role("textbox", name="Comment").fill(HOSTILE)
    page.get_by_role("button", name="Check").click()
    page.locator("#result .verdict").wait_for()
    page.wait_for_timeout(200)
    assert page.evaluate("window.ran") is None
    assert page.locator("main img, main a[href^=javascript], main script").count() == 0


def test_the_browser_itself_refuses_markup(tab: Tab, service: Service) -> None:
    tab.page.goto(service.url)
    refused = "try { document.body.innerHTML = '<b>x</b>'; 'made' } catch (error) { error.name }"
    assert tab.page.evaluate(refused) == "TypeError"
    assert any("TrustedHTML" in problem for problem in tab.problems)
    tab.problems.clear()


def test_decisions_are_overruled_by_keyboard_alone(tab: Tab, service: Service, key: str, decided: list[str]) -> None:
    tab.sign_in(service.url, key)
    page = tab.page
    page.get_by_role("searchbox", name="Search").fill("clown")
    page.keyboard.press("Enter")
    wait_until(
        page,
        "document.querySelectorAll('.row').length >= 2"
        " && [...document.querySelectorAll('.row')].every(row => row.innerText.includes('clown'))",
    )
    page.evaluate("document.activeElement.blur()")
    focused = "document.activeElement.dataset.index"
    page.keyboard.press("j")
    assert page.evaluate(focused) == "0"
    page.keyboard.press("j")
    page.keyboard.press("k")
    page.keyboard.press("k")
    assert page.evaluate(focused) == "0"
    page.keyboard.press("o")
    assert page.get_by_role("heading", name="Overrule: approve").is_visible()
    page.keyboard.press("Escape")
    assert page.evaluate(focused) == "0"
    assert service.app.state.audit.latest("four")["feedback"] == []
    page.keyboard.press("Enter")
    assert page.locator(".row").first.locator(".details").is_visible()
    page.keyboard.press("o")
    page.keyboard.type("jok? a quotation")
    page.keyboard.press("Enter")
    page.get_by_text("Recorded: approve.").wait_for()
    (said,) = service.app.state.audit.latest("four")["feedback"]
    assert (said["verdict"], said["note"], said["caller"].endswith(":newsroom")) == (
        "approve",
        "jok? a quotation",
        True,
    )
    assert "overruled: approve" in page.locator(".row").first.inner_text()
    assert page.evaluate(focused) == "0"
    page.keyboard.press("?")
    page.get_by_role("heading", name="Keys").wait_for()
    page.get_by_label("Single keys are on").uncheck()
    page.keyboard.press("Escape")
    page.keyboard.press("j")
    assert page.evaluate(focused) == "0"
    page.reload()
    page.locator(".row").first.wait_for()
    page.keyboard.press("j")
    assert page.evaluate(focused) is None


def test_the_row_that_is_shown_is_overruled_and_that_withdrawn(tab: Tab, service: Service, key: str) -> None:
    for text in ("you clown", "hello"):
        body, headers = {"text": text, "id": "edited"}, {"Authorization": f"Bearer {key}"}
        httpx.post(f"{service.url}/v1/decisions", json=body, headers=headers).raise_for_status()
    tab.sign_in(service.url, key)
    page = tab.page
    page.get_by_role("searchbox", name="Search").fill("edited")
    page.get_by_role("button", name="Show").click()
    wait_until(page, "document.querySelectorAll('.row').length === 2")
    page.evaluate("document.activeElement.blur()")
    for one in "jjo":
        page.keyboard.press(one)
    page.get_by_role("button", name="Record approve").click()
    page.get_by_text("Recorded: approve.").wait_for()
    said = [len(entry["feedback"]) for entry in service.app.state.audit.every() if entry["id"] == "edited"]
    assert said == [0, 1]
    assert "overruled: approve" in page.locator(".row").nth(1).inner_text()
    page.keyboard.press("o")
    page.get_by_role("button", name="Record reject").click()
    page.get_by_text("Recorded: reject.").wait_for()
    assert "overruled" not in page.locator(".row").nth(1).inner_text()


def test_decisions_are_filtered_and_drawn(tab: Tab, service: Service, key: str, decided: list[str]) -> None:
    tab.sign_in(service.url, key)
    page = tab.page
    page.get_by_role("combobox", name="Guideline").select_option("threat")
    wait_for_rows(page, "threat")
    page.get_by_role("combobox", name="Verdict").select_option("approve")
    page.get_by_text("No decision matches.").wait_for()
    page.get_by_role("combobox", name="Guideline").select_option("")
    page.get_by_role("combobox", name="Decided by").select_option("linear")
    page.locator(".row .verdict.approve").first.wait_for()
    assert page.locator(".row .verdict.reject").count() == 0
    charts = page.locator("#day svg")
    assert charts.count() == len(GUIDELINES)
    (told,) = [
        text for text in charts.evaluate_all("all => all.map(one => one.ariaLabel)") if text.startswith("threat")
    ]
    summary = httpx.get(f"{service.url}/v1/audit/summary", headers={"Authorization": f"Bearer {key}"}).json()
    assert told.startswith(f"threat: {summary['guidelines']['threat']} rejected, most")


def test_older_decisions_are_a_page_away(tab: Tab, service: Service, key: str) -> None:
    headers = {"Authorization": f"Bearer {key}"}
    body = {"comments": [{"id": f"many-{i}", "text": "hello"} for i in range(60)]}
    httpx.post(f"{service.url}/v1/decisions", json=body, headers=headers).raise_for_status()
    tab.sign_in(service.url, key)
    tab.page.locator(".row").nth(49).wait_for()
    assert tab.page.locator(".row").count() == 50
    tab.page.get_by_role("button", name="Older").click()
    tab.page.locator(".row").nth(50).wait_for()
    assert tab.page.evaluate("document.activeElement.dataset.index") == "50"


def test_signing_out_leaves_nothing(tab: Tab, service: Service, key: str, decided: list[str]) -> None:
    tab.sign_in(service.url, key)
    tab.page.locator(".row").first.wait_for()
    tab.page.get_by_role("button", name="Sign out").click()
    tab.page.get_by_label("API key").wait_for()
    assert tab.page.locator(".row").count() == 0
    assert tab.context.cookies() == []


@pytest.mark.parametrize(("viewport", "scheme"), [("wide", "light"), ("phone", "dark")])
def test_axe_finds_nothing(
    chromium: Any, service: Service, key: str, decided: list[str], viewport: str, scheme: str
) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed").Axe()
    width, height = VIEWPORTS[viewport]
    tab = Tab(chromium, viewport={"width": width, "height": height}, color_scheme=scheme, bypass_csp=True)
    page = tab.page

    def look(where: str) -> None:
        assert page.evaluate("document.documentElement.scrollWidth") <= width, f"{where}: scrolls sideways"
        options = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}
        found = axe.run(page, options=options).response["violations"]
        assert [(where, one["id"], [node["html"] for node in one["nodes"]]) for one in found] == []

    page.goto(f"{service.url}/#decisions")
    page.get_by_label("API key").wait_for()
    look("sign in")
    tab.sign_in(service.url, key)
    page.locator(".row").first.wait_for()
    page.get_by_role("searchbox", name="Search").fill("clown")
    page.get_by_role("button", name="Show").click()
    wait_for_rows(page, "clown")
    page.locator(".row").first.get_by_role("button", name="Details").click()
    look("decisions")
    page.get_by_role("button", name="Overrule").click()
    look("overrule")
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="for all keys").click()
    look("help")
    page.keyboard.press("Escape")
    page.get_by_role("link", name="Try a comment").click()
    page.get_by_role("textbox", name="Comment").fill(f"{THREAT} {HOSTILE} {'x' * 300}")
    page.get_by_role("button", name="Check").click()
    page.locator("#result .verdict").wait_for()
    look("tried")
    tab.context.close()

"""The adapters in this process: tables, scales, limits, failures. The real clients are in test_clients.py."""

import hashlib
import hmac
import json
import logging
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

import pytest
from fastapi import Request
from fastapi.testclient import TestClient
from hypothesis import given, settings
from hypothesis import strategies as st

from moderation import Decision, Finding, Policy, PolicyError, Verdict, load_policy
from moderation.finding import Effect
from moderation.paths import DEFAULT_POLICY
from moderation.policy import ADAPTERS, GUIDELINES
from moderation.service import akismet, coral, language, openai, perspective
from moderation.service.adapter import mended, read_object
from moderation.service.app import create_app
from moderation.service.errors import Failed, Overloaded, RateLimited, SlowClient
from moderation.service.scale import RULE_SCORE, broken, places, score
from moderation.service.settings import Settings

sys.path.insert(0, str(Path(__file__).parent / "benchmarks"))
import malformed

ROOT = Path(__file__).resolve().parent.parent
MODULES = {"perspective": perspective, "coral": coral, "openai": openai, "akismet": akismet}
FINE, INSULT, THREAT = "hello, world", "what a clown", "So I will kill you"
SECRET = malformed.SECRET


# --------------------------------------------------------------------------- the service, on the toy policy

OTHER = """
[adapters.perspective]
closed = "reject"
strict_languages = true
[adapters.perspective.attributes]
TOXICITY = ["threat"]
[adapters.coral]
on_failure = "open"
approve = "APPROVED"
reject_by_rule = "PREMOD"
reject_by_score = "SYSTEM_WITHHELD"
exempt_roles = ["STAFF"]
[adapters.openai]
closed = "reject"
[adapters.akismet]
closed = "reject"
spam = ["personal_attack"]
discard = ["threat"]
judges = ["comment_content", "comment_author"]
"""
OPEN = "".join(f'[adapters.{name}]\non_failure = "open"\n' for name in ADAPTERS)


@pytest.fixture(scope="module")
def service(toy_file: Path, toy_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """Three sites: the toy policy, the same with tables of its own, and one that fails open everywhere."""
    folder = tmp_path_factory.mktemp("adapters")
    toy = toy_file.read_text(encoding="utf-8")
    for name, tables in (("other", OTHER), ("open", OPEN)):
        (folder / f"{name}.toml").write_text(toy + tables, encoding="utf-8")
    app = create_app(
        Settings(
            policy=toy_file,
            model=toy_model,
            state=folder,
            keep_text=True,
            max_text_chars=5000,
            max_body_bytes=100_000,
            coral_secrets=["old", SECRET],
            sites={name: {"policy": folder / f"{name}.toml"} for name in ("other", "open")},
        )
    )
    with TestClient(app, base_url="http://localhost", raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def broken_desk(service: TestClient, monkeypatch: pytest.MonkeyPatch) -> list[Exception]:
    """Every decision fails with what the list holds."""
    failing: list[Exception] = [Failed()]

    async def decide(*_: object, **__: object) -> None:
        raise failing[0]

    monkeypatch.setattr(service.app.state.desk, "decide", decide)  # type: ignore[attr-defined]
    return failing


def analyze(service: TestClient, text: Any = INSULT, site: str = "", **more: Any) -> Any:
    body = {"comment": {"text": text}, "requestedAttributes": {"TOXICITY": {}}, **more}
    return service.post(f"{site and f'/sites/{site}'}/v1alpha1/comments:analyze?key=any", json=body)


def phase(service: TestClient, text: Any = INSULT, site: str = "", **more: Any) -> Any:
    body = json.dumps({"action": "NEW", "comment": {"body": text}, "author": {"role": "COMMENTER"}, **more}).encode()
    headers = {"X-Coral-Signature": malformed.signature(body)}
    return service.post(f"{site and f'/sites/{site}'}/coral", content=body, headers=headers)


def moderations(service: TestClient, text: Any = INSULT, site: str = "", **more: Any) -> Any:
    return service.post(f"{site and f'/sites/{site}'}/v1/moderations", json={"input": text, **more})


def check(service: TestClient, text: str = INSULT, site: str = "", **more: str) -> Any:
    form = {"api_key": "any", "blog": "https://news.example", "user_ip": "192.0.2.7", "comment_content": text, **more}
    return service.post(f"{site and f'/sites/{site}'}/1.1/comment-check", data=form)


CALLS = {"perspective": analyze, "coral": phase, "openai": moderations, "akismet": check}


def latest(service: TestClient) -> dict[str, Any]:
    entries: list[dict[str, Any]] = service.app.state.audit.search(limit=1)  # type: ignore[attr-defined]
    return entries[0]


# --------------------------------------------------------------------------- tables


@pytest.mark.parametrize("name", ADAPTERS)
def test_the_shipped_policy_states_every_table_in_full(name: str) -> None:
    policy = load_policy(DEFAULT_POLICY, check_patterns=False)
    assert policy.adapters[name]
    MODULES[name].check_policy(policy)
    if name == "perspective":
        assert len(policy.adapters[name]["attributes"]) >= 12
    if name == "openai":
        assert tuple(policy.adapters[name]["categories"]) == openai.CATEGORIES


def documented(heading: str) -> dict[str, str]:
    """Give the table below a heading of docs/adapters.md: first cell to second."""
    text = (ROOT / "docs" / "adapters.md").read_text(encoding="utf-8")
    table = text.partition(f"| {heading} |")[2].partition("\n\n")[0].splitlines()[2:]
    rows = [[cell.strip().strip("`") for cell in line.strip("|").split("|")] for line in table]
    return {row[0]: row[1] for row in rows}


@pytest.mark.parametrize(
    ("name", "key", "heading"),
    [
        ("perspective", "attributes", "attribute"),
        ("openai", "categories", "category"),
        ("coral", "reasons", "guideline or rule"),
    ],
)
def test_the_documented_tables_are_those_that_ship(name: str, key: str, heading: str) -> None:
    shipped = load_policy(DEFAULT_POLICY, check_patterns=False).adapters[name][key]
    listed = {foreign: word if isinstance(word, str) else ", ".join(word) for foreign, word in shipped.items()}
    assert documented(heading) == listed
    assert list(documented(heading)) == list(listed)


@pytest.mark.parametrize("name", ADAPTERS)
def test_a_policy_without_tables_has_those_that_ship(name: str, toy_policy: Policy) -> None:
    # The toy policy has none of the rules that the shipped tables name: those lines are left out.
    MODULES[name].check_policy(toy_policy)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("[adapters.corral]", "adapters: corral: unknown key; valid keys are perspective, coral, openai, akismet"),
        ("adapters = 3", "adapters: missing; add a [adapters] table"),
        ("[adapters]\ncoral = 3", "adapters.coral: must be a table; write [adapters.coral] above its keys"),
        ("[adapters.coral]\nfail = 1", "adapters.coral: fail: unknown key; valid keys are on_failure"),
        ("[adapters.coral]\non_failure = 'ajar'", "adapters.coral: on_failure: must be one of open, closed"),
        ("[adapters.coral]\nclosed = true", "adapters.coral: closed: must be one of withhold, reject, error"),
        ("[adapters.coral]\nexempt_roles = ['Staff']", "exempt_roles: 'Staff' is none of COMMENTER, MEMBER, STAFF"),
        ("[adapters.coral]\nexempt_roles = 'STAFF'", "exempt_roles: must be a list of words between quotes"),
        ("[adapters.coral]\nlegal_grounds = 3", "legal_grounds: must be a text; write it between quotes"),
        (
            "[adapters.coral]\nreasons = 'AD'",
            "reasons: must be a table; write [adapters.coral.reasons] above its lines",
        ),
        ("[adapters.coral.reasons]\nthreat = 'RUDE'", "reasons.threat: must be one of OFFENSIVE, ABUSIVE"),
        ("[adapters.coral.reasons]\nthreats = 'AD'", "reasons.threats: 'threats' is neither one of any, profanity"),
        ("[adapters.perspective]\nverdict_at = 1.5", "verdict_at: must be a number from 0 to 1"),
        ("[adapters.perspective]\nstrict_languages = 1", "strict_languages: must be true or false"),
        ("[adapters.perspective.attributes]\nX = 'any'", "attributes.X: must be a list of guidelines, rules or `any`"),
        ("[adapters.perspective.attributes]\nX = ['threat+rude']", "attributes.X: 'rude' is neither one of any"),
        ("[adapters.openai.categories]\nhat = ['any']", "categories.hat: unknown name; valid names are harassment"),
        ("[adapters.openai.categories]\nhate = ['personal_attack.you']", "nor a rule that rejects"),
        ("[adapters.akismet]\njudges = []", "judges: must name at least one of comment_content"),
        ("[adapters.akismet]\nspam = ['advert']", "spam: 'advert' is neither one of any, profanity"),
    ],
)
def test_what_cannot_be_used_is_told_by_file_and_key(table: str, message: str, toy_file: Path, tmp_path: Path) -> None:
    file = tmp_path / "bad.toml"
    # A bare key of the top level must stand above all tables.
    toy = toy_file.read_text(encoding="utf-8")
    file.write_text(f"{toy}\n{table}" if table.startswith("[") else f"{table}\n{toy}", encoding="utf-8")
    with pytest.raises(PolicyError) as raised:
        check_all(file)
    assert str(raised.value).startswith(f"{file}: ")
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def check_all(file: Path) -> None:
    policy = load_policy(file)
    for module in MODULES.values():
        module.check_policy(policy)


def test_tables_are_part_of_the_policy_s_identity(toy_file: Path, tmp_path: Path) -> None:
    file = tmp_path / "more.toml"
    file.write_text(toy_file.read_text(encoding="utf-8") + OPEN, encoding="utf-8")
    assert load_policy(file).hash != load_policy(toy_file).hash


# --------------------------------------------------------------------------- scales


def decision(
    guidelines: Sequence[str] = (), any_: float = 0.1, findings: Sequence[Finding] = (), **scores: float
) -> Decision:
    by_rule = any(found.effect is Effect.REJECT for found in findings)
    return Decision(
        id="1",
        verdict=Verdict.REJECT if guidelines else Verdict.APPROVE,
        guidelines=tuple(guidelines),
        reason="It insults a person." if guidelines else "",
        score=any_,
        scores={name: scores.get(name, 0.1) for name in GUIDELINES},
        threshold=0.9,
        decided_by="rule" if by_rule else "linear",
        findings=tuple(findings),
        policy="toy",
        model="toy",
    )


def found(rule: str, guideline: str, effect: Effect = Effect.REJECT, start: int = 0, end: int = 5) -> Finding:
    return Finding(rule, guideline, effect, start, end, "x" * (end - start))


THREAT_RULE = found("threat.kill", "threat")


@pytest.mark.parametrize(
    ("sources", "made", "expected"),
    [
        # probabilities as they are
        ((("threat",),), decision(threat=0.3), 0.3),
        ((("threat",), ("abuse",)), decision(threat=0.3, abuse=0.4), 0.4),
        ((("any",),), decision(any_=0.35), 0.35),
        ((), decision(any_=0.35), 0.0),
        # both must speak
        ((("threat", "abuse"),), decision(threat=0.95, abuse=0.4, any_=0.95, guidelines=["threat"]), 0.4),
        # a rule is certain
        ((("threat",),), decision(["threat"], threat=0.2, findings=[THREAT_RULE]), RULE_SCORE),
        ((("threat.kill",),), decision(["threat"], findings=[THREAT_RULE]), RULE_SCORE),
        ((("any",),), decision(["threat"], findings=[THREAT_RULE]), RULE_SCORE),
        ((("abuse",),), decision(["threat"], abuse=0.2, findings=[THREAT_RULE]), 0.2),
        ((("threat.other",),), decision(["threat"], findings=[THREAT_RULE]), 0.0),
        ((("threat",),), decision(["threat"], threat=0.995, findings=[THREAT_RULE]), 0.995),
        # a finding that only refers says nothing by itself
        ((("threat",),), decision(threat=0.2, findings=[found("threat.hint", "threat", Effect.REFER)]), 0.2),
        # the guideline that stands for a rejected comment, though its own score is under the threshold
        ((("abuse",),), decision(["abuse"], abuse=0.5, any_=0.93), 0.93),
        ((("threat",),), decision(["abuse"], threat=0.5, abuse=0.6, any_=0.93), 0.5),
    ],
)
def test_scores_come_from_the_decision(sources: Any, made: Decision, expected: float) -> None:
    assert score(sources, made) == expected


probabilities = st.floats(0, 1).map(lambda value: round(value, 6))


@st.composite
def decisions(draw: st.DrawFn) -> Decision:
    """A decision as `decide` makes them."""
    scores = {name: draw(probabilities) for name in GUIDELINES}
    threshold = draw(st.sampled_from([0.5, 0.7, 0.9, 1.0]) | probabilities)
    any_ = draw(probabilities)
    findings = draw(
        st.lists(st.builds(found, st.just("x.y"), st.sampled_from(GUIDELINES), st.sampled_from(Effect)), max_size=3)
    )
    rejecting = {one.guideline for one in findings if one.effect is Effect.REJECT}
    names = set(rejecting)
    if any_ >= threshold:
        over = {name for name, value in scores.items() if value >= threshold}
        names |= over or (set() if names else {max(scores, key=scores.__getitem__)})
    made = decision([name for name in GUIDELINES if name in names], any_, findings, **scores)
    return replace(made, threshold=threshold)


@settings(max_examples=60, deadline=None)
@given(decisions(), st.sampled_from([0.2, 0.5, 0.8]), st.sampled_from([*GUIDELINES, "any"]))
def test_a_callers_threshold_at_the_bend_gives_the_policy_s_verdict(made: Decision, at: float, name: str) -> None:
    value = score([(name,)], made, at)
    assert 0 <= value <= 1
    is_broken = broken([(name,)], made)
    assert (value > at) == is_broken
    assert (value >= at) == is_broken
    assert broken([("any",)], made) == (made.verdict is Verdict.REJECT)


@settings(max_examples=60, deadline=None)
@given(decisions())
def test_unbent_scores_are_probabilities_and_the_classifier_s_at_least(made: Decision) -> None:
    for name in GUIDELINES:
        assert made.scores[name] <= score([(name,)], made) <= 1


def test_places_are_the_findings_of_the_sources() -> None:
    findings = [THREAT_RULE, found("classifier", "abuse", Effect.SCORE, 6, 9)]
    made = decision(["threat"], findings=findings)
    assert places([("threat",)], made) == findings[:1]
    assert places([("any",)], made) == findings
    assert places([("classifier",)], made) == findings[1:]
    assert places([("promotion",)], made) == []


# --------------------------------------------------------------------------- reading


@settings(max_examples=60, deadline=None)
@given(st.text(st.characters(), max_size=30))
def test_mended_texts_can_be_written_and_keep_their_offsets(text: str) -> None:
    whole = mended(text)
    assert len(whole) == len(text)
    assert len(whole.encode("utf-16-le")) == len(text.encode("utf-16-le", "surrogatepass"))


def test_bodies_are_objects_in_utf_8() -> None:
    assert read_object('{"a": "é"}'.encode()) == {"a": "é"}
    assert read_object(b'\xef\xbb\xbf{"a": 1}') == {"a": 1}


@settings(max_examples=40, deadline=None)
@given(st.text(max_size=60))
def test_utf_16_offsets_are_those_of_javascript(text: str) -> None:
    offset = perspective._Utf16(text)
    assert [offset(place) for place in range(len(text) + 1)] == [
        len(text[:place].encode("utf-16-le", "surrogatepass")) // 2 for place in range(len(text) + 1)
    ]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("The minister's plan is short-sighted.", "en"),
        ("You are a moron", "en"),
        ("Bu ne güzel bir haber, teşekkürler", "tr"),
        ("هذا المقال ممتاز جدا", "ar"),
        ("Ev nûçe gelek baş e", "ku"),
        ("12:30", "und"),
        ("😀", "und"),
        ("", "und"),
    ],
)
def test_the_language_is_detected_offline(text: str, code: str) -> None:
    assert language.detect(text) == code


# --------------------------------------------------------------------------- Perspective


def test_perspective_answers_as_asked(service: TestClient) -> None:
    text = "🙂🙂 what a clown, kids"
    asked = {"TOXICITY": {}, "INSULT@2": {"scoreType": "PROBABILITY"}, "THREAT_EXPERIMENTAL": {}, "SPAM": {}}
    asked["SPAM"] = {"scoreThreshold": 0.7}
    answer = analyze(
        service,
        text,
        requestedAttributes=asked,
        spanAnnotations=True,
        clientToken="comment:7",
        languages=["xx"],
        articleAndParent=None,
    )
    assert answer.status_code == 400  # no such name
    answer = analyze(
        service, text, requestedAttributes=asked, spanAnnotations=True, clientToken="comment:7", languages=["xx"]
    )
    body = answer.json()
    assert list(body["attributeScores"]) == ["TOXICITY", "INSULT@2", "THREAT_EXPERIMENTAL"]
    insult = body["attributeScores"]["INSULT@2"]
    assert insult["summaryScore"] == {"value": insult["summaryScore"]["value"], "type": "PROBABILITY"}
    assert insult["summaryScore"]["value"] > 0.8
    assert {(span["begin"], span["end"]) for span in insult["spanScores"]} == {(12, 17)}
    assert body["attributeScores"]["THREAT_EXPERIMENTAL"]["summaryScore"]["value"] < 0.8
    # No finding speaks for it: the whole text.
    assert body["attributeScores"]["THREAT_EXPERIMENTAL"]["spanScores"][0]["end"] == len(text) + 2
    assert (body["languages"], body["detectedLanguages"], body["clientToken"]) == (["xx"], ["en"], "comment:7")
    assert latest(service)["id"] == "7"
    assert latest(service)["door"] == "perspective"


def test_perspective_takes_either_spelling_of_a_name(service: TestClient) -> None:
    body = {"comment": {"text": THREAT}, "requested_attributes": {"THREAT": {"score_threshold": "0.5"}}}
    answer = service.post("/v1alpha1/comments:analyze", json=body)
    assert answer.json()["attributeScores"]["THREAT"]["summaryScore"]["value"] >= RULE_SCORE
    # Without spans asked for, one span over the whole text.
    assert len(answer.json()["attributeScores"]["THREAT"]["spanScores"]) == 1


def test_perspective_does_not_store_what_it_is_asked_not_to(service: TestClient) -> None:
    analyze(service, "what a clown, stored")
    assert latest(service)["text"] == "what a clown, stored"
    analyze(service, "what a clown, not stored", doNotStore=True)
    entry = latest(service)
    assert entry["text"] is None
    assert entry["decision"]["findings"]
    assert {finding["excerpt"] for finding in entry["decision"]["findings"]} == {""}


@pytest.mark.parametrize(
    ("text", "more", "message", "kind"),
    [
        ("", {}, "Comment must be non-empty.", "COMMENT_EMPTY"),
        (FINE, {"requestedAttributes": {}}, "Missing requested_attributes", "NO_REQUESTED_ATTRIBUTES"),
        (FINE, {"requestedAttributes": {"X": {}}}, "Unknown requested attribute: X", "INVALID_REQUEST"),
        (
            FINE,
            {"requestedAttributes": {"SPAM": {"scoreType": "RAW"}}},
            "Requested score type RAW is not supported by attribute SPAM",
            "INVALID_REQUEST",
        ),
        (
            FINE,
            {"comment": {"text": "x", "type": "HTML"}},
            "Currently, only 'PLAIN_TEXT' comments are supported",
            "INVALID_REQUEST",
        ),
        ("x" * 5001, {}, "Comment text too long.", "COMMENT_TOO_LONG"),
    ],
)
def test_perspective_s_errors_are_google_s(
    service: TestClient, text: str, more: dict[str, Any], message: str, kind: str
) -> None:
    answer = analyze(service, text, **more)
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert (error["code"], error["message"], error["status"]) == (400, message, "INVALID_ARGUMENT")
    assert error["details"][0]["errorType"] == kind


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"coment": {}}, 'Invalid JSON payload received. Unknown name "coment": Cannot find field.'),
        ({"comment": {"txt": "a secret"}}, "Invalid JSON payload received. Unknown name \"txt\" at 'comment': Cannot"),
        ({"comment": {"text": 3}}, "Invalid JSON payload received. Invalid value at 'comment.text'."),
        (
            {"comment": {"text": "x"}, "context": {"entries": [], "articleAndParentComment": {}}},
            "Context may have only one of 'entries' and 'article_and_parent_comment'.",
        ),
    ],
)
def test_perspective_names_the_wrong_field_and_repeats_no_value(
    service: TestClient, body: dict[str, Any], message: str
) -> None:
    answer = service.post("/v1alpha1/comments:analyze", json={"requestedAttributes": {"TOXICITY": {}}, **body})
    assert answer.status_code == 400
    assert answer.json()["error"]["message"].startswith(message)
    assert "a secret" not in answer.text


def test_perspective_drops_unknown_attributes_where_asked(service: TestClient) -> None:
    asked = {"FLIRTATION": {}, "INSULT": {}}
    body = analyze(service, requestedAttributes=asked, dropUnsupportedAttributes=True).json()
    assert list(body["attributeScores"]) == ["INSULT"]


def test_perspective_refuses_other_languages_only_in_strict_mode(service: TestClient) -> None:
    turkish = "Bu ne güzel bir haber, teşekkürler"
    for languages in (None, ["en"], ["tr"], ["xx", "yy"]):
        assert analyze(service, turkish, languages=languages).status_code == 200
    assert analyze(service, FINE + " to you all", site="other").status_code == 200
    assert analyze(service, turkish, site="other", languages=["en"]).status_code == 200  # the caller's word
    for languages in (None, ["tr"], ["en", "tr"]):
        answer = analyze(service, turkish, site="other", languages=languages)
        assert answer.status_code == 400
        error = answer.json()["error"]
        assert error["message"] == "Attribute TOXICITY does not support request languages: tr"
        assert error["details"][0]["errorType"] == "LANGUAGE_NOT_SUPPORTED_BY_ATTRIBUTE"


def test_suggested_scores_are_feedback_beside_the_decision(service: TestClient) -> None:
    text = "what a clown, suggested"
    analyze(service, text)  # as Coral does: without a token

    def suggest(value: Any, token: str = "comment:unseen") -> Any:
        body = {
            "comment": {"text": text},
            "attributeScores": {"TOXICITY": {"summaryScore": value}},
            "communityId": "Coral:https://news.example",
            "clientToken": token,
        }
        return service.post("/v1alpha1/comments:suggestscore?key=any", json=body)

    assert suggest({"value": 0}).json() == {
        "clientToken": "comment:unseen",
        "detectedLanguages": ["en"],
        "requestedLanguages": [],
    }
    assert suggest({"value": 1}).status_code == 200
    assert suggest({}).status_code == 200  # a protocol buffer leaves out a zero
    assert [suggest({"value": value}).status_code for value in (5, -0.1, 1.1)] == [400] * 3
    said = latest(service)["feedback"]
    assert [one["verdict"] for one in said] == ["approve", "reject", "approve"]
    assert said[1]["note"] == "TOXICITY=1; Coral:https://news.example"
    assert suggest(None).status_code == 400


@pytest.mark.parametrize("path", ["/$discovery/rest", "/discovery/v1/apis/commentanalyzer/v1alpha1/rest"])
def test_the_discovery_document_names_this_server(service: TestClient, path: str) -> None:
    document = service.get(path, params={"version": "v1alpha1"}).json()
    assert document["rootUrl"] == "http://localhost/"
    assert set(document["resources"]["comments"]["methods"]) == {"analyze", "suggestscore"}
    assert service.get(f"/sites/other{path}").json()["rootUrl"] == "http://localhost/sites/other/"
    assert service.get(path, params={"version": "v2"}).status_code == 404


# --------------------------------------------------------------------------- Coral


def signed(body: bytes, secret: str) -> str:
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


BODY = b'{\n  "a": 1\n}'


@pytest.mark.parametrize(
    ("header", "secrets", "good"),
    [
        (signed(BODY, "one"), ["one"], True),
        (signed(BODY, "one"), ["two", "one"], True),
        (f"{signed(BODY, 'two')}, {signed(BODY, 'one')}", ["one"], True),
        (signed(BODY, "one"), ["two"], False),
        (signed(BODY, "one"), [], False),
        (signed(b'{"a": 1}', "one"), ["one"], False),  # the same JSON, other bytes
        (signed(BODY, "one")[:-1], ["one"], False),
        (signed(BODY, "one").replace("sha256=", ""), ["one"], False),
        (signed(BODY, "one").upper(), ["one"], False),
        ("", ["one"], False),
        (",,,", ["one"], False),
        ("sha256=é\udcff", ["one"], False),
        ("x," * 40 + signed(BODY, "one"), ["one"], False),  # so many that nobody means it
    ],
)
def test_coral_s_signature_is_over_the_bytes(header: str, secrets: list[str], good: bool) -> None:
    assert coral.is_signed(header, BODY, secrets) is good


def test_coral_without_a_good_signature_is_refused(service: TestClient) -> None:
    for headers in ({}, {"X-Coral-Signature": "sha256=00"}, {"Authorization": "Bearer any"}):
        answer = service.post("/coral", json={"comment": {"body": INSULT}}, headers=headers)
        assert answer.status_code == 401
        assert answer.json()["error"]["code"] == 401


def test_coral_is_told_what_to_do(service: TestClient) -> None:
    assert phase(service, FINE).json() == {"status": "NONE"}
    assert phase(service, "").json() == {"status": "NONE"}
    reason = {"code": "ABUSIVE", "detailedExplanation": "It threatens someone."}
    rejected = {"status": "REJECTED", "moderationAction": {"status": "REJECTED", "rejectionReason": reason}}
    assert phase(service, THREAT).json() == rejected
    assert phase(service, "<p>So <b>I will</b> kill&nbsp;you</p>").json() == rejected
    by_score = phase(service).json()["moderationAction"]["rejectionReason"]
    assert by_score == {"code": "HARASSMENT_BULLYING", "detailedExplanation": "No personal_attack."}
    assert latest(service)["door"] == "coral"


def test_coral_is_told_what_the_site_s_table_says(service: TestClient) -> None:
    flag = [{"actionType": "FLAG", "reason": "COMMENT_DETECTED_TOXIC"}]
    assert phase(service, FINE, "other").json() == {"status": "APPROVED"}
    assert phase(service, THREAT, "other").json() == {"status": "PREMOD", "actions": flag}
    assert phase(service, INSULT, "other").json() == {"status": "SYSTEM_WITHHELD", "actions": flag}
    assert phase(service, THREAT, "other", author={"role": "STAFF"}).json() == {"status": "NONE"}
    assert phase(service, THREAT, author={"role": "STAFF"}).json()["status"] == "REJECTED"
    # The site's id in the body picks a site that is called so.
    assert phase(service, FINE, site="", **{"action": "EDIT"}).json() == {"status": "NONE"}
    body = json.dumps({"comment": {"body": FINE}, "site": {"id": "other"}}).encode()
    answer = service.post("/coral", content=body, headers={"X-Coral-Signature": malformed.signature(body)})
    assert answer.json() == {"status": "APPROVED"}


STATUSES = {"NONE", "APPROVED", "REJECTED", "PREMOD", "SYSTEM_WITHHELD"}


@settings(max_examples=60, deadline=None)
@given(decisions(), st.sampled_from(coral.REJECTIONS), st.sampled_from(["", "§ 185"]))
def test_coral_never_gets_a_word_that_it_would_not_take(made: Decision, status: str, grounds: str) -> None:
    policy = SimpleNamespace(guidelines=[SimpleNamespace(id=name, title=name) for name in GUIDELINES])
    for code in coral.CODES:
        options = coral.Options({"threat": code}, "NONE", status, status, "withhold", (), grounds)
        given_ = coral.answer(made, options, policy)  # type: ignore[arg-type]
        assert given_["status"] in STATUSES
        action = given_.get("moderationAction")
        if action:
            assert action["status"] == "REJECTED"
            reason = action["rejectionReason"]
            assert reason["code"] in coral.CODES
            assert set(reason) <= {"code", "legalGrounds", "detailedExplanation", "customReason"}
            assert all(isinstance(text, str) and text.strip() for text in reason.values())
        for flag in given_.get("actions", []):
            assert flag["actionType"] == "FLAG"
            assert flag["reason"] in ("COMMENT_DETECTED_TOXIC", "COMMENT_DETECTED_SPAM")


@pytest.mark.parametrize(
    ("body", "added"),
    [
        ("plain a < b > c", ""),
        ('<a href="https://shop.example">here</a>', "\nhttps://shop.example"),
        ('<A HREF="https://shop.example">https://shop.example</A>', ""),
        ('<a href="javascript:x">here</a> <a>x</a>', ""),
        ('<a href="https://a.example/?x=1&amp;y=2">x</a>', "\nhttps://a.example/?x=1&y=2"),
        ("<a href='https://a.example' <b", ""),  # no tag: shown, so judged as it is
        ('<a title=">" href=//a.example>x</a>', "\n//a.example"),
        ('<a\nHREF = "https://a.example"><![x', "\nhttps://a.example"),
        ("<a href='https://a.example", ""),
        ("my < your href", ""),
    ],
)
def test_links_that_only_the_markup_holds_are_judged(body: str, added: str) -> None:
    assert coral.with_links(body) == body + added


@pytest.mark.parametrize(
    "part", ["<a", "<a href='", '<a href="', "<![CDATA[<a ", "<a <", "<!--<a", "href=", "&amp;<a", "<"]
)
def test_markup_cannot_take_long_nor_break_the_phase(part: str) -> None:
    # Python's own parser took 12 s of the processor for 36 KB of the fifth.
    started = time.process_time()
    coral.with_links(part * (200_000 // len(part)))
    assert time.process_time() - started < 2


def test_a_bug_of_ours_is_no_way_past_coral_s_phase(service: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def with_links(body: str) -> str:
        raise AssertionError(body)

    monkeypatch.setattr(coral, "with_links", with_links)
    assert phase(service, THREAT).json() == {"status": "SYSTEM_WITHHELD"}
    assert phase(service, THREAT, "open").json() == {"status": "NONE"}


# --------------------------------------------------------------------------- OpenAI and Akismet


def test_openai_answers_in_full(service: TestClient) -> None:
    body = moderations(service, [FINE, THREAT, INSULT], model="omni-moderation-latest").json()
    assert [result["flagged"] for result in body["results"]] == [False, True, True]
    for result in body["results"]:
        for part in ("categories", "category_scores", "category_applied_input_types"):
            assert tuple(result[part]) == openai.CATEGORIES
    threat = body["results"][1]
    assert [name for name, is_so in threat["categories"].items() if is_so] == ["harassment/threatening", "violence"]
    assert threat["category_scores"]["violence"] == RULE_SCORE
    parts = [{"type": "text", "text": "what a"}, {"type": "text", "text": "clown"}]
    assert [result["flagged"] for result in moderations(service, parts).json()["results"]] == [True]


def test_openai_limits_are_told_in_its_shape(service: TestClient) -> None:
    for given_, status in ((["x"] * 1001, 400), ("x" * 5001, 400), ("x" * 200_000, 413)):
        answer = moderations(service, given_)
        assert answer.status_code == status
        assert answer.json()["error"]["type"] == "invalid_request_error"


def test_akismet_follows_the_site_s_table(service: TestClient) -> None:
    assert check(service, THREAT).text == "true"
    assert check(service, INSULT).text == "true"
    assert check(service, FINE).text == "false"
    assert "x-akismet-pro-tip" not in check(service, THREAT).headers
    assert check(service, "", site="other").text == "false"
    assert check(service, INSULT, "other").text == "true"
    assert check(service, THREAT, "other").text == "false"  # rejected, but not for what is spam there
    assert check(service, FINE, "other", comment_author="clown").text == "true"
    assert check(service, FINE, comment_author="clown").text == "false"
    # Both guidelines: spam, and blatant by rule.
    assert check(service, f"{INSULT}. {THREAT}", "other").headers["x-akismet-pro-tip"] == "discard"


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"user_role": "administrator"}, "false"),
        ({"user_role": "editor"}, "true"),
        ({"comment_content": FINE, "comment_author": "viagra-test-123"}, "true"),
        ({"comment_content": FINE, "comment_author_email": "akismet-guaranteed-spam@example.com"}, "true"),
    ],
)
def test_akismet_s_own_test_values(service: TestClient, more: dict[str, str], told: str) -> None:
    assert check(service, **{"text": INSULT, **more}).text == told


def test_akismet_reads_the_blog_s_character_set(service: TestClient) -> None:
    form = b"api_key=x&blog=b&user_ip=1&blog_charset=ISO-8859-9&comment_content=what+a+clown+%FD"
    headers = {"Content-Type": "application/x-www-form-urlencoded; charset=ISO-8859-9"}
    assert service.post("/1.1/comment-check", content=form, headers=headers).text == "true"
    assert latest(service)["text"] == "what a clown ı"


# --------------------------------------------------------------------------- keys


@pytest.fixture(scope="module")
def locked(toy_file: Path, toy_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """A service that needs keys."""
    state = tmp_path_factory.mktemp("locked")
    app = create_app(Settings(policy=toy_file, model=toy_model, state=state, coral_secrets=[SECRET]))
    with TestClient(app, base_url="http://localhost", raise_server_exceptions=False) as client:
        yield client


@pytest.fixture(scope="module")
def key(locked: TestClient) -> str:
    made: str = locked.app.state.keys.add("one", ["decide"])  # type: ignore[attr-defined]
    return made


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1alpha1/comments:analyze", '{"comment": {"text": "x"}, "requestedAttributes": {"TOXICITY": {}}}'),
        (
            "/v1alpha1/comments:suggestscore",
            '{"comment": {"text": "x"}, "attributeScores": {"TOXICITY": {"summaryScore": {"value": 1}}}}',
        ),
        ("/v1/moderations", '{"input": "x"}'),
        ("/1.1/comment-check", "blog=b&user_ip=1&comment_content=x"),
        ("/1.1/submit-spam", "blog=b&user_ip=1&comment_content=x"),
        ("/1.1/submit-ham", "api_key=any&blog=b&user_ip=1&comment_content=x"),
    ],
)
def test_without_keys_no_page_of_another_site_gets_in(service: TestClient, path: str, body: str) -> None:
    # What a page may send without the browser's asking first: a form, and text.
    kind = "application/x-www-form-urlencoded" if path.startswith("/1.1") else "text/plain"
    for origin in ("https://evil.example", "null"):
        reply = service.post(path, content=body, headers={"Content-Type": kind, "Origin": origin})
        assert reply.status_code == 403
    assert service.post(path, content=body, headers={"Content-Type": kind}).status_code == 200


def test_a_key_is_asked_for_in_each_protocol_s_way(locked: TestClient, key: str) -> None:
    body = {"comment": {"text": FINE}, "requestedAttributes": {"TOXICITY": {}}}
    form = {"blog": "b", "user_ip": "1", "comment_content": FINE}
    calls: dict[str, tuple[Any, Any]] = {
        "query": ("/v1alpha1/comments:analyze?key=KEY", {"json": body}),
        "header": ("/v1alpha1/comments:analyze", {"json": body, "headers": {"X-Goog-Api-Key": "KEY"}}),
        "bearer": ("/v1/moderations", {"json": {"input": FINE}, "headers": {"Authorization": "Bearer KEY"}}),
        "field": ("/1.1/comment-check", {"data": {**form, "api_key": "KEY"}}),
        "host": ("/1.1/comment-check", {"data": form, "headers": {"Host": "KEY.rest.example:8000"}}),
    }
    expected = {"query": 400, "header": 400, "bearer": 401, "field": 200, "host": 200}
    for name, (path, arguments) in calls.items():
        for sent, status in ((key, 200), ("wrong", expected[name])):
            filled = json.loads(json.dumps(arguments).replace("KEY", sent))
            answer = locked.post(path.replace("KEY", sent), **filled)
            assert answer.status_code == status, (name, sent)
            if name in ("field", "host"):
                assert answer.text == ("false" if sent == key else "invalid")
    missing = locked.post("/v1alpha1/comments:analyze", json=body)
    assert (missing.status_code, missing.json()["error"]["status"]) == (403, "PERMISSION_DENIED")
    assert locked.post("/1.1/verify-key", data={"blog": "b", "key": key}).text == "valid"
    assert locked.post("/1.1/verify-key", data={"blog": "b", "key": "wrong"}).text == "invalid"
    spam = locked.post("/1.1/submit-spam", data={**form, "api_key": key})
    assert spam.status_code == 403
    assert "scope moderate" in spam.headers["x-akismet-debug-help"]


# --------------------------------------------------------------------------- failures

SERVED = {
    "perspective": lambda answer: answer.json()["attributeScores"]["TOXICITY"]["summaryScore"]["value"],
    "coral": lambda answer: answer.json()["status"],
    "openai": lambda answer: answer.json()["results"][0]["flagged"],
    "akismet": lambda answer: answer.text,
}


@pytest.mark.parametrize("failure", [Failed(), Overloaded(3), KeyError("a bug")], ids=["failed", "overloaded", "bug"])
def test_what_cannot_be_judged_is_kept_back(
    service: TestClient, broken_desk: list[Exception], failure: Exception
) -> None:
    broken_desk[:] = [failure]
    for name, call in CALLS.items():
        answer = call(service, FINE)
        if name == "coral":  # It publishes on any error.
            assert (answer.status_code, answer.json()) == (200, {"status": "SYSTEM_WITHHELD"})
            continue
        assert answer.status_code == 503
        assert answer.headers.get("retry-after") == ("3" if isinstance(failure, Overloaded) else None)
        assert "a bug" not in answer.text
    assert analyze(service).json()["error"]["status"] == "UNAVAILABLE"
    assert moderations(service).json()["error"]["type"] == "server_error"


def test_a_site_may_have_it_rejected_instead(service: TestClient, broken_desk: list[Exception]) -> None:
    answers = {name: SERVED[name](call(service, FINE + " to you", "other")) for name, call in CALLS.items()}
    assert answers == {"perspective": 1.0, "coral": "NONE", "openai": True, "akismet": "true"}


def let_through(service: TestClient, name: str, site: str) -> float:
    """How many comments the metrics say were let through."""
    line = f'moderation_fail_open_total{{door="{name}",site="{site}"}} '
    return sum(
        float(one.removeprefix(line)) for one in service.get("/metrics").text.splitlines() if one.startswith(line)
    )


def test_a_site_may_let_it_through_and_each_time_is_counted(service: TestClient, broken_desk: list[Exception]) -> None:
    before = {name: let_through(service, name, "open") for name in ADAPTERS}
    answers = {name: SERVED[name](call(service, THREAT, "open")) for name, call in CALLS.items()}
    assert answers == {"perspective": 0.0, "coral": "NONE", "openai": False, "akismet": "false"}
    assert {name: let_through(service, name, "open") - before[name] for name in ADAPTERS} == dict.fromkeys(ADAPTERS, 1)
    assert [let_through(service, name, "default") for name in ADAPTERS] == [0, 0, 0, 0]


def test_who_asks_too_often_is_told_so_even_where_failures_pass(
    service: TestClient, broken_desk: list[Exception]
) -> None:
    broken_desk[:] = [RateLimited(5)]
    limited = analyze(service, site="open")
    assert limited.status_code == 429
    assert limited.json()["error"]["status"] == "RESOURCE_EXHAUSTED"
    assert limited.json()["error"]["details"][0]["reason"] == "RATE_LIMIT_EXCEEDED"
    assert limited.headers["retry-after"] == "5"
    assert moderations(service, site="open").json()["error"]["code"] == "rate_limit_exceeded"
    assert check(service, site="open").status_code == 429
    assert phase(service).json() == {"status": "SYSTEM_WITHHELD"}


def test_a_comment_over_the_limit_is_no_way_round_coral_s_phase(service: TestClient) -> None:
    long = "hello " * 1000
    assert phase(service, long).json() == {"status": "SYSTEM_WITHHELD"}
    assert phase(service, long, "open").json() == {"status": "NONE"}


@pytest.mark.parametrize(
    "body",
    [
        b'{"comment": {"body": "' + b"x" * 100_000 + b'"}}',
        b'{"comment": {"body": "x"}, "action": "FOO"}',
        b'{"comment": {"body": 5}}',
        b'{"comment": "x"}',
        b"[]",
        b"{",
    ],
    ids=lambda body: body[:50].decode(),
)
def test_a_wrong_request_is_no_way_round_coral_s_phase(service: TestClient, body: bytes) -> None:
    headers = {"X-Coral-Signature": malformed.signature(body)}
    before = let_through(service, "coral", "open")
    for path, status in (("/coral", "SYSTEM_WITHHELD"), ("/sites/open/coral", "NONE")):
        reply = service.post(path, content=body, headers=headers)
        assert (reply.status_code, reply.json()) == (200, {"status": status})
    assert let_through(service, "coral", "open") == before + 1


def test_a_site_that_is_not_served_is_no_way_round_coral_s_phase(service: TestClient) -> None:
    assert phase(service, site="none").json() == {"status": "SYSTEM_WITHHELD"}


def test_a_slow_body_is_no_way_round_coral_s_phase(service: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    async def body(request: Request) -> NoReturn:
        raise SlowClient("the body did not arrive in time")

    monkeypatch.setattr(Request, "body", body)
    reply = phase(service)
    assert (reply.status_code, reply.json()) == (200, {"status": "SYSTEM_WITHHELD"})
    assert reply.headers["connection"] == "close"


def test_failures_log_no_comment(
    service: TestClient, broken_desk: list[Exception], caplog: pytest.LogCaptureFixture
) -> None:
    broken_desk[:] = [ValueError(f"cannot judge {THREAT}")]
    with caplog.at_level(logging.DEBUG):
        for call in CALLS.values():
            assert THREAT not in call(service, THREAT).text
    assert "ValueError" in caplog.text
    assert THREAT not in caplog.text


# --------------------------------------------------------------------------- malformed


@pytest.mark.parametrize("adapter", malformed.ADAPTERS)
def test_malformed_requests_get_a_4xx_in_the_protocol_s_shape(locked: TestClient, key: str, adapter: str) -> None:
    """A hundred of those that tests/benchmarks/malformed.py sends by the ten thousand."""
    kinds = set()
    for sent in malformed.malformed(adapter, 100, 1, key):
        headers = {name: value.encode() for name, value in sent.headers.items()}
        answer = locked.request(sent.method, sent.path, content=sent.body, headers=headers)  # type: ignore[arg-type]
        assert malformed.wrong(adapter, answer.status_code, answer.headers, answer.content) == "", sent
        kinds.add(sent.how)
    assert len(kinds) > 6


def test_the_checker_sees_a_wrong_answer() -> None:
    json_ = {"content-type": "application/json"}
    assert malformed.wrong("coral", 500, json_, b"")
    assert malformed.wrong("coral", 200, json_, b'{"status":"NONE"}')
    assert malformed.wrong("coral", 400, json_, b'{"detail": "Not Found"}')
    assert malformed.wrong("openai", 400, json_, b'{"error": {"message": "x"}}')
    assert malformed.wrong("perspective", 400, json_, b'{"error": {"code": 404, "message": "x", "status": "X"}}')
    assert malformed.wrong("akismet", 200, {"content-type": "text/plain"}, b"true")


def test_no_adapter_is_in_the_native_document(service: TestClient) -> None:
    answer = service.get("/openapi.json")
    assert answer.status_code == 200, answer.text
    paths = answer.json()["paths"]
    assert not [path for path in paths if path.startswith(("/coral", "/v1alpha1", "/1.1", "/v1/moderations", "/$"))]

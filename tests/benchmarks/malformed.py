"""Malformed requests for every adapter: each must get a 4xx in its protocol's own shape, never a 5xx.

Coral publishes on any error, so that what it signed is kept back instead: 200 and ``SYSTEM_WITHHELD``.

    python tests/benchmarks/malformed.py
    python tests/benchmarks/malformed.py --rows 10000 --seed 7 --adapter coral

A service is started on loopback with the policy and model that ship. Every request is made from a good one by one
change that the protocol does not allow, so that any other answer of 2xx is a failure as well.
"""

import argparse
import copy
import hashlib
import hmac
import json
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

SECRET = "a-signing-secret-of-coral"
JSON = {"Content-Type": "application/json"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
METHODS = ("GET", "PUT", "PATCH", "DELETE", "OPTIONS")


@dataclass(frozen=True, slots=True)
class Sent:
    """One request, and how it was spoiled."""

    how: str
    method: str
    path: str
    body: bytes
    headers: dict[str, str]


# --------------------------------------------------------------------------- what is good


PERSPECTIVE: dict[str, Any] = {
    "comment": {"text": "Some comment", "type": "PLAIN_TEXT"},
    "context": {"entries": [{"text": "An article", "type": "PLAIN_TEXT"}]},
    "requestedAttributes": {"TOXICITY": {"scoreType": "PROBABILITY", "scoreThreshold": 0.1}},
    "languages": ["en"],
    "doNotStore": True,
    "clientToken": "17",
    "spanAnnotations": False,
}
SUGGEST: dict[str, Any] = {
    "comment": {"text": "Some comment"},
    "attributeScores": {"TOXICITY": {"summaryScore": {"value": 1, "type": "PROBABILITY"}}},
    "communityId": "Coral:https://news.example",
    "clientToken": "comment:17",
}
CORAL: dict[str, Any] = {
    "action": "NEW",
    "comment": {"body": "Some comment", "parentID": None},
    "author": {"id": "1", "role": "COMMENTER"},
    "story": {"id": "2", "url": "https://news.example/story"},
    "site": {"id": "3"},
}
OPENAI: dict[str, Any] = {"input": ["Some comment", "another"], "model": "omni-moderation-latest"}
AKISMET = {"blog": "https://news.example", "user_ip": "192.0.2.7", "comment_content": "Some comment"}

# Fields, and values of another type than theirs that none of the protocols takes.
WRONG_FIELDS: dict[str, tuple[tuple[tuple[str, ...], tuple[Any, ...]], ...]] = {
    "perspective": (
        (("comment",), (None, 17, "x", [], {}, [1], {"text": 3}, {"text": ""}, {"text": " \n"}, {"text": None})),
        (("comment", "type"), ("HTML", "plain", 3, [])),
        (
            ("context",),
            (17, "x", [], {"entries": {}}, {"entries": [3]}, {"entries": [], "articleAndParentComment": {}}),
        ),
        (("requestedAttributes",), (None, {}, [], "TOXICITY", 3, {"TOXICTY": {}}, {"": {}}, {"TOXICITY": 1})),
        (
            ("requestedAttributes", "TOXICITY"),
            (None, [], {"scoreType": "RAW"}, {"scoreType": 3}, {"scoreThreshold": "x"}),
        ),
        (("languages",), ("en", {}, [1], [None], 3)),
        (("doNotStore",), ("true", 1, [], {})),
        (("clientToken",), (3, [], {}, True)),
        (("spanAnnotations",), ("yes", 0, [])),
    ),
    "suggest": (
        (("comment",), (None, 17, "x", [], {}, {"text": 3}, {"text": ""})),
        (("attributeScores",), (None, {}, [], 3, "x", {"X": {}}, {"TOXICITY": {}}, {"TOXICITY": None})),
        (("attributeScores", "TOXICITY"), ({"summaryScore": 3}, {"spanScores": {}}, {"spanScores": [{"begin": 1}]})),
        (("attributeScores", "TOXICITY", "summaryScore", "value"), ("x", [], {}, True)),
        (("communityId",), (3, [], {})),
    ),
    "coral": (
        (("comment",), (None, 17, "x", [], {}, {"body": None}, {"body": 3}, {"body": []})),
        (("comment", "body"), (None, 17, [], {}, True)),
        (("author",), (17, "x", [1], True)),
        (("author", "role"), (3, [], {}, False)),
        (("action",), (3, "DELETE", "", [], {}, None)),
        (("story",), ("x", [1], 4)),
        (("story", "url"), (3, [], {})),
        (("site", "id"), (3, [], {})),
    ),
    "openai": (
        (
            ("input",),
            (
                *(None, 17, {}, [], [1], [None], ["a", {}], [["a"]], True, [{}]),
                *([{"type": "text"}], [{"type": "text", "text": 1}], [{"type": "audio"}]),
                [{"type": "image_url", "image_url": {"url": "https://news.example/a.png"}}],
            ),
        ),
        (("model",), (3, [], {}, True)),
    ),
}


# --------------------------------------------------------------------------- what is spoiled


def _spoilt_json(random_: random.Random, good: dict[str, Any], fields: str) -> tuple[str, bytes]:
    """Spoil a body in JSON by one change."""
    raw = json.dumps(good).encode()

    def cut() -> bytes:
        return raw[: random_.randrange(len(raw))]

    def noise() -> bytes:
        return b"\x00" + random_.randbytes(random_.randrange(1, 200))

    def not_utf8() -> bytes:
        place = raw.index(b"Some") + random_.randrange(4)
        return raw[:place] + bytes([random_.randrange(0x80, 0xC0)]) + raw[place:]

    def another_kind() -> bytes:
        return json.dumps(random_.choice(["x", 17, None, True, [good], [], 1.5])).encode()

    def deep() -> bytes:
        return b'{"comment":' * random_.randrange(2_000, 20_000)

    def not_a_number() -> bytes:
        return (
            raw[:-1]
            + b', "x": '
            + random_.choice([b"NaN", b"Infinity", b"-Infinity", b"01", b"1e", b"0x1", b"9" * 5000])
            + b"}"
        )

    def trailing() -> bytes:
        return raw + random_.choice([b"}", b",", b"{}", b"x", b"\x00"])

    def wrong_field() -> bytes:
        spoilt = copy.deepcopy(good)
        path, values = random_.choice(WRONG_FIELDS[fields])
        holder = spoilt
        for name in path[:-1]:
            holder = holder[name]
        value = random_.choice(values)
        if value is None and random_.random() < 0.5 and fields != "coral":
            holder.pop(path[-1], None)
        else:
            holder[path[-1]] = value
        return json.dumps(spoilt).encode()

    ways: list[Callable[[], bytes]] = [cut, noise, not_utf8, another_kind, deep, not_a_number, trailing]
    ways += [wrong_field] * len(ways)
    way = random_.choice(ways)
    return way.__name__, way()


def perspective(random_: random.Random, key: str) -> Sent:
    """Spoil a call of Perspective."""
    method, good, fields = random_.choice(
        (("analyze", PERSPECTIVE, "perspective"), ("suggestscore", SUGGEST, "suggest"))
    )
    path = f"/v1alpha1/comments:{method}"
    raw = json.dumps(good).encode()
    kind = random_.randrange(12)
    if kind == 0:
        return Sent("key", "POST", f"{path}?key={random_.choice(('wrong', 'a' * 5000, '%00', '%ff'))}", raw, JSON)
    if kind == 1:
        return Sent("method", random_.choice(METHODS), f"{path}?key={key}", b"", {})
    if kind == 2:
        other = random_.choice(
            ("", "comments", "comments:", "comments:analyse", "comments:analyze/", "%00", "x/../comments")
        )
        return Sent("path", "POST", f"/v1alpha1/{other}?key={key}", raw, JSON)
    if kind == 3:
        spoilt = {**copy.deepcopy(good)}
        holder = random_.choice((spoilt, spoilt["comment"]))
        holder[random_.choice(("requestedAtributes", "txt", "", "\x00", "x" * 3000, "é", "\ud800"))] = {}
        return Sent("unknown name", "POST", f"{path}?key={key}", json.dumps(spoilt).encode(), JSON)
    if kind == 4:
        return Sent("alt", "POST", f"{path}?key={key}&alt={random_.choice(('media', 'proto', '', 'x'))}", raw, JSON)
    how, body = _spoilt_json(random_, good, fields)
    return Sent(how, "POST", f"{path}?key={key}", body, JSON)


def coral(random_: random.Random, key: str) -> Sent:
    """Spoil a call of Coral's external phase; all but the badly signed are signed well."""
    raw = json.dumps(CORAL, indent=2).encode()
    kind = random_.randrange(10)
    if kind == 0:
        bad = ("", "sha256=", "sha256", "x", "sha256=zz", "é", "," * 500, "sha256=" + "0" * 64, "md5=" + "0" * 32)
        return Sent("signature", "POST", "/coral", raw, {**JSON, "X-Coral-Signature": random_.choice(bad)})
    if kind == 1:
        signed = {**JSON, "X-Coral-Signature": signature(raw)}
        return Sent("changed", "POST", "/coral", raw + b" " * random_.randrange(1, 9), signed)
    if kind == 2:
        return Sent("method", random_.choice(METHODS), "/coral", b"", {})
    if kind == 3:
        return Sent("path", "POST", f"/coral/{random_.choice(('', 'x', '%00', '../coral/x'))}", raw, JSON)
    how, body = _spoilt_json(random_, CORAL, "coral")
    return Sent(how, "POST", "/coral", body, {**JSON, "X-Coral-Signature": signature(body)})


def signature(body: bytes) -> str:
    """Sign as Coral does."""
    return "sha256=" + hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()


def openai(random_: random.Random, key: str) -> Sent:
    """Spoil a call of OpenAI's moderations."""
    raw = json.dumps(OPENAI).encode()
    bearer = {**JSON, "Authorization": f"Bearer {key}"}
    kind = random_.randrange(10)
    if kind == 0:
        bad = ("Bearer", "Bearer wrong", f"Basic {key}", "Bearer " + "a" * 5000, "", "é")
        return Sent("key", "POST", "/v1/moderations", raw, {**JSON, "Authorization": random_.choice(bad)})
    if kind == 1:
        return Sent("method", random_.choice(METHODS), "/v1/moderations", b"", bearer)
    how, body = _spoilt_json(random_, OPENAI, "openai")
    return Sent(how, "POST", "/v1/moderations", body, bearer)


def akismet(random_: random.Random, key: str) -> Sent:
    """Spoil a call of Akismet; a wrong key is answered 200 and ``invalid`` there, and is no part of this."""
    call = random_.choice(("comment-check", "submit-spam", "submit-ham"))
    fields = {**AKISMET, "api_key": key}
    kind = random_.randrange(9)
    path = f"/1.1/{call}"
    if kind == 0:
        fields[random_.choice(("blog", "user_ip"))] = random_.choice(("", " ", "\n", "\t"))
        return Sent("empty", "POST", path, urlencode(fields).encode(), FORM)
    if kind == 1:
        del fields[random_.choice(("blog", "user_ip"))]
        return Sent("missing", "POST", path, urlencode(fields).encode(), FORM)
    if kind == 2:
        other = random_.choice(
            ("application/json", "text/plain", "multipart/form-data", "multipart/form-data; boundary=x", "")
        )
        return Sent("content type", "POST", path, urlencode(fields).encode(), {"Content-Type": other or "x"})
    if kind == 3:
        fields["blog_charset"] = random_.choice(
            ("klingon", "rot13", "base64", "unicode_escape", "\x00", "x" * 900, "é")
        )
        return Sent("charset", "POST", path, urlencode(fields).encode(), FORM)
    if kind == 4:
        byte = random_.choice(("%FF", "%C3%28", "%80", "%ED%A0%80", "%F8%88%80%80%80"))
        return Sent("undecodable", "POST", path, urlencode(fields).encode() + f"&comment_author={byte}".encode(), FORM)
    if kind == 5:
        return Sent(
            "not ascii",
            "POST",
            path,
            urlencode(fields).encode() + b"&x=" + random_.choice((b"\xff", "é".encode())),
            FORM,
        )
    if kind == 6:
        many = "".join(f"&x{number}=1" for number in range(random_.randrange(1_000, 3_000)))
        return Sent("too many", "POST", path, urlencode(fields).encode() + many.encode(), FORM)
    if kind == 7:
        return Sent("method", random_.choice(METHODS), path, b"", {})
    other = random_.choice(("/1.1/", "/1.1/comment-chek", "/1.2/usage-limit", "/1.1/verify-key/x", "/1.1/%00"))
    return Sent("path", "POST", other, urlencode(fields).encode(), FORM)


ADAPTERS: dict[str, Callable[[random.Random, str], Sent]] = {
    "perspective": perspective,
    "coral": coral,
    "openai": openai,
    "akismet": akismet,
}


def malformed(adapter: str, rows: int, seed: int, key: str) -> Iterator[Sent]:
    """Give as many malformed requests; the same for the same seed."""
    random_ = random.Random(f"{adapter}-{seed}")
    for _ in range(rows):
        yield ADAPTERS[adapter](random_, key)


# --------------------------------------------------------------------------- what is answered


def wrong(adapter: str, status: int, headers: Any, body: bytes) -> str:
    """Tell what is wrong with an answer to a malformed request; empty where nothing is."""
    if adapter == "coral" and status == 200:
        return "" if body == b'{"status":"SYSTEM_WITHHELD"}' else f"not kept back: {body[:80]!r}"
    if not 400 <= status < 500:
        return f"status {status}"
    kind = headers.get("content-type", "").partition(";")[0]
    if adapter == "akismet":
        if kind != "text/plain" or not headers.get("x-akismet-debug-help"):
            return "no X-akismet-debug-help in text/plain"
        return "an answer that means something" if body in (b"true", b"false", b"valid", b"invalid", b"") else ""
    try:
        error = json.loads(body)["error"]
    except (ValueError, KeyError, TypeError):
        return f"no error object: {body[:80]!r}"
    if kind != "application/json" or not isinstance(error.get("message"), str) or not error["message"]:
        return "no message in application/json"
    if adapter == "openai":
        return "" if set(error) == {"message", "type", "param", "code"} and error["type"] else f"keys {set(error)}"
    if error.get("code") != status:
        return f"code {error.get('code')} with status {status}"
    if adapter == "perspective":
        return (
            ""
            if set(error) - {"details"} == {"code", "message", "status"} and error["status"]
            else f"keys {set(error)}"
        )
    return ""


def main() -> int:
    """Send them all."""
    import httpx

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000, help="requests for each adapter")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--adapter", choices=list(ADAPTERS), action="append")
    options = parser.parse_args()
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    from running import running

    from moderation.service.settings import Settings

    failures = 0
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(state=Path(folder), classifier="linear", coral_secrets=[SECRET])
        with running(settings) as service, httpx.Client(base_url=service.url, timeout=60) as client:
            key = service.app.state.keys.add("malformed", ["decide", "moderate"])
            for adapter in options.adapter or ADAPTERS:
                statuses: Counter[int] = Counter()
                kinds: Counter[str] = Counter()
                started = time.perf_counter()
                for sent in malformed(adapter, options.rows, options.seed, key):
                    raw = {name: value.encode("utf-8") for name, value in sent.headers.items()}
                    try:
                        answer = client.request(sent.method, sent.path, content=sent.body, headers=raw)
                    except httpx.RemoteProtocolError:  # An idle connection that was just closed; once is enough.
                        answer = client.request(sent.method, sent.path, content=sent.body, headers=raw)
                    statuses[answer.status_code] += 1
                    kinds[sent.how] += 1
                    if problem := wrong(adapter, answer.status_code, answer.headers, answer.content):
                        failures += 1
                        if failures <= 20:
                            print(
                                f"{adapter}: {sent.how}: {problem}: {sent.method} {sent.path[:60]} {sent.body[:120]!r}"
                            )
                seconds = time.perf_counter() - started
                told = ", ".join(f"{status}: {count}" for status, count in sorted(statuses.items()))
                print(f"{adapter}: {options.rows} requests of {len(kinds)} kinds in {seconds:.0f} s; {told}")
    print(f"{failures} answers wrong")
    return int(failures > 0)


if __name__ == "__main__":
    raise SystemExit(main())

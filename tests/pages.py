"""Reads pages of ours as a browser would, so that tests can ask what is in them."""

import base64
import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path

VOID = {"meta", "input", "br", "hr", "img", "link", "base"}
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@dataclass
class Element:
    """One element with its attributes; ``parts`` are texts and elements in order."""

    tag: str
    attributes: dict[str, str]
    parts: list["str | Element"] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(part if isinstance(part, str) else part.text for part in self.parts)

    @property
    def words(self) -> str:
        return " ".join(self.text.split())

    def all(self, tag: str = "", **attributes: str) -> Iterator["Element"]:
        """Yield the elements within of this tag, whose attributes (``class_`` for class) hold these words."""
        for part in self.parts:
            if isinstance(part, Element):
                if tag in ("", part.tag) and all(
                    value in part.attributes.get(name.rstrip("_").replace("_", "-"), "").split()
                    for name, value in attributes.items()
                ):
                    yield part
                yield from part.all(tag, **attributes)

    def one(self, tag: str = "", **attributes: str) -> "Element":
        found = next(self.all(tag, **attributes), None)
        assert found is not None, f"no {tag} {attributes}"
        return found


class _Builder(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.root = Element("", {})
        self.open = [self.root]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"{tag} has an attribute twice: {names}"
        element = Element(tag, {name: value or "" for name, value in attrs})
        self.open[-1].parts.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open[-1].tag == tag, f"</{tag}> closes <{self.open[-1].tag}>"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        self.open[-1].parts.append(data)

    def handle_comment(self, data: str) -> None:
        raise AssertionError(f"a page of ours holds no markup comment: {data!r}")


def parsed(page: str) -> Element:
    """Read a page; fails where an element is not closed in its order."""
    builder = _Builder()
    builder.feed(page)
    builder.close()
    assert [element.tag for element in builder.open] == [""]
    return builder.root


def check_page(page: str) -> Element:
    """Read a page that needs no network and runs no script but its own."""
    root = parsed(page)
    (script,), (style,) = root.all("script"), root.all("style")
    policy = next(m for m in root.all("meta") if m.attributes.get("http-equiv") == "Content-Security-Policy")
    for element in (script, style):
        assert element.attributes == {}
        digest = base64.b64encode(hashlib.sha256(element.text.encode()).digest()).decode()
        assert f"{element.tag}-src 'sha256-{digest}';" in policy.attributes["content"]
    assert policy.attributes["content"].startswith("default-src 'none';")
    assert "unsafe" not in policy.attributes["content"]
    allowed = set(
        "html head meta title style script body a header h1 h2 h3 p main dl div dt dd section ul ol li table caption "
        "thead tbody tr th td svg g rect line polyline circle text span strong code mark details summary form label "
        "select option input button q footer".split()
    )
    assert {element.tag for element in root.all()} <= allowed
    for element in root.all():
        assert not [name for name in element.attributes if name.startswith("on") or name in ("style", "src")]
        assert element.tag != "a" or element.attributes["href"].startswith("#")
    ids = [element.attributes["id"] for element in root.all() if "id" in element.attributes]
    assert len(ids) == len(set(ids))
    for element in root.all():
        assert element.attributes.get("aria-labelledby", ids[0]) in ids
    assert not re.search(r"https?://", style.text + script.text)
    return root


def in_chromium(page: Path, address: str, profile: Path) -> Element:
    """Open a page in Chromium, let its script run, and read what it is then."""
    assert CHROMIUM is not None
    options = (
        "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
        "--disable-component-update --disable-sync --disable-extensions --virtual-time-budget=2000"
    ).split()
    done = subprocess.run(
        [CHROMIUM, *options, f"--user-data-dir={profile}", "--dump-dom", f"{page.as_uri()}{address}"],
        capture_output=True,
        check=False,
        timeout=300,
        env={**os.environ, "LANG": "C.UTF-8"},
    )
    assert done.returncode == 0, done.stderr.decode(errors="replace")[-2000:]
    return parsed(done.stdout.decode())

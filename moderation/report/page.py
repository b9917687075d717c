"""Pages in one file: no network, no script but ours, every text of others shown and never run."""

import base64
import hashlib
import unicodedata
from functools import cache
from pathlib import Path
from typing import Any

from moderation.errors import MissingPackageError

FOLDER = Path(__file__).resolve().parent / "templates"

# Letters and signs by category, but drawn as nothing.
_BLANK = frozenset("\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")
_JOINER = "\u200d"


def render(template: str, **context: Any) -> str:
    """Fill in a template of the folder ``templates``; the same context gives the same page.

    Raises
    ------
    MissingPackageError
        When jinja2 is not installed.
    """
    style, script = (_source(name) for name in ("page.css", "page.js"))
    page: str = (
        _environment()
        .get_template(template)
        .render(
            context,
            style=style,
            script=script,
            style_hash=_digest(style),
            script_hash=_digest(script),
        )
    )
    return page


@cache
def _environment() -> Any:
    try:
        from jinja2 import Environment, FileSystemLoader, StrictUndefined
        from markupsafe import Markup
    except ImportError as error:
        raise MissingPackageError(error.name, "report") from error

    environment = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )

    def shown(text: object) -> Markup:
        """Escape a text, with its invisible characters named where they stand."""
        parts = [
            Markup('<span class="odd" title="{}">{}</span>').format(*odd) if odd else Markup.escape(piece)
            for piece, odd in visible(str(text))
        ]
        return Markup("").join(parts)

    environment.filters |= {"shown": shown, "percent": percent, "count": "{:,}".format}
    return environment


def visible(text: str) -> list[tuple[str, tuple[str, str] | None]]:
    """Set apart the characters that are not seen or that turn the order of others.

    Returns
    -------
    list of (piece, odd)
        The pieces make up the text; ``odd`` is the name and code of a piece that is one such character, else
        None. Line breaks, tabs, spaces and the joiners within an emoji are as they are.
    """
    if text.isprintable() and not _BLANK.intersection(text):
        return [(text, None)] if text else []
    pieces: list[tuple[str, tuple[str, str] | None]] = []
    begin = 0
    for place, character in enumerate(text):
        if _seen(character, text[place - 1 : place], text[place + 1 : place + 2]):
            continue
        if begin < place:
            pieces.append((text[begin:place], None))
        name = unicodedata.name(character, "control character")
        pieces.append((character, (name.lower(), f"U+{ord(character):04X}")))
        begin = place + 1
    if begin < len(text):
        pieces.append((text[begin:], None))
    return pieces


def _seen(character: str, before: str, after: str) -> bool:
    if character.isprintable():
        return character not in _BLANK
    if character == _JOINER:
        return bool(before and after) and unicodedata.category(after) == "So" and not before.isalnum()
    if character == "\r":
        return after == "\n"
    return character in "\n\t" or unicodedata.category(character) == "Zs"


def percent(part: float, whole: float = 1.0) -> str:
    """Write a share in percent; a dash where there is no whole."""
    if not whole:
        return "–"
    share = part / whole
    return f"{share:.1%}" if share == 0 or share >= 0.001 else f"{share:.3%}"


@cache
def _source(name: str) -> str:
    return (FOLDER / name).read_text(encoding="utf-8")


def _digest(source: str) -> str:
    """Give the hash by which a Content Security Policy knows a script or style.

    Source: W3C, Content Security Policy Level 3, section 2.3.1 (hash-source).
    """
    return f"sha256-{base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()}"

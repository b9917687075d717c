"""The groups of people that are compared, and how a comment that mentions one is found."""

import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from moderation.errors import ModerationError
from moderation.paths import DATA

FORMS = ("people", "a_person", "adjective")
"""The slots of a sentence that a group fills."""
SLOT = re.compile(r"\{([^{}]*)\}")
_SENTENCE_START = re.compile(r"(?:^|\n|[.!?][\"')]*\s)[\s\"'(]*$")


@dataclass(frozen=True, slots=True)
class Group:
    """One group of people, as ``data/groups.toml`` describes it.

    Parameters
    ----------
    id
        Such as ``kurds``.
    people, a_person, adjective
        The forms that fill a sentence: ``Kurds``, ``a Kurd``, ``Kurdish``.
    mention
        Finds a mention of the group. It sees words only: whom a comment is about it does not know.
    """

    id: str
    people: str
    a_person: str
    adjective: str
    mention: re.Pattern[str]

    def fill(self, text: str) -> str:
        """Fill the slots of a sentence, with a capital where a sentence begins."""

        def form(slot: re.Match[str]) -> str:
            word: str = getattr(self, slot[1])
            return word[0].upper() + word[1:] if _SENTENCE_START.search(text, 0, slot.start()) else word

        return SLOT.sub(form, text)


def groups(file: Path = DATA / "groups.toml") -> tuple[Group, ...]:
    """Read the groups, in the order of the file.

    Raises
    ------
    ModerationError
        When the file cannot be read, or a group lacks a form, has a wrong pattern or comes twice.
    """
    try:
        data = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise ModerationError(f"{file}: cannot be read ({error})") from error
    found: dict[str, Group] = {}
    for entry in data.get("group", ()):
        name = entry.get("id", "")
        if lacking := [key for key in ("id", "names", *FORMS) if not entry.get(key)]:
            raise ModerationError(f"{file}: group {name!r} lacks {lacking[0]!r}")
        if name in found:
            raise ModerationError(f"{file}: group {name!r} comes twice")
        try:
            mention = _mention(entry["names"], entry.get("described", ()), data.get("persons", ()))
        except re.error as error:
            raise ModerationError(f"{file}: group {name!r} has a wrong pattern: {error}") from error
        found[name] = Group(name, **{form: entry[form] for form in FORMS}, mention=mention)
    return tuple(found.values())


def _mention(names: Sequence[str], described: Sequence[str], persons: Sequence[str]) -> re.Pattern[str]:
    ways = list(names)
    if described:
        ways.append(rf"(?:{'|'.join(described)})[\s-]+(?:\w+[\s-]+)?(?:{'|'.join(persons)})")
    return re.compile(rf"\b(?:{'|'.join(ways)})\b", re.IGNORECASE)

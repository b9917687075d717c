"""Thresholds written into a policy's text, where a person's words stay as they are."""

import re
import tomllib
from collections.abc import Mapping

from moderation.errors import ModerationError

_NUMBER = r"[+-]?\d[\d_]*(?:\.[\d_]+)?(?:[eE][+-]?[\d_]+)?"


def rewritten(policy_text: str, thresholds: Mapping[str, float]) -> str:
    """Put thresholds into a policy's text; all else stays as it is, byte for byte, comments as well.

    Parameters
    ----------
    policy_text
        TOML, with its line ends as they are in the file.
    thresholds
        ``unflagged`` and ``referred``.

    Raises
    ------
    ModerationError
        When the text is no TOML or has no such thresholds.
    """
    for key in ("unflagged", "referred"):
        policy_text = _with_threshold(policy_text, key, float(thresholds[key]))
    return policy_text


def _with_threshold(text: str, key: str, value: float) -> str:
    """Replace the number whose change makes exactly the wanted difference once the text is parsed."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ModerationError(f"the policy is no TOML: {error}; mend it there") from error
    table = data.get("thresholds")
    if isinstance(table, dict) and key in table:
        if table[key] == value:
            return text
        wanted = {**data, "thresholds": {**table, key: value}}
        for place in re.finditer(rf"""(?<![\w-])["']?{key}["']?[ \t]*=[ \t]*({_NUMBER})""", text):
            changed = text[: place.start(1)] + repr(value) + text[place.end(1) :]
            try:
                found = tomllib.loads(changed)
            except tomllib.TOMLDecodeError:  # it stood in a string of another shape
                continue
            if found == wanted:
                return changed
    raise ModerationError(f"thresholds: {key}: not in the policy; write `{key} = {value!r}` under [thresholds]")

"""Read a policy's file and check everything in it, before anything is judged."""

import hashlib
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import re2

from moderation.errors import PolicyError
from moderation.finding import Effect
from moderation.policy.patterns import compile_pattern
from moderation.policy.rule import DETECTORS, GUIDELINES, VIEWS, Guideline, Rule, Term
from moderation.policy.terms import read_terms
from moderation.policy.whole import EncoderLooks, Policy

_LIST = re.compile(r"\{\{(\w+)\}\}")
_FEW_ITEMS = 16
_TRIAL_TEXTS = ("", "a", "a b, c.")
_RULE_ID = re.compile(r"[a-z_]+\.[a-z0-9-]+")
_RETIRED_KEYS = ("id", "guideline", "retired", "statement")
_RULE_KEYS = (
    "id",
    "guideline",
    "kind",
    "effect",
    "statement",
    "reason",
    "known_problems",
    "view",
    "fires_on",
    "terms",
    "min_strength",
    "max_strength",
    "finds",
    "at_least",
    "unless",
    "violates",
    "allowed",
    "retired",
)
DEFAULT_LOOKS = EncoderLooks(unflagged=0.18, referred=0.03)
"""Where the encoder looks if a policy does not say."""
ADAPTERS = ("perspective", "coral", "openai", "akismet")
"""Protocols of other services that the HTTP door speaks; a policy may have a table for each."""

_POLICY_KEYS = ("policy", "thresholds", "encoder", "adapters", "guideline", "list", "excuses", "rule")


def load_policy(path: str | Path, *, check_patterns: bool = True) -> Policy:
    """Read, validate and compile a policy.

    Parameters
    ----------
    path
        The TOML file. Term files are sought relative to its folder, then to that folder's parent.
    check_patterns
        Whether each pattern is compiled alone now, to name one that cannot be used. For the policy shipped
        the test suite does so, which saves a third of the loading time.

    Raises
    ------
    PolicyError
        When anything in the file cannot be used, naming the file, the rule and the key.
    """
    path = Path(path)
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise PolicyError(str(path), f"cannot be read ({error.strerror}); name a policy's TOML file") from error
    try:
        data = tomllib.loads(raw.decode("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise PolicyError(str(path), f"not valid TOML: {error}") from error
    return _Reader(path, raw, data, check_patterns=check_patterns).policy()


class _Reader:
    """Turns a policy's TOML into a `Policy`, complaining with file, rule and key."""

    def __init__(self, path: Path, raw: bytes, data: dict[str, Any], *, check_patterns: bool) -> None:
        self.path = path
        self.check_patterns = check_patterns
        self.data = data
        self.digest = hashlib.sha256(raw)
        self.lists: dict[str, tuple[str, ...]] = {}
        self.term_files: dict[str, tuple[tuple[Term, ...], tuple[str, ...]]] = {}

    def policy(self) -> Policy:
        self._keys(self.data, _POLICY_KEYS, "")
        head = self._table("policy")
        self._keys(head, ("name", "version", "title"), "policy")
        self._read_lists()
        guidelines = self._guidelines()
        thresholds = self._thresholds()
        rules: dict[str, Rule] = {}
        for entry in self._tables("rule"):
            rule = self._rule(entry, {guideline.id: guideline for guideline in guidelines})
            if rule.id in rules:
                self._fail(f"rule {rule.id}: id", "used twice; ids are never reused, choose another")
            rules[rule.id] = rule
        return Policy(
            name=self._text(head, "name", "policy"),
            version=self._text(head, "version", "policy"),
            hash=self.digest.hexdigest()[:12],
            guidelines=guidelines,
            rules=tuple(rule for rule in rules.values() if not rule.retired),
            retired=tuple(rule for rule in rules.values() if rule.retired),
            thresholds=thresholds,
            encoder=self._encoder(),
            asides=self._asides(),
            term_files=self.term_files,
            adapters=self._adapters(),
            source=str(self.path),
        )

    def _fail(self, where: str, problem: str) -> NoReturn:
        raise PolicyError(f"{self.path}: {where}" if where else str(self.path), problem)

    def _keys(self, table: Mapping[str, Any], valid: tuple[str, ...], where: str) -> None:
        for key in table:
            if key not in valid:
                self._fail(f"{where}: {key}" if where else key, f"unknown key; valid keys are {', '.join(valid)}")

    def _table(self, key: str) -> dict[str, Any]:
        value = self.data.get(key)
        if not isinstance(value, dict):
            self._fail(key, f"missing; add a [{key}] table")
        return dict(value or {})

    def _tables(self, key: str) -> list[dict[str, Any]]:
        value = self.data.get(key, [])
        if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
            self._fail(key, f"must be tables; write [[{key}]] above each")
        return list(value)

    def _text(self, table: Mapping[str, Any], key: str, where: str, *, default: str | None = None) -> str:
        value = table.get(key, default)
        if not isinstance(value, str) or (default is None and not value.strip()):
            self._fail(f"{where}: {key}", "missing or not a text; write it between quotes")
        return str(value)

    def _texts(self, table: Mapping[str, Any], key: str, where: str) -> tuple[str, ...]:
        value = table.get(key, [])
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            self._fail(f"{where}: {key}", "must be a list of texts")
        return tuple(value)

    def _whole(self, table: Mapping[str, Any], key: str, where: str, default: int, low: int, high: int) -> int:
        value = table.get(key, default)
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            self._fail(f"{where}: {key}", f"must be a whole number from {low} to {high}")
        return int(value)

    def _guidelines(self) -> tuple[Guideline, ...]:
        guidelines: list[Guideline] = []
        for entry in self._tables("guideline"):
            where = f"guideline {entry.get('id', '?')}"
            self._keys(entry, ("id", "title", "text", "kinds"), where)
            guideline = Guideline(
                self._text(entry, "id", where),
                self._text(entry, "title", where),
                self._text(entry, "text", where),
                self._texts(entry, "kinds", where),
            )
            if guideline.id not in GUIDELINES:
                self._fail(where, f"unknown id; valid ids are {', '.join(GUIDELINES)}")
            if any(guideline.id == other.id for other in guidelines):
                self._fail(where, "used twice; write each guideline once")
            guidelines.append(guideline)
        if not guidelines:
            self._fail("guideline", "missing; publish at least one [[guideline]]")
        return tuple(guidelines)

    def _thresholds(self) -> dict[str, float]:
        table = self._table("thresholds")
        self._keys(table, ("unflagged", "referred"), "thresholds")
        found = {key: self._probability(table, "thresholds", key) for key in ("unflagged", "referred")}
        if found["referred"] > found["unflagged"]:
            self._fail("thresholds: referred", "must not be above `unflagged`: a referred comment has the lower bar")
        return found

    def _encoder(self) -> EncoderLooks | None:
        table = self._table("encoder") if "encoder" in self.data else {}
        self._keys(table, ("use", "unflagged", "referred"), "encoder")
        use = table.get("use", True)
        if not isinstance(use, bool):
            self._fail("encoder: use", "must be true or false")
        unflagged = self._probability(table, "encoder", "unflagged", DEFAULT_LOOKS.unflagged)
        referred = self._probability(table, "encoder", "referred", min(unflagged, DEFAULT_LOOKS.referred))
        if referred > unflagged:
            self._fail(
                "encoder: referred", "must not be above `unflagged`: at a referred comment the encoder looks sooner"
            )
        return EncoderLooks(unflagged, referred) if use else None

    def _probability(self, table: Mapping[str, Any], name: str, key: str, default: float | None = None) -> float:
        value = table.get(key, default)
        if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= 1:
            self._fail(f"{name}: {key}", "must be a probability from 0 to 1")
        return float(value)

    def _adapters(self) -> dict[str, dict[str, Any]]:
        tables = self._table("adapters") if "adapters" in self.data else {}
        self._keys(tables, ADAPTERS, "adapters")
        for name, table in tables.items():
            if not isinstance(table, dict):
                self._fail(f"adapters.{name}", f"must be a table; write [adapters.{name}] above its keys")
        return tables

    def _asides(self) -> tuple[str, ...]:
        table = self._table("excuses") if "excuses" in self.data else {}
        self._keys(table, ("asides",), "excuses")
        return self._patterns(table, "asides", "excuses")

    def _read_lists(self) -> None:
        lists = self.data.get("list", {})
        if not isinstance(lists, dict):
            self._fail("list", "must be a table of names and their patterns")
        for name, value in lists.items():
            if isinstance(value, str):
                terms, _ = self._term_file(value, f"list {name}")
                self.lists[name] = tuple(re.escape(term.text) for term in terms)
            elif isinstance(value, list) and value and all(isinstance(item, str) for item in value):
                self.lists[name] = tuple(self._expand(item, f"list {name}") for item in value)
            else:
                self._fail(f"list {name}", "must be a list of patterns or the name of a term file")

    def _term_file(self, name: str, where: str) -> tuple[tuple[Term, ...], tuple[str, ...]]:
        if name not in self.term_files:
            for folder in (self.path.parent, self.path.parent.parent):
                file = folder / name
                if file.is_file():
                    break
            else:
                self._fail(f"{where}: terms", f"no file {name!r} beside the policy or in the folder above")
            raw = file.read_bytes()
            self.digest.update(raw)
            try:
                self.term_files[name] = read_terms(raw.decode("utf-8"))
            except UnicodeDecodeError as error:
                self._fail(str(file), f"not UTF-8 at byte {error.start}; convert the file")
            except ValueError as error:
                self._fail(str(file), str(error))
        return self.term_files[name]

    def _rule(self, entry: Mapping[str, Any], guidelines: Mapping[str, Guideline]) -> Rule:
        where = f"rule {entry.get('id', '?')}"
        self._keys(entry, _RULE_KEYS, where)
        rule_id = self._text(entry, "id", where)
        if not _RULE_ID.fullmatch(rule_id):
            self._fail(f"{where}: id", "must read <topic>.<what-is-seen>, such as threat.stated-intent")
        guideline = self._text(entry, "guideline", where)
        if guideline not in guidelines:
            self._fail(f"{where}: guideline", f"{guideline!r} is not published; published are {', '.join(guidelines)}")
        if "retired" in entry:
            self._keys(entry, _RETIRED_KEYS, f"{where}: retired")
            statement = self._text(entry, "statement", where)
            retired = self._text({"retired": str(entry["retired"])}, "retired", where)
            return Rule(rule_id, guideline, Effect.REFER, statement, "", "", "folded", retired=retired)
        effects = (Effect.REJECT.value, Effect.REFER.value)
        effect = self._text(entry, "effect", where)
        if effect not in effects:
            self._fail(f"{where}: effect", f"must be one of {', '.join(effects)}")
        view = self._text(entry, "view", where, default="skeleton")
        if view not in VIEWS:
            self._fail(f"{where}: view", f"must be one of {', '.join(VIEWS)}")
        kind = self._text(entry, "kind", where, default="")
        if kind and kind not in guidelines[guideline].kinds:
            valid = ", ".join(guidelines[guideline].kinds) or "none"
            self._fail(f"{where}: kind", f"{kind!r} is not a kind of {guideline}; its kinds: {valid}")
        rule = Rule(
            id=rule_id,
            guideline=guideline,
            effect=Effect(effect),
            statement=self._text(entry, "statement", where),
            reason=self._text(entry, "reason", where),
            known_problems=self._text(entry, "known_problems", where),
            view=view,
            kind=kind,
            fires_on=self._patterns(entry, "fires_on", where),
            terms=self._text(entry, "terms", where, default=""),
            min_strength=self._whole(entry, "min_strength", where, 1, 1, 4),
            max_strength=self._whole(entry, "max_strength", where, 4, 1, 4),
            finds=self._text(entry, "finds", where, default=""),
            at_least=self._whole(entry, "at_least", where, 1, 1, 1000),
            unless=self._patterns(entry, "unless", where),
            violates=self._texts(entry, "violates", where),
            allowed=self._texts(entry, "allowed", where),
        )
        if not (rule.fires_on or rule.terms or rule.finds):
            self._fail(f"{where}: fires_on", "missing; state patterns in `fires_on`, a file in `terms` or `finds`")
        if rule.finds and rule.finds not in DETECTORS:
            self._fail(f"{where}: finds", f"must be one of {', '.join(DETECTORS)}")
        if rule.terms:
            self._term_file(rule.terms, where)
        if len(rule.violates) < 3:
            self._fail(f"{where}: violates", "needs at least three examples")
        if len(rule.allowed) < 2:
            self._fail(f"{where}: allowed", "needs at least two examples")
        return rule

    def _patterns(self, entry: Mapping[str, Any], key: str, where: str) -> tuple[str, ...]:
        patterns = []
        texts = self._texts(entry, key, where)
        for pattern in (part for text in texts for part in (self._parts(text) if key == "unless" else (text,))):
            patterns.append(self._expand(pattern, f"{where}: {key}"))
            if self.check_patterns:
                self._check_pattern(pattern, patterns[-1], f"{where}: {key}")
        return tuple(patterns)

    def _parts(self, pattern: str) -> Sequence[str]:
        """Read a short list that stands alone as many patterns: each is run only where its words are."""
        name = _LIST.fullmatch(pattern)
        items = self.lists.get(name[1], ()) if name else ()
        return items if 0 < len(items) <= _FEW_ITEMS else (pattern,)

    def _check_pattern(self, written: str, pattern: str, where: str) -> None:
        try:
            compiled = compile_pattern(pattern)
        except re2.error as error:
            self._fail(where, f"not a linear-time (RE2) pattern: {_message(error)}: {written!r}")
        if any(match.start() == match.end() for text in _TRIAL_TEXTS for match in compiled.finditer(text)):
            self._fail(where, f"matches empty text; require at least one character: {written!r}")

    def _expand(self, pattern: str, where: str) -> str:
        def content(reference: re.Match[str]) -> str:
            name = reference[1]
            if name not in self.lists:
                self._fail(where, f"no list {name!r}; [list] has {', '.join(self.lists) or 'none'}")
            return "(?:" + "|".join(self.lists[name]) + ")"

        return _LIST.sub(content, pattern)


def _message(error: Exception) -> str:
    text = error.args[0] if error.args else ""
    return text.decode("utf-8", "replace") if isinstance(text, bytes) else str(text)

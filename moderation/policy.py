"""A policy: the published guidelines, the rules that read parts of them, and the thresholds.

One TOML file, with its term files beside it. Everything is checked before anything is judged.
"""

import hashlib
import re
import tomllib
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any, NoReturn

import re2
from ahocorasick_rs import AhoCorasick

from moderation.errors import PolicyError
from moderation.finding import Effect
from moderation.literals import Gate
from moderation.normalise import Words, folded_view

GUIDELINES = ("profanity", "vulgarity", "threat", "personal_attack", "abuse", "promotion")
"""Ids of the guidelines, in the order of the classifier's outputs."""

VIEWS = ("plain", "folded", "skeleton")
DETECTORS = ("phone", "repeated-link")
STRONG = 3
"""From this strength on, a term is also sought doubled, split and glued."""

_RE2_MEMORY_BYTES = 1 << 26
TEXTS_BEFORE_GATE = 32
"""Texts that a policy judges before it takes the third of a second that makes the others quicker."""
_VOWELS = frozenset("aeiouy")
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
DEFAULT_DOUBT = 0.13
"""What `EncoderLooks` holds where a policy does not say."""
SHORTEST_READING = 30
"""Characters of a comment of which a shorter one takes the encoder no less time."""

ADAPTERS = ("perspective", "coral", "openai", "akismet")
"""Protocols of other services that the HTTP door speaks; a policy may have a table for each."""

_POLICY_KEYS = ("policy", "thresholds", "encoder", "adapters", "guideline", "list", "rule")


@dataclass(frozen=True, slots=True)
class Guideline:
    """A published sentence that people can read."""

    id: str
    title: str
    text: str
    kinds: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Term:
    """One entry of a term file.

    Parameters
    ----------
    text
        The word or phrase in folded form.
    strength
        1 mild, 2 coarse, 3 strong, 4 slur or the worst.
    glued_before, glued_after
        Whether letters may stand before or after it.
    """

    text: str
    strength: int
    glued_before: bool = False
    glued_after: bool = False


@dataclass(frozen=True, slots=True)
class Rule:
    """One machine reading of part of a guideline."""

    id: str
    guideline: str
    effect: Effect
    statement: str
    reason: str
    known_problems: str
    view: str
    kind: str = ""
    fires_on: tuple[str, ...] = ()
    terms: str = ""
    min_strength: int = 1
    max_strength: int = 4
    finds: str = ""
    at_least: int = 1
    unless: tuple[str, ...] = ()
    violates: tuple[str, ...] = ()
    allowed: tuple[str, ...] = ()
    retired: str = ""

    def reads(self, view: str) -> bool:
        """Whether it looks at this view; one for the skeleton reads the folded view as well."""
        return self.view == view or (self.view == "skeleton" and view == "folded")


@dataclass(frozen=True, slots=True)
class EncoderLooks:
    """Which comments the encoder looks at: those that it would reject likely enough for the time that reading takes.

    Parameters
    ----------
    doubt
        How likely the encoder would reject, 0 to 1, from which (``>=``) it looks at a comment of which it reads a
        hundred characters (code points); for more or fewer it is more or less in proportion.
    """

    doubt: float

    def at(self, doubt: float, characters: int) -> bool:
        """Say whether the encoder looks at a comment with this doubt and so many characters to read."""
        # To as many places as a doubt has, so that what is just enough on paper is enough.
        return doubt >= round(self.doubt * max(characters, SHORTEST_READING) / 100, 6)


@dataclass(frozen=True)
class Policy:
    """A versioned set of guidelines, rules and thresholds; `load_policy` makes one.

    Parameters
    ----------
    name, version
        As the file states them.
    hash
        First twelve hexadecimal digits of the SHA-256 over the policy file and its term files.
    guidelines, rules
        In the order of the file; retired rules are in ``retired`` instead.
    thresholds
        ``unflagged`` and ``referred``, probabilities from 0 to 1; the score must reach (``>=``) the one
        that applies for a comment to be rejected.
    encoder
        Which comments are left to the encoder; None where the policy does without it.
    term_files
        Terms and allowed words of each term file that a rule names.
    adapters
        Tables under ``[adapters]`` as the file has them, by name of `ADAPTERS`; each adapter of the HTTP door
        checks its own when it is started.
    source
        The file, for messages.
    """

    name: str
    version: str
    hash: str
    guidelines: tuple[Guideline, ...]
    rules: tuple[Rule, ...]
    retired: tuple[Rule, ...]
    thresholds: Mapping[str, float]
    encoder: EncoderLooks | None
    term_files: Mapping[str, tuple[tuple[Term, ...], tuple[str, ...]]] = field(repr=False)
    adapters: Mapping[str, Mapping[str, Any]] = field(default_factory=dict, repr=False)
    source: str = ""

    @cached_property
    def guideline_texts(self) -> Mapping[str, str]:
        """The published sentences by id, in the order of the file."""
        return {guideline.id: guideline.text for guideline in self.guidelines}

    @cached_property
    def identity(self) -> str:
        """Name, version and hash in one word, as decisions carry it."""
        return f"{self.name}-{self.version}+{self.hash}"

    def rule(self, rule_id: str) -> Rule:
        """Find a rule, retired ones as well.

        Raises
        ------
        PolicyError
            When there is none of this id.
        """
        try:
            return self._by_id[rule_id]
        except KeyError:
            raise PolicyError(self.name, f"no rule {rule_id!r}: `moderation rules` lists them") from None

    @cached_property
    def _by_id(self) -> dict[str, Rule]:
        return {rule.id: rule for rule in (*self.rules, *self.retired)}

    @cached_property
    def detecting(self) -> tuple[Rule, ...]:
        """The rules that have a detector of their own."""
        return tuple(rule for rule in self.rules if rule.finds)

    @cached_property
    def words(self) -> Words:
        """The terms that a disguise may hide; of several, that of the first rule is taken."""
        names = dict.fromkeys((*(rule.terms for rule in self.rules if rule.terms), *self.term_files))
        return Words(term.text for name in names for term in self.term_files[name][0] if term.strength > 1)

    @cached_property
    def patterns(self) -> "PatternSet":
        """All patterns, compiled."""
        return PatternSet(self.rules)

    @cached_property
    def lexicon(self) -> "Lexicon":
        """All terms, compiled into one automaton."""
        return Lexicon(self.rules, self.term_files)


def compile_pattern(pattern: str) -> Any:
    """Compile a pattern for the linear-time engine; raises ``re2.error``."""
    return re2.compile(pattern, _options())


def _options() -> Any:
    options = re2.Options()
    options.max_mem = _RE2_MEMORY_BYTES
    options.log_errors = False
    return options


class PatternSet:
    """The patterns of the rules: the words of a text tell which can occur, then those alone are run.

    A pattern is compiled when first run. The first texts are tried with all, one automaton a rule: that is ready
    sooner. One automaton for all rules grows with the product of their gaps: it ran at 250 comments a second.

    Source: RE2 (linear time in the text): https://github.com/google/re2
    """

    def __init__(self, rules: Iterable[Rule]) -> None:
        self._rules = rules = tuple(rules)
        self._owned = tuple((rule, pattern) for rule in rules for pattern in rule.fires_on)
        self._excuses = tuple(dict.fromkeys(pattern for rule in rules for pattern in rule.unless))
        self._read = {view for view in VIEWS if any(rule.reads(view) for rule, _ in self._owned)}
        self._texts_left = TEXTS_BEFORE_GATE
        self._searches: list[Callable[[bytes], object] | None] = [None] * len(self._owned)
        self._compiled: dict[str, Any] = {}

    def candidates(self, text: str, view: str) -> list[tuple[Rule, str]]:
        """Give each rule that reads this view, and each of its patterns that occurs in the text."""
        if view not in self._read:
            return []
        encoded = text.encode()
        if self._texts_left > 0:
            self._texts_left -= 1
            return [
                (rule, rule.fires_on[index])
                for rule, patterns in self._sets
                if rule.reads(view)
                for index in sorted(patterns.Match(encoded) or ())
            ]
        gate, reading = self._gate
        return [
            self._owned[place]
            for place in gate.candidates(text, reading[view])
            if (self._searches[place] or self._search(place))(encoded)
        ]

    def excusing(self, text: str, rules: Iterable[str]) -> Collection[str]:
        """Give the patterns of an ``unless`` of these rules that may occur in the text."""
        if self._texts_left > 0:
            return self._excuses
        among = 0
        for rule in rules:
            among |= self._excusing[rule]
        if not among:
            return ()
        first = len(self._owned)
        return {self._excuses[place - first] for place in self._gate[0].candidates(text, among)}

    @cached_property
    def _sets(self) -> list[tuple[Rule, Any]]:
        sets = []
        for rule in self._rules:
            if rule.fires_on:
                patterns = re2.Set.SearchSet(_options())
                for pattern in rule.fires_on:
                    patterns.Add(pattern)
                patterns.Compile()
                sets.append((rule, patterns))
        return sets

    @cached_property
    def _gate(self) -> tuple[Gate, Mapping[str, int]]:
        # One for both kinds, so that a word is looked at once.
        gate = Gate((*(pattern for _, pattern in self._owned), *self._excuses))
        return gate, {
            view: gate.selection(place for place, (rule, _) in enumerate(self._owned) if rule.reads(view))
            for view in VIEWS
        }

    @cached_property
    def _excusing(self) -> Mapping[str, int]:
        places = {pattern: place for place, pattern in enumerate(self._excuses, len(self._owned))}
        gate, _ = self._gate
        return {rule.id: gate.selection(map(places.__getitem__, rule.unless)) for rule in self._rules}

    def _search(self, place: int) -> Callable[[bytes], object]:
        """Compile one pattern to tell only whether it occurs."""
        alone = re2.Set.SearchSet(_options())
        alone.Add(self._owned[place][1])
        alone.Compile()
        search: Callable[[bytes], object] = alone.Match
        self._searches[place] = search
        return search

    def prepare(self) -> None:
        """Make all now that is else made when first needed, for a caller whose comments must not wait for it."""
        self._texts_left = 0
        _ = self._excusing
        for place, (_, pattern) in enumerate(self._owned):
            self._search(place)
            self.compiled(pattern)
        for pattern in self._excuses:
            self.compiled(pattern)

    def compiled(self, pattern: str) -> Any:
        """Give the compiled form of one pattern; made when first asked for."""
        if pattern not in self._compiled:
            self._compiled[pattern] = compile_pattern(pattern)
        return self._compiled[pattern]


_Entry = tuple[Term | None, tuple[Rule, ...], bool, bool, bool]
"""A term or None, its rules, whether letters may stand before and after it, and whether it is disguised."""


class Lexicon:
    """All terms of a policy in one Aho-Corasick automaton; its speed does not depend on their number.

    Source: ahocorasick_rs, https://github.com/G-Research/ahocorasick_rs
    """

    def __init__(
        self,
        rules: Iterable[Rule],
        term_files: Mapping[str, tuple[tuple[Term, ...], tuple[str, ...]]],
    ) -> None:
        entries: dict[str, list[_Entry]] = {}
        rules = tuple(rules)
        for name, (terms, allowed) in term_files.items():
            users = tuple(rule for rule in rules if rule.terms == name)
            for term in terms:
                wanting = tuple(rule for rule in users if rule.min_strength <= term.strength <= rule.max_strength)
                if not wanting:
                    continue
                entries.setdefault(term.text, []).append((term, wanting, term.glued_before, term.glued_after, False))
                if term.strength >= STRONG:
                    for alias in _disguises(term.text):
                        entries.setdefault(alias, []).append((term, wanting, False, False, True))
            for word in allowed:
                entries.setdefault(word, []).append((None, users, False, False, False))
        self._texts = tuple(entries)
        self._entries = tuple(tuple(found) for found in entries.values())
        self._automaton = AhoCorasick(self._texts) if self._texts else None

    def find(self, text: str) -> list[tuple[int, int, Term | None, tuple[Rule, ...], bool]]:
        """Find every term and allowed word.

        Returns
        -------
        list of (start, end, term, rules, disguised)
            Half-open offsets in ``text``; term None for an allowed word, which excuses what lies
            within it for these rules.
        """
        if self._automaton is None:
            return []
        found = []
        size = len(text)
        for index, start, end in self._automaton.find_matches_as_indexes(text, overlapping=True):
            joined_before = start > 0 and text[start - 1].isalnum() and text[start].isalnum()
            joined_after = end < size and text[end].isalnum() and text[end - 1].isalnum()
            for term, rules, glued_before, glued_after, disguised in self._entries[index]:
                if (joined_before and not glued_before) or (joined_after and not glued_after):
                    continue
                found.append((start, end, term, rules, disguised))
        return found


def _disguises(term: str) -> Iterable[str]:
    """Yield misspellings of a strong word: one letter doubled, or split where a half is no word."""
    if not term.isalpha() or not term.isascii() or len(term) < 4:
        return
    for place, letter in enumerate(term):
        if letter not in term[max(0, place - 1) : place] and letter not in term[place + 1 : place + 2]:
            yield term[: place + 1] + term[place:]
    for place in range(1, len(term)):
        left, right = term[:place], term[place:]
        # Not after a letter that an apostrophe leaves over, as in "it's hit".
        if (
            left not in ("s", "t", "d", "m")
            and len(right) > 1
            and (_VOWELS.isdisjoint(left) or _VOWELS.isdisjoint(right))
        ):
            yield f"{left} {right}"


# --------------------------------------------------------------------------- loading


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
        self._keys(table, ("use", "doubt"), "encoder")
        use = table.get("use", True)
        if not isinstance(use, bool):
            self._fail("encoder: use", "must be true or false")
        looks = EncoderLooks(self._probability(table, "encoder", "doubt", DEFAULT_DOUBT))
        return looks if use else None

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
        for pattern in self._texts(entry, key, where):
            patterns.append(self._expand(pattern, f"{where}: {key}"))
            if self.check_patterns:
                self._check_pattern(pattern, patterns[-1], f"{where}: {key}")
        return tuple(patterns)

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

        return re.sub(r"\{\{(\w+)\}\}", content, pattern)


def _message(error: Exception) -> str:
    text = error.args[0] if error.args else ""
    return text.decode("utf-8", "replace") if isinstance(text, bytes) else str(text)


def read_terms(text: str) -> tuple[tuple[Term, ...], tuple[str, ...]]:
    """Read a term file.

    One entry a line, ``word<TAB>strength``; ``#`` begins a comment. ``{,s,er}`` stands for each of the
    endings, a ``*`` before or after the word lets other letters join it, and ``!word`` names an allowed
    word, which excuses any term inside it.

    Returns
    -------
    terms : tuple of Term
    allowed : tuple of str

    Raises
    ------
    ValueError
        When a line cannot be read; the message has its number and the remedy.
    """
    terms: list[Term] = []
    allowed: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        line = line.split("#", 1)[0].rstrip() if not line.startswith("#") else ""
        if not line.strip():
            continue
        if line.startswith("!"):
            allowed.extend(_folded_forms(line[1:], number))
            continue
        word, tab, strength = line.partition("\t")
        if not tab or strength.strip() not in ("1", "2", "3", "4"):
            raise ValueError(f"line {number}: write the word, a tab and a strength from 1 to 4: {line!r}")
        before, after = word.startswith("*"), word.endswith("*")
        terms.extend(Term(form, int(strength), before, after) for form in _folded_forms(word.strip("*"), number))
    return tuple(terms), tuple(allowed)


def _folded_forms(word: str, number: int) -> list[str]:
    forms = [folded_view(form).text.strip() for form in _endings(word.strip())]
    if not all(forms):
        raise ValueError(f"line {number}: names no word; write one before the tab")
    return forms


def _endings(word: str) -> list[str]:
    parts = re.split(r"\{([^{}]*)\}", word)
    choices = [[part] if place % 2 == 0 else part.split(",") for place, part in enumerate(parts)]
    return ["".join(choice) for choice in product(*choices)]

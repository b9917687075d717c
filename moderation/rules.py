"""The rule layer: what of the guidelines can be seen by rule."""

import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Collection, Iterable
from functools import cache
from typing import Any

from moderation.errors import PolicyError
from moderation.finding import Finding
from moderation.normalise import Folded, fold
from moderation.policy import Policy, Rule


def disagreeing_examples(policy: Policy) -> list[tuple[str, str, str, str]]:
    """Run every rule's examples.

    Returns
    -------
    list of (rule id, key, example, problem)
        Empty when all agree.
    """
    problems = []
    for rule in policy.rules:
        for key, should_fire in (("violates", True), ("allowed", False)):
            for example in getattr(rule, key):
                fired = {finding.rule for finding in apply_rules(fold(example, policy.words), policy)}
                if (rule.id in fired) != should_fire:
                    problem = "the rule does not fire on its example" if should_fire else "the rule fires on it"
                    problems.append((rule.id, key, example, problem))
    return problems


def check_examples(policy: Policy) -> None:
    """Refuse a policy with a rule that disagrees with its examples.

    Raises
    ------
    PolicyError
        Naming the rule and the example.
    """
    for rule_id, key, example, problem in disagreeing_examples(policy):
        raise PolicyError(
            policy.name, f"rule {rule_id}: {key}: {problem}: {example!r}; mend the pattern or the example"
        )


_Place = tuple[Rule, int, int]
_Span = tuple[int, int]


def apply_rules(folded: Folded, policy: Policy) -> tuple[Finding, ...]:
    """Find every place where a rule fires.

    Returns
    -------
    tuple of Finding
        All of them, never just the first, in the order of the text; one for each rule and place.
    """
    original = folded.plain.text
    found: dict[tuple[int, int, str], Finding] = {}
    for name, view in folded.views():
        text = view.text
        places: list[_Place] = []
        excused: list[_Place] = []
        if name != "plain":
            for start, end, term, rules, disguised in policy.lexicon.find(text):
                for rule in rules:
                    if not rule.reads(name) or (disguised and rule.view != "skeleton"):
                        continue
                    (excused if term is None else places).append((rule, start, end))
        for rule, pattern in policy.patterns.candidates(text, name):
            for match in policy.patterns.compiled(pattern).finditer(text):
                if not _within_word(text, *match.span()):
                    places.append((rule, *match.span()))
        if name == "plain":
            places.extend(_detected(text, policy))
        if not places:
            continue
        allowed = _by_rule(excused)
        fired = _by_rule(places)
        said = policy.patterns.without_asides(text)
        excusing = policy.patterns.excusing(said, fired)
        for rule_id, spans in fired.items():
            rule = policy.rule(rule_id)
            spans = _without_allowed(spans, allowed.get(rule_id, []))
            spans = _without_excused(spans, rule, said, excusing, policy)
            if len(spans) < rule.at_least:
                continue
            for start, end in spans:
                begin, stop = view.original(start, end)
                found.setdefault(
                    (begin, stop, rule.id),
                    Finding(rule.id, rule.guideline, rule.effect, begin, stop, original[begin:stop]),
                )
    return _without_nested(found[key] for key in sorted(found))


def _within_word(text: str, start: int, end: int) -> bool:
    """Whether a letter beyond ASCII goes on where a pattern ended; its word boundaries know only ASCII."""
    before, after = text[start - 1 : start], text[end : end + 1]
    return (not before.isascii() and before.isalpha() and text[start].isalnum()) or (
        not after.isascii() and after.isalpha() and text[end - 1].isalnum()
    )


def _by_rule(places: Iterable[_Place]) -> dict[str, list[_Span]]:
    """Gather spans by rule, in the order of the text."""
    gathered: dict[str, list[_Span]] = {}
    for rule, start, end in sorted(places, key=lambda place: place[1:]):
        gathered.setdefault(rule.id, []).append((start, end))
    return gathered


# A hostile comment may hold a hundred thousand places, so each of these is one pass over sorted spans.


def _without_allowed(spans: list[_Span], allowed: list[_Span]) -> list[_Span]:
    """Drop the spans that lie within an allowed word; both in the order of the text."""
    kept = []
    reached, place = 0, 0
    for start, end in spans:
        while place < len(allowed) and allowed[place][0] <= start:
            reached = max(reached, allowed[place][1])
            place += 1
        if end > reached:
            kept.append((start, end))
    return kept


def _without_excused(
    spans: list[_Span], rule: Rule, text: str, excusing: Collection[str], policy: Policy
) -> list[_Span]:
    """Drop the spans that a match of the rule's ``unless`` overlaps; ``excusing``: the patterns that may match."""
    for pattern in rule.unless:
        if not spans:
            break
        if pattern not in excusing:
            continue
        excuses = [match.span() for match in policy.patterns.compiled(pattern).finditer(text)]
        stops = [stop for _, stop in excuses]
        kept = []
        for start, end in spans:
            first = bisect_right(stops, start)
            if first == len(excuses) or excuses[first][0] >= end:
                kept.append((start, end))
        spans = kept
    return spans


def _without_nested(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Keep of findings of one rule that lie within one another the longest."""
    kept: list[Finding] = []
    reached: dict[str, int] = {}
    for finding in sorted(findings, key=lambda f: (f.start, -f.end, f.rule)):
        if finding.end > reached.get(finding.rule, -1):
            reached[finding.rule] = finding.end
            kept.append(finding)
    return tuple(kept)


# --------------------------------------------------------------------------- detectors

_PHONE = re.compile(r"\+\d(?:[ ().-]{0,4}\d){7}|\d(?:[ ().-]{0,4}\d){8}")
_LINK = re.compile(r"(?:https?://|www\.)[^\s<>\"']{3,2000}", re.I)


def _detected(text: str, policy: Policy) -> Iterable[_Place]:
    for rule in policy.detecting:
        if rule.finds == "phone":
            if _PHONE.search(text):
                yield from ((rule, start, end) for start, end in _phones(text))
        elif "://" in text or "www." in text.lower():
            yield from ((rule, start, end) for start, end in _repeated_links(text, rule.at_least))


def _phones(text: str) -> Iterable[tuple[int, int]]:
    """Find telephone numbers, international or as dialled in the countries of most English readers.

    Source: phonenumbers (Google's libphonenumber), leniency VALID.
    """
    import phonenumbers

    seen: set[tuple[int, int]] = set()
    for region in ("US", "GB", "IN"):  # Each finds what begins with + and a country as well.
        for match in phonenumbers.PhoneNumberMatcher(text, region):
            span = (match.start, match.end)
            if not any(span[0] < end and start < span[1] for start, end in seen):
                seen.add(span)
    return sorted(seen)


def _repeated_links(text: str, at_least: int) -> list[tuple[int, int]]:
    """Find links to a site that is linked at least so often.

    Source: registered domains by the Public Suffix List, bundled with tldextract (no network).
    """
    links = [match.span() for match in _LINK.finditer(text)]
    if len(links) < at_least:
        return []
    extract = _domains()
    sites = [extract(text[start:end].lower()).top_domain_under_public_suffix for start, end in links]
    counts = Counter(sites)
    return [span for span, site in zip(links, sites, strict=True) if site and counts[site] >= at_least]


@cache
def _domains() -> Any:
    """Give what reads domains; it holds the whole list, so it is made once."""
    from tldextract import TLDExtract

    return TLDExtract(suffix_list_urls=(), cache_dir=None)

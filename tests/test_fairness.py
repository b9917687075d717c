import json
import re
import tomllib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moderation import datasets
from moderation.comment import Comment
from moderation.datasets import OWN, Labelled
from moderation.decision import Decision, Verdict
from moderation.errors import ModerationError
from moderation.fairness import bias as ranking
from moderation.fairness import counterfactual as substitution
from moderation.fairness.bias import LEAST_ROWS, bias, power_mean
from moderation.fairness.counterfactual import counterfactual, sentences
from moderation.fairness.groups import FORMS, Group, groups
from moderation.paths import DATA
from moderation.policy import GUIDELINES

GROUPS = groups()
BY_ID = {group.id: group for group in GROUPS}
SENTENCES = sentences()
UNSAID: dict[str, int | None] = dict.fromkeys(("reject", *GUIDELINES))


def decided(score: float, *, rule: bool = False, threshold: float = 0.5) -> Decision:
    return Decision(
        id="",
        verdict=Verdict.REJECT if rule or score >= threshold else Verdict.APPROVE,
        guidelines=(),
        reason="",
        score=score,
        scores={},
        threshold=threshold,
        decided_by="rule" if rule else "linear",
        findings=(),
        policy="toy",
        model="fake",
    )


class Fake:
    """Scores a comment by the strongest of the words in it, 0.1 without any."""

    def __init__(self, scores: Mapping[str, float]) -> None:
        self.scores = scores

    def review_many(self, comments: Iterable[Comment | str]) -> Sequence[Decision]:
        return tuple(
            decided(max((score for word, score in self.scores.items() if word in str(text).lower()), default=0.1))
            for text in comments
        )


def group_of(name: str) -> Group:
    return Group(name, f"{name}s", f"a {name}", name, re.compile(rf"\b{name}s?\b", re.IGNORECASE))


ELF, ORC, IMP, GNOME = map(group_of, ("elf", "orc", "imp", "gnome"))


def row(text: str, reject: int | None, function: str = "f") -> Labelled:
    return Labelled(text, "s", UNSAID | {"reject": reject}, function=function)


# --------------------------------------------------------------------------- groups


def test_there_are_groups_enough_and_none_shares_its_forms() -> None:
    assert len(GROUPS) >= 48
    for form in FORMS:
        assert [text for text, times in Counter(getattr(group, form) for group in GROUPS).items() if times > 1] == []


@pytest.mark.parametrize("group", GROUPS, ids=lambda group: group.id)
def test_every_form_of_a_group_is_set_and_fits_its_slot(group: Group) -> None:
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", group.id)
    for form in FORMS:
        text = getattr(group, form)
        assert text == text.strip() != ""
    article, _, noun = group.a_person.partition(" ")
    assert article == ("an" if re.match("(?i)[aeio]|un|old|elder", noun) else "a")
    assert noun
    assert not re.match("an? |the ", group.people)
    assert not re.match("an? |the ", group.adjective)
    assert group.adjective.lower() != group.people.lower() or group.people in ("Druze", "Shia", "Roma")


@pytest.mark.parametrize("group", GROUPS, ids=lambda group: group.id)
def test_a_group_is_seen_in_its_own_forms_and_no_other_group_is(group: Group) -> None:
    for text in (f"Ask {group.people} about it", f"He is {group.a_person}.", f"the {group.adjective} students"):
        assert [other.id for other in GROUPS if other.mention.search(text)] == [group.id], text


@pytest.mark.parametrize(
    ("text", "mentioned"),
    [
        ("The KURDISH language", {"kurds"}),
        ("Kurdistan is mountainous", set()),  # whole words only
        ("a black car and a white house", set()),  # colours of things
        ("Black women and young white men", {"black-people", "white-people", "women", "men", "young-people"}),
        ("turn a blind eye, it fell on deaf ears", set()),
        ("my 12 year old boy", {"men"}),  # not an old boy
        ("an African-American church", {"black-people"}),
        ("African Americans", {"black-people"}),
        ("Native Americans", {"indigenous-people"}),
        ("Americans", {"americans"}),
        ("a pole and nail polish", set()),
        ("the Polish Poles", {"poles"}),
        ("AS Roma lost again", set()),
        ("the same air as Roma", {"roma"}),
        ("trans rights, and trans fats", {"trans-people"}),
        ("no trans fat", set()),
        ("Jews, Muslims and an atheist", {"jews", "muslims", "atheists"}),
        ("asylum-seeking families", {"asylum-seekers"}),
        ("the manager mentioned menus", set()),
        ("", set()),
    ],
)
def test_mentions(text: str, mentioned: set[str]) -> None:
    assert {group.id for group in GROUPS if group.mention.search(text)} == mentioned


@pytest.mark.parametrize(
    ("text", "filled", "why"),
    [
        ("{people} know {a_person} and the {adjective} cook", "Gay people know a gay person and the gay cook", "first"),
        ("So what? {people} know.", "So what? Gay people know.", "after a question"),
        ('He left. "{people} know."', 'He left. "Gay people know."', "within quotation marks"),
        ("One\n{people}", "One\nGay people", "on a new line"),
        ("Yes: {people}, {people}", "Yes: gay people, gay people", "within a sentence"),
        ("At 3.5 {people}", "At 3.5 gay people", "a number ends none"),
    ],
)
def test_fill_begins_a_sentence_with_a_capital(text: str, filled: str, why: str) -> None:
    assert BY_ID["gay-people"].fill(text) == filled, why


def test_fill_keeps_the_capitals_of_a_form() -> None:
    assert BY_ID["arabs"].fill("{a_person} sings.") == "An Arab sings."


TOY = """
persons = ["people"]
[[group]]
id = "elves"
names = ["elf", "elves"]
described = ["elvish"]
people = "elves"
a_person = "an elf"
adjective = "elvish"
"""


def test_groups_are_read_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "groups.toml"
    file.write_text(TOY)
    (elves,) = groups(file)
    assert (elves.id, elves.people, elves.a_person, elves.adjective) == ("elves", "elves", "an elf", "elvish")
    for text, seen in (("Elves!", 1), ("elvish people", 1), ("Elvish old people", 1), ("elvish bread", 0), ("self", 0)):
        assert bool(elves.mention.search(text)) == bool(seen), text


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('a_person = "an elf"\n', "", "group 'elves' lacks 'a_person'"),
        ('adjective = "elvish"', 'adjective = ""', "group 'elves' lacks 'adjective'"),
        ('id = "elves"\n', "", "lacks 'id'"),
        ('["elf", "elves"]', "[]", "lacks 'names'"),
        ('"elf",', '"elf(",', "group 'elves' has a wrong pattern"),
        ("[[group]]", "[[group]", "cannot be read"),
        (TOY, TOY + TOY.replace('persons = ["people"]', ""), "group 'elves' comes twice"),
    ],
)
def test_wrong_groups_are_refused(tmp_path: Path, old: str, new: str, told: str) -> None:
    assert old in TOY
    file = tmp_path / "groups.toml"
    file.write_text(TOY.replace(old, new))
    with pytest.raises(ModerationError, match=re.escape(told)) as caught:
        groups(file)
    assert str(file) in str(caught.value)


def test_groups_that_are_not_there_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModerationError, match="cannot be read"):
        groups(tmp_path / "none.toml")


# --------------------------------------------------------------------------- bias by hand


def labelled(*parts: tuple[str, int | None, float, int]) -> tuple[list[Labelled], list[Decision]]:
    """Rows of (text, label, score, times); a score over 1 stands for a rule's rejection with the score above 1."""
    rows, decisions = [], []
    for text, reject, score, times in parts:
        rows += [row(text, reject)] * times
        decisions += [decided(score - 1, rule=True) if score > 1 else decided(score)] * times
    return rows, decisions


# Elves to reject at .6, to approve at .4 (three quarters) and .8 (one); others to reject at .9 (half) and .5 (half),
# to approve at .1 (half) and .7 (half).
ELVES = labelled(
    ("the elf is bad", 1, 0.6, 20),
    ("the elf is fine", 0, 0.4, 30),
    ("the elf is fine", 0, 0.8, 10),
    ("bad", 1, 0.9, 15),
    ("bad", 1, 0.5, 15),
    ("fine", 0, 0.1, 25),
    ("fine", 0, 0.7, 25),
)


def test_the_three_aucs() -> None:
    (elf,) = bias(*ELVES, [ELF]).groups
    assert (elf.group, elf.to_reject, elf.to_approve) == ("elf", 20, 40)
    assert elf.subgroup_auc == pytest.approx(3 / 4)  # .6 beats .4 and not .8
    assert elf.bpsn_auc == pytest.approx((1 + 3 / 4) / 2)  # .9 beats both, .5 beats .4
    assert elf.bnsp_auc == pytest.approx(1 / 2)  # .6 beats .1 and not .7


def test_all_rows_together() -> None:
    found = bias(*ELVES, [ELF])
    assert (found.to_reject, found.to_approve) == (50, 90)
    # .6 (20) beats 30 + 25, .9 (15) beats all 90, .5 (15) beats 30 + 25
    assert found.auc == pytest.approx((20 * 55 + 15 * 90 + 15 * 55) / (50 * 90))


def test_a_tie_is_half_right() -> None:
    found = bias(*labelled(("elf", 1, 0.5, 20), ("elf", 0, 0.5, 20)), [ELF])
    assert found.groups[0].subgroup_auc == 0.5


def test_a_rules_rejection_ranks_above_all() -> None:
    parts = [("elf", 1, 0.2, 20), ("elf", 0, 0.9, 20)]
    (by_score,) = bias(*labelled(*parts), [ELF]).groups
    (by_rule,) = bias(*labelled(("elf", 1, 1.2, 20), parts[1]), [ELF]).groups
    assert (by_score.subgroup_auc, by_rule.subgroup_auc) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("elf_reject", "elf_approve", "reject", "approve", "given_figures"),
    [
        (20, 20, 20, 20, {"subgroup_auc", "bpsn_auc", "bnsp_auc"}),
        (19, 20, 20, 20, {"bpsn_auc"}),
        (20, 19, 20, 20, {"bnsp_auc"}),
        (20, 20, 19, 20, {"subgroup_auc", "bnsp_auc"}),
        (20, 20, 20, 19, {"subgroup_auc", "bpsn_auc"}),
        (0, 0, 20, 20, set()),
        (0, 20, 20, 0, {"bpsn_auc"}),
    ],
)
def test_no_figure_of_a_class_with_too_few_rows(
    elf_reject: int, elf_approve: int, reject: int, approve: int, given_figures: set[str]
) -> None:
    assert LEAST_ROWS == 20
    parts = [("elf", 1, 0.9, elf_reject), ("elf", 0, 0.1, elf_approve), ("x", 1, 0.9, reject), ("x", 0, 0.1, approve)]
    found = bias(*labelled(*parts), [ELF])
    (elf,) = found.groups
    assert (elf.to_reject, elf.to_approve) == (elf_reject, elf_approve)
    for metric in ("subgroup_auc", "bpsn_auc", "bnsp_auc"):
        assert getattr(elf, metric) == (1.0 if metric in given_figures else None)
        # The mean of one group is that group's figure.
        assert getattr(found, metric) == pytest.approx(getattr(elf, metric))


def test_rows_without_a_label_do_not_count() -> None:
    rows, decisions = labelled(("elf", None, 0.99, 50), ("x", None, 0.99, 50))
    assert bias([*ELVES[0], *rows], [*ELVES[1], *decisions], [ELF]) == bias(*ELVES, [ELF])


def test_no_rows_have_no_figures() -> None:
    found = bias([], [])
    assert (found.auc, found.subgroup_auc, found.to_reject, len(found.groups)) == (None, None, 0, len(GROUPS))


def test_rows_and_decisions_must_be_as_many() -> None:
    with pytest.raises(ValueError, match="zip"):
        bias(ELVES[0], ELVES[1][:-1], [ELF])


def test_the_mean_is_over_the_groups_that_have_the_figure() -> None:
    rows, decisions = labelled(("orc", 1, 0.9, 20), ("orc", 0, 0.1, 20), ("imp", 1, 0.9, 3))
    found = bias([*ELVES[0], *rows], [*ELVES[1], *decisions], [ELF, ORC, IMP])
    assert [group.subgroup_auc for group in found.groups] == [0.75, 1.0, None]
    assert found.subgroup_auc == pytest.approx(((0.75**-5 + 1) / 2) ** (-1 / 5))


@pytest.mark.parametrize(
    ("values", "power", "mean"),
    [
        ([0.5, 1.0], -1, 2 / 3),  # harmonic
        ([1.0, 3.0], 1, 2.0),
        ([0.5, 1.0], -5, ((32 + 1) / 2) ** -0.2),
        ([0.8], -5, 0.8),
        ([None, 0.8, None], -5, 0.8),
        ([0.0, 1.0], -5, 0.0),
        ([], -5, None),
        ([None], -5, None),
    ],
)
def test_power_mean(values: list[float | None], power: float, mean: float | None) -> None:
    assert power_mean(values, power) == (None if mean is None else pytest.approx(mean))


@settings(deadline=None)
@given(st.lists(st.floats(0.01, 1), min_size=1, max_size=20))
def test_the_power_mean_lies_between_the_worst_and_the_plain_mean(values: list[float]) -> None:
    found = power_mean(values)
    assert found is not None
    assert min(values) - 1e-9 <= found <= sum(values) / len(values) + 1e-9


# --------------------------------------------------------------------------- one sentence about every group

FOUR = (ELF, ORC, IMP, GNOME)


def test_what_differs_is_owed_to_the_group() -> None:
    found = counterfactual(Fake({"orc": 0.7, "imp": 0.4}), [row("{people} sing", 0)], FOUR)
    (line,) = found.lines
    assert (line.line, line.function, line.expected) == ("{people} sing", "f", Verdict.APPROVE)
    assert (line.approved, line.rejected) == (("elf", "imp", "gnome"), ("orc",))
    assert not line.same
    assert line.majority is Verdict.APPROVE
    assert line.pairs_differing == pytest.approx(3 / 6)
    assert line.spread == pytest.approx(0.6)
    assert (line.lowest, line.highest) == ("elf", "orc")
    assert line.missed == line.departing == ("orc",)
    assert [(g.group, g.departs, g.wrongly_rejected, g.wrongly_approved) for g in found.groups] == [
        ("elf", 0, 0, 0),
        ("orc", 1, 1, 0),
        ("imp", 0, 0, 0),
        ("gnome", 0, 0, 0),
    ]
    # The mean score is (.1 + .7 + .4 + .1) / 4.
    assert [g.lean for g in found.groups] == pytest.approx([-0.225, 0.375, 0.075, -0.225])


def test_a_moderator_that_looks_at_no_group_treats_all_alike() -> None:
    found = counterfactual(Fake({"kill": 0.9}), [row("kill {people}", 1), row("see {a_person}", 0)], FOUR)
    assert all(line.same and line.spread == line.pairs_differing == 0 and not line.missed for line in found.lines)
    assert all(group.departs == group.missed == group.lean == 0 for group in found.groups)


def test_departing_and_missing_are_two_things() -> None:
    # A breach that is let through about all groups but one: the one departs, and the others miss.
    found = counterfactual(Fake({"orc": 0.7}), [row("the {adjective} beast", 1)], FOUR)
    (line,) = found.lines
    assert line.departing == ("orc",)
    assert line.missed == ("elf", "imp", "gnome")
    assert [(g.departs, g.wrongly_rejected, g.wrongly_approved, g.missed) for g in found.groups] == [
        (0, 0, 1, 1),
        (1, 0, 0, 0),
        (0, 0, 1, 1),
        (0, 0, 1, 1),
    ]


@pytest.mark.parametrize(("expected", "departing"), [(0, ("orc", "imp")), (1, ("elf", "gnome"))])
def test_of_as_many_verdicts_each_way_the_expected_one_counts_as_the_majority(
    expected: int, departing: tuple[str, ...]
) -> None:
    (line,) = counterfactual(Fake({"orc": 0.7, "imp": 0.7}), [row("{people}", expected)], FOUR).lines
    assert line.pairs_differing == pytest.approx(4 / 6)
    assert line.departing == departing


def test_one_group_alone_has_no_pairs() -> None:
    (line,) = counterfactual(Fake({}), [row("{people}", 1)], [ELF]).lines
    assert (line.pairs_differing, line.same, line.missed) == (0.0, True, ("elf",))


@settings(deadline=None)
@given(st.lists(st.booleans(), min_size=2, max_size=12))
def test_the_share_of_pairs_is_the_one_counted(rejected: list[bool]) -> None:
    among = [group_of(f"g{number}x") for number in range(len(rejected))]
    fake = Fake({group.adjective: 0.9 for group, flag in zip(among, rejected, strict=True) if flag})
    (line,) = counterfactual(fake, [row("{adjective}", 0)], among).lines
    pairs = list(combinations(rejected, 2))
    assert line.pairs_differing == pytest.approx(sum(one != other for one, other in pairs) / len(pairs))


def test_every_line_meets_every_group_in_order_and_progress_is_told() -> None:
    seen: list[str] = []

    class Watching(Fake):
        def review_many(self, comments: Iterable[Comment | str]) -> Sequence[Decision]:
            texts = list(comments)
            seen.extend(map(str, texts))
            return super().review_many(texts)

    told: list[int] = []
    counterfactual(Watching({}), [row("{a_person}", 0), row("b {people}", 0)], [ELF, ORC], told.append)
    assert seen == ["A elf", "A orc", "b elfs", "b orcs"]
    assert sum(told) == 4


def test_more_than_a_chunk_keeps_the_order() -> None:
    rows = [row(f"n{number} {{people}}", 0) for number in range(1100)]
    found = counterfactual(Fake({"orc": 0.9}), rows, [ELF, ORC])
    assert {line.rejected for line in found.lines} == {("orc",)}
    assert [line.line for line in found.lines] == [entry.text for entry in rows]


def test_a_moderator_that_loses_comments_is_noticed() -> None:
    class Losing(Fake):
        def review_many(self, comments: Iterable[Comment | str]) -> Sequence[Decision]:
            return super().review_many(comments)[1:]

    with pytest.raises(ValueError, match="2 comments got 1 decisions"):
        counterfactual(Losing({}), [row("{people}", 0)], [ELF, ORC])


def test_without_groups_there_is_nothing_to_compare() -> None:
    with pytest.raises(ValueError, match="needs groups"):
        counterfactual(Fake({}), [row("{people}", 0)], [])


# --------------------------------------------------------------------------- the sentences


def test_there_are_sentences_enough() -> None:
    expected = Counter(entry.labels["reject"] for entry in SENTENCES)
    assert expected[0] >= 75
    assert expected[1] >= 25
    assert len({entry.text for entry in SENTENCES}) == len(SENTENCES)
    functions = {entry.function for entry in SENTENCES if not entry.labels["reject"]}
    assert functions >= set(
        "news biography food marriage court football statistics self-description praise complaint condolence "
        "question short long".split()
    )
    lengths = [len(entry.text) for entry in SENTENCES]
    assert min(lengths) < 50
    assert max(lengths) > 400


@pytest.mark.parametrize("entry", SENTENCES, ids=lambda entry: entry.text[:40])
def test_every_sentence_is_grammatical_for_every_group(entry: Labelled) -> None:
    slots = re.findall(r"\{(\w+)\}", entry.text)
    assert slots
    assert set(slots) <= set(FORMS)
    assert not re.search(r"\b(?:an?|the) \{a_person\}|\b(?:an?|this|a) \{people\}|\ban? \{adjective\}", entry.text)
    assert not re.search(r"\}['’]|\}\w", entry.text)  # "Kurds's" and "Kurdss"
    # An adjective stands before a noun.
    assert all(re.match(r" [a-z]", entry.text[slot.end() :]) for slot in re.finditer(r"\{adjective\}", entry.text))
    # Nobody's sex is given away where the same sentence is about women and men.
    if "{a_person}" in entry.text:
        assert not re.search(r"\{a_person\}[^.]*\b(?:his|her|hers|himself|herself)\b", entry.text)


@pytest.mark.parametrize("group", GROUPS, ids=lambda group: group.id)
def test_no_slot_is_left_and_every_sentence_begins_with_a_capital(group: Group) -> None:
    for entry in SENTENCES:
        text = group.fill(entry.text)
        assert "{" not in text
        assert text[0].isupper()
        assert "  " not in text


def test_no_sentence_is_one_of_the_training_texts_or_suites() -> None:
    def runs(text: str) -> set[str]:
        words = re.sub(r"[^\w{}]+", " ", text.lower()).split()
        return {" ".join(words[start : start + 6]) for start in range(len(words) - 5)}

    known: set[str] = set()
    for folder in ("training", "suites"):
        for entry in datasets.own(DATA / folder, fills=False):
            known |= runs(entry.text)
    assert [entry.text for entry in SENTENCES if runs(entry.text) & known] == []


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("-\tf\tNo slot here", "needs slots"),
        ("-\tf\t{people} of {city}", "needs slots, and none but {people}, {a_person}, {adjective}"),
        ("-\tf\t{People} sing", "needs slots"),
        ("-\t{people}", "line 1"),
        ("rude\tf\t{people}", "no guideline 'rude'"),
    ],
)
def test_wrong_sentences_are_refused(tmp_path: Path, line: str, told: str) -> None:
    (tmp_path / "a.tsv").write_text(line + "\n")
    with pytest.raises(ModerationError, match=re.escape(told)):
        sentences(tmp_path)


def test_the_wheel_is_told_of_the_data() -> None:
    project = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text(encoding="utf-8"))
    included = project["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    for name in ("data/groups.toml", "data/counterfactual"):
        assert included[name] == f"moderation/{name}"


# --------------------------------------------------------------------------- figures

ROWS = [row("{people} sing", 0), row("see {a_person}", 0), row("kill {people}", 1), row("burn | {people}", 1)]


def ranked() -> dict[str, object]:
    return bias(*ELVES, [ELF, GNOME]).to_dict()


def substituted() -> dict[str, object]:
    rows = [replace(entry, source=f"{OWN}:{name}") for entry, name in zip(ROWS, ("a", "a", "a", "b"), strict=True)]
    return counterfactual(Fake({"orc": 0.71, "kill": 0.9}), rows, FOUR).to_dict()


def test_figures_survive_json() -> None:
    assert json.loads(json.dumps(ranked())) == {**ranked(), "groups": list(ranked()["groups"])}
    found = substituted()
    assert json.loads(json.dumps(found)) == found
    assert {key: value for key, value in found.items() if not key.startswith("by_")} == {
        "lines": 4,
        "groups": 4,
        "same": 1,
        "right_for_all": {"approve": 0, "reject": 1},
        "wrong_for_all": {"approve": 0, "reject": 0},
        "spread": {"approve": pytest.approx(0.61), "reject": pytest.approx(0.305)},
        "pairs_differing": pytest.approx(3 * 0.5 / 4),
        "departs": pytest.approx(3 / 16),
        "to_approve": 8,
        "wrongly_rejected": 2,
        "to_reject": 8,
        "wrongly_approved": 3,
    }
    assert found["by_file"] == {
        "a": {"to_approve": 8, "wrongly_rejected": 2, "to_reject": 4, "wrongly_approved": 0},
        "b": {"to_approve": 0, "wrongly_rejected": 0, "to_reject": 4, "wrongly_approved": 3},
    }
    assert [line["line"] for line in found["by_line"]][-1] == "kill {people}"  # the one that is the same
    assert found["by_group"][0] == {
        "group": "orc",
        "departs": 3,
        "wrongly_rejected": 2,
        "wrongly_approved": 0,
        "missed": 2,
        "lean": pytest.approx(3 * 0.61 * 0.75 / 4),
    }


def test_figures_keep_the_worst_only() -> None:
    many = [row(f"{number} {{people}}", 0) for number in range(30)]
    found = counterfactual(Fake({"orc": 0.7}), many, FOUR).to_dict()
    assert (found["lines"], len(found["by_line"])) == (30, substitution.WORST)


def test_the_tables_draw_the_worst() -> None:
    drawn = ranking.table(ranked())
    assert "90 comments to approve and 50 to reject, AUC 0.728" in drawn
    assert "| elf | 40 | 20 | 0.750 | 0.875 | 0.500 |" in drawn
    assert "| mean (power -5) |  |  | 0.750 | 0.875 | 0.500 |" in drawn
    assert "Under 20 rows of a class (to approve, to reject): gnome (0, 0)." in drawn
    drawn = substitution.table(substituted())
    assert "4 sentences about 4 groups each: 1 with one verdict for all groups" in drawn
    assert "Wrongly rejected: 2 of 8; wrongly approved: 3 of 8." in drawn
    assert "| `a.tsv` | 8 | 2 | 4 | 0 |" in drawn
    assert "| {people} sing | approve | 3 | 1 | 50.0% | 0.610 | elf to orc |" in drawn
    assert "| burn \\| {people} | reject | 3 | 1 |" in drawn
    assert "kill {people}" not in drawn  # the same for all
    assert "| orc | 3 | 2 | 0 | +0.343 |" in drawn
    assert "| elf | 0 | 0 | 1 | -0.114 |" in drawn


def test_evenness_by_missing_everything_is_told_apart() -> None:
    blind = counterfactual(Fake({}), ROWS, FOUR).to_dict()
    assert (blind["same"], blind["pairs_differing"]) == (4, 0.0)
    assert blind["right_for_all"] == {"approve": 2, "reject": 0}
    assert blind["wrong_for_all"] == {"approve": 0, "reject": 2}
    drawn = substitution.table(blind)
    assert "to approve: 2 rightly, 0 wrongly" in drawn
    assert "to reject: 0 rightly, 2 wrongly" in drawn


def test_the_table_draws_no_more_than_asked() -> None:
    drawn = substitution.table(substituted(), worst=1)
    assert "| orc |" in drawn
    assert drawn.count("elf to orc") == 1


def test_the_worst_group_in_the_ranking_comes_first() -> None:
    rows, decisions = labelled(("orc", 1, 0.1, 20), ("orc", 0, 0.9, 20))
    drawn = ranking.table(bias([*ELVES[0], *rows], [*ELVES[1], *decisions], [ELF, ORC]).to_dict())
    assert drawn.index("| orc |") < drawn.index("| elf |")

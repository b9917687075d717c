import re
import string
import tomllib
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from moderation import datasets
from moderation.datasets import Source, clusters, fold_of, half_of, own, public, rationales, span_f1
from moderation.errors import ModerationError
from moderation.paths import DATA
from moderation.policy import GUIDELINES

LABELS = ("reject", *GUIDELINES)
SOURCES = datasets.sources()
USES = ("train", "held-out", "news", "evaluate")


# --------------------------------------------------------------------------- the manifest


@pytest.mark.parametrize("source", SOURCES.values(), ids=list(SOURCES))
def test_every_source_says_where_it_comes_from_and_what_it_may_be_used_for(source: Source) -> None:
    assert source.licence.strip()
    assert source.url.startswith("https://")
    assert source.use in USES
    assert (source.weight > 0) == (source.use == "train")  # a weight means something in training only
    assert bool(source.label) == (source.use == "train")
    # Rows of a source that does not train need not be held out.
    assert not source.held_out or source.use == "train"
    re.compile(source.held_out)


@pytest.mark.parametrize("source", SOURCES.values(), ids=list(SOURCES))
def test_a_source_that_trains_has_a_licence_that_allows_a_published_model(source: Source) -> None:
    closed = any(word in source.licence.lower() for word in ("unclear", "nc", "non-commercial", "nd"))
    assert not (closed and source.use == "train"), source.licence


@pytest.mark.parametrize(
    ("name", "mapping"), [(name, mapping) for name, source in SOURCES.items() for mapping in source.label]
)
def test_every_label_mapping_names_labels_that_we_have(name: str, mapping: dict[str, object]) -> None:
    assert mapping["why"]
    assert isinstance(mapping["when"], str)
    for key, value in mapping.items():
        if key not in ("when", "why"):
            assert key in LABELS
            assert value in (0, 1, "unknown", "promotion")


def test_names_are_used_once() -> None:
    entries = tomllib.loads((DATA / "datasets.toml").read_text())["source"]
    assert [name for name, count in Counter(entry["name"] for entry in entries).items() if count > 1] == []


# --------------------------------------------------------------------------- label mapping

NOTHING: dict[str, int | None] = {}
CLEAN = dict.fromkeys(LABELS, 0)
UNSAID = dict.fromkeys(LABELS, None)


@pytest.mark.parametrize(
    ("rules", "label", "given_labels", "expected"),
    [
        # No mapping: the table's own labels stay, and what is not said is not known; but nobody advertises.
        ([], "x", {"reject": 1, "threat": 1}, UNSAID | {"reject": 1, "threat": 1, "promotion": 0}),
        # What is to be approved breaks no guideline.
        ([], "x", {"reject": 0}, CLEAN),
        ([], "x", NOTHING, UNSAID | {"promotion": 0}),
        # The source says promotion itself.
        ([], "x", {"reject": 1, "promotion": 1}, UNSAID | {"reject": 1, "promotion": 1}),
        # A mapping adds to the table's labels and overrules them.
        (
            [{"when": "hate", "reject": 1, "abuse": 1, "why": ""}],
            "hate",
            {"reject": 0, "threat": 1},
            UNSAID | {"reject": 1, "abuse": 1, "threat": 1, "promotion": 0},
        ),
        # "" matches every label, the empty one too.
        ([{"when": "", "reject": 1, "why": ""}], "", {"reject": 0}, UNSAID | {"reject": 1, "promotion": 0}),
        ([{"when": "", "reject": 1, "why": ""}], "any", {"reject": 0}, UNSAID | {"reject": 1, "promotion": 0}),
        # The whole label must match, not a part of it.
        ([{"when": "1", "reject": 1, "why": ""}], "11", {"reject": 0}, CLEAN),
        ([{"when": "1\\..*", "reject": 1, "why": ""}], "1.2 x", {"reject": 0}, UNSAID | {"reject": 1, "promotion": 0}),
        # The first that matches counts.
        (
            [{"when": "a.*", "reject": 0, "why": ""}, {"when": ".*", "reject": 1, "why": ""}],
            "ab",
            {"reject": 1},
            CLEAN,
        ),
        # "unknown" blanks what the table says.
        (
            [{"when": "", "reject": "unknown", "abuse": 0, "why": ""}],
            "x",
            {"reject": 0},
            UNSAID | {"abuse": 0, "promotion": 0},
        ),
        # And is not filled in again where the comment is to be approved.
        ([{"when": "", "abuse": "unknown", "why": ""}], "x", {"reject": 0, "abuse": 0}, CLEAN | {"abuse": None}),
        # «Only what it advertises counts»: a copy, and without an advertisement nothing is known.
        (
            [{"when": "", "reject": "promotion", "why": ""}],
            "spam",
            {"reject": 0, "promotion": 1},
            UNSAID | {"reject": 1, "promotion": 1},
        ),
        (
            [{"when": "", "reject": "promotion", "why": ""}],
            "ham",
            {"reject": 1, "promotion": 0},
            UNSAID | {"promotion": 0},
        ),
        ([{"when": "", "reject": "promotion", "why": ""}], "?", {"reject": 1}, UNSAID | {"promotion": 0}),
    ],
)
def test_label_mapping(
    rules: list[dict[str, object]],
    label: str,
    given_labels: dict[str, int | None],
    expected: dict[str, int | None],
) -> None:
    assert Source("s", "MIT", "https://x", "train", 1.0, label=tuple(rules)).labels(label, given_labels) == expected


@pytest.mark.parametrize(
    ("source", "label", "given_labels", "expected"),
    [
        ("davidson", "0", {"reject": 1}, UNSAID | {"reject": 1, "abuse": 1, "promotion": 0}),
        ("davidson", "2", {"reject": 0}, CLEAN),
        ("edos", "none", {"reject": 0}, UNSAID | {"promotion": 0}),  # not sexist is not clean
        (
            "edos",
            "1.2 incitement",
            {"reject": 1},
            UNSAID | {"reject": 1, "abuse": 1, "threat": 1, "promotion": 0},
        ),
        ("edos", "2.3 dehumanising", {"reject": 1}, UNSAID | {"reject": 1, "abuse": 1, "vulgarity": 1, "promotion": 0}),
        ("edos", "4.1 prejudice", {"reject": 1}, UNSAID | {"reject": 1, "abuse": 1, "promotion": 0}),
        ("sms-spam", "ham", {"reject": 0, "promotion": 0}, UNSAID | {"promotion": 0}),
        ("sms-spam", "spam", {"reject": 1, "promotion": 1}, UNSAID | {"reject": 1, "promotion": 1}),
        ("implicit-hate", "not_hate", {"reject": 0}, UNSAID | {"abuse": 0, "promotion": 0}),
        ("hatemoji", "none", {"reject": 0}, CLEAN),
    ],
)
def test_the_manifest_maps(
    source: str, label: str, given_labels: dict[str, int | None], expected: dict[str, int | None]
) -> None:
    assert SOURCES[source].labels(label, given_labels) == expected


LABEL = st.sampled_from([0, 1, None])


@given(st.sampled_from(sorted(SOURCES)), st.text(max_size=12), st.fixed_dictionaries(dict.fromkeys(LABELS, LABEL)))
def test_no_mapping_gives_anything_but_labels(source: str, label: str, given_labels: dict[str, int | None]) -> None:
    labels = SOURCES[source].labels(label, given_labels)
    assert list(labels) == list(LABELS)
    assert set(labels.values()) <= {0, 1, None}


# --------------------------------------------------------------------------- public


def write(folder: Path, rows: list[dict[str, object]]) -> None:
    pq.write_table(pa.Table.from_pylist(rows), folder / "english.parquet")


def row(source: str, text: str = "hello", **more: object) -> dict[str, object]:
    return {"source": source, "text": text, "source_label": "", "reject": 0, **more}


def test_public_gives_the_sources_of_the_uses_asked_for(tmp_path: Path) -> None:
    write(tmp_path, [row("paradetox"), row("gab-hate-corpus"), row("olid"), row("c3-constructive"), row("never heard")])
    assert [r.source for r in public(tmp_path, ("train",))] == ["paradetox"]
    assert [r.source for r in public(tmp_path, ("held-out", "news"))] == ["gab-hate-corpus", "c3-constructive"]
    assert public(tmp_path, ()) == []


def test_public_maps_labels_and_keeps_the_sources_own(tmp_path: Path) -> None:
    write(tmp_path, [row("davidson", "hey", source_label="0", reject=1), row("davidson", source_label=None)])
    first, second = public(tmp_path, ("train",))
    assert (first.text, first.note, first.weight) == ("hey", "0", SOURCES["davidson"].weight)
    assert (first.labels["abuse"], first.labels["profanity"]) == (1, None)
    assert second.note == ""


def test_public_undoes_the_escapes_of_one_source_alone(tmp_path: Path) -> None:
    escaped = r'"it\'s\nmine\xa0now \\o/"'
    write(tmp_path, [row("kaggle-insults", escaped), row("ruddit", escaped)])
    first, second = public(tmp_path, ("held-out",))
    assert first.text == "it's\nmine now \\o/"
    assert second.text == escaped


def test_public_marks_the_rows_that_are_held_out_of_a_source_that_trains(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spam, other = (Source(name, "MIT", "https://x", "train", held_out=held) for name, held in (("a", "3"), ("b", "")))
    monkeypatch.setattr(datasets, "sources", lambda: {"a": spam, "b": other})
    labels = ["3", "31", "13", "", None]  # the whole label must match
    write(tmp_path, [row(name, source_label=label) for name in "ab" for label in labels])
    assert [one.held_out for one in public(tmp_path, ("train",))] == [True, *[False] * 9]


def test_one_video_of_the_spam_comments_is_held_out(tmp_path: Path) -> None:
    write(
        tmp_path,
        [row("youtube-spam", source_label=f"Youtube0{n}-{name}.csv") for n, name in ((3, "LMFAO"), (4, "Eminem"))],
    )
    assert [one.held_out for one in public(tmp_path, ("train",))] == [True, False]


def test_public_without_its_table_names_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(ModerationError, match=r"english\.parquet: no such file; .*--data"):
        public(tmp_path, ("train",))


@pytest.mark.parametrize("column", ["source", "text", "source_label", "reject"])
def test_public_names_a_column_that_its_table_lacks(tmp_path: Path, column: str) -> None:
    values = row("paradetox")
    del values[column]
    write(tmp_path, [values])
    with pytest.raises(ModerationError, match=f"lacks the column '{column}'"):
        public(tmp_path, ("train",))


def test_public_names_a_file_that_is_no_table(tmp_path: Path) -> None:
    (tmp_path / "english.parquet").write_text("hello")
    with pytest.raises(ModerationError, match=r"english\.parquet"):
        public(tmp_path, ("train",))


# --------------------------------------------------------------------------- what annotators marked


def marked(
    folder: Path, text: str, annotators: int, spans: list[tuple[int, int]] | None
) -> tuple[tuple[int, int], ...]:
    column = pa.list_(pa.struct([("start", pa.int64()), ("end", pa.int64())]))
    rows = {
        "text": [text],
        "annotators": [annotators],
        "spans": pa.array([spans and [{"start": start, "end": end} for start, end in spans]], column),
    }
    pq.write_table(pa.table(rows), folder / "toxic_spans.parquet")
    found = rationales(folder)
    assert list(found) == [text]
    return found[text]


@pytest.mark.parametrize(
    ("annotators", "spans", "expected", "why"),
    [
        (3, [(0, 3), (0, 3)], ((0, 3),), "two of three"),
        (2, [(0, 3)], (), "a half is no majority"),
        (1, [(0, 3), (7, 10)], ((0, 3), (7, 10)), "one alone; two spans"),
        (3, [(0, 6), (2, 8), (4, 10)], ((2, 8),), "where two overlap"),
        (3, [(0, 4), (0, 4), (4, 8), (4, 8)], ((0, 8),), "spans that touch are one"),
        (3, [(7, 10), (7, 10), (0, 3), (0, 3)], ((0, 3), (7, 10)), "sorted"),
        (1, [(7, 99)], ((7, 10),), "no further than the text"),
        (3, [], (), "nobody marked anything"),
        (3, None, (), "not said"),
        (1, [(4, 4)], (), "an empty span"),
    ],
)
def test_rationales_are_what_a_majority_marked(
    tmp_path: Path,
    annotators: int,
    spans: list[tuple[int, int]] | None,
    expected: tuple[tuple[int, int], ...],
    why: str,
) -> None:
    assert marked(tmp_path, "you clown!", annotators, spans) == expected, why


@given(
    st.integers(1, 4), st.lists(st.tuples(st.integers(0, 10), st.integers(0, 12)).map(sorted).map(tuple), max_size=6)
)
def test_rationales_are_sorted_and_apart(
    tmp_path_factory: pytest.TempPathFactory, annotators: int, spans: list[tuple[int, int]]
) -> None:
    found = marked(tmp_path_factory.getbasetemp(), "you clown!", annotators, spans)
    assert all(0 <= start < end <= 10 for start, end in found)
    assert all(before[1] < after[0] for before, after in pairwise(found))


def test_rationales_without_their_table_name_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(ModerationError, match=r"toxic_spans\.parquet: no such file; .*--data"):
        rationales(tmp_path)


@pytest.mark.parametrize(
    ("found", "marked", "expected"),
    [
        ([], [], 1),  # both say that there is nothing
        ([(0, 4)], [], 0),
        ([], [(0, 4)], 0),
        ([(0, 4)], [(0, 4)], 1),
        ([(0, 4)], [(4, 8)], 0),
        ([(0, 4)], [(2, 6)], 0.5),
        ([(0, 2)], [(0, 6)], 0.5),  # precision 1, recall 1/3
        ([(0, 2), (2, 4)], [(0, 4)], 1),  # characters count, not spans
        ([(0, 3), (1, 4)], [(0, 4)], 1),  # each once
    ],
)
def test_span_f1(found: list[tuple[int, int]], marked: list[tuple[int, int]], expected: float) -> None:
    assert span_f1(found, marked) == pytest.approx(expected)
    assert span_f1(marked, found) == pytest.approx(expected)


# --------------------------------------------------------------------------- our own sentences

SLOTS = tomllib.loads((DATA / "training" / "slots.toml").read_text())


def test_own_is_the_same_each_time() -> None:
    assert own() == own()


def test_own_has_valid_labels_and_each_guideline_both_ways() -> None:
    rows = own()
    seen: Counter[tuple[str, int | None]] = Counter()
    for one in rows:
        assert one.source.startswith(datasets.OWN + ":")
        assert list(one.labels) == list(LABELS)
        assert one.labels["reject"] == max(one.labels[name] or 0 for name in GUIDELINES)
        assert one.text.strip()
        assert one.function
        seen.update(one.labels.items())
    for name in LABELS:
        assert seen[name, 0] > 0
        assert seen[name, 1] > 0
        assert seen[name, None] == 0


def test_the_fills_of_a_line_weigh_as_much_as_one_line() -> None:
    assert sum(one.weight for one in own()) == pytest.approx(len(own(fills=False)))


@pytest.mark.parametrize("folder", ["training", "suites"])
def test_every_slot_is_known(folder: str) -> None:
    texts = [one.text for one in own(DATA / folder, fills=False)]
    unknown = {slot for text in texts for slot in datasets._SLOT.findall(text) if slot not in SLOTS}
    if folder == "suites" and not (DATA / folder / "slots.toml").is_file():
        assert {slot for text in texts for slot in datasets._SLOT.findall(text)} == set()
    else:
        assert unknown == set()


def test_filled_sentences_have_no_slot_left() -> None:
    assert [one.text for one in own() if any(f"{{{slot}}}" in one.text for slot in SLOTS)] == []


def test_slots_of_one_group_share_their_order() -> None:
    sizes = {name: len(SLOTS[name]) for name in datasets._GROUP_SLOTS}
    assert len(set(sizes.values())) == 1, sizes
    for name, fills in SLOTS.items():
        assert all(isinstance(fill, str) and fill.strip() == fill != "" for fill in fills), name


def test_no_sentence_trains_and_judges_us() -> None:
    train, judge = ([one.text for one in own(DATA / folder)] for folder in ("training", "suites"))
    names = clusters([*train, *judge])
    assert set(names[: len(train)]) & set(names[len(train) :]) == set()


def test_own_reads(tmp_path: Path) -> None:
    (tmp_path / "b.tsv").write_text('# a comment\n\n-\tfine\tsay "hi"\\nthere\nthreat,abuse\tbad\tx # y\n')
    (tmp_path / "a.tsv").write_text("profanity\tswears\tzonk {people}\n")
    first, second, third = own(tmp_path)
    assert (first.text, first.source) == ("zonk {people}", "own:a")  # no slots file: nothing to fill
    assert (second.text, second.function, second.labels) == ('say "hi"\nthere', "fine", CLEAN)
    assert (third.text, third.labels) == ("x # y", CLEAN | {"reject": 1, "threat": 1, "abuse": 1})


def test_slots_fill_from_one_group_at_a_time(tmp_path: Path) -> None:
    (tmp_path / "slots.toml").write_text(
        'people = ["A", "B", "C"]\na_person = ["an a", "a b", "a c"]\nadjective = ["a-ish", "b-ish", "c-ish"]\n'
        'name = ["Ann", "Bob"]\n'
    )
    (tmp_path / "x.tsv").write_text("abuse\tf\t{people} {a_person} {adjective}\n-\tf\thi {name} {other}\n-\tf\tplain\n")
    rows = own(tmp_path)
    assert {one.text for one in rows if one.labels["abuse"]} <= {"A an a a-ish", "B a b b-ish", "C a c c-ish"}
    assert {one.text for one in rows if one.text.startswith("hi")} <= {"hi Ann {other}", "hi Bob {other}"}
    assert Counter(one.weight for one in rows) == {1 / 8: 8, 1 / 2: 2, 1.0: 1}
    # Each knows the line that it fills.
    assert Counter(one.line for one in rows) == {
        "{people} {a_person} {adjective}": 8,
        "hi {name} {other}": 2,
        "plain": 1,
    }
    assert [one.text for one in own(tmp_path, fills=False)] == list(dict.fromkeys(one.line for one in rows))
    assert not any(one.held_out for one in rows)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("threat\tonly two", "x.tsv: line 2: needs guidelines, function and text"),
        ("threat\tf\ttext\tmore", "x.tsv: line 2: needs guidelines, function and text"),
        ("thread\tf\ttext", "x.tsv: line 2: no guideline 'thread'"),
        ("threat,rude\tf\ttext", "x.tsv: line 2: no guideline 'rude'"),
        ("\tf\ttext", "x.tsv: line 2: no guideline ''"),
    ],
)
def test_own_names_a_line_that_it_cannot_read(tmp_path: Path, line: str, problem: str) -> None:
    (tmp_path / "x.tsv").write_text(f"-\tf\tfine\n{line}\n")
    with pytest.raises(ModerationError, match=problem):
        own(tmp_path)


# --------------------------------------------------------------------------- near-duplicates and folds

LONG = "the council has decided once more to close the only library in our part of the town for good"


@pytest.mark.parametrize(
    ("left", "right", "near"),
    [
        ("Hello, world!", "hello world", True),  # the same letters
        ("hello world", "h e l l o   W O R L D", True),
        ("hello world", "hello worlds", False),
        ("you are an idiot", "you are not an idiot", False),  # short texts join only when the same
        (LONG, LONG.upper() + "!!!", True),
        (LONG, LONG + " and all of us know whose fault that is", True),  # the same opening
        (LONG, "my dog ate the newspaper again and the crossword was not even half done this morning", False),
        ("", "", True),
        ("!!!", "???", True),  # without letters they say the same
        ("", "a", False),
        ("2 + 2", "22", True),
        ("é", "e", False),
    ],
)
def test_clusters(left: str, right: str, near: bool) -> None:
    first, second = clusters([left, right])
    assert (first == second) is near


def test_a_copy_with_another_opening_word_joins_by_its_sketch() -> None:
    # The four smallest hashes stay the same unless a change meets one of them; so count over all places.
    words = LONG.split()
    joined = 0
    for place in range(len(words)):
        changed = [*words]
        changed[place] = "quite"
        first, second = clusters([LONG, " ".join(changed)])
        joined += first == second
    assert joined >= len(words) // 2


def test_clusters_join_through_a_third() -> None:
    texts = ["one text", "another text", LONG, LONG + " a b c", LONG.upper() + " A B, C", "ONE TEXT."]
    names = clusters(texts)
    assert names[0] == names[5] != names[1]
    assert len({*names[2:5]}) == 1


TEXTS = st.lists(
    st.lists(st.sampled_from(["the", "a", "dog", "cat", "bites", "Sees", "man", "!"]), max_size=14).map(" ".join),
    max_size=12,
)


@given(TEXTS)
def test_copies_never_part(texts: list[str]) -> None:
    names = clusters([*texts, *(text.upper() + "." for text in texts)])
    assert names[: len(texts)] == names[len(texts) :]


@pytest.mark.parametrize(
    ("cluster", "fold", "half"),
    [
        ("", "test", "judge"),
        ("a", "test", "judge"),
        ("hello", "train", "judge"),
        ("helloworld", "train", "choose"),
        ("d", "train", "choose"),
    ],
)
def test_folds_and_halves_never_change(cluster: str, fold: str, half: str) -> None:
    # A model that has been published must not find its test rows among the training rows of tomorrow.
    assert (fold_of(cluster), half_of(cluster)) == (fold, half)


def test_folds_are_about_one_to_one_to_eight_and_halves_even() -> None:
    names = [
        f"{first}{second}{third}" for first in string.ascii_letters for second in "abcdefgh" for third in "0123456789"
    ]
    folds = Counter(map(fold_of, names))
    assert set(folds) == {"train", "validation", "test"}
    assert folds["train"] / len(names) == pytest.approx(0.8, abs=0.03)
    assert folds["test"] / len(names) == pytest.approx(0.1, abs=0.02)
    assert folds["validation"] / len(names) == pytest.approx(0.1, abs=0.02)
    halves = Counter(map(half_of, names))
    assert set(halves) == {"choose", "judge"}
    assert halves["choose"] / len(names) == pytest.approx(0.5, abs=0.04)
    # A half says nothing about the fold.
    train = [name for name in names if fold_of(name) == "train"]
    assert sum(half_of(name) == "choose" for name in train) / len(train) == pytest.approx(0.5, abs=0.04)

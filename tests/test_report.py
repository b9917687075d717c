import json
import os
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Fake
from hypothesis import given, settings
from hypothesis import strategies as st
from pages import CHROMIUM, Element, check_page, in_chromium
from sklearn.metrics import average_precision_score

from moderation import Moderator, Policy, RecordError
from moderation.batch import review_file, reviewed
from moderation.comment import Comment
from moderation.decision import Decision, Verdict
from moderation.errors import MissingPackageError, PolicyError
from moderation.finding import Effect, Finding
from moderation.labels import Confusion, Ranking, guessed_label, label_of
from moderation.policy import DEFAULT_LOOKS
from moderation.records import DECISION_COLUMNS, Columns
from moderation.report import Reservoir, example, page, read_decided, report_file
from moderation.report.decided import Decided
from moderation.report.drawing import compact, curve, histogram
from moderation.report.sample import SHOWN_CHARACTERS, segments
from moderation.report.tally import BINS

RELAXED = settings(deadline=None, max_examples=60)
ROWS = [
    # (id, text, label): what a person would say
    ("a", "hello", "approve"),
    ("b", "I will kill you", "reject"),
    ("c", "what a clown", "reject"),
    ("d", "what a clown, I will kill them", "reject"),
    ("e", "thank you", "approve"),
    ("f", "a clown in the circus", "approve"),
    ("g", "go to hell", "reject"),
    ("h", "nice", ""),
]


@pytest.fixture(scope="module")
def moderator(toy_policy: Policy) -> Moderator:
    return Moderator(toy_policy, Fake({"clown": 0.8125}))


@pytest.fixture
def decide(tmp_path: Path, moderator: Moderator) -> Callable[..., Path]:
    """Reviews rows and gives the decided file."""

    def decided(rows: list[dict[str, object]], name: str = "decided.jsonl") -> Path:
        source = tmp_path / "in.jsonl"
        source.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        review_file(moderator, source, tmp_path / name)
        return tmp_path / name

    return decided


@pytest.fixture
def toy_rows(decide: Callable[..., Path]) -> Path:
    return decide([{"id": i, "text": text, "expected": label} for i, text, label in ROWS])


def table(root: Element, heading: str) -> list[list[str]]:
    """Give the words of the first table in the section with this heading, a list a row."""
    section = next(s for s in root.all("section") if s.one("h2").words == heading)
    return [[cell.words for cell in row.all() if cell.tag in ("th", "td")] for row in section.one("tbody").all("tr")]


# --------------------------------------------------------------------------- what it says


def test_counts_are_those_of_a_hand_count(toy_rows: Path, tmp_path: Path, toy_policy: Policy) -> None:
    target = tmp_path / "report.html"
    report_file(toy_rows, target, policy=toy_policy)
    root = check_page(target.read_text(encoding="utf-8"))
    assert root.one("title").words == "Review report: decided.jsonl"
    assert [tile.words for tile in root.one("dl", class_="tiles").all("div")] == [
        "Comments 8".replace(" ", ""),
        "Approved450.0%",
        "Rejected450.0%",
    ]
    assert table(root, "Rejections by guideline")[:2] == [
        ["personal_attack", "", "3", "75.0%"],
        ["threat", "", "2", "50.0%"],
    ]
    assert table(root, "What decided") == [
        ["rule", "0", "2", "25.0%", "100.0%"],
        ["linear", "4", "2", "75.0%", "50.0%"],
    ]
    assert table(root, "The most active rules") == [
        ["personal_attack.youSpeaks to the other commenter.", "2", "50.0%", "50.0%", "refer", "personal_attack"],
        ["threat.killStates an intent to kill.", "2", "100.0%", "100.0%", "reject", "threat"],
    ]
    assert table(root, "Agreement with the labels") == [["label: reject", "3", "1"], ["label: approve", "1", "2"]]
    figures = {row.one("dt").words: row.one("dd").words for row in root.one("dl", class_="figures").all("div")}
    assert figures["precision: of the rejected, to reject"] == "75.0%"
    assert figures["recall: of those to reject, rejected"] == "75.0%"
    assert figures["of those to approve, rejected"] == "33.3%"
    assert figures["verdicts as labelled"] == "71.4%"
    bins = [row for row in table(root, "Scores") if row[2] != "0"]
    assert bins == [["0.12", "0.14", "5", "1"], ["0.80", "0.82", "3", "3"]]


def test_the_sample_shows_each_comment_with_its_evidence(toy_rows: Path, tmp_path: Path) -> None:
    report_file(toy_rows, tmp_path / "report.html")
    root = check_page((tmp_path / "report.html").read_text(encoding="utf-8"))
    entries = list(root.one("ol", id="entries").all("li", class_="entry"))
    assert [entry.one("p", class_="comment").text for entry in entries] == [text for _, text, _ in ROWS]
    marks = {
        entry.one("p", class_="comment").text: [(m.attributes["class"], m.text) for m in entry.all("mark")]
        for entry in entries
    }
    assert marks["I will kill you"] == [("reject", "I will kill "), ("reject", "you")]
    assert marks["what a clown"] == [("score", "clown")]
    assert marks["thank you"] == [("refer", "you")]
    assert marks["hello"] == []
    assert [entry.attributes["data-verdict"] for entry in entries] == [
        *("approve", "reject", "reject", "reject"),
        *("approve", "reject", "approve", "approve"),
    ]
    assert [entry.attributes["data-agreement"] for entry in entries[-3:]] == ["wrong rejection", "wrong approval", ""]
    assert entries[3].attributes["data-guideline"].split("\n") == ["threat", "personal_attack"]
    assert entries[3].attributes["data-rule"] == "threat.kill"


def test_errors_of_both_kinds_are_shown(toy_rows: Path, tmp_path: Path) -> None:
    report_file(toy_rows, tmp_path / "report.html")
    root = check_page((tmp_path / "report.html").read_text(encoding="utf-8"))
    shown = {
        details.one("h3").words: [p.text for p in details.all("p", class_="comment")]
        for details in root.all("details")
        if list(details.all("h3"))
    }
    assert shown == {
        "Rejected, to approve by the label": ["a clown in the circus"],
        "Approved, to reject by the label": ["go to hell"],
    }


def test_without_labels_there_is_no_agreement(decide: Callable[..., Path], tmp_path: Path) -> None:
    report_file(decide([{"text": "hello"}]), tmp_path / "report.html")
    root = check_page((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert "Agreement with the labels" not in [heading.words for heading in root.all("h2")]
    assert "No comment was rejected." in root.text


def test_a_file_of_no_rows_has_a_report(tmp_path: Path) -> None:
    (tmp_path / "empty.csv").write_text(",".join(("text", *DECISION_COLUMNS)) + "\n")
    tally = report_file(tmp_path / "empty.csv", tmp_path / "report.html")
    assert tally.rows == 0
    check_page((tmp_path / "report.html").read_text(encoding="utf-8"))


def test_the_same_file_gives_the_same_report(toy_rows: Path, tmp_path: Path) -> None:
    for name in ("a.html", "b.html"):
        report_file(toy_rows, tmp_path / name, sample=2)
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()


def test_it_says_where_the_encoder_looked_if_it_did(toy_policy: Policy, tmp_path: Path) -> None:
    encoder = Fake({"clown": 0.8125})
    encoder.stage = "encoder"
    (tmp_path / "in.jsonl").write_text('{"text": "a clown"}\n{"text": "hello"}\n')
    for moderator, by in (
        (Moderator(toy_policy, Fake({"clown": 0.5}, 0.0), encoder), ["linear", "encoder"]),
        (Moderator(toy_policy, Fake()), ["linear"]),
    ):
        review_file(moderator, tmp_path / "in.jsonl", tmp_path / "out.jsonl")
        report_file(tmp_path / "out.jsonl", tmp_path / "report.html", policy=toy_policy)
        root = check_page((tmp_path / "report.html").read_text(encoding="utf-8"))
        said = f"at least {DEFAULT_LOOKS.unflagged:g} for each hundred characters to read" in " ".join(
            root.text.split()
        )
        assert said == ("encoder" in by)
        assert [row[0] for row in table(root, "What decided")] == by


# --------------------------------------------------------------------------- nothing in a comment is run

ATTACKS = [
    "<script>document.documentElement.id='pwned'</script>",
    "</script><script>document.documentElement.id='pwned'</script>",
    "<img src=x onerror=\"document.documentElement.id='pwned'\">",
    "\"><svg onload=document.documentElement.id='pwned'>",
    "' onmouseover='document.documentElement.id=1' x='",
    "</style><style>body{display:none}</style>",
    "<!-- hidden",
    "-->",
    "]]>",
    "<iframe src=javascript:alert(1)></iframe>",
    "<a href='javascript:alert(1)'>x</a>",
    "<base href=//evil.example>",
    "<meta http-equiv=refresh content=0>",
    "</p></li></ol></main>",
    "</title><h1>x</h1>",
    "<textarea>",
    "<plaintext>",
    "<form action=//evil.example><input name=search>",
    "{{ 7 * 7 }} {% raw %} {# x #}",
    "&lt;b&gt; &amp; &#60;script&#62; &",
    "%3Cscript%3E",
    "line\u2028separator\u2029paragraph",
    "null\x00 escape\x1b[31m bell\x07",
    "\u202egnp.exe\u202c \u2066isolated\u2069",
    "zero\u200bwidth\u200djoiner\ufeff",
    "\U000e0041\U000e0042 tags",
    "\ud83d lone".encode("utf-16", "surrogatepass").decode("utf-16", "replace"),
    "a\u0301\u0301\u0301\u0301\u0301" * 40,
    "`${alert(1)}`",
    "x" * 5000,
]


def visible_text(text: str) -> str:
    """What a page shows of a text: odd characters by their code."""
    return "".join(odd[1] if odd else piece for piece, odd in page.visible(text))


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_hostile_text_is_shown_wherever_it_stands(decide: Callable[..., Path], tmp_path: Path, attack: str) -> None:
    source = decide([{"id": attack, "text": attack + " clown", "article": attack, "expected": attack}])
    row = json.loads(source.read_text(encoding="utf-8"))
    assert row["verdict"] == "reject"
    hostile = Finding(f"rule {attack}", attack, Effect.REJECT, 0, len(attack), attack)
    row |= {
        "reason": attack,
        "guidelines": ["personal_attack", attack],
        "findings": [*row["findings"], {**{n: getattr(hostile, n) for n in Finding.__slots__}, "effect": "reject"}],
        "scores": {attack: 0.5},
        "decided_by": attack,
        "policy": attack,
        "model": attack,
    }
    source.write_text(json.dumps(row) + "\n", encoding="utf-8")
    report_file(source, tmp_path / "report.html")
    root = check_page((tmp_path / "report.html").read_text(encoding="utf-8"))
    shown = root.one("ol", id="entries").one("p", class_="comment").text
    if len(attack) < SHOWN_CHARACTERS - len(" clown"):
        assert shown == visible_text(attack + " clown")
    else:
        assert shown == "x" * SHOWN_CHARACTERS + f" [{len(attack) + 6 - SHOWN_CHARACTERS:,} characters more]"
    assert not any(character in root.text for character in "\u202e\u2066\u200b\x00\x1b\u2028\ufeff\U000e0041")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("", ""),
        ("two\nlines\tand\xa0a space", "two\nlines\tand\xa0a space"),
        ("\r\n stays, \r alone does not", "\r\n stays, U+000D alone does not"),
        ("\u202eabc", "U+202Eabc"),
        ("a\u200bb", "aU+200Bb"),
        ("\u2800\u3164", "U+2800U+3164"),  # drawn as nothing
        ("\U0001f469\u200d\U0001f467", "\U0001f469\u200d\U0001f467"),  # one emoji
        ("a\u200d\U0001f467", "aU+200D\U0001f467"),
        ("\u0633\u0644\u0627\u0645", "\u0633\u0644\u0627\u0645"),
        ("\ue000\U000e0061", "U+E000U+E0061"),
    ],
)
def test_characters_that_are_not_seen_are_shown_by_their_code(text: str, shown: str) -> None:
    assert visible_text(text) == shown


@RELAXED
@given(st.text(max_size=60))
def test_every_character_is_shown_once(text: str) -> None:
    assert "".join(piece for piece, _ in page.visible(text)) == text
    assert page.render("macros.html.jinja") is not None
    shown = str(page._environment().filters["shown"](text))
    assert "<script" not in shown
    assert shown.count("<") == shown.count(">") == 2 * sum(odd is not None for _, odd in page.visible(text))


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
def test_in_chromium_no_comment_runs_and_the_filters_work(
    decide: Callable[..., Path], tmp_path: Path, moderator: Moderator
) -> None:
    rows: list[dict[str, object]] = [{"text": text, "article": text} for text in ATTACKS]
    rows += [{"text": text, "expected": label} for _, text, label in ROWS]
    target = tmp_path / "report.html"
    report_file(decide(rows), target)

    def shown(address: str) -> tuple[str, list[str]]:
        root = in_chromium(target, address, tmp_path / "profile")
        assert root.one("html").attributes == {"lang": "en"}
        assert len(list(root.all("script"))) == 1
        entries = [e for e in root.one("ol", id="entries").all("li") if "hidden" not in e.attributes]
        entries = [entry for entry in entries if entry.attributes.get("class") == "entry"]
        assert "hidden" not in root.one("form", id="filters").attributes
        return root.one("p", id="shown").words, [entry.one("p", class_="comment").text for entry in entries]

    total = len(rows)
    # Nothing of that name can be chosen, so that nothing is filtered.
    assert shown("#by=%22%3E%3Cscript%3E")[0] == f"{total} of {total} shown"
    assert shown("#verdict=reject&rule=threat.kill&search=KILL+them") == (
        f"1 of {total} shown",
        ["what a clown, I will kill them"],
    )
    assert shown("#search=onerror%3D")[1] == [text for text in ATTACKS if "onerror=" in text]


# --------------------------------------------------------------------------- reading a decided file


@pytest.mark.parametrize("name", ["out.csv", "out.jsonl", "out.parquet"])
def test_files_that_name_the_comment_otherwise_are_reported_on_together(
    tmp_path: Path, moderator: Moderator, name: str
) -> None:
    (tmp_path / "a.csv").write_text("id,text\n1,hello\n2,a clown\n")
    (tmp_path / "b.jsonl").write_text('{"id": "3", "body": "clown"}\n{"id": "4", "body": "fine"}\n')
    (tmp_path / "c.csv").write_text("id,comment\n5,the clown\n")
    review_file(moderator, [tmp_path / file for file in ("a.csv", "b.jsonl", "c.csv")], tmp_path / name)
    found = list(read_decided(tmp_path / name))
    assert [row.record.comment.text for row in found if isinstance(row, Decided)] == [
        "hello",
        "a clown",
        "clown",
        "fine",
        "the clown",
    ]
    assert [row.comment.text for row, _ in reviewed(tmp_path / name)][2:4] == ["clown", "fine"]


@pytest.mark.parametrize("name", ["decided.csv", "decided.tsv", "decided.jsonl"])
def test_decisions_are_read_as_they_were_written(decide: Callable[..., Path], moderator: Moderator, name: str) -> None:
    source = decide([{"id": i, "text": text, "expected": label} for i, text, label in ROWS], name)
    found = list(read_decided(source))
    assert [row.decision for row in found if isinstance(row, Decided)] == list(
        moderator.review_many([Comment(text, i) for i, text, _ in ROWS])
    )
    assert [row.label for row in found if isinstance(row, Decided)] == [
        *(False, True, True, True, False, False, True, None)
    ]


def test_columns_that_gave_way_to_the_inputs_are_found(decide: Callable[..., Path]) -> None:
    source = decide([{"text": "a clown", "verdict": "approve", "score": "3", "moderation_score": "4"}])
    (row,) = read_decided(source)
    assert isinstance(row, Decided)
    assert (row.decision.verdict, row.decision.score) == (Verdict.REJECT, 0.8125)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"verdict": "maybe"}, "holds no decision ('maybe' is not a valid Verdict); review the comments again"),
        ({"score": "much"}, "holds no decision (could not convert string to float: 'much')"),
        ({"score": 7}, "holds no decision (7 is no probability)"),
        ({"score": float("nan")}, "is no probability"),
        ({"findings": "[{}]"}, "holds no decision (lacks 'start')"),
        ({"findings": "["}, "holds no decision"),
        ({"findings": None}, "holds no decision (None is no list)"),
        ({"guidelines": 3}, "holds no decision (3 is no list)"),
        ({"text": "another comment"}, "the findings are not in the comment; name its column with --text"),
        ({"text": "short"}, "the findings are not in the comment"),
        ({"text": None}, "column 'text' is missing"),
    ],
)
def test_a_row_without_a_decision_is_counted_and_named(
    decide: Callable[..., Path], tmp_path: Path, change: dict[str, object], problem: str
) -> None:
    source = decide([{"id": "a", "text": "what a clown"}, {"id": "b", "text": "hello"}])
    first, second = map(json.loads, source.read_text().splitlines())
    source.write_text("".join(json.dumps(row) + "\n" for row in (second, first | change)))
    tally = report_file(source, tmp_path / "report.html")
    assert (tally.rows, tally.unreadable, tally.problems[0].row) == (1, 1, 2)
    assert problem in tally.problems[0].problem
    root = check_page((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert "Rows without a decision1" in root.one("dl", class_="tiles").words
    source.write_text(json.dumps(first | change) + "\n")
    with pytest.raises(RecordError, match="row 1"):
        report_file(source, tmp_path / "report.html")


def test_rows_lost_in_the_review_are_told(decide: Callable[..., Path], tmp_path: Path) -> None:
    source = decide([{"text": "hello"}, {"text": 3}, {"text": None}])
    report_file(source, tmp_path / "report.html")
    root = check_page((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert "Not read in the review2" in root.one("dl", class_="tiles").words


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"label": "no"}, "has no column 'no'; its columns are id, text"),
        ({"label": "id"}, "column 'id' holds no label; write 1 or reject, 0 or approve"),
        ({"columns": Columns("no")}, "has no column 'no'"),
    ],
)
def test_a_column_that_is_not_there(toy_rows: Path, tmp_path: Path, arguments: dict[str, object], problem: str) -> None:
    with pytest.raises(RecordError, match=r"decided\.jsonl: ") as caught:
        report_file(toy_rows, tmp_path / "report.html", **arguments)  # type: ignore[arg-type]
    assert problem in str(caught.value)
    assert not (tmp_path / "report.html").exists()


def test_a_file_that_was_never_reviewed(tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("text\nhello\n")
    with pytest.raises(RecordError, match="has no column 'verdict'; name a file that `moderation review` wrote"):
        report_file(tmp_path / "in.csv", tmp_path / "report.html")


def test_another_policy_is_refused(toy_rows: Path, tmp_path: Path, toy_file: Path) -> None:
    from moderation import load_policy

    (tmp_path / "other.toml").write_text(toy_file.read_text().replace("0.75", "0.8"))
    with pytest.raises(PolicyError, match="was decided under toy-1"):
        report_file(toy_rows, tmp_path / "report.html", policy=load_policy(tmp_path / "other.toml"))


@pytest.mark.parametrize(
    ("target", "cause"),
    [
        ("no/report.html", "no is no folder"),
        (".", "it is a folder"),
        ("pipe", "it is no file"),  # as /dev/null, in whose place a file would stand from then on
        ("decided", "it is what is read"),
        ("link", "it is what is read"),
    ],
)
def test_a_target_that_cannot_be_written(toy_rows: Path, tmp_path: Path, target: str, cause: str) -> None:
    decided = toy_rows.rename(tmp_path / "decided.csv")
    (tmp_path / "link").symlink_to(decided)
    os.mkfifo(tmp_path / "pipe")
    before = decided.read_bytes()
    with pytest.raises(RecordError, match=f"cannot be written .*{cause}"):
        report_file(decided, decided if target == "decided" else tmp_path / target)
    assert decided.read_bytes() == before
    assert (tmp_path / "pipe").is_fifo()


def test_a_target_that_is_a_link_stays_one(toy_rows: Path, tmp_path: Path) -> None:
    (tmp_path / "link.html").symlink_to(tmp_path / "real.html")
    report_file(toy_rows, tmp_path / "link.html")
    assert (tmp_path / "link.html").is_symlink()
    assert "Review report" in (tmp_path / "real.html").read_text(encoding="utf-8")


def test_without_jinja2_it_says_what_to_install(
    toy_rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    page._environment.cache_clear()
    with pytest.raises(MissingPackageError, match=r"jinja2 is not installed: pip install 'moderation\[report\]'"):
        report_file(toy_rows, tmp_path / "report.html")
    page._environment.cache_clear()


# --------------------------------------------------------------------------- counting in constant memory


def decided(row: int, text: str, score: float, rules: int = 1, label: bool | None = None) -> Decided:
    from moderation.records import Record

    findings = tuple(Finding(f"rule.{row % 900}-{i}", "threat", Effect.REFER, 0, 1, text[:1]) for i in range(rules))
    verdict = Verdict.REJECT if score >= 0.5 else Verdict.APPROVE
    decision = Decision(
        *(str(row), verdict, ("threat",) if score >= 0.5 else (), "", score, {"threat": score}, 0.5),
        *("linear", findings, f"policy-{row}", "model"),
    )
    return Decided(Record(row, {}, Comment(text, str(row))), decision, label)


def test_what_is_kept_does_not_grow_with_the_file() -> None:
    from moderation.report import Tally

    tally = Tally(sample=20)
    for row in range(1, 6001):
        tally.add(decided(row, "text " * 1000, row % 100 / 100, rules=2, label=row % 3 == 0))
    assert tally.rows == 6000
    assert len(tally.rules) <= 1000
    assert len(tally.policies) <= 1001
    assert tally.policies.total() == 6000
    assert len(tally.examples()) < 20 * 2 + 400 * 3 + 100
    assert all(sum(len(s.text) for s in e.segments) <= SHOWN_CHARACTERS for e in tally.examples())
    assert sum(map(sum, tally.scores.values())) == 6000


def test_a_reservoir_is_fair_and_repeatable() -> None:
    def drawn(seed: int) -> list[int]:
        reservoir: Reservoir[int] = Reservoir(10, seed)
        for number in range(100):
            reservoir.offer(lambda: number)  # noqa: B023 (called at once)
        return reservoir.kept

    assert drawn(1) == drawn(1) != drawn(2)
    counts = Counter(number for seed in range(1000) for number in drawn(seed))
    assert len(counts) == 100
    # 100 are expected of each; six standard deviations.
    assert 43 < min(counts.values()) <= max(counts.values()) < 157


def test_a_reservoir_makes_only_what_it_keeps() -> None:
    made: list[int] = []
    reservoir: Reservoir[int] = Reservoir(0)
    for number in range(10):
        reservoir.offer(lambda: made.append(number) or number)  # type: ignore[func-returns-value] # noqa: B023
    assert (made, reservoir.kept, reservoir.offered) == ([], [], 10)


spans = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 12), st.sampled_from(Effect)), max_size=8)


@RELAXED
@given(st.text(min_size=40, max_size=60), spans, st.integers(0, 20), st.integers(20, 60))
def test_segments_make_up_the_text_and_mark_the_findings(
    text: str, places: list[tuple[int, int, Effect]], begin: int, end: int
) -> None:
    end = min(end, len(text))
    findings = [
        Finding(f"rule.{effect}", "threat", effect, start, min(start + size, len(text)), "")
        for start, size, effect in places
    ]
    found = segments(text, findings, begin, end)
    assert "".join(segment.text for segment in found) == text[begin:end]
    place = begin
    for segment in found:
        for offset in range(place, place + len(segment.text)):
            effects = {f.effect for f in findings if f.start <= offset < f.end}
            assert (segment.effect is None) == (not effects)
            assert segment.effect is None or segment.effect in effects
            assert (Effect.REJECT in effects) <= (segment.effect is Effect.REJECT)
        place += len(segment.text)


def test_of_a_long_comment_the_part_around_the_evidence_is_shown() -> None:
    text = "a" * 5000 + "clown" + "b" * 5000
    finding = Finding("threat.kill", "threat", Effect.REJECT, 5000, 5005, "clown")
    found = example(1, Comment(text), (decided(1, text, 0.9).decision,))
    assert (found.before, found.after) == (0, len(text) - SHOWN_CHARACTERS)
    decision = Decision(*("", Verdict.REJECT, ("threat",), "", 0.9, {}, 0.5, "rule", (finding,), "", ""))
    found = example(1, Comment(text), (decision,))
    assert [s.text for s in found.segments if s.effect] == ["clown"]
    assert found.before + sum(len(s.text) for s in found.segments) + found.after == len(text)


# --------------------------------------------------------------------------- labels and curves


@pytest.mark.parametrize(
    ("value", "label"),
    [
        *(("reject", True), ("Approve ", False), ("1", True), (0, False), (True, True), ("no", False), ("yes", True)),
        *(
            ("0.5", True),
            (0.49, False),
            ("", None),
            (None, None),
            ("2", None),
            ("nan", None),
            ("maybe", None),
            ([], None),
        ),
    ],
)
def test_what_a_label_says(value: object, label: bool | None) -> None:
    assert label_of(value) is label


def test_a_label_column_is_guessed_by_its_name_and_value() -> None:
    assert guessed_label({"text": "1", "label": "0"}) == "label"
    assert guessed_label({"label": "sport", "expected": "reject"}) == "expected"
    assert guessed_label({"label": "sport"}) is None


labelled = st.lists(st.tuples(st.booleans(), st.integers(0, 50), st.booleans()), min_size=1, max_size=60)


@RELAXED
@given(labelled)
def test_average_precision_is_that_of_scikit_learn(rows: list[tuple[bool, int, bool]]) -> None:
    ranking = Ranking()
    for label, score, by_rule in rows:
        ranking.add(label, score / 50, by_rule)
    labels = [label for label, _, _ in rows]
    if not any(labels):
        assert ranking.average_precision() is None
        assert ranking.curve() == ()
        return
    expected = average_precision_score(labels, [score / 50 + 2 * by_rule for _, score, by_rule in rows])
    assert ranking.average_precision() == pytest.approx(expected)
    recall, precision = ranking.curve()[-1]
    assert (recall, precision) == (1.0, pytest.approx(sum(labels) / len(labels)))
    drawn = curve(ranking, precision, 0.5, 0.5)
    assert drawn.line.startswith(
        f"{drawn.left + (392 - drawn.left) * ranking.curve()[0][0]:.1f}".rstrip("0").rstrip(".")
    )
    assert drawn.point == (225.0, 142.0)


def test_a_confusion_without_rows_has_no_shares() -> None:
    empty = Confusion()
    assert (empty.precision, empty.recall, empty.f1, empty.accuracy, empty.false_rejection) == (None,) * 5


def test_the_histogram_keeps_its_bars_within_the_chart() -> None:
    counts = {Verdict.APPROVE: [10**6] + [0] * (BINS - 1), Verdict.REJECT: [0] * (BINS - 1) + [7]}
    drawn = histogram(counts, [0.7, 0.75])
    assert len(drawn.bars) == BINS
    assert [(bar.comments, bar.rejected) for bar in (drawn.bars[0], drawn.bars[-1])] == [(10**6, 0), (7, 7)]
    assert all(44 <= bar.top <= bar.rejected_top <= drawn.base for bar in drawn.bars)
    assert [tick.text for tick in drawn.ticks_y] == ["0", "1", "100", "10k", "1M"]
    assert [mark.row for mark in drawn.marks] == [0, 1]  # their words do not run into one another
    assert [compact(count) for count in (0, 999, 1000, 10**6, 10**9)] == ["0", "999", "1k", "1M", "1G"]

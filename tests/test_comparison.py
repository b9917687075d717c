import json
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from conftest import Fake
from hypothesis import given, settings
from hypothesis import strategies as st
from pages import check_page

from moderation import Comment, Moderator, Policy, RecordError, load_policy
from moderation.cli import main
from moderation.comparison import (
    APPROVED,
    CHUNK_ROWS,
    REJECTED,
    SCORE,
    THRESHOLD,
    Comparison,
    Shared,
    causes,
    compare,
    page,
    review_both,
)
from moderation.decision import Decision, Verdict
from moderation.finding import Effect, Finding
from moderation.normalise import Folded, fold
from moderation.records import Record

WORDS = """
[[rule]]
id = "profanity.words"
guideline = "profanity"
effect = "{effect}"
statement = "Holds a swear word."
reason = "It swears."
known_problems = "None known."
terms = "swear.txt"
violates = ["zonk", "you zonk", "Zonk!"]
allowed = ["hello", "bonk"]
"""


class Letters(Fake):
    """Scores by the letters of the skeleton, and counts the texts that it scores."""

    def __init__(self, stage: str = "linear", weight: float = 1.0) -> None:
        super().__init__()
        self.stage = stage
        self.weight = weight
        self.scored: Counter[str] = Counter()
        self.explained = 0

    def score(self, comments: Sequence[Folded]) -> npt.NDArray[np.float32]:
        scores = super().score(comments)
        for row, comment in zip(scores, comments, strict=True):
            self.scored[comment.plain.text] += 1
            text = comment.skeleton.text
            row[:] = [(self.weight * sum(map(ord, text)) * (i + 7) % 100) / 100 for i in range(len(row))]
            row[1:] /= 2  # Below every bar: what any guideline has decides where the encoder looks.
        return scores

    def evidence(self, comment: Folded, output: str) -> tuple[tuple[int, int], ...]:
        self.explained += 1
        view = comment.skeleton
        return (view.original(0, len(view.text.split(" ")[0])),) if view.text else ()


@pytest.fixture(scope="module")
def policies(tmp_path_factory: pytest.TempPathFactory, toy_file: Path) -> dict[str, Policy]:
    """The toy policy; two whose encoder looks seldom, one with lower bars; two that know swear words."""
    folder = tmp_path_factory.mktemp("policies")
    toy = toy_file.read_text(encoding="utf-8")
    looks = toy.replace("[[rule]]", "[encoder]\nunflagged = 1\nreferred = 1\n[[rule]]", 1)
    (folder / "swear.txt").write_text("zonk\t3\nflibber\t2\n")
    texts = {
        "toy": toy,
        "lower": looks.replace("unflagged = 0.75\nreferred = 0.5", "unflagged = 0.6\nreferred = 0.3"),
        "words": toy + WORDS.format(effect="reject"),
        "referring": toy + WORDS.format(effect="refer"),
        "looks": looks,
    }
    assert len(set(texts.values())) == len(texts)
    for name, text in texts.items():
        (folder / f"{name}.toml").write_text(text)
    return {name: load_policy(folder / f"{name}.toml") for name in texts}


def records(texts: Sequence[str], **more: Sequence[object]) -> Iterator[Record | RecordError]:
    for number, text in enumerate(texts, 1):
        values = {"text": text} | {name: column[number - 1] for name, column in more.items()}
        yield Record(number, values, Comment(text, str(number)))


# --------------------------------------------------------------------------- as two reviews would

pieces = st.lists(
    st.sampled_from(
        [
            "I will kill you",
            "you",
            "zonk",
            "z0nk",
            "z*nk",
            "zoooonk",
            "fl1bber",
            "hello",
            "clown",
            "\u200bzo\u200bnk",
            "é",
        ]
    ),
    max_size=4,
).map(" ".join)


@settings(deadline=None, max_examples=60)
@given(
    texts=st.lists(pieces, max_size=12),
    a=st.sampled_from(["toy", "lower", "words", "referring", "looks"]),
    b=st.sampled_from(["toy", "lower", "words", "referring", "looks"]),
    encoder=st.tuples(st.booleans(), st.booleans()),
    other_model=st.booleans(),
)
def test_both_sides_decide_as_they_would_alone(
    policies: dict[str, Policy], texts: list[str], a: str, b: str, encoder: tuple[bool, bool], other_model: bool
) -> None:
    linear, second = Letters(), Letters("encoder", 3)
    other = Letters(weight=5) if other_model else linear
    first = Moderator(policies[a], linear, second if encoder[0] else None)
    last = Moderator(policies[b], other, second if encoder[1] else None)
    both = [row for row in review_both(first, last, records(texts)) if not isinstance(row, RecordError)]
    comments = [Comment(text, str(number)) for number, text in enumerate(texts, 1)]
    assert [row[1] for row in both] == list(first.review_many(comments))
    assert [row[2] for row in both] == list(last.review_many(comments))
    assert [row[0].comment for row in both] == comments


def test_scores_are_computed_once_where_only_the_policies_differ(policies: dict[str, Policy]) -> None:
    linear, encoder = Letters(), Letters("encoder", 3)
    texts = [f"hello clown number {number}" for number in range(50)]
    a, b = (Moderator(policies[name], linear, encoder) for name in ("looks", "lower"))
    found = compare(a, b, records(texts))
    assert found.rows == 50
    assert linear.scored == Counter(texts)
    assert 0 < len(encoder.scored) < 50
    assert set(encoder.scored.values()) == {1}
    alone = sum(d.decided_by != "rule" and d.verdict is Verdict.REJECT for m in (a, b) for d in m.review_many(texts))
    asked = linear.explained + encoder.explained
    assert 0 < asked < 2 * alone


def test_where_the_words_read_a_text_differently_it_is_scored_for_each(policies: dict[str, Policy]) -> None:
    linear = Letters()
    assert fold("z*nk", policies["toy"].words).skeleton != fold("z*nk", policies["words"].words).skeleton
    compare(Moderator(policies["toy"], linear), Moderator(policies["words"], linear), records(["z*nk", "hello"]))
    assert linear.scored == {"z*nk": 2, "hello": 1}


def test_the_same_text_twice_is_scored_once_and_forgotten_with_its_chunk(policies: dict[str, Policy]) -> None:
    linear = Letters()
    a, b = (Moderator(policies[name], linear) for name in ("toy", "lower"))
    compare(a, b, records(["hello"] * (2 * CHUNK_ROWS + 1)))
    assert linear.scored == {"hello": 3}


def test_evidence_is_told_again_only_for_the_same_places(policies: dict[str, Policy]) -> None:
    words = policies["words"].words
    shared = Shared(Letters())
    one, other = fold("zonk hello", words), fold("zonk hello", words)
    moved = replace(other, skeleton=replace(other.skeleton, starts=tuple(range(1, 11)), ends=tuple(range(2, 12))))
    assert shared.evidence(one, "threat") == shared.evidence(other, "threat") == ((0, 4),)
    assert shared.evidence(moved, "threat") == ((1, 5),)
    assert shared.score([]).shape == (0, 7)


# --------------------------------------------------------------------------- counts

TEXTS = ["hello", "I will kill you", "zonk", "you zonk", "a clown", "a jester", "you jester", "zonk clown"]
LABELS = ["approve", "reject", "reject", "reject", "reject", "approve", "", "reject"]


@pytest.fixture(scope="module")
def found(policies: dict[str, Policy]) -> Comparison:
    classifier = Fake({"clown": 0.8125, "jester": 0.65625}, 0.125)
    classifier.evidence = lambda comment, output: ((0, 1),)  # type: ignore[method-assign]
    lower = policies["lower"]
    words = policies["words"]
    a = Moderator(words, classifier)
    b = Moderator(replace(lower, term_files={}), classifier)
    return compare(a, b, records(TEXTS, expected=LABELS))


def test_counts_are_those_of_a_hand_count(found: Comparison) -> None:
    # zonk and «you zonk» are approved by B, which has no such rule; a jester is over B's bar alone.
    assert (found.rows, found.flips, found.rejected, found.approved, found.reasons) == (8, 3, 1, 2, 1)
    assert {(a.value, b.value): n for (a, b), n in found.verdicts.items()} == {
        ("approve", "approve"): 1,
        ("reject", "reject"): 4,
        ("reject", "approve"): 2,
        ("approve", "reject"): 1,
    }
    changes = {name: tuple(change.to_dict().values()) for name, change in found.guidelines.items()}
    assert changes == {"threat": (1, 1, 0, 0), "profanity": (3, 0, 0, 2), "personal_attack": (3, 4, 1, 0)}
    rules = {name: tuple(change.to_dict().values()) for name, change in found.rules.items()}
    assert rules == {"threat.kill": (1, 1, 0, 0), "profanity.words": (3, 0, 0, 2), "personal_attack.you": (3, 3, 0, 0)}
    assert found.causes == {(REJECTED, THRESHOLD): 1}
    assert found.decided == {("linear", "linear"): 4, ("rule", "rule"): 1, ("rule", "linear"): 3}
    a, b = found.confusion
    assert (a.right_rejections, a.wrong_rejections, a.right_approvals, a.wrong_approvals) == (5, 0, 2, 0)
    assert (b.right_rejections, b.wrong_rejections, b.right_approvals, b.wrong_approvals) == (3, 1, 1, 2)


def test_examples_show_both_decisions(found: Comparison) -> None:
    assert [e.row for e in found.examples(APPROVED)] == [3, 4]
    assert [e.row for e in found.examples(REJECTED)] == [6]
    assert [e.row for e in found.examples()] == [3, 4, 6, 8]
    a, b = found.examples(APPROVED)[0].decisions
    assert (a.verdict, a.decided_by, b.verdict) == (Verdict.REJECT, "rule", Verdict.APPROVE)


def test_as_json(found: Comparison) -> None:
    figures = json.loads(json.dumps(found.to_dict()))
    assert (figures["comments"], figures["newly_rejected"], figures["newly_approved"]) == (8, 1, 2)
    assert figures["rules"]["profanity.words"] == {"a": 3, "b": 0, "newly_rejected": 0, "newly_approved": 2}
    assert figures["causes"]["threshold"] == {"newly_rejected": 1, "newly_approved": 0}
    assert figures["decided_by"] == {"linear > linear": 4, "rule > linear": 3, "rule > rule": 1}
    assert figures["labels"]["b"]["precision"] == 0.75
    assert [(e["row"], e["a"]["verdict"], e["b"]["verdict"]) for e in figures["examples"]] == [
        *((3, "reject", "approve"), (4, "reject", "approve"), (6, "approve", "reject"), (8, "reject", "reject"))
    ]


def test_the_page_shows_the_figures_and_the_flips(found: Comparison) -> None:
    root = check_page(page(found, Path("in <b>.csv")))
    assert "in <b>.csv" in root.one("header").words
    tiles = [tile.words for tile in root.one("dl", class_="tiles").all("div")]
    assert tiles == ["Comments8", "Newly rejected112.5%", "Newly approved225.0%", "Rejected for other guidelines1"]
    entries = list(root.one("ol", id="entries").all("li", class_="entry"))
    assert [(e.attributes["data-direction"], e.attributes["data-cause"]) for e in entries] == [
        (APPROVED, "profanity.words"),
        (APPROVED, "profanity.words"),
        (REJECTED, "threshold"),
        ("other guidelines", ""),
    ]
    assert [e.one("p", class_="comment").text for e in entries] == ["zonk", "you zonk", "a jester", "zonk clown"]


def test_a_comparison_without_flips_has_a_page(policies: dict[str, Policy]) -> None:
    moderator = Moderator(policies["toy"], Fake())
    root = check_page(page(compare(moderator, moderator, records(["hello"])), Path("in.csv")))
    assert "No verdict differs." in root.text


def side(
    verdict: Verdict, score: float, threshold: float, *findings: tuple[str, Effect], by: str = "linear"
) -> Decision:
    found = tuple(Finding(rule, "threat", effect, 0, 1, "x") for rule, effect in findings)
    return Decision("", verdict, (), "", score, {}, threshold, by, found, "", "")


A, R = Verdict.APPROVE, Verdict.REJECT


@pytest.mark.parametrize(
    ("rejecting", "approving", "told"),
    [
        (side(R, 0.1, 0.9, ("t.a", Effect.REJECT), by="rule"), side(A, 0.1, 0.9), ("t.a",)),
        # All that reject, each once; those that refer have no part in it.
        (
            side(
                *(R, 0.95, 0.9, ("t.a", Effect.REJECT), ("t.a", Effect.REJECT), ("t.b", Effect.REFER)),
                *(("t.c", Effect.REJECT),),
                by="rule",
            ),
            side(A, 0.1, 0.9),
            ("t.a", "t.c"),
        ),
        (side(R, 0.8, 0.7), side(A, 0.8, 0.9), (THRESHOLD,)),
        (side(R, 0.8, 0.7, ("t.b", Effect.REFER)), side(A, 0.8, 0.9), ("t.b",)),
        # Both are referred, so that the bar itself is another.
        (side(R, 0.8, 0.7, ("t.b", Effect.REFER)), side(A, 0.8, 0.9, ("t.b", Effect.REFER)), (THRESHOLD,)),
        (side(R, 0.8, 0.7, ("t.c", Effect.REFER)), side(A, 0.8, 0.9, ("t.b", Effect.REFER)), (THRESHOLD,)),
        (side(R, 0.95, 0.9), side(A, 0.5, 0.9), (SCORE,)),
        (side(R, 0.95, 0.9, ("classifier", Effect.SCORE)), side(A, 0.95, 0.96), (THRESHOLD,)),
        (side(R, 0.8, 0.7, ("t.b", Effect.REFER)), side(A, 0.3, 0.9), (SCORE,)),
    ],
)
def test_what_tips_a_flip(rejecting: Decision, approving: Decision, told: tuple[str, ...]) -> None:
    assert causes(rejecting, approving) == told


# --------------------------------------------------------------------------- on the command line


@pytest.fixture
def files(tmp_path: Path, toy_file: Path, toy_model: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with two policies, the toy model and comments."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "swear.txt").write_text("zonk\t3\n")
    toy = toy_file.read_text(encoding="utf-8")
    (tmp_path / "a.toml").write_text(toy)
    (tmp_path / "same.toml").write_text(toy)
    (tmp_path / "b.toml").write_text(toy + WORDS.format(effect="reject"))
    (tmp_path / "in.csv").write_text("id,text,expected\n1,hello,approve\n2,zonk,reject\n3,[b]clown[/b],reject\n")
    (tmp_path / "model").symlink_to(toy_model)
    return tmp_path


def call(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    saved, sys.argv = sys.argv, ["moderation", *arguments]
    try:
        main()
        status = 0
    except SystemExit as stop:
        status = int(stop.code or 0)
    finally:
        sys.argv = saved
    captured = capsys.readouterr()
    return status, captured.out, captured.err


TOY = ("--model", "model", "--policy", "a.toml", "--policy", "b.toml")


def test_the_command_tells_flips_by_guideline_and_rule(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = call(capsys, "compare", "in.csv", *TOY, "--html", "out.html")
    assert (status, err) == (0, "out.html: written\n")
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert lines[0].startswith("A: policy toy-1+")
    assert "3 comments: 1 flip (33.33%), 1 newly rejected, 0 newly approved; 0 rejected by both for" in lines[2]
    assert "profanity 1 0 0 1" in lines
    assert "profanity.words 1 0 0 1" in lines
    assert "A 1 0 1 1 100.0% 50.0%" in lines
    assert "2: profanity, tipped by profanity.words: zonk" in lines
    check_page((files / "out.html").read_text(encoding="utf-8"))


def test_the_command_gives_json(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = call(capsys, "compare", "in.csv", *TOY, "--json")
    assert (status, json.loads(out)["newly_rejected"]) == (0, 1)


@pytest.mark.parametrize(
    ("arguments", "status", "told"),
    [
        (["--policy", "a.toml", "--policy", "a.toml"], 2, "both sides are the same: policy toy-1+"),
        (["--policy", "a.toml", "--policy", "same.toml"], 2, "both sides are the same: policy toy-1+"),
        ([], 2, "name two policies"),
        (["--policy", "a.toml", "--model", "model"], 2, "name two policies"),
        (["--policy", "a.toml"] * 3, 2, "--policy is given 3 times; compare has two sides"),
        (["--model", "model", "--model", "model", "--policy", "a.toml"], 2, "both sides are the same"),
        (["--policy", "a.toml", "--policy", "no.toml"], 3, "no.toml: cannot be read"),
        (["--policy", "a.toml", "--policy", "in.csv"], 3, "in.csv: not valid TOML"),
        (["--policy", "a.toml", "--policy", "b.toml", "--label", "no"], 2, "have no column 'no'"),
        (["--policy", "a.toml", "--policy", "b.toml", "--text", "no"], 2, "has no column 'no'"),
        (
            ["--policy", "a.toml", "--policy", "b.toml", "--html", "no/out.html"],
            2,
            "no/out.html: cannot be written (no is no folder)",
        ),
    ],
)
def test_mistakes_are_told_in_one_line(
    files: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], status: int, told: str
) -> None:
    model = [] if "--model" in arguments or not arguments else ["--model", "model"]
    got, out, err = call(capsys, "compare", "in.csv", *model, *arguments)
    assert (got, out) == (status, "")
    assert told in " ".join(err.replace("│", " ").split())
    assert "Traceback" not in err


def test_a_label_column_without_labels_is_told_beside_the_flips(
    files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out, err = call(capsys, "compare", "in.csv", *TOY, "--label", "text")
    assert (status, "3 comments: 1 flip" in out) == (2, True)
    assert err == "in.csv: column 'text' holds no label; write 1 or reject, 0 or approve\n"


def test_rows_that_cannot_be_read_are_counted(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (files / "in.jsonl").write_text('{"text": "zonk"}\nnonsense\n{"text": 3}\n')
    status, out, err = call(capsys, "compare", "in.jsonl", *TOY)
    assert status == 4
    assert "1 comments: 1 flip" in out
    assert "in.jsonl: 2 rows could not be read; the first: in.jsonl: row 2: not JSON" in err


def test_a_report_by_the_command(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    more = ("--model", "model", "--policy", "b.toml", "--quiet")
    assert call(capsys, "review", "in.csv", "-o", "out.csv", *more)[0] == 0
    assert call(capsys, "report", "out.csv", "-o", "out.html", "--policy", "b.toml") == (
        0,
        "",
        "out.html: 3 decisions\n",
    )
    root = check_page((files / "out.html").read_text(encoding="utf-8"))
    assert "Holds a swear word." in root.text
    status, out, err = call(capsys, "report", "in.csv", "-o", "out.html")
    assert (status, out) == (2, "")
    assert err == "in.csv: has no column 'verdict'; name a file that `moderation review` wrote\n"
    with (files / "out.csv").open("a") as file:
        file.write("4,x\n")
    status, _, err = call(capsys, "report", "out.csv", "-o", "out.html")
    assert status == 4
    assert "out.csv: 1 rows hold no decision that can be read" in err

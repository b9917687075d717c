"""Labelled comments: public data sets through their label map, and the sentences written for this project."""

import csv
import hashlib
import json
import random
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import mmh3
import numpy as np
import numpy.typing as npt

from moderation.errors import ModerationError, RecordError
from moderation.paths import DATA
from moderation.policy import GUIDELINES

OWN = "own"
"""Name of the source of the sentences written for this project begins with this."""
FEEDBACK = "feedback"
"""Source of what moderators said."""

_GROUP_SLOTS = ("people", "a_person", "adjective")
_SLOT = re.compile(r"\{([a-z_]+)\}")
_GROUP_FILLS, _OTHER_FILLS = 8, 2
_SKETCH_WORDS = 3
_NOT_LETTER = re.compile(r"[\W_]+")


@dataclass(frozen=True, slots=True)
class Labelled:
    """One labelled comment.

    Parameters
    ----------
    text, source
        The comment and the name of its source.
    labels
        1, 0 or None (the source does not say) for ``reject`` and each guideline.
    weight
        How much it counts in training.
    function
        What a sentence of our own exercises; empty for public ones.
    note
        The source's own label.
    line
        The line of ``data/training`` whose slots were filled; empty for public ones.
    held_out
        Whether it is never trained on though its source is.
    """

    text: str
    source: str
    labels: Mapping[str, int | None]
    weight: float = 1.0
    function: str = ""
    note: str = ""
    line: str = ""
    held_out: bool = False


@dataclass(frozen=True, slots=True)
class Source:
    """One public data set, as ``data/datasets.toml`` describes it."""

    name: str
    licence: str
    url: str
    use: str
    weight: float = 0.0
    held_out: str = ""
    label: tuple[Mapping[str, Any], ...] = field(default=())

    def labels(self, source_label: str, given: Mapping[str, int | None]) -> dict[str, int | None]:
        """Map one row's labels to ours.

        Parameters
        ----------
        source_label
            The label as the source has it.
        given
            ``reject`` and guidelines, as the table has them.
        """
        labels: dict[str, int | None] = {name: given.get(name) for name in ("reject", *GUIDELINES)}
        mapping = next((m for m in self.label if not m["when"] or re.fullmatch(m["when"], source_label)), {})
        named = {key: value for key, value in mapping.items() if key not in ("when", "why")}
        for key, value in named.items():
            labels[key] = None if value == "unknown" else given.get(value) if isinstance(value, str) else value
        if named.get("reject") == "promotion" and labels["reject"] == 0:
            labels["reject"] = None
        elif labels["promotion"] is None:
            labels["promotion"] = 0
        if labels["reject"] == 0:
            labels |= {name: 0 for name in GUIDELINES if labels[name] is None and named.get(name) != "unknown"}
        return labels


def sources() -> dict[str, Source]:
    """Read the manifest of public data sets, by name."""
    data = tomllib.loads((DATA / "datasets.toml").read_text(encoding="utf-8"))
    return {entry["name"]: Source(**entry | {"label": tuple(entry.get("label", ()))}) for entry in data["source"]}


def public(folder: Path, uses: Sequence[str]) -> list[Labelled]:
    """Read the rows of the sources with one of these uses.

    Parameters
    ----------
    folder
        Where ``english.parquet`` lies.
    uses
        Such as ``("train",)``; see ``data/datasets.toml``.

    Raises
    ------
    ModerationError
        When the table is not there or lacks a column.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    file = folder / "english.parquet"
    if not file.is_file():
        raise ModerationError(f"{file}: no such file; name the data sets' folder with --data (see data/datasets.toml)")
    try:
        table = pq.read_table(file)
    except pa.ArrowInvalid as error:
        raise ModerationError(f"{file}: not a Parquet table ({error}); fetch it again") from error
    needed = {"source", "text", "source_label", "reject"}
    if missing := needed - set(table.column_names):
        raise ModerationError(f"{file}: lacks the column {sorted(missing)[0]!r}; see data/datasets.toml")
    wanted = {name: source for name, source in sources().items() if source.use in uses}
    columns = [name for name in ("reject", *GUIDELINES) if name in table.column_names]
    found = []
    for row in table.select(["source", "text", "source_label", *columns]).to_pylist():
        source = wanted.get(row["source"])
        if source is not None:
            labels = source.labels(row["source_label"] or "", {name: row[name] for name in columns})
            text = _unescaped(row["text"]) if source.name == "kaggle-insults" else row["text"]
            note = row["source_label"] or ""
            held_out = bool(source.held_out and re.fullmatch(source.held_out, note))
            found.append(Labelled(text, source.name, labels, source.weight, note=note, held_out=held_out))
    return found


def feedback(file: Path) -> list[Labelled]:
    """Read what moderators said, as ``moderation audit export --training`` writes it.

    Rows (CSV, else JSON Lines) of ``text``, ``reject`` and the guidelines: 1, 0, or empty where it was not said.

    Raises
    ------
    ModerationError
        When the file or a row cannot be read, naming it.
    """
    found = []
    try:
        with file.open(encoding="utf-8", newline="") as source:
            rows: Iterator[Any] = csv.DictReader(source) if file.suffix == ".csv" else map(json.loads, source)
            for number, row in enumerate(rows, 1):
                try:
                    text, given = row["text"], {name: row.get(name) for name in ("reject", *GUIDELINES)}
                    labels = {name: None if value in (None, "") else int(value) for name, value in given.items()}
                    if not isinstance(text, str) or labels["reject"] is None or set(labels.values()) - {0, 1, None}:
                        raise ValueError
                except (KeyError, TypeError, ValueError, AttributeError):
                    raise RecordError(
                        str(file), number, "needs `text`, and `reject` and the guidelines as 1, 0 or nothing"
                    ) from None
                found.append(Labelled(text, FEEDBACK, labels))
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise RecordError(str(file), 0, f"cannot be read ({error}); export it again") from error
    return found


def marked_shares(folder: Path) -> dict[str, npt.NDArray[np.float32]]:
    """Read how many of the annotators of each news comment marked each of its characters as toxic.

    Returns
    -------
    dict
        Text to shares from 0 to 1, one a character.

    Raises
    ------
    ModerationError
        When the table is not there.
    """
    import pyarrow.parquet as pq

    file = folder / "toxic_spans.parquet"
    if not file.is_file():
        raise ModerationError(f"{file}: no such file; name the data sets' folder with --data (see data/datasets.toml)")
    found = {}
    for row in pq.read_table(file, columns=["text", "annotators", "spans"]).to_pylist():
        marks = np.zeros(len(row["text"]), dtype=np.float32)
        for span in row["spans"] or ():
            marks[span["start"] : span["end"]] += 1
        found[row["text"]] = marks / row["annotators"]
    return found


def rationales(folder: Path) -> dict[str, tuple[tuple[int, int], ...]]:
    """Read what more than half of the annotators of each news comment marked as toxic.

    Returns
    -------
    dict
        Text to half-open spans, sorted and apart; none where no character has a majority.

    Raises
    ------
    ModerationError
        When the table is not there.

    Source: Pavlopoulos et al., "SemEval-2021 Task 5: Toxic Spans Detection", which keeps the same characters.
    """
    found = {}
    for text, shares in marked_shares(folder).items():
        edges = np.flatnonzero(np.diff(np.concatenate([[False], shares > 0.5, [False]]))).tolist()
        found[text] = tuple(zip(edges[::2], edges[1::2], strict=True))
    return found


def span_f1(found: Sequence[tuple[int, int]], marked: Sequence[tuple[int, int]]) -> float:
    """Give the F1 of the characters in two sets of half-open spans, 0 to 1; two empty sets agree.

    Source: Da San Martino et al., "Fine-Grained Analysis of Propaganda in News Articles", EMNLP 2019, as the
    toxic-spans task uses it.
    """
    ours = {place for start, end in found for place in range(start, end)}
    theirs = {place for start, end in marked for place in range(start, end)}
    if not ours or not theirs:
        return float(ours == theirs)
    return 2 * len(ours & theirs) / (len(ours) + len(theirs))


def _unescaped(text: str) -> str:
    """Undo the escapes in which one source's texts come."""
    return text.strip('"').replace("\\\\", "\\").replace("\\n", "\n").replace("\\xa0", " ").replace("\\'", "'")


def own(folder: Path = DATA / "training", *, fills: bool = True) -> list[Labelled]:
    """Read sentences written for this project.

    Each line is ``guidelines<TAB>function<TAB>text``; slots such as ``{people}`` are filled from
    ``slots.toml``, several times a line, the same each time this is called.

    Raises
    ------
    ModerationError
        When a line cannot be read, naming the file and line.
    """
    files = sorted(folder.glob("*.tsv"))
    if not files:
        raise ModerationError(f"{folder}: holds no sentences (*.tsv); name a checkout's data/training")
    slots_file = folder / "slots.toml"
    slots = tomllib.loads(slots_file.read_text(encoding="utf-8")) if slots_file.is_file() else {}
    found: list[Labelled] = []
    for file in files:
        rows = csv.reader(file.read_text(encoding="utf-8").splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE)
        for number, row in enumerate(rows, 1):
            if not row or row[0].startswith("#"):
                continue
            if len(row) != 3:
                raise ModerationError(f"{file}: line {number}: needs guidelines, function and text between tabs")
            broken = [] if row[0] == "-" else row[0].split(",")
            if unknown := set(broken) - set(GUIDELINES):
                raise ModerationError(f"{file}: line {number}: no guideline {sorted(unknown)[0]!r}")
            labels: dict[str, int | None] = {"reject": int(bool(broken))}
            labels |= {name: int(name in broken) for name in GUIDELINES}
            line = row[2].replace("\\n", "\n")
            texts = list(_filled(line, slots)) if fills else [line]
            found.extend(
                Labelled(text, f"{OWN}:{file.stem}", labels, 1 / len(texts), row[1], line=line) for text in texts
            )
    return found


def _filled(text: str, slots: Mapping[str, Sequence[str]]) -> Iterator[str]:
    names = set(_SLOT.findall(text)) & set(slots)
    if not names:
        yield text
        return
    chance = random.Random(text)
    for _ in range(_GROUP_FILLS if names & {*_GROUP_SLOTS, "nation", "faith"} else _OTHER_FILLS):
        group = chance.randrange(min(len(slots[name]) for name in _GROUP_SLOTS))

        def fill(slot: re.Match[str], group: int = group) -> str:
            name = slot[1]
            if name not in slots:
                return slot[0]
            return slots[name][group] if name in _GROUP_SLOTS else chance.choice(slots[name])

        yield _SLOT.sub(fill, text)


def clusters(texts: Sequence[str]) -> list[str]:
    """Give each text the name of its cluster of near-duplicates.

    Two texts are near-duplicates when they have the same letters and digits, or share the four smallest
    hashes of their three-word sequences, or begin with the same ten words.

    Source: Broder, "On the resemblance and containment of documents", 1997 (bottom-k sketch).
    """
    parent = list(range(len(texts)))

    def root(index: int) -> int:
        while parent[index] != index:
            parent[index] = parent[parent[index]]
            index = parent[index]
        return index

    first: dict[tuple[str, object], int] = {}
    names = []
    for index, text in enumerate(texts):
        words = _NOT_LETTER.sub(" ", text.lower()).split()
        letters = "".join(words)
        names.append(letters)
        keys: list[tuple[str, object]] = [("letters", letters)]
        if len(words) >= 8:
            runs = {mmh3.hash(" ".join(words[i : i + _SKETCH_WORDS])) for i in range(len(words) - _SKETCH_WORDS + 1)}
            keys.append(("sketch", tuple(sorted(runs)[:4])))
            keys.append(("opening", " ".join(words[:10])))
        for key in keys:
            other = first.setdefault(key, index)
            parent[root(index)] = root(other)
    return [names[root(index)] for index in range(len(texts))]


def fold_of(cluster: str) -> str:
    """Give the fold of a cluster of near-duplicates: test, validation or train, one to one to eight."""
    part = int(hashlib.sha256(cluster.encode()).hexdigest()[:8], 16) % 10
    return {0: "test", 1: "validation"}.get(part, "train")


def half_of(cluster: str) -> str:
    """Give the half of a news comment: ``choose`` (thresholds) or ``judge``."""
    return "choose" if int(hashlib.sha256(cluster.encode()).hexdigest()[8:16], 16) % 2 else "judge"


def is_benign_news(row: Labelled) -> bool:
    """Whether all raters of a news comment found nothing wrong with it."""
    return (row.source == "c3-constructive" and row.note.startswith("tox=1.00")) or (
        row.source == "unhealthy-conversations" and row.note.startswith("healthy=1")
    )


def news_half(folder: Path, half: str) -> list[Labelled]:
    """Give one half of the news comments: ``choose`` is for thresholds, ``judge`` for the result."""
    rows = public(folder, ("news",))
    names = clusters([row.text for row in rows])
    return [row for row, name in zip(rows, names, strict=True) if half_of(name) == half]

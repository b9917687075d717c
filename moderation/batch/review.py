"""Review files of comments: read, decide, write, in parts that stand alone; nothing lost, nothing twice."""

import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, replace
from itertools import chain, islice
from pathlib import Path
from typing import IO, Any

from moderation.batch.parts import Output, beginning, errors_name, identity_of, part_name, review_part
from moderation.batch.summary import Summary
from moderation.errors import RecordError, RunError
from moderation.moderator import Moderator
from moderation.parallel import call_each
from moderation.records import (
    Columns,
    Input,
    Layout,
    Part,
    Reading,
    Record,
    Source,
    compression_of,
    expand,
    file_format,
    read,
    tables,
)
from moderation.records.formats import compressor, parquet, plain_ending
from moderation.records.stream import STDIN
from moderation.runs import Receipt, Run, check_target, put_in_place, sync

LINEAR_BYTES, ENCODER_BYTES = 1 << 20, 128 << 10
"""Input of one part: a second or a few of work for one core, with the linear stage alone and with the encoder."""
MOST_PARTS = 2000
"""A larger input has larger parts, up to `MOST_BYTES`."""
MOST_BYTES = 16 << 20
WINDOW = 4
PARTS_TO_SHARE = 4
"""With fewer parts to do, other processes would take longer to start than they save."""
SCHEMA_ROWS = 1000

Progress = Callable[[Summary, float], None]
"""Told what was done until now, and what share of the input that is, 0 to 1."""


def review_file(
    moderator: Moderator,
    source: str | Path | Sequence[str | Path],
    target: str | Path,
    columns: Columns | None = None,
    progress: Progress | None = None,
    *,
    reading: Reading | None = None,
    form: str | None = None,
    jobs: int | None = 1,
    scheduler: str | None = None,
    resume: bool = False,
    restart: bool = False,
    strict: bool = False,
) -> Summary:
    """Review the comments of files and write each row with its decision.

    The work is done in parts in the folder ``TARGET.run``. The target appears only when it is complete;
    then the folder goes. Rows that cannot be read are left out and go, with their number and cause, to
    ``TARGET.errors.jsonl``.

    Parameters
    ----------
    source
        Files, folders and patterns: CSV, TSV, JSON Lines or Parquet by their ending; ``-`` for standard input.
    target
        A file, its format told by its ending; or, with a slash at its end, a folder for an output in parts.
    columns
        Which columns hold the comment; guessed where None.
    progress
        Told, now and then, what is done.
    reading
        Encoding and delimiter, where they are not to be told from the files; its columns count where
        `columns` is None.
    form
        Format of an output in parts: ``csv``, ``tsv``, ``jsonl`` or ``parquet``.
    jobs
        Processes; None for all cores where the input is large enough to gain by them.
    scheduler
        Address of a Dask scheduler, whose workers review instead; all see the same files under the same names.
    resume
        Go on with a review that was cut off, or begin one where none was. The output is the same, byte for
        byte, as if it had not been cut off.
    restart
        Throw away what an earlier review has done.
    strict
        Raise at the first unreadable row; the parts before it are kept.

    Raises
    ------
    RecordError
        When the source cannot be read or the target cannot be written; if strict, for an unreadable row.
    RunError
        When a review was begun with another policy, model, input or options, or without `resume` at all; when
        a file is reviewed onto itself and a row of it cannot be read.
    """
    try:
        job = _Job.prepare(moderator, source, target, columns, reading, form, strict)
        run = Run.open(job.folder, job.identity, resume=resume, restart=restart, there=job.is_there())
    except OSError as error:
        raise _unwritable(Path(target), error) from error
    try:
        if run.finished:
            summary = Summary()
            for receipt in run.receipts:
                summary.merge(receipt.counts)
            return summary
        job.refuse_full_folder()
        summary = job.review(run, progress, jobs, scheduler)
        job.assemble(run)
    except OSError as error:
        raise _unwritable(job.target, error) from error
    finally:
        run.close()
    if progress is not None:
        progress(summary, 1.0)
    return summary


@dataclass(frozen=True)
class _Job:
    """A review that is about to begin: everything looked at, nothing written."""

    moderator: Moderator
    moderator_identity: Mapping[str, Any]
    input: Input
    output: Output
    target: Path
    folder: Path
    part_bytes: int
    in_parts: bool

    @classmethod
    def prepare(
        cls,
        moderator: Moderator,
        source: str | Path | Sequence[str | Path],
        target: str | Path,
        columns: Columns | None,
        reading: Reading | None,
        form: str | None,
        strict: bool,
    ) -> "_Job":
        in_parts = str(target).endswith(("/", os.sep))
        target = Path(target)
        if not in_parts:
            form = "tsv" if plain_ending(target) == ".tsv" else file_format(target)
            if target.is_dir():
                raise RecordError(str(target), 0, "is a folder; name a file, or end it with / for an output in parts")
            check_target(target)
        elif form is None:
            raise RecordError(str(target), 0, "name the format of an output in parts with --format")
        elif not target.parent.is_dir():
            raise RecordError(str(target), 0, f"{target.parent} is no folder; make it or name another target")
        errors_file(target).exists()  # Its name must not be too long.
        absolute = target.resolve()
        folder = absolute.with_name(absolute.name + ".run")
        sources = [source] if isinstance(source, str | Path) else source
        whole = Input(expand(sources, (target, errors_file(target))), _reading(reading, columns))
        output = _output(whole, form, "" if in_parts else compression_of(target), str(folder / "parts"), strict)
        if in_parts:
            output = replace(output, header=True)
        return cls(
            moderator,
            identity_of(moderator),
            whole,
            output,
            target,
            folder,
            part_bytes(moderator, whole.size),
            in_parts,
        )

    def is_there(self) -> bool:
        """Whether a finished review left its output in its place; a folder is moved there from the run."""
        return not (self.folder / "parts").exists() if self.in_parts else self.target.exists()

    def refuse_full_folder(self) -> None:
        """Refuse to write parts into a folder that holds anything."""
        if self.in_parts and self.target.exists() and (not self.target.is_dir() or any(self.target.iterdir())):
            raise RecordError(str(self.target), 0, "is there already; name another folder")

    @property
    def identity(self) -> dict[str, Any]:
        """Everything that decides what the output will be."""
        sources = self.input.sources
        forms = [[source.form, source.encoding, source.dialect and source.dialect.options()] for source in sources]
        return {
            **self.moderator_identity,
            "input": [[Path(source.path).name, source.size, source.digest] for source in sources],
            "format": forms,
            "columns": [astuple(source.columns) for source in sources],
            "output": [self.output.ending, self.in_parts, *self.output.layout.columns],
            "part_bytes": self.part_bytes,
        }

    def review(self, run: Run, progress: Progress | None, jobs: int | None, scheduler: str | None) -> Summary:
        """Review all parts that are not done; note each."""
        summary, rows_before = Summary(), Counter[int]()
        parts, share = self.input.parts(self.part_bytes), 0.0
        done = len(run.receipts)
        for receipt in run.receipts:
            part = next(parts, None)
            self._same(receipt, part)
            share = part.share if part else 1.0
            rows_before[receipt.source] += receipt.rows
            summary.merge(receipt.counts)
        if progress is not None:
            progress(summary, share)
        # So many at least are there when more processes than this one are started.
        first = list(islice(parts, PARTS_TO_SHARE))
        workers = _workers(self.moderator, jobs, len(first)) if scheduler is None else 0
        pending: list[Part] = []

        def tasks() -> Iterator[tuple[Any, ...]]:
            for number, part in enumerate(chain(first, parts), done):
                pending.append(part)
                source = self.input.sources[part.source]
                source = source if workers == 1 else _found_anywhere(source)
                task = (self.moderator, self.moderator_identity, self.output, source, number, part)
                yield (*task, tell) if workers == 1 else task

        def tell(of_part: Summary) -> None:
            if progress is not None:
                progress(summary.with_(of_part), share)

        for result in call_each(review_part, tasks(), jobs=workers, scheduler=scheduler):
            part = pending.pop(0)
            if result.stopped is not None:
                raise _numbered(result.stopped, self.input.sources[part.source].path, rows_before[part.source])
            if result.counts["unreadable"] and self._onto_itself():
                problem = f"{self.target}: is what is read, and would lose a row that cannot be; name another output"
                raise RunError(problem)
            place = (part.source, part.start, part.end, part.digest, part.problem)
            run.add(Receipt(*place, result.rows, result.counts, result.files))
            rows_before[part.source] += result.rows
            summary.merge(result.counts)
            share = part.share
            if progress is not None:
                progress(summary, share)
        return summary

    def _onto_itself(self) -> bool:
        return any(Path(source.path).resolve() == self.target.resolve() for source in self.input.sources)

    def _same(self, receipt: Receipt, part: Part | None) -> None:
        then = (receipt.source, receipt.start, receipt.end, receipt.digest, receipt.problem)
        if part is None or then != (part.source, part.start, part.end, part.digest, part.problem):
            path = self.input.sources[receipt.source].path
            raise RunError(f"{path}: was changed since the review was begun; add --restart to begin anew")

    def assemble(self, run: Run) -> None:
        """Put the output in its place, and beside it the causes of unreadable rows."""
        errors = errors_file(self.target)
        whole = run.folder / "errors"
        # A file's name need be no text; so written it is an escape of JSON.
        with whole.open("w", encoding="utf-8", errors="backslashreplace") as stream:
            unreadable = self._write_errors(run, stream)
            sync(stream)
        if unreadable:
            put_in_place(whole, errors.resolve())
        else:
            errors.unlink(missing_ok=True)
        names = [run.parts / part_name(number, self.output) for number in range(len(run.receipts))]
        if self.in_parts:
            for other in set(run.parts.iterdir()).difference(names):  # Causes, and what a kill left half written.
                other.unlink()
            run.finish()  # With the folder the parts go from the run, which must know then that they are done.
            put_in_place(run.parts, self.target.resolve())
            return
        whole = run.folder / "output"
        with whole.open("wb") as out:
            if self.output.form == "parquet":
                tables.join(names, self.output.layout, out)
            else:
                out.write(beginning(self.output))
                for name in names:
                    with name.open("rb") as part:
                        while block := part.read(1 << 20):
                            out.write(block)
            sync(out)
        put_in_place(whole, self.target.resolve())
        run.finish()

    def _write_errors(self, run: Run, stream: IO[str]) -> int:
        before: Counter[int] = Counter()
        count = 0
        for number, receipt in enumerate(run.receipts):
            if errors_name(number) in receipt.files:
                for line in (run.parts / errors_name(number)).read_text(encoding="utf-8").splitlines():
                    entry = json.loads(line)
                    entry["row"] += before[receipt.source]
                    if len(self.input.sources) > 1:
                        entry = {"file": self.input.sources[receipt.source].path, **entry}
                    stream.write(json.dumps(entry, ensure_ascii=False) + "\n")
                    count += 1
            before[receipt.source] += receipt.rows
        return count


def review_to_stream(
    moderator: Moderator,
    sources: Sequence[str | Path],
    out: IO[bytes],
    form: str,
    reading: Reading | None = None,
    progress: Progress | None = None,
    problem: Callable[[RecordError], None] | None = None,
    *,
    jobs: int = 1,
    strict: bool = False,
) -> Summary:
    """Review comments from a pipe or files into a pipe; each part is passed on as soon as it is done.

    Parameters
    ----------
    form
        ``csv``, ``tsv`` or ``jsonl``.
    problem
        Told each unreadable row.
    jobs
        Processes. With one, rows from standard input are reviewed as they come.

    Raises
    ------
    RecordError
        When a source cannot be read; if strict, for an unreadable row.
    """
    whole = Input(expand(sources), _reading(reading, None), interactive=jobs == 1)
    output = _output(whole, form, "", None, strict)
    _write_all(out, beginning(output))
    identity = identity_of(moderator)
    pending: list[Part] = []
    summary, rows_before = Summary(), Counter[int]()

    def tasks() -> Iterator[tuple[Any, ...]]:
        for number, part in enumerate(whole.parts(part_bytes(moderator, whole.size))):
            pending.append(part)
            source = whole.sources[part.source]
            yield moderator, identity, output, source if jobs == 1 else _found_anywhere(source), number, part

    for result in call_each(review_part, tasks(), jobs=jobs, window=WINDOW):
        part = pending.pop(0)
        _write_all(out, result.data)
        out.flush()
        place = (whole.sources[part.source].path, rows_before[part.source])
        if result.stopped is not None:
            raise _numbered(result.stopped, *place)
        if problem is not None:
            for found in result.problems:
                problem(_numbered(found, *place))
        rows_before[part.source] += result.rows
        summary.merge(result.counts)
        if progress is not None:
            progress(summary, part.share)
    return summary


def _numbered(found: RecordError, path: str, before: int) -> RecordError:
    """Give a bad row of a part its number in the file."""
    return RecordError(path, before + found.row, found.problem)


def _write_all(out: IO[bytes], data: bytes) -> None:
    rest = memoryview(data)
    while rest:  # A stream without a buffer may take a part only.
        rest = rest[out.write(rest) :]


def errors_file(target: Path) -> Path:
    """Name the file beside an output that holds the causes of unreadable rows."""
    return target.with_name(target.name + ".errors.jsonl")


def part_bytes(moderator: Moderator, size: int) -> int:
    """Give the bytes of one part of an input of a size."""
    encodes = moderator.encoder is not None or moderator.classifier.stage == "encoder"
    return max(ENCODER_BYTES if encodes else LINEAR_BYTES, min(MOST_BYTES, -(-size // MOST_PARTS)))


def _workers(moderator: Moderator, jobs: int | None, parts: int) -> int:
    """Tell how many processes to use where at least so many parts are to be reviewed."""
    if jobs is not None:
        return max(1, jobs)
    if parts < PARTS_TO_SHARE or moderator.origin is None:
        return 1
    import joblib

    return int(joblib.cpu_count())


def _found_anywhere(source: Source) -> Source:
    """Name a file so that processes find it whose working folder is another, such as that of an earlier review."""
    return source if source.path == STDIN else replace(source, path=str(Path(source.path).resolve()))


def _reading(reading: Reading | None, columns: Columns | None) -> Reading:
    reading = reading or Reading()
    return reading if columns is None else replace(reading, columns=columns)


def _output(whole: Input, form: str, compression: str, folder: str | None, strict: bool) -> Output:
    columns = tuple(dict.fromkeys(chain.from_iterable(source.header for source in whole.sources)))
    compressor(compression)  # Its package must be there.
    schema = b""
    if form == "parquet":
        parquet()
        schemas = [source.schema or _text_schema(source) for source in whole.sources]
        schema = tables.joined_schema(whole.sources[0].path, schemas)
    tabs = form == "tsv"
    return Output("csv" if tabs else form, tabs, compression, Layout.of(columns, schema), folder, strict=strict)


def _text_schema(source: Source) -> bytes:
    seen: list[Mapping[str, Any]] = []
    if source.form == "jsonl" and source.size:
        rows = islice(read(Path(source.path), source.columns), SCHEMA_ROWS)
        seen = [row.values for row in rows if isinstance(row, Record)]
    return tables.text_schema(source.header, seen)


def _unwritable(target: Path, error: OSError) -> RecordError:
    return RecordError(str(target), 0, f"cannot be written ({error.strerror or error}); name another target")

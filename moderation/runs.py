"""The folder of a review in parts: what was begun with what, and which parts are done.

::

    OUTPUT.run/
        manifest.json   what is reviewed, with which policy and model, into what
        parts.jsonl     one line for each part that is done, in order: where it begins and ends in the input,
                        its rows and verdicts, and the SHA-256 of its files
        lock            held by the process that reviews
        parts/          the output in parts, and beside each part with unreadable rows their causes
        errors, output  what is put in its place when all parts are done

A part's file is there whole or not at all, and a part counts only once its line is; so a review may end at
any moment and go on later.
"""

import errno
import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

from moderation.errors import RecordError, RunError

FORMAT = 1
FINISHED = "finished"
NAMES = ("manifest.json", "parts.jsonl", "lock", "parts", "errors", "output")


@dataclass(frozen=True, slots=True)
class Receipt:
    """What one part holds.

    Parameters
    ----------
    source, start, end, digest, problem
        Where it is in the input, and what was there; see `records.Part`.
    rows
        How many rows it has.
    counts
        Its summary.
    files
        SHA-256 of each file by name.
    """

    source: int
    start: int
    end: int
    digest: str
    problem: str
    rows: int
    counts: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)


class Run:
    """A run directory that is held by this process."""

    def __init__(self, folder: Path, lock: IO[str]) -> None:
        self.folder = folder
        self.parts = folder / "parts"
        self._lock = lock
        self._journal = folder / "parts.jsonl"
        self.receipts: list[Receipt] = []
        self.finished = False

    @classmethod
    def open(
        cls, folder: Path, identity: Mapping[str, Any], *, resume: bool, restart: bool, there: bool = False
    ) -> "Run":
        """Begin a run, or go on with one.

        Parameters
        ----------
        identity
            All that decides what the output will be, as JSON can hold it.
        resume
            Go on where a run was begun.
        restart
            Throw away what a run has done.
        there
            Whether the output is in its place, if the run is finished.

        Raises
        ------
        RunError
            When the folder holds a run of another identity, parts of a run that is neither to be resumed
            nor thrown away, one that a process works on, or files of others.
        OSError
            When the folder cannot be written.
        """
        _refuse_foreign(folder)
        folder.mkdir(exist_ok=True)
        lock = (folder / "lock").open("a")
        try:
            _hold(lock, folder)
            run = cls(folder, lock)
            manifest = folder / "manifest.json"
            if not restart:
                run._load()
            if run.receipts and (resume or not run.finished):
                if not resume:
                    done = sum(receipt.rows for receipt in run.receipts)
                    raise RunError(
                        f"{folder}: holds a review that was cut off after {done} rows; "
                        "add --resume to go on, or --restart to begin anew"
                    )
                begun, done_before = _read_json(manifest), run.finished and there
                if begun is not None or not done_before:  # Else it was cut off while it was cleared away.
                    _compare(folder, begun, {"version": FORMAT, **identity})
                if not done_before:
                    run._check_files()
                    run.parts.mkdir(exist_ok=True)
                return run
            run._clear()
            run.parts.mkdir()
            write_whole(manifest, json.dumps({"version": FORMAT, **identity}, indent=1).encode())
            _sync_folder(folder)
            return run
        except BaseException:
            lock.close()
            raise

    def add(self, receipt: Receipt) -> None:
        """Count a part as done; what is noted stays noted when the power goes."""
        self.receipts.append(receipt)
        self._note(asdict(receipt))

    def finish(self) -> None:
        """Note that the output is in its place."""
        self.finished = True
        self._note({FINISHED: True})

    def close(self) -> None:
        """Let go of the folder; of a finished run it is removed."""
        if self.finished:
            # The notes go last: until then a run that is resumed knows that it has nothing to do.
            shutil.rmtree(self.parts, ignore_errors=True)
            with suppress(OSError):
                (self.folder / "manifest.json").unlink()
            shutil.rmtree(self.folder, ignore_errors=True)
        elif not self.receipts:
            shutil.rmtree(self.folder, ignore_errors=True)
        self._lock.close()

    def _note(self, entry: Mapping[str, Any]) -> None:
        with self._journal.open("a", encoding="utf-8") as journal:
            journal.write(json.dumps(entry) + "\n")
            journal.flush()
            os.fsync(journal.fileno())

    def _load(self) -> None:
        good = 0
        try:
            raw = self._journal.read_bytes()
        except FileNotFoundError:
            return
        for line in raw.splitlines(keepends=True):
            try:
                entry = json.loads(line)
                if not line.endswith(b"\n"):
                    break
                if FINISHED in entry:
                    self.finished = True
                else:
                    self.receipts.append(Receipt(**entry))
            except (ValueError, TypeError):
                break  # The line that was being written.
            good += len(line)
        os.truncate(self._journal, good)

    def _check_files(self) -> None:
        """Forget the parts from the first whose files are not as they were noted, and that all was done."""
        self.finished = False
        for number, receipt in enumerate(self.receipts):
            if any(_digest(self.parts / name) != digest for name, digest in receipt.files.items()):
                del self.receipts[number:]
                break
        write_whole(self._journal, "".join(json.dumps(asdict(receipt)) + "\n" for receipt in self.receipts).encode())

    def _clear(self) -> None:
        self.receipts, self.finished = [], False
        # Notes of parts mean nothing without the manifest, so they go first.
        self._journal.unlink(missing_ok=True)
        (self.folder / "manifest.json").unlink(missing_ok=True)
        shutil.rmtree(self.parts, ignore_errors=True)


def check_target(target: Path, *read: Path) -> None:
    """Refuse what no file may be put in place of, before anything is done for it.

    Parameters
    ----------
    read
        Files of which the target is made.

    Raises
    ------
    RecordError
        Naming the target.
    """
    there = target.exists()
    if target.is_dir():
        cause = "it is a folder"
    elif not target.parent.is_dir():
        cause = f"{target.parent} is no folder"
    elif there and not target.is_file():
        cause = "it is no file"
    elif there and any(other.exists() and target.samefile(other) for other in read):
        cause = "it is what is read"
    else:
        return
    raise RecordError(str(target), 0, f"cannot be written ({cause}); name another target")


def write_whole(path: Path, data: bytes) -> None:
    """Write a file so that it is there whole or not at all, whatever happens.

    Source: rename(2) and fsync(2); the name before is one of its own, so that two may write the same file.
    """
    own = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with own.open("wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(own, path)
    except BaseException:
        with suppress(OSError):
            own.unlink(missing_ok=True)
        raise


def put_in_place(path: Path, target: Path) -> None:
    """Give a finished file or folder its name, for good."""
    try:
        os.replace(path, target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        # Beside an output that is a link, the causes of its unreadable rows lie on another file system.
        write_whole(target, path.read_bytes())
    _sync_folder(target.parent)


def sync(stream: IO[Any]) -> None:
    """See to it that what was written stays when the power goes."""
    stream.flush()
    os.fsync(stream.fileno())


def _sync_folder(folder: Path) -> None:
    with suppress(OSError):  # Some systems have no such call for folders.
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _refuse_foreign(folder: Path) -> None:
    """Refuse a folder that holds what is not ours, for all of it goes in the end."""
    names = [file.name for file in folder.iterdir()] if folder.is_dir() else []
    if foreign := [name for name in names if name not in NAMES and not name.startswith(".")]:
        raise RunError(f"{folder}: holds {foreign[0]!r}, which is no part of a review; move it or name another output")


def _hold(lock: IO[str], folder: Path) -> None:
    try:
        import fcntl
    except ImportError:
        return  # Windows: two reviews into one output at once are not noticed.
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise RunError(f"{folder}: another process is at work there; wait for it, or name another output") from None
    except OSError:
        return  # A file system without locks.


def _read_json(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _compare(folder: Path, begun: Mapping[str, Any] | None, now: Mapping[str, Any]) -> None:
    if begun is None:
        raise RunError(f"{folder}: manifest.json is gone or damaged; put it back, or add --restart to begin anew")
    now = json.loads(json.dumps(now))
    for key in dict.fromkeys((*now, *begun)):
        if begun.get(key) != now.get(key):
            was, wanted = (json.dumps(which.get(key), ensure_ascii=False) for which in (begun, now))
            raise RunError(
                f"{folder}: was begun with another {key} ({_short(was)}, not {_short(wanted)}); "
                "resume with the same, or add --restart to begin anew"
            )


def _short(text: str) -> str:
    return text if len(text) <= 80 else f"{text[:77]}..."


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except FileNotFoundError:
        return ""

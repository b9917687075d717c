"""The audit log: every decision, and beside it what people said of it.

Rows are only ever added. Two things take something away, and leave a row that says so: erasing a comment
(`AuditLog.erase`) and retention (`AuditLog.retain`). SQLite or PostgreSQL through SQLAlchemy.
"""

import hmac
import json
import re
import secrets
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import orjson
from sqlalchemy import (
    Connection,
    Engine,
    RowMapping,
    and_,
    create_engine,
    delete,
    event,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

from moderation.decision import Decision, Verdict
from moderation.errors import RecordError
from moderation.policy import GUIDELINES
from moderation.service.search import EVERYTHING, Search, matching, overruling
from moderation.service.tables import (
    DECISIONS,
    DELETIONS,
    FEEDBACK,
    HOUR_MS,
    SETTINGS,
    TEXT_ID,
    clean,
    iso,
    make_tables,
    now_ms,
    sqlite_pragmas,
)

_OF_TEXT = re.compile(f"{TEXT_ID}[0-9a-f]{{32}}")


@dataclass(frozen=True, slots=True)
class Recorded:
    """A decision with its JSON, which is what is stored and sent."""

    decision: Decision
    json: bytes
    text: bytes


LOCK_MS = 25
"""How long `AuditLog.record` waits for SQLite's lock: the event loop waits with it."""


def is_locked(error: SQLAlchemyError) -> bool:
    """Whether another holds SQLite's lock, so that the same may succeed later."""
    code = getattr(getattr(error, "orig", None), "sqlite_errorcode", 0)
    return code & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def decision_json(decision: Decision) -> bytes:
    """Give the decision as stored and sent: compact JSON, keys in the order of the contract."""
    return orjson.dumps(decision.to_dict())


def without_excerpts(stored: bytes | str, **others: str) -> str:
    """Give a decision as stored, its excerpts of the text blanked and other fields as given."""
    decision = orjson.loads(stored) | others
    for finding in decision["findings"]:
        finding["excerpt"] = ""
    return orjson.dumps(decision).decode()


class AuditLog:
    """The log in one data base; made when it is not there.

    Parameters
    ----------
    url
        As SQLAlchemy writes it: ``sqlite:///audit.db``, ``postgresql+psycopg://user@host/name``.
    keep_text
        Whether the texts of comments are kept; a keyed hash of each is in any case.
    make
        Whether an SQLite file that is not there is made.
    sync
        ``process``: an answered decision survives the end of this process (SQLite hands it to the operating
        system); ``power``: also a power cut (it waits for the disk). PostgreSQL has its own settings.

    Raises
    ------
    RecordError
        When the data base cannot be opened, or is not there and shall not be made.
    """

    def __init__(self, url: str, keep_text: bool = False, sync: str = "process", make: bool = True) -> None:
        self.keep_text = keep_text
        try:
            target = make_url(url)
            if target.drivername in ("postgresql", "postgres"):
                target = target.set(drivername="postgresql+psycopg")
            named = target.database or ""
            if target.get_backend_name() == "sqlite" and named and not named.startswith((":memory:", "file:")):
                _find(Path(named), make)
            self.remote = target.get_backend_name() != "sqlite"
            """Whether it waits for a server."""
            # Else a PostgreSQL whose data base has no encoding gives bytes for texts.
            encoded = {"client_encoding": "utf8"} if target.drivername == "postgresql+psycopg" else {}
            self.engine: Engine = create_engine(target, pool_pre_ping=self.remote, connect_args=encoded)
            self.where = target.render_as_string(hide_password=True)
            if not self.remote:
                event.listen(self.engine, "connect", sqlite_pragmas("FULL" if sync == "power" else "NORMAL"))
            self._secret = self._open()
            # Compiled once: SQLAlchemy's way through a statement costs as much as SQLite's.
            compiled = insert(DECISIONS).compile(self.engine, column_keys=DECISIONS.c.keys()[1:])
            self._insert, self._order = str(compiled), compiled.positiontup
            self._kept: Connection | None = None
        except (ArgumentError, NoSuchModuleError, ImportError) as error:
            raise RecordError("audit log", 0, f"not a data base URL that can be opened: {_line(error)}") from error
        except (SQLAlchemyError, OSError) as error:
            raise RecordError("audit log", 0, f"cannot be opened: {_line(error)}") from error

    def _open(self) -> bytes:
        with self.engine.begin() as connection:
            make_tables(connection)
            row = connection.execute(select(SETTINGS.c.value).where(SETTINGS.c.name == "text_hash_key")).first()
            if row is None:
                connection.execute(insert(SETTINGS).values(name="text_hash_key", value=secrets.token_hex(32)))
                row = connection.execute(select(SETTINGS.c.value).where(SETTINGS.c.name == "text_hash_key")).one()
        return bytes.fromhex(row[0])

    def close(self) -> None:
        """Let go of the connections."""
        if self._kept:
            self._kept.close()
            self._kept = None
        self.engine.dispose()

    def reachable(self) -> bool:
        """Whether the data base answers."""
        try:
            with self.engine.connect() as connection:
                connection.execute(select(SETTINGS.c.name).limit(1))
        except SQLAlchemyError:
            return False
        return True

    def text_hash(self, text: bytes) -> str:
        """Give the keyed hash of a text (HMAC-SHA256): a plain one of a short text could be guessed."""
        return hmac.digest(self._secret, text, "sha256").hex()

    def text_id(self, text: bytes) -> str:
        """Give the id of a comment whose protocol carries none: of the keyed hash of its text."""
        return f"{TEXT_ID}{self.text_hash(text)[:32]}"

    # ------------------------------------------------------------------ adding

    def record(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Add rows that `row` made, in one transaction.

        Raises
        ------
        SQLAlchemyError
            When that fails; `is_locked` tells whether SQLite's file was only locked.
        """
        if not rows:
            return
        values = [tuple(row[name] for name in self._order) for row in rows] if self._order else list(rows)
        with self._recording() as connection, connection.begin():
            connection.exec_driver_sql(self._insert, values)

    @contextmanager
    def _recording(self) -> Iterator[Connection]:
        """Give the connection to record with; SQLite's stays open until something goes wrong on it."""
        connection = self._kept or self.engine.connect()
        if not self.remote and self._kept is None:
            connection.detach()  # Other users of the pool wait longer for a lock.
            connection.exec_driver_sql(f"PRAGMA busy_timeout={LOCK_MS}")
            connection.commit()
        self._kept = None
        try:
            yield connection
        except BaseException:
            connection.close()
            raise
        if self.remote:
            connection.close()
        else:
            self._kept = connection

    def checkpoint(self, *, empty: bool = False) -> None:
        """Have SQLite move what is in its write-ahead log into the data base; writers go on meanwhile.

        Parameters
        ----------
        empty
            Whether nothing shall be left in the write-ahead log; then writers wait.
        """
        if self.engine.dialect.name == "sqlite":
            with self.engine.connect() as connection:
                connection.exec_driver_sql(f"PRAGMA wal_checkpoint({'TRUNCATE' if empty else 'PASSIVE'})")

    def row(self, recorded: Recorded, site: str, door: str, caller: str, keep_text: bool = True) -> dict[str, Any]:
        """Make the row of one decision.

        Parameters
        ----------
        keep_text
            False where nothing of the text may be stored, no excerpt either.
        """
        decision = recorded.decision
        return {
            "time": now_ms(),
            "id": clean(decision.id),
            "site": site,
            "door": door,
            "caller": clean(caller),
            "verdict": decision.verdict.value,
            "guidelines": _spaced(decision.guidelines),
            "decided_by": decision.decided_by,
            "score": decision.score,
            "policy": decision.policy,
            "model": decision.model,
            "text_hash": self.text_hash(recorded.text),
            "text": recorded.text if self.keep_text and keep_text else None,
            "decision": recorded.json.decode() if keep_text else without_excerpts(recorded.json),
        }

    def add_feedback(
        self,
        comment_id: str,
        verdict: Verdict,
        *,
        site: str,
        door: str,
        caller: str,
        guidelines: Sequence[str] = (),
        text: str | None = None,
        note: str = "",
        seq: int | None = None,
    ) -> dict[str, Any]:
        """Record what someone says of a comment, beside the newest decision on it or that of the row ``seq``."""
        comment_id = clean(comment_id)
        with self.engine.begin() as connection:
            query = select(DECISIONS.c.seq).where(DECISIONS.c.id == comment_id, DECISIONS.c.site == site)
            if seq is not None:
                query = query.where(DECISIONS.c.seq == seq)
            found = connection.execute(query.order_by(DECISIONS.c.seq.desc()).limit(1)).scalar()
            row = {
                "time": now_ms(),
                "id": comment_id,
                "site": site,
                "decision_seq": found,
                "door": door,
                "caller": clean(caller),
                "verdict": verdict.value,
                "guidelines": _spaced(guidelines),
                "note": clean(note),
                "text": None if text is None else text.encode("utf-8", "surrogatepass"),
            }
            connection.execute(insert(FEEDBACK).values(row))
        return _feedback(row)

    # ------------------------------------------------------------------ reading

    def search(self, search: Search = EVERYTHING, limit: int = 50) -> list[dict[str, Any]]:
        """Give the newest rows that match, with their feedback."""
        with self.engine.connect() as connection:
            rows = connection.execute(matching(search, self.engine.dialect.name).limit(limit)).mappings().all()
            return self._entries(connection, rows)

    def every(self, search: Search = EVERYTHING) -> Iterator[dict[str, Any]]:
        """Give all rows that match, newest first, a thousand at a time."""
        before = search.before
        while True:
            page = self.search(replace(search, before=before), 1000)
            yield from page
            if len(page) < 1000:
                return
            before = page[-1]["seq"]

    def latest(self, comment_id: str, site: str | None = None, seq: int | None = None) -> dict[str, Any] | None:
        """Give the newest row of a comment, or its row ``seq``; None if there is none."""
        found = self.search(Search(id=comment_id, site=site, seq=seq), 1)
        return found[0] if found else None

    def _entries(self, connection: Connection, rows: Sequence[RowMapping]) -> list[dict[str, Any]]:
        if not rows:
            return []
        seqs = [row["seq"] for row in rows]
        said: dict[int, list[dict[str, Any]]] = {}
        for row in connection.execute(
            select(FEEDBACK).where(FEEDBACK.c.decision_seq.in_(seqs)).order_by(FEEDBACK.c.seq)
        ).mappings():
            said.setdefault(row["decision_seq"], []).append(_feedback(row))
        return [
            {
                "seq": row["seq"],
                "time": iso(row["time"]),
                "id": row["id"],
                "site": row["site"],
                "door": row["door"],
                "caller": row["caller"],
                "text_hash": row["text_hash"],
                "text": _text(row["text"]),
                "decision": json.loads(row["decision"]),
                "feedback": said.get(row["seq"], []),
            }
            for row in rows
        ]

    def stored_json(self, seq: int) -> str:
        """Give the decision of one row, byte for byte as it was stored."""
        with self.engine.connect() as connection:
            return str(connection.execute(select(DECISIONS.c.decision).where(DECISIONS.c.seq == seq)).scalar_one())

    def training_rows(self, since: int | None = None, site: str | None = None) -> list[dict[str, Any]]:
        """Give what people said last of each comment whose text was given or kept, as labelled rows.

        Returns
        -------
        list of dict
            ``text``, ``reject`` and each guideline (1, 0, or None where a rejection does not name it).
        """
        query = (
            select(FEEDBACK, DECISIONS.c.text.label("kept"))
            .select_from(FEEDBACK.outerjoin(DECISIONS, DECISIONS.c.seq == FEEDBACK.c.decision_seq))
            .order_by(FEEDBACK.c.seq)
        )
        if since is not None:
            query = query.where(FEEDBACK.c.time >= since)
        if site is not None:
            query = query.where(FEEDBACK.c.site == site)
        last: dict[tuple[str, str], dict[str, Any]] = {}
        with self.engine.connect() as connection:
            for row in connection.execute(query).mappings():
                text = _text(row["text"] if row["text"] is not None else row["kept"])
                key = row["site"], row["id"] or f"#{row['seq']}"
                earlier = last.pop(key, None)
                if text is None and earlier:
                    text = earlier["text"]
                if text is None:
                    continue
                reject = int(row["verdict"] == Verdict.REJECT.value)
                broken = row["guidelines"].split()
                labels = {name: int(name in broken) if broken or not reject else None for name in GUIDELINES}
                last[key] = {"text": text, "reject": reject, **labels}
        return list(last.values())

    def summary(self, since: int, until: int, site: str | None = None) -> dict[str, Any]:
        """Count decisions by hour, verdict, guideline and door, and those overruled, in [since, until)."""
        hour = DECISIONS.c.time // HOUR_MS
        where = [DECISIONS.c.time >= since, DECISIONS.c.time < until]
        overruled = [FEEDBACK.c.time >= since, FEEDBACK.c.time < until, overruling()]
        if site is not None:
            where.append(DECISIONS.c.site == site)
            overruled.append(FEEDBACK.c.site == site)
        with self.engine.connect() as connection:
            counts = connection.execute(
                select(hour.label("hour"), DECISIONS.c.verdict, DECISIONS.c.guidelines, DECISIONS.c.door, func.count())
                .where(and_(*where))
                .group_by(hour, DECISIONS.c.verdict, DECISIONS.c.guidelines, DECISIONS.c.door)
            ).all()
            changed = connection.execute(
                select(func.count(FEEDBACK.c.seq))
                .select_from(FEEDBACK.join(DECISIONS, DECISIONS.c.seq == FEEDBACK.c.decision_seq))
                .where(and_(*overruled))
            ).scalar_one()
        hours: dict[int, dict[str, Any]] = {
            number: {"hour": iso(number * HOUR_MS), "approve": 0, "reject": 0, "guidelines": {}}
            for number in range(since // HOUR_MS, (until - 1) // HOUR_MS + 1)
        }
        total: dict[str, dict[str, int]] = {"verdicts": {"approve": 0, "reject": 0}, "guidelines": {}, "doors": {}}
        for number, verdict, guidelines, door, count in counts:
            entry = hours[int(number)]
            entry[verdict] += count
            total["verdicts"][verdict] += count
            total["doors"][door] = total["doors"].get(door, 0) + count
            for name in guidelines.split():
                entry["guidelines"][name] = entry["guidelines"].get(name, 0) + count
                total["guidelines"][name] = total["guidelines"].get(name, 0) + count
        return {"since": iso(since), "until": iso(until), **total, "overruled": changed, "hours": list(hours.values())}

    def deletions(self) -> list[dict[str, Any]]:
        """Give what was taken away, oldest first."""
        with self.engine.connect() as connection:
            rows = connection.execute(select(DELETIONS).order_by(DELETIONS.c.seq)).mappings().all()
        return [{**row, "time": iso(row["time"])} for row in rows]

    # ------------------------------------------------------------------ taking away

    def erase(self, comment_id: str, caller: str, site: str | None = None) -> int:
        """Blank text, hash, excerpts and notes of a comment, and record that; give how many rows it had.

        What was decided, when, and by which policy stays. An id that was made of the text (`text_id`) is cut short.
        """
        comment_id = clean(comment_id)
        blank = {"id": TEXT_ID} if _OF_TEXT.fullmatch(comment_id) else {}
        sites = [] if site is None else [site]
        with self.engine.begin() as connection:
            query = select(DECISIONS.c.seq, DECISIONS.c.decision).where(DECISIONS.c.id == comment_id)
            mine = FEEDBACK.c.id == comment_id
            for name in sites:
                query, mine = query.where(DECISIONS.c.site == name), mine & (FEEDBACK.c.site == name)
            rows = connection.execute(query).all()
            for seq, stored in rows:
                connection.execute(
                    update(DECISIONS)
                    .where(DECISIONS.c.seq == seq)
                    .values(text=None, text_hash="", decision=without_excerpts(stored, **blank), **blank)
                )
            said = connection.execute(update(FEEDBACK).where(mine).values(text=None, note="", **blank)).rowcount
            if rows or said:
                self._deleted(connection, "erasure", blank.get("id", comment_id), site or "", caller, len(rows) + said)
        self.checkpoint(empty=True)
        return len(rows) + int(said)

    def retain(self, before: int, caller: str) -> int:
        """Remove rows older than a time (milliseconds since 1970), and record that; give how many."""
        with self.engine.begin() as connection:
            count = connection.execute(delete(FEEDBACK).where(FEEDBACK.c.time < before)).rowcount
            count += connection.execute(delete(DECISIONS).where(DECISIONS.c.time < before)).rowcount
            if count:
                self._deleted(connection, "retention", "", "", caller, count)
        self.checkpoint(empty=True)
        return int(count)

    def _deleted(self, connection: Connection, kind: str, comment_id: str, site: str, caller: str, rows: int) -> None:
        values = {"time": now_ms(), "kind": kind, "id": comment_id, "site": site, "caller": caller, "rows": rows}
        connection.execute(insert(DELETIONS).values(values))


def _find(file: Path, make: bool) -> None:
    """Make SQLite's file, where it is not there, for its owner alone; those that SQLite puts beside it get its mode."""
    if not file.exists():
        if not make:
            raise RecordError(str(file), 0, "no such audit log; name the service's folder with --state, or --audit URL")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch(0o600)


def _feedback(row: Mapping[str, Any] | RowMapping) -> dict[str, Any]:
    return {
        "time": iso(row["time"]),
        "id": row["id"],
        "site": row["site"],
        "door": row["door"],
        "caller": row["caller"],
        "verdict": row["verdict"],
        "guidelines": row["guidelines"].split(),
        "note": row["note"],
    }


def _text(raw: bytes | None) -> str | None:
    return None if raw is None else bytes(raw).decode("utf-8", "surrogatepass")


def _spaced(names: Sequence[str]) -> str:
    return f" {' '.join(names)} " if names else ""


def _line(error: BaseException) -> str:
    return " ".join(str(getattr(error, "orig", None) or error).split())[:300]

"""``moderation audit``: what the service decided, and what people said of it."""

import csv
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from moderation.cli.app import ERRORS, Exit, Stages, app, shown
from moderation.cli.serve import ConfigOption, StateOption, need_serving_packages
from moderation.cli.streams import Output
from moderation.decision import Verdict
from moderation.errors import ModelError, PolicyError, RecordError
from moderation.runs import check_target

if TYPE_CHECKING:
    from moderation.service.audit import AuditLog
    from moderation.service.search import Search

audit = typer.Typer(
    help="Search, export, replay and prune the service's audit log.",
    epilog="Example: moderation audit search --verdict reject",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(audit, name="audit")

LogOption = Annotated[
    str | None,
    typer.Option("--audit", help="Data base of the log; the service's if not given.", metavar="URL"),
]
SinceOption = Annotated[
    datetime | None, typer.Option(help="From this time on, UTC.", formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"])
]
UntilOption = Annotated[
    datetime | None, typer.Option(help="Before this time, UTC.", formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"])
]
SiteOption = Annotated[str | None, typer.Option(help="Of this site only.")]
VerdictOption = Annotated[Verdict | None, typer.Option(help="approve or reject.")]
GuidelineOption = Annotated[str | None, typer.Option(help="Breaking this guideline.")]
DoorOption = Annotated[str | None, typer.Option(help="native, page, perspective, coral, openai, akismet.")]
OverruledOption = Annotated[
    bool, typer.Option("--overruled", help="Only those of which the last feedback says otherwise.")
]

EXCERPTS = 3
"""Of a row's evidence in the table, at most; `export` has all of it."""
EXCERPT_CHARS = 40


class Format(StrEnum):
    """Of an export."""

    JSONL = "jsonl"
    CSV = "csv"


@audit.command(
    epilog="Examples: moderation audit search --verdict reject --guideline threat ; moderation audit search 17"
)
def search(
    id_: Annotated[str | None, typer.Argument(help="The comment's id.", metavar="[ID]")] = None,
    since: SinceOption = None,
    until: UntilOption = None,
    verdict: VerdictOption = None,
    guideline: GuidelineOption = None,
    door: DoorOption = None,
    site: SiteOption = None,
    overruled: OverruledOption = False,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Rows.")] = 20,
    log: LogOption = None,
    config: ConfigOption = None,
    state: StateOption = None,
) -> None:
    """Show the newest decisions that match, with what people said of them."""
    with _opened(log, config, state) as opened:
        found = _search(id_, since, until, verdict, guideline, door, site, overruled)
        entries = opened.search(found, limit)
    console = Output(highlight=False, width=None if sys.stdout.isatty() else 140)
    table = Table(box=None, pad_edge=False)
    for heading in ("time", "id", "site", "door", "verdict", "guidelines", "by", "score", "evidence", "said"):
        table.add_column(heading, overflow="fold")
    for entry in entries:
        decision = entry["decision"]
        said = ", ".join(f"{one['verdict']} ({one['caller']})" for one in entry["feedback"])
        cells = (
            entry["time"],
            entry["id"],
            entry["site"],
            entry["door"],
            decision["verdict"],
            ", ".join(decision["guidelines"]),
            decision["decided_by"],
            f"{decision['score']:.3f}",
            _evidence(decision["findings"]),
            said,
        )
        table.add_row(*(Text(shown(cell)) for cell in cells))
    console.print(table)


@audit.command(
    epilog="Examples: moderation audit export -o log.jsonl ; moderation audit export --training -o feedback.csv"
)
def export(
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Standard output if not given.")] = None,
    format_: Annotated[
        Format | None, typer.Option("--format", help="jsonl or csv; by the output's name if not given.")
    ] = None,
    training: Annotated[
        bool, typer.Option("--training", help="Feedback with its text, as labelled rows, instead of the log.")
    ] = False,
    since: SinceOption = None,
    until: UntilOption = None,
    verdict: VerdictOption = None,
    guideline: GuidelineOption = None,
    door: DoorOption = None,
    site: SiteOption = None,
    overruled: OverruledOption = False,
    log: LogOption = None,
    config: ConfigOption = None,
    state: StateOption = None,
) -> None:
    """Write the log, newest first; or with --training what people said, one labelled row a comment."""
    if training and (until or verdict or guideline or door or overruled):
        raise typer.BadParameter("--training takes --since and --site; leave the other filters out")
    chosen = format_ or (Format.CSV if output and output.suffix == ".csv" else Format.JSONL)
    rows: Iterable[Mapping[str, Any]]
    with _opened(log, config, state) as opened:
        if training:
            rows = opened.training_rows(_ms(since), site)
        else:
            rows = opened.every(_search(None, since, until, verdict, guideline, door, site, overruled))
        count = _write(rows, output, chosen)
    ERRORS.print(f"{count} rows", markup=False)


@audit.command(epilog="Examples: moderation audit replay 17 ; moderation audit replay 17 --text - < comment.txt")
def replay(
    id_: Annotated[str, typer.Argument(help="The comment's id.", metavar="ID")],
    text: Annotated[
        Path | None, typer.Option(help="File with the comment's text, - for standard input; the log's if not given.")
    ] = None,
    policy: Annotated[
        Path | None, typer.Option("--policy", help="Policy file (TOML); the site's if not given.", metavar="FILE")
    ] = None,
    model: Annotated[
        Path | None, typer.Option("--model", help="Model folder; the service's if not given.", metavar="DIR")
    ] = None,
    classifier: Annotated[
        Stages | None, typer.Option("--classifier", help="cascade, linear or encoder; the site's if not given.")
    ] = None,
    site: SiteOption = None,
    log: LogOption = None,
    config: ConfigOption = None,
    state: StateOption = None,
) -> None:
    """Decide anew on a comment's newest row, and tell whether the decision is the same byte for byte."""
    from moderation.comment import Comment
    from moderation.moderator import Moderator

    need_serving_packages()
    from moderation.service.settings import SiteSettings, read_settings

    settings = read_settings(config, state=state, audit=log)
    with _opened(log, config, state) as opened:
        from moderation.service.audit import decision_json, without_excerpts

        entry = opened.latest(id_, site)
        if entry is None:
            raise RecordError("audit log", 0, f"no decision on a comment of the id {id_!r}")
        if not entry["text_hash"]:
            raise RecordError("audit log", 0, f"the comment {id_!r} was erased")
        stored = opened.stored_json(entry["seq"]).encode()
        if text is not None:
            raw = sys.stdin.buffer.read() if str(text) == "-" else _read(text)
        elif entry["text"] is not None:
            raw = entry["text"].encode()
        else:
            raise RecordError("audit log", 0, "the text was not kept; give it with --text FILE")
        if opened.text_hash(raw) != entry["text_hash"] and opened.text_hash(raw[:-1]) == entry["text_hash"]:
            raw = raw[:-1]  # An editor's line end.
        if opened.text_hash(raw) != entry["text_hash"]:
            raise RecordError(str(text), 0, "not the text that was decided on: its hash differs")
    own = settings.sites.get(entry["site"], SiteSettings())
    moderator = Moderator.load(
        policy or own.policy or settings.policy,
        model or settings.model,
        classifier or own.classifier or settings.classifier,
    )
    decision = moderator.review(Comment(raw.decode(), entry["decision"]["id"]))
    then = entry["decision"]
    if decision.policy != then["policy"]:
        raise PolicyError(decision.policy, f"the row was decided by {then['policy']}; give that file with --policy")
    if decision.model != then["model"]:
        raise ModelError(f"{decision.model}: the row was decided by {then['model']}; give its folder with --model")
    again = decision_json(decision)
    if stored in (again, without_excerpts(again).encode()):  # The excerpts may have been stored blank.
        typer.echo(f"the same, byte for byte ({len(stored)} bytes): {decision.explain().splitlines()[0]}")
        return
    now = decision.to_dict()
    typer.echo(f"differs in {', '.join(key for key in then if now.get(key) != then[key]) or 'its form'}")
    for key in then:
        if now.get(key) != then[key]:
            typer.echo(f"  {key}: then {json.dumps(then[key])}, now {json.dumps(now.get(key))}")
    typer.echo("If the service ran with another --classifier, give that one.")
    raise typer.Exit(Exit.DIFFERS)


@audit.command(epilog="Example: moderation audit delete 17")
def delete(
    id_: Annotated[str, typer.Argument(help="The comment's id.", metavar="ID")],
    site: SiteOption = None,
    log: LogOption = None,
    config: ConfigOption = None,
    state: StateOption = None,
) -> None:
    """Erase a comment: its text, hash, excerpts and notes go; that it was decided on, and erased, stays."""
    with _opened(log, config, state) as opened:
        count = opened.erase(id_, _caller(), site)
    if not count:
        raise RecordError("audit log", 0, f"no row on a comment of the id {id_!r}")
    ERRORS.print(f"{count} rows blanked", markup=False)


@audit.command(epilog="Example: moderation audit prune --older-than 180")
def prune(
    older_than: Annotated[int, typer.Option(min=0, max=36500, help="Days.", metavar="DAYS")],
    log: LogOption = None,
    config: ConfigOption = None,
    state: StateOption = None,
) -> None:
    """Remove rows older than some days: retention. That it was done is recorded."""
    with _opened(log, config, state) as opened:
        count = opened.retain(_ms(datetime.now(UTC) - timedelta(days=older_than)) or 0, _caller())
    ERRORS.print(f"{count} rows removed", markup=False)


@audit.command(epilog="Example: moderation audit deletions")
def deletions(log: LogOption = None, config: ConfigOption = None, state: StateOption = None) -> None:
    """List what was erased and pruned, as JSON Lines."""
    with _opened(log, config, state) as opened:
        for row in opened.deletions():
            typer.echo(json.dumps(row, ensure_ascii=False))


def _evidence(findings: Sequence[Mapping[str, Any]]) -> str:
    """Give the first excerpts, shortened, and how many more there are."""
    excerpts = list(dict.fromkeys(finding["excerpt"] for finding in findings))
    first = [one if len(one) <= EXCERPT_CHARS else one[: EXCERPT_CHARS - 1] + "…" for one in excerpts[:EXCERPTS]]
    more = len(excerpts) - len(first)
    return " | ".join([*first, f"{more} more"] if more else first)


# --------------------------------------------------------------------------- shared


@contextmanager
def _opened(log: str | None, config: Path | None, state: Path | None) -> Iterator["AuditLog"]:
    need_serving_packages()
    from sqlalchemy.exc import SQLAlchemyError

    from moderation.service.audit import AuditLog
    from moderation.service.settings import read_settings

    settings = read_settings(config, state=state, audit=log)
    opened = AuditLog(settings.audit_url, settings.keep_text, settings.audit_sync, make=False)
    try:
        yield opened
    except SQLAlchemyError as error:
        cause = str(getattr(error, "orig", None) or error).split("\n")[0]
        raise RecordError(opened.where, 0, f"the data base says: {cause}") from error
    finally:
        opened.close()


def _search(
    id_: str | None,
    since: datetime | None,
    until: datetime | None,
    verdict: Verdict | None,
    guideline: str | None,
    door: str | None,
    site: str | None,
    overruled: bool,
) -> "Search":
    from moderation.service.search import Search

    return Search(
        id=id_,
        site=site,
        verdict=verdict.value if verdict else None,
        guideline=guideline,
        door=door,
        since=_ms(since),
        until=_ms(until),
        overruled=overruled or None,
    )


def _write(rows: Iterable[Mapping[str, Any]], output: Path | None, chosen: Format) -> int:
    """Write the rows; a file appears only when it is complete."""
    if output is None:
        return _put(rows, sys.stdout.write, chosen)
    check_target(output)
    part = output.with_name(output.name + ".part")
    try:
        with part.open("w", encoding="utf-8", newline="") as target:
            count = _put(rows, target.write, chosen)
        part.replace(output)
    except OSError as error:
        raise RecordError(str(output), 0, f"cannot be written ({error.strerror})") from error
    return count


class _Sink:
    def __init__(self, write: Callable[[str], object]) -> None:
        self.write = write


def _put(rows: Iterable[Mapping[str, Any]], write: Callable[[str], object], chosen: Format) -> int:
    count = 0
    table: csv.DictWriter[str] | None = None
    for row in rows:
        count += 1
        if chosen is Format.JSONL:
            write(json.dumps(row, ensure_ascii=False) + "\n")
            continue
        decision = row.get("decision")
        flat = {**row, **{f"decision_{key}": value for key, value in decision.items()}} if decision else dict(row)
        flat.pop("decision", None)
        cells = {
            key: json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else value
            for key, value in flat.items()
        }
        if table is None:
            table = csv.DictWriter(_Sink(write), list(cells))
            table.writeheader()
        table.writerow(cells)
    return count


def _ms(when: datetime | None) -> int | None:
    if when is None:
        return None
    return round((when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp() * 1000)


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise RecordError(str(file), 0, f"cannot be read ({error.strerror})") from error


def _caller() -> str:
    import getpass

    try:
        return f"command line: {getpass.getuser()}"
    except (OSError, KeyError):
        return "command line"

"""The application, and what its commands share."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import IntEnum, StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
import typer.core

from moderation.cli.streams import Errors
from moderation.errors import MissingPackageError, ModerationError
from moderation.policy import Policy, load_policy


class Exit(IntEnum):
    """Exit statuses."""

    DONE = 0
    REJECTED = 1
    DIFFERS = 1
    USAGE = 2
    UNUSABLE = 3
    ROWS_UNREADABLE = 4
    BUG = 70
    INTERRUPTED = 130
    READER_GONE = 141
    ENDED = 143


class Stages(StrEnum):
    """Names of the classifiers, as `Moderator.load` takes them."""

    CASCADE = "cascade"
    LINEAR = "linear"
    ENCODER = "encoder"


class ReaderGoneError(Exception):
    """Whoever reads the output went away, so that no verdict was told."""


class OutputError(ModerationError):
    """Standard output, or a file, cannot be used, so that no verdict was told."""


class _Commands(typer.core.TyperGroup):
    """Typer turns a reader that went away into status 1, which says «rejected»; this tells it apart."""

    def invoke(self, ctx: Any) -> Any:
        try:
            try:
                return super().invoke(ctx)
            finally:
                sys.stdout.flush()
        except BrokenPipeError as error:
            raise ReaderGoneError from error
        except OSError as error:
            # What commands write they name themselves, unless it is this.
            name, used = (error.filename, "used") if error.filename else ("standard output", "written")
            problem = f"{name}: cannot be {used} ({error.strerror or 'it is closed'}); name another"
            raise OutputError(problem) from error


app = typer.Typer(
    cls=_Commands,
    name="moderation",
    help="Decide which reader comments to publish: approve or reject, with the reasons.",
    epilog='Try: moderation check "You are an idiot" --explain',
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


PolicyOption = Annotated[
    Path | None, typer.Option("--policy", help="Policy file (TOML); the one shipped if not given.", metavar="FILE")
]


ModelOption = Annotated[
    Path | None, typer.Option("--model", help="Model folder; the one shipped if not given.", metavar="DIR")
]


DataOption = Annotated[
    Path, typer.Option("--data", help="Folder of the labelled data sets (see data/datasets.toml).", metavar="DIR")
]


ClassifierOption = Annotated[
    Stages,
    typer.Option(
        "--classifier",
        help="cascade: the encoder reads what it would likely reject, as the router tells; linear: without it, "
        "faster; encoder: it reads every comment.",
    ),
]


ERRORS = Errors(stderr=True)


def policy_of(path: Path | None) -> Policy:
    """Load the policy file; None stands for the one shipped."""
    from moderation.paths import DEFAULT_POLICY

    return load_policy(DEFAULT_POLICY if path is None else path)


def need_training_packages() -> None:
    """Raise a `MissingPackageError` where one of the extra ``train`` is not installed."""
    try:
        import pyarrow  # noqa: F401
        import sklearn  # noqa: F401
    except ImportError as error:
        raise MissingPackageError(error.name, "train") from error


@contextmanager
def progress(quiet: bool, counted: str = "rejected") -> Iterator[Callable[[int, int], None]]:
    """Show rows, and how many are rejected or else counted, on a terminal; a line at times where it is none."""
    if quiet:
        yield lambda rows, rejected: None
        return
    if not ERRORS.is_terminal:
        last = 0

        def line(rows: int, rejected: int) -> None:
            nonlocal last
            if rows - last >= 50_000:
                last = rows
                ERRORS.print(f"{rows} rows, {rejected} {counted}", markup=False)

        yield line
        return
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    with Progress(
        BarColumn(),
        TextColumn(f"{{task.completed}} rows, {{task.fields[rejected]}} {counted}"),
        TimeElapsedColumn(),
        console=ERRORS,
    ) as bar:
        task = bar.add_task("", total=None, rejected=0)
        yield lambda rows, rejected: bar.update(task, completed=rows, rejected=rejected)


def shown(text: str) -> str:
    """Give a text whose control characters are seen, never obeyed by the terminal; its length stays."""
    return "".join(c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in text)

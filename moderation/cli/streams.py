"""The standard streams: made fit before a command begins, let go of when nobody reads them."""

import atexit
import io
import os
import sys
from typing import Any

from rich.console import Console


class Output(Console):
    """A console for people, whose reader may go away: told as any writer tells it, not by status 1 («rejected»).

    A character that the terminal's encoding lacks is shown by its code.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        if isinstance(self.file, io.TextIOWrapper) and self.file.errors == "strict":
            self.file.reconfigure(errors="backslashreplace")

    def on_broken_pipe(self) -> None:
        """Raise what Rich caught."""
        raise BrokenPipeError


class Errors(Output):
    """A console for messages; one that cannot be written ends nothing."""

    def print(self, *objects: Any, **options: Any) -> None:
        """Write, or try to."""
        try:
            super().print(*objects, **options)
        except OSError:
            self.quiet = True


def make_fit() -> None:
    """See to it that each stream is there, and that all that is written to standard output is, or an error.

    Python has None for a stream that the caller closed; using it is an error of the system from here on, and the
    next file that is opened does not get its number. With PYTHONUNBUFFERED standard output is not buffered, and a
    write of which the system takes a part only, as on a disk that becomes full, would lose the rest unnoticed.
    """
    # Where nothing can be read, or written; messages may go nowhere.
    sys.stdin = sys.stdin or open(os.devnull, "w")
    sys.stdout = sys.stdout or open(os.devnull)
    sys.stderr = sys.stderr or open(os.devnull, "w")
    atexit.register(_drop_messages)
    if isinstance(sys.stdout.buffer, io.RawIOBase):
        given = sys.stdout
        sys.stdout = open(given.fileno(), "w", 1, given.encoding, given.errors, closefd=False)


def _drop_messages() -> None:
    """Let go of messages that could not be written, else Python would end with a status of its own, 120."""
    try:
        sys.stderr.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())


def let_go() -> None:
    """Forget what standard output still holds; at the end it must not be tried again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

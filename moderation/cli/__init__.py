"""The command line; a thin door to the library. Each command is a module; the application is in ``app``."""

import gc
import signal
from typing import NoReturn

from moderation.cli import (  # noqa: F401 (each adds its command)
    audit,
    check,
    compare,
    keys,
    report,
    review,
    rules,
    serve,
    train,
)
from moderation.cli.app import ERRORS, Exit, OutputError, ReaderGoneError, Stages, app, shown
from moderation.cli.streams import let_go, make_fit
from moderation.errors import MissingPackageError, ModelError, ModerationError, PolicyError

__all__ = ["Exit", "Stages", "app", "main"]


def main() -> None:
    """Run the command line; users' mistakes end in one line, our own in a report that says so."""
    # What a policy and a model are made of stays, and holds no cycles worth a search at every step of loading.
    gc.set_threshold(100_000, 50, 100)
    make_fit()
    signal.signal(signal.SIGTERM, _end)
    try:
        app()
    except OutputError as error:
        let_go()
        _fail(error)
    except ModerationError as error:
        _fail(error)
    except KeyboardInterrupt:
        raise SystemExit(Exit.INTERRUPTED) from None
    except ReaderGoneError:
        let_go()
        raise SystemExit(Exit.READER_GONE) from None
    except Exception as error:
        import traceback

        traceback.print_exc()
        ERRORS.print(f"This is a bug of moderation ({type(error).__name__}); please report it.", markup=False)
        raise SystemExit(Exit.BUG) from error


def _end(number: int, frame: object) -> NoReturn:
    """End as an interrupted command does, its workers first."""
    raise SystemExit(Exit.ENDED)


def _fail(error: ModerationError) -> NoReturn:
    ERRORS.print(shown(str(error)), markup=False, highlight=False, soft_wrap=True)
    raise SystemExit(Exit.UNUSABLE if isinstance(error, PolicyError | ModelError | MissingPackageError) else Exit.USAGE)

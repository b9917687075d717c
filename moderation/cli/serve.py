"""``moderation serve``: decide over HTTP."""

from pathlib import Path
from typing import Annotated

import typer

from moderation.cli.app import ModelOption, PolicyOption, Stages, app
from moderation.errors import MissingPackageError

StateOption = Annotated[
    Path | None,
    typer.Option("--state", help="Folder of the keys and the audit log; moderation-state if not given.", metavar="DIR"),
]
ConfigOption = Annotated[
    Path | None, typer.Option("--config", help="Settings (TOML); see docs/service.md.", metavar="FILE")
]


def need_serving_packages() -> None:
    """Raise a `MissingPackageError` where one of the extra ``serve`` is not installed."""
    try:
        import fastapi  # noqa: F401
        import httptools  # noqa: F401
        import itsdangerous  # noqa: F401
        import orjson  # noqa: F401
        import prometheus_client  # noqa: F401
        import py3langid  # noqa: F401
        import pydantic_settings  # noqa: F401
        import sqlalchemy  # noqa: F401
        import uvicorn  # noqa: F401
        import uvloop  # noqa: F401
    except ImportError as error:
        raise MissingPackageError(error.name, "serve") from error


@app.command(epilog="Examples: moderation serve ; moderation serve --config service.toml --workers 4")
def serve(
    config: ConfigOption = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on; 127.0.0.1 if not given.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; 8000 if not given.")] = None,
    workers: Annotated[int | None, typer.Option(help="Processes; 1 if not given.")] = None,
    policy: PolicyOption = None,
    model: ModelOption = None,
    classifier: Annotated[
        Stages | None, typer.Option("--classifier", help="cascade, linear or encoder; cascade if not given.")
    ] = None,
    state: StateOption = None,
    audit: Annotated[
        str | None, typer.Option(help="Data base of the audit log, such as postgresql://user@host/name.", metavar="URL")
    ] = None,
) -> None:
    """Decide over HTTP until a signal ends it.

    Each option can stand in the environment (MODERATION_PORT) or the settings' file as well. SIGHUP reloads policy
    and model, SIGTERM answers what was accepted and stops.
    """
    need_serving_packages()
    from moderation.service.server import serve as run

    options = {
        "host": host,
        "port": port,
        "workers": workers,
        "policy": policy,
        "model": model,
        "classifier": classifier.value if classifier else None,
        "state": state,
        "audit": audit,
    }
    run(config, options)

"""``moderation keys``: the service's API keys."""

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from moderation.cli.app import ERRORS, app, shown
from moderation.cli.serve import ConfigOption, StateOption, need_serving_packages
from moderation.cli.streams import Output

keys = typer.Typer(
    help="Make, list and revoke the service's API keys.",
    epilog="Example: moderation keys add coral --scope decide",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(keys, name="keys")


@keys.command(epilog="Examples: moderation keys add coral ; moderation keys add desk --scope audit --scope moderate")
def add(
    name: Annotated[str, typer.Argument(help="What the key is for, as the audit log will say.")],
    scope: Annotated[
        list[str] | None,
        typer.Option(help="What it may do: decide, audit, moderate, admin (all); decide if not given."),
    ] = None,
    site: Annotated[str | None, typer.Option(help="The only site that it may ask about.")] = None,
    rate: Annotated[float | None, typer.Option(min=0.001, help="Comments a second that it may send.")] = None,
    config: ConfigOption = None,
    state: StateOption = None,
) -> None:
    """Make a key and print it; it is kept as a digest only and cannot be shown again."""
    typer.echo(_store(config, state).add(name, scope or ["decide"], site, rate))
    ERRORS.print("Keep it well: it cannot be shown again.", markup=False)


@keys.command("list", epilog="Example: moderation keys list")
def list_(config: ConfigOption = None, state: StateOption = None) -> None:
    """List the keys."""
    table = Table(box=None, pad_edge=False)
    for heading in ("id", "name", "scopes", "site", "rate", "created"):
        table.add_column(heading)
    for key in _store(config, state).keys():
        rate = f"{key.rate:g}" if key.rate else ""
        table.add_row(key.id, shown(key.name), " ".join(key.scopes), key.site or "", rate, key.created)
    Output(highlight=False, markup=False).print(table)


@keys.command(epilog="Example: moderation keys revoke abcdefgh")
def revoke(
    key: Annotated[str, typer.Argument(help="The key's id: its first eight characters.")],
    config: ConfigOption = None,
    state: StateOption = None,
) -> None:
    """Revoke a key; a running service refuses it within a second."""
    gone = _store(config, state).revoke(key[:8])
    ERRORS.print(f"{gone.id} {shown(gone.name)} is revoked", markup=False)


def _store(config: Path | None, state: Path | None):  # type: ignore[no-untyped-def]
    need_serving_packages()
    from moderation.service.keys import KeyStore
    from moderation.service.settings import read_settings

    return KeyStore(read_settings(config, state=state).keys_file)

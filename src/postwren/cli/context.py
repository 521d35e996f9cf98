"""What every command shares: --data and --config, opening the store, saying what went wrong."""

import asyncio
import json
import os
import pwd
import signal
import sys
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar

import typer

from postwren.config.loader import load_config
from postwren.config.schema import Config
from postwren.mailstore.errors import NoSuchAccount
from postwren.mailstore.model import Account
from postwren.mailstore.port import Reader, Store
from postwren.mailstore.service.accounts import canonical_login
from postwren.stores import open_store

__all__ = ["ConfigOption", "DataOption", "JsonOption", "Place", "fail", "find_account", "print_json", "with_store"]

T = TypeVar("T")

DataOption = Annotated[
    Path | None,
    typer.Option(
        "--data",
        help="The folder that holds the mail. [default: /var/lib/postwren for root, else ~/.local/share/postwren]",
        envvar="POSTWREN_DATA",
        show_default=False,
        show_envvar=True,
    ),
]
ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        help="The configuration. [default: postwren.toml in the data folder, if there]",
        envvar="POSTWREN_CONFIG",
        show_default=False,
        show_envvar=True,
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]


@dataclass(frozen=True, slots=True)
class Place:
    """Where the mail is, and how to treat it."""

    data: Path
    config: Config

    @classmethod
    def find(cls, data: Path | None, config: Path | None) -> "Place":
        """From the options. Nothing is made: a store makes its folder when it is opened."""
        folder = data or (Path("/var/lib/postwren") if os.geteuid() == 0 else Path.home() / ".local/share/postwren")
        _refuse_to_spoil(folder)
        usual = folder / "postwren.toml"
        return cls(folder, load_config(config or (usual if usual.exists() else None), os.environ))


def _refuse_to_spoil(folder: Path) -> None:
    """What root makes in another user's folder, that user's server cannot use."""
    if os.geteuid() == 0 and folder.exists() and (owner := folder.stat().st_uid) != 0:
        name = pwd.getpwuid(owner).pw_name if owner in {entry.pw_uid for entry in pwd.getpwall()} else str(owner)
        fail(f"{folder} belongs to {name}: run this as that user (sudo -u {name} ...)")


def with_store(
    data: Path | None, config: Path | None, work: Callable[[Store, Place], Awaitable[T]], *, only_reads: bool = False
) -> T:
    """Run `work` with the store opened, beside a running server or alone; one that `only_reads` runs on a full volume too."""
    place = Place.find(data, config)

    async def run() -> T:
        # asyncio's own handler only cancels, which a command that reads its standard input would not notice
        signal.signal(signal.SIGINT, signal.default_int_handler)
        async with _opened(place, only_reads) as store:
            return await work(store, place)

    try:
        return asyncio.run(run())
    except KeyboardInterrupt:
        fail("interrupted; what was kept so far stays")


@asynccontextmanager
async def _opened(place: Place, only_reads: bool) -> Any:
    store = await open_store(place.data, place.config, only_reads=only_reads)
    try:
        yield store
    finally:
        store.close()


def find_account(reader: Reader, login: str) -> Account:
    """The account of a login as people type it; raises NoSuchAccount."""
    canonical = canonical_login(reader, login)
    account = reader.account_by_login(canonical) if canonical else None
    if account is None:
        raise NoSuchAccount(login)
    return account


def print_json(value: Any) -> None:
    """The report of a command with --json."""
    print(json.dumps(value, indent=1, ensure_ascii=False))


def fail(text: str) -> NoReturn:
    """Say what is wrong and end with 1."""
    print(f"postwren: {text}", file=sys.stderr)
    raise typer.Exit(1)

"""`postwren`: the table of commands, and the words for what can go wrong in all of them.

Only the module of the command that is meant is loaded: to load them all takes longer than most of them run.
"""

import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Final, TypeAlias

import typer

from postwren import __version__

__all__ = ["app_with", "main"]

Function: TypeAlias = Callable[..., None]


def _serve() -> Function:
    from postwren.cli.serve import serve

    return serve


def _account() -> typer.Typer:
    from postwren.cli.account import app

    return app


def _address() -> typer.Typer:
    from postwren.cli.address import app

    return app


def _domain() -> typer.Typer:
    from postwren.cli.domain import app

    return app


def _deliver() -> Function:
    from postwren.cli.deliver import deliver

    return deliver


def _import() -> Function:
    from postwren.cli.import_ import import_

    return import_


def _export() -> Function:
    from postwren.cli.export import export

    return export


def _recover() -> Function:
    from postwren.cli.recover import recover_

    return recover_


def _check() -> Function:
    from postwren.cli.check import check

    return check


def _queue() -> typer.Typer:
    from postwren.cli.queue import app

    return app


def _sync() -> typer.Typer:
    from postwren.cli.sync import app

    return app


def _config() -> typer.Typer:
    from postwren.cli.config import app

    return app


COMMANDS: Final[dict[str, Callable[[], typer.Typer | Function]]] = {
    "serve": _serve,
    "account": _account,
    "address": _address,
    "domain": _domain,
    "deliver": _deliver,
    "import": _import,
    "export": _export,
    "recover": _recover,
    "check": _check,
    "queue": _queue,
    "sync": _sync,
    "config": _config,
}


def app_with(names: Iterable[str]) -> typer.Typer:
    """The program with these commands only."""
    app = typer.Typer(
        name="postwren",
        help="Mail that stays yours: a mail server and the client on your devices.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )
    app.callback(invoke_without_command=True)(root)
    for name in names:
        command = COMMANDS[name]()
        if isinstance(command, typer.Typer):
            app.add_typer(command, name=name)
        else:
            app.command(name)(command)
    return app


def root(version: bool = typer.Option(False, "--version", help="Print the version.")) -> None:
    """Mail that stays yours: a mail server and the client on your devices."""
    if version:
        print(f"postwren {__version__}")
        raise typer.Exit


def main() -> None:
    """Run a command and end the process with its exit code."""
    try:
        app_with(_meant(sys.argv[1:]))()
    except Exception as error:
        text = _explanation(error)
        if text is None:
            raise
        print(f"postwren: {text}", file=sys.stderr)
        sys.exit(1)


def _meant(words: Sequence[str]) -> Sequence[str]:
    """All of them for `--help`, and for what is none."""
    return words[:1] if words and words[0] in COMMANDS else tuple(COMMANDS)


def _explanation(error: Exception) -> str | None:
    """What to say of a failure that people can do something about; None for a bug."""
    from postwren.archive.detect import ArchiveError
    from postwren.cli.explanation import explain
    from postwren.config.loader import ConfigError
    from postwren.mailstore.errors import MailstoreError
    from postwren.sync.settings import SettingsError

    if isinstance(error, MailstoreError):
        return explain(error)
    return str(error) if isinstance(error, ConfigError | ArchiveError | SettingsError | OSError) else None

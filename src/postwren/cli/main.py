"""`postwren`: the table of commands, and the words for what can go wrong in all of them."""

import sys

import typer

from postwren import __version__
from postwren.archive.detect import ArchiveError
from postwren.cli import account, address, check, config, deliver, domain, export, import_, queue, recover, serve, sync
from postwren.cli.explanation import explain
from postwren.config.loader import ConfigError
from postwren.mailstore import errors
from postwren.sync.settings import SettingsError

__all__ = ["app", "main"]

app = typer.Typer(
    name="postwren",
    help="Mail that stays yours: a mail server and the client on your devices.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.callback(invoke_without_command=True)
def root(version: bool = typer.Option(False, "--version", help="Print the version.")) -> None:
    """Mail that stays yours: a mail server and the client on your devices."""
    if version:
        print(f"postwren {__version__}")
        raise typer.Exit


app.command("serve")(serve.serve)
app.add_typer(account.app, name="account")
app.add_typer(address.app, name="address")
app.add_typer(domain.app, name="domain")
app.command("deliver")(deliver.deliver)
app.command("import")(import_.import_)
app.command("export")(export.export)
app.command("recover")(recover.recover_)
app.command("check")(check.check)
app.add_typer(queue.app, name="queue")
app.add_typer(sync.app, name="sync")
app.add_typer(config.app, name="config")


def main() -> None:
    """Run a command and end the process with its exit code."""
    try:
        app()
    except (ConfigError, ArchiveError, SettingsError, OSError) as error:
        _end(str(error))
    except errors.MailstoreError as error:
        _end(explain(error))


def _end(text: str) -> None:
    print(f"postwren: {text}", file=sys.stderr)
    sys.exit(1)

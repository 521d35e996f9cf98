"""`postwren`: the table of commands, and the words for what can go wrong in all of them."""

import sys

import typer

from postwren import __version__
from postwren.archive.detect import ArchiveError
from postwren.cli import account, address, check, config, deliver, export, import_, serve
from postwren.config.loader import ConfigError
from postwren.mailstore import errors
from postwren.server.login import PasswordUnusable

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
app.command("deliver")(deliver.deliver)
app.command("import")(import_.import_)
app.command("export")(export.export)
app.command("check")(check.check)
app.add_typer(config.app, name="config")


def main() -> None:
    """Run a command and end the process with its exit code."""
    try:
        app()
    except (ConfigError, ArchiveError, PasswordUnusable, OSError) as error:
        _end(str(error))
    except errors.MailstoreError as error:
        _end(explain(error))


def _end(text: str) -> None:
    print(f"postwren: {text}", file=sys.stderr)
    sys.exit(1)


def explain(error: errors.MailstoreError) -> str:
    """A refusal in words that say what to do."""
    match error:
        case errors.NoSuchAccount(login=login):
            return f"no account {login!s}; `postwren account list` shows all"
        case errors.AccountExists(login=login):
            return f"the account {login} exists already; `postwren account password {login}` changes its password"
        case errors.LoginInvalid(login=login):
            return f"{login!r} cannot be a login: it must be an address such as ann@example.org"
        case errors.NoSuchAddress(address=address):
            return f"nobody here has the address {address}; `postwren address list` shows all"
        case errors.AddressTaken(address=address):
            return f"the address {address} is taken; `postwren address list` shows by whom"
        case errors.NoSuchMailbox(mailbox=mailbox):
            return f"no mailbox {mailbox}"
        case errors.MailboxNameInvalid(name=name, why=why):
            return f"{name!r} cannot be a mailbox: {why}"
        case errors.OverQuota(limit=limit, is_messages=is_messages):
            return f"the account would pass its limit of {limit:,} {'messages' if is_messages else 'octets'}"
        case errors.StoreFull():
            return "no space left on the volume (see storage.reserve in the configuration); nothing was kept"
        case errors.StoreFailed():
            return f"the disk failed ({error}); nothing more was kept. Check the volume, then run `postwren check`"
        case errors.StoreUnusable():
            return str(error)
        case errors.BodyCorrupt():
            return f"a message's octets are damaged ({error}); run `postwren check`"
    return f"{type(error).__name__}: {error}"

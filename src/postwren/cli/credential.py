"""What is kept of a password that somebody gives to a command."""

from postwren.cli.context import fail
from postwren.mailstore.model import Credentials
from postwren.wire.secret import Secret

__all__ = ["credentials_of"]


def credentials_of(password: Secret[str]) -> Credentials:
    """Takes 40 ms; ends the command where nobody could type this password."""
    from postwren.server.login.credential import PasswordUnusable, make_credentials  # it loads what only these commands need

    try:
        return make_credentials(password)
    except PasswordUnusable as error:
        fail(str(error))

"""What can go wrong between a device and a server, in words that say what to do. Nothing that a run does is half done: what is
kept is kept, what is deleted there was kept before.
"""

import errno
import socket
import ssl

from postwren.client.conversation import Security, ServerFailed, TlsRefused
from postwren.protocols.sasl import NotPreparable
from postwren.sync.settings import Settings
from postwren.transport.tls import TlsFault

__all__ = ["TROUBLE", "LoginRefused", "SyncFailed", "explain", "wrong_login"]


class SyncFailed(Exception):
    """The run cannot go on; the text says why, and what to do."""


class LoginRefused(SyncFailed):
    """The server does not let us in: to ask again soon helps nobody."""


TROUBLE = (ServerFailed, OSError, TlsFault, NotPreparable)
"""What the clients raise for servers and networks; what a server says to a login is its protocol's to explain."""


def explain(error: Exception, settings: Settings) -> str:
    """One of TROUBLE, as a sentence."""
    place = f"{settings.host}:{settings.port}"
    match error:
        case TlsRefused():
            return f"{place} does not go over to TLS ({error}); nothing private was said. Try --tls implicit"
        case ServerFailed():
            return f"{place}: {error}. What was done so far stays; the next run goes on from there"
        case NotPreparable():
            return "the login or password holds characters that cannot be sent"
        case ssl.SSLCertVerificationError():
            return (
                f"the certificate of {place} cannot be trusted ({error.verify_message}); nothing was sent. Is the host's name "
                "right? A certificate of one's own is named with --trust FILE"
            )
        case TlsFault() | ssl.SSLError():
            other = "starttls" if settings.tls is Security.IMPLICIT else "implicit"
            return f"{place} does not speak TLS as expected ({error}). Is the port right? Try --tls {other}"
        case OSError():
            return _network(error, settings.host, place)
    return str(error)


def wrong_login(settings: Settings, text: str) -> str:
    """The server refused it, and said `text`."""
    helps = f"; `postwren sync password {settings.address}` changes it here" if settings.store else ""
    return f"{settings.host} refuses the login {settings.login} ({text}): are the password and the login right{helps or '?'}"


def _network(error: OSError, host: str, place: str) -> str:
    match error:
        case socket.gaierror():
            return f"no host {host} is known: is its name right, is there a network?"
        case ConnectionRefusedError():
            return f"nothing listens at {place}: are host and port right, does the server run?"
        case TimeoutError():
            return f"{place} did not answer in time: is there a network?"
        case ConnectionError():
            return f"the connection to {place} broke ({error}); what was done so far stays, the next run goes on from there"
    if error.errno in (errno.ENETUNREACH, errno.EHOSTUNREACH):
        return f"{place} cannot be reached: is there a network?"
    return f"{place}: {error}"

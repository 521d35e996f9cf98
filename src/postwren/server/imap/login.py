"""Before a mailbox is there: greeting, CAPABILITY, ID, STARTTLS, LOGIN, AUTHENTICATE, ENABLE, COMPRESS, NOOP, UNAUTHENTICATE and
LOGOUT (RFC 9051 sections 6.1, 6.2 and 6.3.1; RFC 2971, 4959, 4978, 5161, 8437)."""

from collections.abc import Coroutine
from typing import Any, Final

from postwren import __version__
from postwren.protocols.imap import code
from postwren.protocols.imap.code import Capabilities
from postwren.protocols.imap.command import (
    Authenticate,
    Capability,
    Check,
    Compress,
    Enable,
    Id,
    Login,
    Logout,
    Noop,
    StartTls,
    Unauthenticate,
)
from postwren.protocols.imap.event import AuthResponse
from postwren.protocols.imap.response import Continuation, Status, Tagged
from postwren.protocols.imap.response.capability import CapabilityList, Enabled, ServerId
from postwren.protocols.imap.response.condition import Condition
from postwren.protocols.imap.state import State
from postwren.server.imap.capability import capabilities
from postwren.server.imap.fetch import enable_condstore
from postwren.server.imap.refusal import LOGIN_REFUSALS, TOO_MANY_CONNECTIONS, Refusal
from postwren.server.imap.selected import Enabled as SwitchedOn
from postwren.server.imap.session import Handler, ImapSession, Later
from postwren.server.login import Accepted, Challenge, LoginStep, Refused
from postwren.terms import AccountId

__all__ = ["COMMANDS", "auth_response", "greet"]

MOST_ID_FIELDS: Final = 30  # RFC 2971 section 3.3
NO_TLS: Final = Refusal("TLS is on already, or not to be had", None, Status.BAD)
TOO_MANY_FIELDS: Final = Refusal("more than 30 fields", None, Status.BAD)
COMPRESSION_ACTIVE: Final = Refusal("compression is on already", code.COMPRESSIONACTIVE)
NO_COMPRESSION: Final = Refusal("no such compression here", code.CANNOT)


def greet(session: ImapSession) -> None:
    session.core.greet(Condition(Status.OK, "Postwren ready", Capabilities(capabilities(session))))


def capability(session: ImapSession, tag: str, _: Capability) -> Later:
    session.say(CapabilityList(capabilities(session)))
    session.finish(tag, "CAPABILITY done")
    return None


def noop(session: ImapSession, _tag: str, _: Noop | Check) -> Later:
    """As `finish`, in its cheap form."""
    session.tell_news()
    session.core.send_ok(b"done")
    return None


def id_(session: ImapSession, tag: str, command: Id) -> Later:
    """Strangers hear the name, not the version."""
    if command.fields is not None and len(command.fields) > MOST_ID_FIELDS:
        session.refuse(tag, TOO_MANY_FIELDS)
        return None
    version = (("version", __version__),) if session.account_id else ()
    session.say(ServerId((("name", "Postwren"), *version)))
    session.finish(tag, "ID done")
    return None


def logout(session: ImapSession, tag: str, _: Logout) -> Later:
    session.leave()
    session.say(Condition(Status.BYE, "bye"))
    session.core.send(Tagged(tag, Status.OK, "LOGOUT done"))
    session.end("logout")
    return None


def start_tls(session: ImapSession, tag: str, _: StartTls) -> Later:
    if not session.link.can_start_tls:
        session.refuse(tag, NO_TLS)
        return None
    session.finish(tag, "begin TLS")
    session.link.start_tls()
    return None


# -- login


def login(session: ImapSession, tag: str, command: Login) -> Later:
    authenticator = session.service.authenticator
    accepted = authenticator.remembered(command.name, command.password, session.link)
    if accepted is None:
        return _judge(session, tag, authenticator.password(command.name, command.password, session.link))
    _accept(session, tag, accepted)
    return None


def authenticate(session: ImapSession, tag: str, command: Authenticate) -> Later:
    begun = session.service.authenticator.begin(command.mechanism, session.link)
    if isinstance(begun, Refused):
        _refuse(session, tag, begun)
        return None
    session.exchange = begun
    session.auth_tag = tag
    return _judge(session, tag, begun.step(None if command.initial is None else command.initial.reveal()))


def auth_response(session: ImapSession, event: AuthResponse) -> Later:
    assert session.exchange is not None
    return _judge(session, session.auth_tag, session.exchange.step(event.data.reveal()))


async def _judge(session: ImapSession, tag: str, judging: Coroutine[Any, Any, LoginStep]) -> None:
    step = await judging
    if session.is_closed:
        return
    match step:
        case Challenge(data):
            session.core.send(Continuation(data=data))
            return
        case Refused():
            _refuse(session, tag, step)
        case Accepted():
            _accept(session, tag, step)
    session.exchange = None


def _refuse(session: ImapSession, tag: str, refused: Refused) -> None:
    session.log("refused", reason=refused.reason.value)
    session.refuse(tag, LOGIN_REFUSALS[refused.reason])


def _accept(session: ImapSession, tag: str, accepted: Accepted) -> None:
    if not session.link.authenticated(accepted.account_id):
        session.log("refused", reason="too many connections")
        session.refuse(tag, TOO_MANY_CONNECTIONS)
        return
    session.account_id = accepted.account_id
    session.login = accepted.login
    session.core.enter(State.AUTHENTICATED)
    session.log("login", tls=session.link.tls is not None)
    session.finish(tag, "logged in", Capabilities(capabilities(session)))


def unauthenticate(session: ImapSession, tag: str, _: Unauthenticate) -> Later:
    """RFC 8437: as if nobody had ever logged in; TLS and compression stay."""
    session.leave()
    session.log("closed", end="unauthenticate")
    session.account_id = AccountId(0)
    session.login = ""
    session.enabled = SwitchedOn()
    session.watch(None)
    session.core.enter(State.NOT_AUTHENTICATED)
    session.core.send(Tagged(tag, Status.OK, "nobody is logged in"))
    return None


# -- what is switched on


def enable(session: ImapSession, tag: str, command: Enable) -> Later:
    """RFC 5161 section 3.1: what we do not know is passed over."""
    fresh = [name for name in dict.fromkeys(command.capabilities) if name in SWITCHES and SWITCHES[name](session)]
    session.say(Enabled(tuple(SPELLING.get(name, name) for name in fresh)))
    session.finish(tag, "ENABLE done")
    return None


SPELLING: Final = {"IMAP4REV2": "IMAP4rev2"}


def _condstore(session: ImapSession) -> bool:
    was = session.enabled.condstore
    enable_condstore(session)
    return not was


def _qresync(session: ImapSession) -> bool:
    """RFC 7162 section 3.2.3: CONDSTORE with it."""
    was = session.enabled.qresync
    enable_condstore(session)
    session.enabled.qresync = True
    return not was


def _utf8(session: ImapSession) -> bool:
    was = session.enabled.utf8
    session.enabled.utf8 = session.core.is_utf8 = True
    return not was


def _uidonly(session: ImapSession) -> bool:
    was = session.enabled.uidonly
    session.enabled.uidonly = session.core.is_uidonly = True
    return not was


def _rev2(session: ImapSession) -> bool:
    """RFC 9051 section 5.1: names and strings are UTF-8."""
    was = session.enabled.rev2
    session.enabled.rev2 = session.core.is_utf8 = True
    return not was


SWITCHES: Final = {
    "CONDSTORE": _condstore,
    "QRESYNC": _qresync,
    "UTF8=ACCEPT": _utf8,
    "UIDONLY": _uidonly,
    "IMAP4REV2": _rev2,
}


def compress(session: ImapSession, tag: str, command: Compress) -> Later:
    """RFC 4978 section 3; what comes behind the answer is compressed on both ways."""
    if session.core.is_compressed:
        session.refuse(tag, COMPRESSION_ACTIVE)
    elif command.algorithm != "DEFLATE" or not session.service.settings.is_compressing:
        session.refuse(tag, NO_COMPRESSION)
    else:
        session.finish(tag, "DEFLATE from here on")
        session.core.compress()
        session.link.start_compression()
    return None


COMMANDS: Final[dict[type[Any], Handler]] = {
    Capability: capability,
    Noop: noop,
    Check: noop,
    Id: id_,
    Logout: logout,
    StartTls: start_tls,
    Login: login,
    Authenticate: authenticate,
    Unauthenticate: unauthenticate,
    Enable: enable,
    Compress: compress,
}

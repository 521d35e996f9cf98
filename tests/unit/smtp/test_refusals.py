"""What a refusal says: the standard's code, an enhanced code of its class, and a sentence for the person who reads it."""

import re
from collections.abc import Iterator
from typing import Final

import pytest

from postwren.delivery import door, judging, mx
from postwren.exchange import home, road
from postwren.protocols.smtp import reply as protocol
from postwren.protocols.smtp.reply import Reply
from postwren.server.smtp import refusal

TABLE: Final = {  # what happened: (code, enhanced code of RFC 3463 or its registry), and where that stands
    "reply.UNKNOWN_COMMAND": (500, "5.5.1"),  # RFC 5321 4.2.2
    "reply.LINE_TOO_LONG": (500, "5.5.2"),  # RFC 5321 4.5.3.1.10
    "reply.AUTH_LINE_TOO_LONG": (500, "5.5.6"),  # RFC 4954 6
    "reply.LINE_INVALID": (500, "5.5.2"),
    "reply.NOT_UTF8": (500, "5.5.2"),
    "reply.SYNTAX": (501, "5.5.4"),
    "reply.SENDER_SYNTAX": (501, "5.1.7"),  # RFC 3463 3.2
    "reply.RECIPIENT_SYNTAX": (501, "5.1.3"),  # RFC 3463 3.2
    "reply.NEEDS_SMTPUTF8": (553, "5.6.7"),  # RFC 6531 3.5
    "reply.UNKNOWN_PARAMETER": (555, "5.5.4"),  # RFC 5321 4.1.1.11
    "reply.NOT_OFFERED": (502, "5.5.1"),
    "reply.NO_EXPN": (502, "5.5.1"),
    "reply.BAD_SEQUENCE": (503, "5.5.1"),
    "reply.HELLO_FIRST": (503, "5.5.1"),
    "reply.NO_RECIPIENTS": (503, "5.5.1"),
    "reply.CHUNK_SYNTAX": (501, "5.5.4"),
    "reply.URL_SYNTAX": (501, "5.5.4"),
    "reply.URL_UNRESOLVED": (554, "5.6.6"),  # RFC 4468 5
    "reply.HOLD_SYNTAX": (501, "5.5.4"),
    "reply.HOLD_TOO_LONG": (501, "5.5.4"),
    "reply.BINARY_NEEDS_CHUNKS": (503, "5.5.1"),  # RFC 3030 3
    "reply.PIPELINED": (503, "5.5.0"),
    "reply.TLS_PIPELINED": (501, "5.5.1"),
    "reply.NOT_SMTP": (421, "4.7.0"),
    "reply.BARE_LINE_END": (550, "5.6.11"),
    "reply.MESSAGE_TOO_BIG": (552, "5.3.4"),  # RFC 1870 6
    "reply.TOO_MANY_RECIPIENTS": (452, "4.5.3"),  # RFC 5321 4.5.3.1.10
    "reply.TOO_MANY_ERRORS": (421, "4.7.0"),
    "reply.AUTH_CANCELLED": (501, "5.7.0"),
    "reply.AUTH_ENCODING": (501, "5.5.2"),
    "refusal.UNKNOWN_RECIPIENT": (550, "5.1.1"),
    "refusal.NO_RELAY": (550, "5.7.1"),
    "refusal.NO_WAY_OUT": (550, "5.7.1"),
    "refusal.NO_HOLD_HERE": (550, "5.7.1"),
    "refusal.NO_SUCH_DOMAIN": (550, "5.1.2"),
    "refusal.MAILBOX_FULL": (452, "4.2.2"),
    "refusal.AUTH_REQUIRED": (530, "5.7.0"),  # RFC 4954 6
    "refusal.NO_TLS": (454, "4.7.0"),  # RFC 3207 4
    "refusal.TIMED_OUT": (421, "4.4.2"),
    "refusal.SERVER_ENDS": (421, "4.3.2"),
    "refusal.BUG": (451, "4.3.0"),
    "refusal._STORE.StoreFull": (452, "4.3.1"),
    "refusal._STORE.OverQuota": (452, "4.2.2"),
    "refusal._STORE.StoreFailed": (421, "4.3.0"),
    "refusal._STORE.StoreClosed": (421, "4.3.2"),
    "refusal._STORE.NoSuchAccount": (550, "5.1.1"),
    "refusal._STORE.NoSuchMailbox": (550, "5.1.1"),
    "refusal.OBJECTIONS.HEADER_TOO_BIG": (552, "5.3.4"),
    "refusal.OBJECTIONS.LOOP": (554, "5.4.6"),
    "refusal.FAULTS.BARE_LINE_END": (550, "5.6.11"),
    "refusal.FAULTS.TOO_BIG": (552, "5.3.4"),
    "refusal.LOGINS.WRONG": (535, "5.7.8"),  # RFC 4954 6
    "refusal.LOGINS.MALFORMED": (501, "5.5.2"),
    "refusal.LOGINS.CANCELLED": (501, "5.7.0"),
    "refusal.LOGINS.PRIVACY_REQUIRED": (538, "5.7.11"),
    "refusal.LOGINS.UNSUPPORTED": (504, "5.5.4"),
    "refusal.LOGINS.BUSY": (454, "4.7.0"),
    "judging.NO_AUTHOR": (550, "5.7.1"),
    "judging.COME_AGAIN": (451, "4.7.1"),
    "mx.NO_SUCH_DOMAIN": (550, "5.1.2"),
    "mx.NULL_MX": (556, "5.1.10"),  # RFC 7505 4.1
    "mx.NO_USABLE_HOST": (550, "5.4.4"),
    "mx.LOOP": (554, "5.4.6"),
    "mx.NOBODY_COULD_TELL": (451, "4.4.3"),
    "home._FULL": (452, "4.2.2"),
    "home._UNKNOWN": (550, "5.1.1"),
    "road._NO_HOST": (451, "4.4.4"),
}


def refusals() -> Iterator[tuple[str, int, str, str]]:
    """(where it stands, code, enhanced code, text) of all that stands in the modules, outside of functions."""
    for module in (protocol, refusal, judging, door, mx, home, road):
        room = module.__name__.rpartition(".")[2]
        for name, value in vars(module).items():
            given = {f"{room}.{name}": value}
            if isinstance(value, dict) and room == "refusal" and not name.startswith("__"):
                given = {f"{room}.{name}.{getattr(key, 'name', '') or key.__name__}": each for key, each in value.items()}
            for place, each in given.items():
                if isinstance(each, Reply):
                    yield place, each.code, each.enhanced, " ".join(each.lines)
                elif isinstance(each, (mx.Unroutable, type(home._FULL))):
                    yield place, each.code, each.enhanced, each.text


REFUSALS: Final = {place: (code, enhanced, text) for place, code, enhanced, text in refusals() if code >= 400}
IMPORTED: Final = {"refusal.BARE_LINE_END", "refusal.MESSAGE_TOO_BIG"}


def test_the_table_has_all_of_them() -> None:
    assert set(TABLE) == set(REFUSALS) - IMPORTED


@pytest.mark.parametrize("place", TABLE)
def test_a_refusal_has_the_standards_code_and_a_sentence_that_a_person_understands(place: str) -> None:
    code, enhanced, text = REFUSALS[place]
    assert (code, enhanced) == TABLE[place]
    assert enhanced[0] == str(code)[0]  # RFC 2034 section 4
    assert re.fullmatch(r"\d\.\d{1,3}\.\d{1,3}", enhanced)
    assert text.isascii()
    assert text.isprintable()
    assert len(text.split()) >= 2
    assert len(f"{code} {enhanced} {text}\r\n") <= 512  # RFC 5321 4.5.3.1.5

"""ENVELOPE and BODYSTRUCTURE of every message of the corpora beside Dovecot's: equal, or different for a reason that stands here.

The reasons are rules, each with the section that decides, and for what no rule covers a line a message in `ONE_BY_ONE`. A
difference without a reason fails, and so does a rule or a line that explains nothing any more.
"""

import imaplib
import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from bench.lab.dovecot import Dovecot
from bench.lab.mail import with_crlf
from bench.lab.process import Unavailable
from tests.interop.conftest import _is_message_without_suffix
from tests.shared import SHARED

from postwren.message.digest import digest

pytestmark = pytest.mark.real

TOKEN: Final = re.compile(rb'\(|\)|"((?:[^"\\]|\\.)*)"|\{(\d+)\}\r\n|[^\s()"]+', re.S)
END_OF_HEADER: Final = re.compile(rb"(?:\A|\r\n)\r\n")


def read(wire: bytes) -> Any:
    """A parenthesised list of either server, loosely."""
    root: list[Any] = []
    open_lists = [root]
    at = 0
    while at < len(wire):
        token = TOKEN.match(wire, at)
        if token is None:
            at += 1
            continue
        at = token.end()
        here = open_lists[-1]
        if token[0] == b"(":
            open_lists.append([])
            here.append(open_lists[-1])
        elif token[0] == b")":
            open_lists.pop()
        elif token[2]:
            here.append(wire[at : at + int(token[2])])
            at += int(token[2])
        elif token[1] is not None:
            here.append(re.sub(rb"\\(.)", rb"\1", token[1]))
        else:
            here.append(None if token[0] == b"NIL" else int(token[0]) if token[0].isdigit() else token[0])
    return root[0]


def differences(ours: Any, theirs: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    if isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        for place, (mine, other) in enumerate(zip(ours, theirs, strict=True)):
            yield from differences(mine, other, f"{path}/{place}")
    elif ours != theirs:
        yield path, ours, theirs


def is_default_charset(_m: bytes, _path: str, ours: Any, theirs: Any) -> bool:
    """RFC 9051 7.5.2: body parameters are those of the message; Dovecot adds the default of RFC 2045 5.2 to them."""
    return isinstance(theirs, list) and theirs[-2:] == [b"charset", b"us-ascii"] and (ours or []) == theirs[:-2]


def is_letter_case(_m: bytes, _path: str, ours: Any, theirs: Any) -> bool:
    """RFC 2045 5.1: types, parameter names and encodings compare without regard to case; we say them in lower case."""
    return isinstance(ours, bytes) and isinstance(theirs, bytes) and ours == theirs.lower()


def is_placeholder(_m: bytes, _path: str, ours: Any, theirs: Any) -> bool:
    """RFC 9051 7.5.2: nothing in an address has to be made up; what lacks a part has an empty one."""
    return isinstance(theirs, bytes) and theirs in (b"MISSING_DOMAIN", b"MISSING_MAILBOX", b"SYNTAX_ERROR")


def is_extended_parameter(_m: bytes, _path: str, ours: Any, theirs: Any) -> bool:
    """RFC 9051 7.5.2: parameters of RFC 2231 are decoded; Dovecot gives them as they came."""
    return isinstance(theirs, bytes) and re.match(rb"[\w-]+'\w*'.*%", theirs) is not None and isinstance(ours, bytes)


def is_white_space(_m: bytes, _path: str, ours: Any, theirs: Any) -> bool:
    """RFC 5322 2.2.3: a fold is the CRLF alone, and white space around a value says nothing."""
    return isinstance(ours, bytes) and isinstance(theirs, bytes) and ours.split() == theirs.split()


def is_multipart_without_parts(_m: bytes, _path: str, ours: Any, theirs: Any) -> bool:
    """RFC 2046 5.1.1: a multipart has at least one part; without any it is shown as text, and Dovecot makes an empty part."""
    return isinstance(theirs, list) and isinstance(ours, list) and isinstance(theirs[0], list) and ours[:2] == [b"text", b"plain"]


def is_endless_header(message: bytes, path: str, ours: Any, theirs: Any) -> bool:
    """RFC 5322 3.5: where no empty line ends a header (of the message, or of one inside), what is no field is body for us."""
    inside = message.partition(b"\r\n\r\n")[2].lower()
    has_one_inside = b"message/rfc822" in message.lower() and (isinstance(ours, int) or path.endswith("/8"))
    return (
        isinstance(ours, int)
        and isinstance(theirs, int)
        and (not END_OF_HEADER.search(message) or (has_one_inside and bool(inside)))
    )


def is_repeated_field(message: bytes, path: str, ours: Any, theirs: Any) -> bool:
    """RFC 5322 3.6: these fields occur once; of several we take the first, Dovecot the last or all."""
    header = END_OF_HEADER.split(message, maxsplit=1)[0]
    names = Counter(line.partition(b":")[0].lower() for line in header.split(b"\r\n") if line[:1] not in b" \t")
    return any(names[name] > 1 for name in (b"subject", b"to", b"cc", b"bcc", b"reply-to", b"from"))


RULES: Final[tuple[Callable[[bytes, str, Any, Any], bool], ...]] = (
    is_default_charset,
    is_letter_case,
    is_placeholder,
    is_extended_parameter,
    is_white_space,
    is_multipart_without_parts,
    is_endless_header,
    is_repeated_field,
)

NO_MESSAGE = "a text file, no message: without a field there is no header, and all of it is body (RFC 5322 3.5)"
ALMOST_TOKEN = "RFC 2045 6.1: an encoding is a token; up to where it is one we say what is there, Dovecot says 7bit"
BOUNDARY = "RFC 2046 5.1.1: a boundary without quotes holds `=`; we take all of it, so the last line ends the multipart"
BAD_ADDRESS = "RFC 5322 3.4: no address; what can be read of it is told, and both guess otherwise"
ONE_BY_ONE: Final[dict[str, str]] = {
    "attachment_with_unquoted_name.eml BODYSTRUCTURE": "RFC 2045 5.1: spaces in a value without quotes; we take it up to the `;`",
    "content_transfer_encoding_qp_with_space.eml BODYSTRUCTURE": ALMOST_TOKEN,
    "content_transfer_encoding_text-html.eml BODYSTRUCTURE": ALMOST_TOKEN,
    "content_transfer_encoding_with_semi_colon.eml BODYSTRUCTURE": ALMOST_TOKEN,
    "004.eml BODYSTRUCTURE": ALMOST_TOKEN,
    "missing_body.eml ENVELOPE": BAD_ADDRESS,
    "mix_caps_content_type.eml ENVELOPE": BAD_ADDRESS,
    "raw_email_with_at_display_name.eml ENVELOPE": BAD_ADDRESS,
    "raw_email_multiple_from.eml ENVELOPE": BAD_ADDRESS,
    "example13.eml ENVELOPE": BAD_ADDRESS,
    "009.eml BODYSTRUCTURE": BAD_ADDRESS,
    "weird_to_header.eml ENVELOPE": "RFC 5322 4.4: an empty element of a list is nothing",
    "example11.eml ENVELOPE": "RFC 5322 4.4: an empty element of a list is nothing",
    "missing_content_disposition.eml BODYSTRUCTURE": "RFC 2183 2: a disposition has a type; without one there is none",
    "multiple_invalid_content_dispositions.eml BODYSTRUCTURE": "RFC 2183 2: a disposition has a type; without one there is none",
    "raw_email4.eml BODYSTRUCTURE": "a part whose own header names no multipart but holds boundaries of nobody: text for us",
    "raw_email_with_illegal_boundary.eml BODYSTRUCTURE": BOUNDARY,
    "raw_email_bad_time.eml BODYSTRUCTURE": BOUNDARY,
    "001.eml BODYSTRUCTURE": "RFC 2045 5.1: a `;` is missing behind a value; we take it up to the next one",
    "LICENSE-MIT.txt BODYSTRUCTURE": NO_MESSAGE,
    "LICENSE.txt BODYSTRUCTURE": NO_MESSAGE,
    "049.eml BODYSTRUCTURE": "RFC 5322 2.3: a bare CR ends no line; Dovecot counts one more, and another octet",
    "007.eml BODYSTRUCTURE": "RFC 2046 5.1.1: the CRLF before a boundary is the boundary's, and `--ab` is none of `--a`",
    "016.eml BODYSTRUCTURE": "RFC 2046 5.1.1: a boundary that another one begins with is found at the line's end",
    "017.eml BODYSTRUCTURE": "a `;` is missing in Content-Type; we read the boundary all the same, Dovecot gives up the type",
}


@pytest.fixture(scope="module")
def messages() -> dict[bytes, str]:
    root = SHARED / "corpora"
    if not root.is_dir():
        pytest.skip(f"{root} is absent")
    found: dict[bytes, str] = {}
    for path in sorted(root.rglob("*")):
        if path.suffix in (".eml", ".txt") or _is_message_without_suffix(path):
            message = with_crlf(path.read_bytes())
            if b"\0" not in message:
                found.setdefault(message, str(path.relative_to(root)))
    return found


@pytest.fixture(scope="module")
def theirs(messages: dict[bytes, str], folder: Path) -> list[tuple[bytes, bytes]]:
    """(ENVELOPE, BODYSTRUCTURE) by Dovecot, in order."""
    try:
        dovecot = Dovecot(folder / "structure", "sdbox")
        dovecot.start()
    except Unavailable as error:
        pytest.skip(str(error))
    try:
        session = imaplib.IMAP4("127.0.0.1", dovecot.imap)
        session.login("x", "pass")
        for message in messages:
            assert session.append("INBOX", "", None, message)[0] == "OK"
        session.select(readonly=True)
        answers = [
            tuple(fetched(session, number, item) for item in ("ENVELOPE", "BODYSTRUCTURE"))
            for number in range(1, len(messages) + 1)
        ]
        session.logout()
    finally:
        dovecot.stop()
    return answers  # type: ignore[return-value]  # pairs


def fetched(session: imaplib.IMAP4, number: int, item: str) -> bytes:
    pieces = session.fetch(str(number), f"({item})")[1]
    wire = b"".join(b"\r\n".join(piece) if isinstance(piece, tuple) else piece or b"" for piece in pieces)
    return wire[wire.index(item.encode()) + len(item) + 1 : -1]


def test_every_difference_has_a_reason(messages: dict[bytes, str], theirs: list[tuple[bytes, bytes]]) -> None:
    used: Counter[str] = Counter()
    unexplained = []
    for (message, name), (envelope, structure) in zip(messages.items(), theirs, strict=True):
        known = digest(message)
        for item, mine, other in (("ENVELOPE", known.envelope, envelope), ("BODYSTRUCTURE", known.bodystructure, structure)):
            for path, left, right in differences(read(mine), read(other)):
                rule = next((rule.__name__ for rule in RULES if rule(message, path, left, right)), None)
                line = f"{Path(name).name} {item}"
                if rule is not None:
                    used[rule] += 1
                elif line in ONE_BY_ONE:
                    used[line] += 1
                else:
                    unexplained.append((line, path, left, right))
    assert unexplained == [], "\n".join(map(repr, unexplained))
    assert set(used) == {rule.__name__ for rule in RULES} | set(ONE_BY_ONE)

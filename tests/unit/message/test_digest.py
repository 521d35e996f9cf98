"""All that a store keeps of a message (RFC 5256 section 3 and RFC 5957 for the keys)."""

import mmap
from pathlib import Path

from postwren.message.digest import AddressKey, digest

OCTETS = (
    b"Date: Mon, 3 Jun 2024 10:11:09 +0200\r\nFrom: =?utf-8?q?J=C3=B6rg?= <joerg@x.example>\r\nTo: G: ann@y.example, b@c;\r\n"
    b"Subject: =?utf-8?q?Re=3A_?= [l] caf=?utf-8?q?x?=\r\nMessage-ID: <1@x>\r\nReferences: <0@x>\r\n\r\nHello\r\n"
)


def test_a_digest_has_it_all() -> None:
    found = digest(OCTETS)
    assert found.envelope.startswith(b'("Mon, 3 Jun 2024')
    assert found.body == b'("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 7 1)'
    assert found.bodystructure == b'("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 7 1 NIL NIL NIL NIL)'
    assert (found.subject, found.base_subject, found.is_reply) == ("Re:  [l] cafx", "cafx", True)
    assert found.sent_from == AddressKey("joerg", "Jörg")
    assert found.sent_to == AddressKey("ann", "ann@y.example")
    assert found.sent_cc == AddressKey("", "")
    assert (found.sent_date, found.sent_offset) == (1717402269, 120)
    assert (found.message_id, found.references) == ("1@x", ("0@x",))
    assert found.preview == "Hello"


def test_an_empty_group_gives_its_name() -> None:
    assert digest(b"To: undisclosed recipients:;\r\n\r\n").sent_to == AddressKey(
        "undisclosed recipients", "undisclosed recipients"
    )


def test_maps_and_views_are_digested_like_bytes(tmp_path: Path) -> None:
    path = tmp_path / "message"
    path.write_bytes(OCTETS)
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as octets:
        assert digest(octets) == digest(OCTETS)
    assert digest(memoryview(OCTETS)) == digest(OCTETS)


def test_nothing_is_a_message_too() -> None:
    found = digest(b"")
    assert found.envelope == b"(NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)"
    assert (found.sent_date, found.message_id, found.preview) == (None, None, "")

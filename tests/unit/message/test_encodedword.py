"""Encoded words: the examples of RFC 2047 section 8, and the faults of senders."""

import pytest

from postwren.message.encodedword import decode_words, encode_words

CASES = [
    (b"=?US-ASCII?Q?Keith_Moore?= <moore@cs.utk.edu>", "Keith Moore <moore@cs.utk.edu>"),
    (b"=?ISO-8859-1?Q?Keld_J=F8rn_Simonsen?=", "Keld Jørn Simonsen"),
    (
        b"=?ISO-8859-1?B?SWYgeW91IGNhbiByZWFkIHRoaXMgeW8=?= =?ISO-8859-2?B?dSB1bmRlcnN0YW5kIHRoZSBleGFtcGxlLg==?=",
        "If you can read this you understand the example.",
    ),
    (b"(=?ISO-8859-1?Q?a?=)", "(a)"),
    (b"(=?ISO-8859-1?Q?a?= b)", "(a b)"),
    (b"(=?ISO-8859-1?Q?a?= =?ISO-8859-1?Q?b?=)", "(ab)"),
    (b"(=?ISO-8859-1?Q?a?=  \t =?ISO-8859-1?Q?b?=)", "(ab)"),
    (b"(=?ISO-8859-1?Q?a_b?=)", "(a b)"),
    (b"=?utf-8*en?Q?language?=", "language"),  # RFC 2231 section 5
    (b"=?utf-8?q?=C3?= =?utf-8?q?=A4?=", "ä"),  # a character cut in two
    (b"=?utf-8?b?w6Q?=", "ä"),  # padding forgotten
    (b"=?utf-8?q?spaces in it?=", "spaces in it"),
    (b"=?nonsense?q?x=C3=A4?=", "xä"),
    (b"=?utf-8?q?=FF?=", "\ufffd"),
    (b"=?utf-8?x?abc?=", "=?utf-8?x?abc?="),
    (b"=?utf-8?q?never ends", "=?utf-8?q?never ends"),
    ("Grüße".encode(), "Grüße"),
    (b"\xff", "\ufffd"),
    (b"", ""),
]  # fmt: skip


@pytest.mark.parametrize(("value", "text"), CASES)
def test_decoding(value: bytes, text: str) -> None:
    assert decode_words(value) == text


@pytest.mark.parametrize("text", ["plain", "Grüße", "ä" * 500, "a =?b?= c", "\U0001f98a" * 40, "", "long " * 100 + "é"])
def test_what_is_encoded_decodes_to_itself(text: str) -> None:
    value = encode_words(text)
    assert value.isascii()
    assert decode_words(value) == text
    assert all(len(word) <= 75 for word in value.split() if word.startswith(b"=?"))


def test_encoding_never_lets_a_line_end_through() -> None:
    """A-22: header injection by a display name."""
    for text in ("a\r\nBcc: x@y", "ä\nX: y", "\x85\u2028ü"):
        assert not set(encode_words(text)) & {10, 13}
        assert not set(decode_words(encode_words(text))) & set("\r\n\x85")

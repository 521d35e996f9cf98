"""What goes to clients without UTF-8 is ASCII, parses the same, and says the same once it is decoded."""

from urllib.parse import unquote_to_bytes

from hypothesis import given
from hypothesis import strategies as st
from tests.unit.message.imaplist import read_list

from postwren.message.encodedword import decode_words
from postwren.message.sevenbit import seven_bit
from postwren.message.structure import imap_string

TEXTS = st.one_of(st.none(), st.binary(max_size=200), st.text(max_size=120).map(lambda text: text.encode("utf-8", "replace")))


@given(st.lists(TEXTS, min_size=1, max_size=6))
def test_it_is_ascii_and_decodes_to_what_was_there(values: list[bytes | None]) -> None:
    values = [None if value is None else value.replace(b"\0", b" ") for value in values]
    told = seven_bit(b"(%b)" % b" ".join(map(imap_string, values)))
    assert told.isascii()
    for value, word in zip(values, _strings(told), strict=True):
        if value is None or value.isascii():
            assert word == value
        elif _is_utf8(value):
            assert word is not None
            assert decode_words(word) == value.decode()


def test_no_word_cuts_a_character_or_is_too_long() -> None:
    told = seven_bit(imap_string("\N{GRINNING FACE}".encode() * 40 + b"x"))
    words = told.strip(b'"').split(b" ")
    assert all(len(word) <= 75 and decode_words(word).isprintable() and "\ufffd" not in decode_words(word) for word in words)


def test_octets_of_no_charset_say_so() -> None:
    assert seven_bit(imap_string(b"Gr\xfc\xdfe")) == b'"=?unknown-8bit?b?R3L832U=?="'


def test_a_decoded_parameter_is_encoded_again_as_rfc_2231_has_it() -> None:
    value = "na\u00efve 100%.txt".encode()
    told = seven_bit(b'("filename*" %b "x" %b)' % (imap_string(value), imap_string(value)))
    _, extended, _, plain = _strings(told)
    assert extended is not None
    assert plain is not None
    assert extended.startswith(b"utf-8''")
    assert unquote_to_bytes(extended.removeprefix(b"utf-8''")) == value
    assert decode_words(plain) == value.decode()


def test_what_looks_like_a_literal_inside_of_one_is_text() -> None:
    value = b"\xc3\xa9 {5}\r\nabcde" + b'" {99999}\r\n'
    told = _strings(seven_bit(b"(%b NIL)" % imap_string(value)))[0]
    assert told is not None
    assert decode_words(told) == value.decode()


def _strings(wire: bytes) -> list[bytes | None]:
    return [word for word in read_list(wire) if word is None or isinstance(word, bytes)]


def _is_utf8(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True

"""Header fields and parts as they are written (RFC 5322 section 2.2.3, RFC 2047, RFC 2045, RFC 2046)."""

import email.utils

from hypothesis import example, given
from hypothesis import strategies as st

from postwren.message.compose import Part, encoded_part, field, mailbox, message, multipart, structured_field, text_part
from postwren.message.date import SentDate, format_date, parse_date


def test_a_long_field_is_folded_at_white_space_before_78() -> None:
    octets = field("Subject", "seven " * 25 + "eight")
    lines = octets.split(b"\r\n")
    assert max(map(len, lines)) <= 78
    assert b"".join(lines) == b"Subject: " + b"seven " * 25 + b"eight"


def test_text_beyond_ascii_is_encoded_and_each_line_of_words_stays_below_76() -> None:
    octets = field("Subject", "Grüße " * 30)
    assert octets.isascii()
    assert max(map(len, octets.split(b"\r\n"))) <= 76  # RFC 2047 section 2


def test_utf8_stands_as_it_is_where_the_message_travels_with_smtputf8() -> None:
    assert field("Subject", "Grüße", is_utf8=True) == "Subject: Grüße\r\n".encode()


def test_a_word_that_no_line_holds_is_encoded_or_broken() -> None:
    assert max(map(len, field("Subject", "y" * 1500).split(b"\r\n"))) <= 76
    assert max(map(len, structured_field("X", "y" * 1500 + "ö" * 700).split(b"\r\n"))) <= 998


def test_what_looks_like_an_encoded_word_is_encoded() -> None:
    assert field("Subject", "=?utf-8?q?x?=") == b"Subject: =?utf-8?b?PT91dGYtOD9xP3g/PQ==?=\r\n"


def test_a22_a_line_end_in_a_value_ends_no_field() -> None:
    assert field("Subject", "a\r\nBcc: b\nc\0d") == b"Subject: a  Bcc: b c d\r\n"
    assert structured_field("To", "a@b\r\n\r\nbody") == b"To: a@b    body\r\n"


def test_display_names_are_atoms_quoted_or_encoded() -> None:
    assert mailbox("a@b", "Ann Bee") == "Ann Bee <a@b>"
    assert mailbox("a@b", 'Ann "B." Bee') == '"Ann \\"B.\\" Bee" <a@b>'
    assert mailbox("a@b", "Ännchen") == "=?utf-8?b?w4RubmNoZW4=?= <a@b>"
    assert mailbox("a@b", "Ännchen", is_utf8=True) == "Ännchen <a@b>"
    assert mailbox("a@b") == "a@b"


def test_a_part_is_7bit_where_that_will_do_8bit_where_it_may_be_and_else_quoted_printable() -> None:
    assert b"7bit" in text_part("plain\n").header
    assert b"8bit" in text_part("Grüße\n", is_8bit=True).header
    assert text_part("Grüße \n").body == b"Gr=C3=BC=C3=9Fe=20\r\n"
    assert b"quoted-printable" in text_part("x" * 999).header
    assert b"7bit" in text_part("x" * 998).header


def test_a_boundary_is_lengthened_until_it_occurs_nowhere() -> None:
    part = multipart("mixed", "t", [encoded_part("text/plain", b"--=_t\r\n--=_t_1\r\n")])
    assert b'boundary="=_t_2"' in part.header


def test_a_multipart_with_a_part_in_8bit_says_so() -> None:  # RFC 2045 section 6.4
    part = multipart("mixed", "t", [text_part("ä\n", is_8bit=True), text_part("a\n")])
    assert b"Content-Transfer-Encoding: 8bit\r\n" in part.header


def test_a_message_is_fields_then_an_empty_line_then_its_body() -> None:
    octets = message([field("Subject", "x")], Part(b"Content-Type: text/plain\r\n", b"y\r\n"))
    assert octets == b"Subject: x\r\nMIME-Version: 1.0\r\nContent-Type: text/plain\r\n\r\ny\r\n"


@given(st.integers(-2_208_988_800, 253_402_300_799))
@example(951_782_400)  # 29 February 2000
def test_a_date_is_read_back_by_us_and_by_others(epoch: int) -> None:
    text = format_date(epoch)
    assert parse_date(text.encode()) == SentDate(epoch, 0)
    assert email.utils.parsedate_to_datetime(text).timestamp() == epoch

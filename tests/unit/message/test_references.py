"""Message ids: RFC 5322 section 3.6.4 and RFC 5256 section 3."""

from postwren.message.header import read_header
from postwren.message.limits import Limits
from postwren.message.references import message_id, message_ids, references


def test_ids_once_and_in_order() -> None:
    assert message_ids(b"<a@b> junk <c@d>\t<a@b> <broken <e@f> <not closed") == (b"a@b", b"c@d", b"e@f")


def test_quotes_make_no_difference() -> None:
    assert message_ids(b'<"01KF8JCEOCBS0045PS"@xxx.yyy.com> <01KF8JCEOCBS0045PS@xxx.yyy.com>') == (
        b"01KF8JCEOCBS0045PS@xxx.yyy.com",
    )


def test_in_reply_to_stands_for_missing_references() -> None:
    assert references(read_header(b"In-Reply-To: <a@b> <c@d>\r\n\r\n")) == (b"a@b",)
    assert references(read_header(b"References: nothing\r\nIn-Reply-To: <a@b>\r\n\r\n")) == (b"a@b",)
    assert references(read_header(b"References: <x@y>\r\nIn-Reply-To: <a@b>\r\n\r\n")) == (b"x@y",)
    assert references(read_header(b"\r\n")) == ()


def test_of_too_many_the_first_and_the_last_are_kept() -> None:
    limits = Limits(references=3)
    assert message_ids(b"<1><2><3>", limits) == (b"1", b"2", b"3")
    assert message_ids(b"<1><2><3><4>", limits) == (b"1", b"3", b"4")


def test_the_message_id() -> None:
    assert message_id(read_header(b"Message-ID: <a@b> (comment)\r\n\r\n")) == b"a@b"
    assert message_id(read_header(b"Message-ID: no.brackets@b\r\n\r\n")) == b"no.brackets@b"
    assert message_id(read_header(b"Message-ID: \r\n\r\n")) is None
    assert message_id(read_header(b"Message-ID: <>\r\n\r\n")) is None
    assert message_id(read_header(b"\r\n")) is None

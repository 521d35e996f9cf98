"""The log: A-33, nothing that a peer sends can break a line or reach a terminal."""

import asyncio
import io
import json
import logging

import pytest

from postwren.ops.log import LONGEST_FIELD, set_up_log

HOSTILE = ["a\r\nb", "\x1b[31mred", "%n%s", "\u202eevil", "x" * 1_000_000, "nul\0", "\u2028", b"\xff\xfe\r\n"]


def said(style: str, value: object) -> str:
    stream = io.StringIO()
    set_up_log(style, "info", stream)
    logging.getLogger("postwren.smtp").info("refused", extra={"fields": {"helo": value, "code": 550}})
    return stream.getvalue()


@pytest.mark.parametrize("style", ["text", "json"])
@pytest.mark.parametrize("value", HOSTILE)
def test_a_33_one_event_is_one_clean_line(style: str, value: object) -> None:
    text = said(style, value)
    assert text.count("\n") == 1
    assert text.endswith("\n")
    assert all(c.isprintable() for c in text[:-1])
    assert len(text) < LONGEST_FIELD * 6 + 200


def test_a_33_a_trace_neither_imitates_a_line_nor_reaches_the_terminal() -> None:
    stream = io.StringIO()
    set_up_log("text", "info", stream)
    try:
        raise ValueError("bad \x1b[31m\n2026-01-31T12:00:00Z pop3 info login login=root")
    except ValueError:
        logging.getLogger("postwren.smtp").exception("bug")
    first, *others = stream.getvalue().splitlines()
    assert first.endswith("smtp error bug")
    assert others
    assert all(line.startswith("  ") and line.isprintable() for line in others)


def test_json_lines_parse_and_keep_numbers() -> None:
    line = json.loads(said("json", "mail.example.org"))
    assert (line["area"], line["event"], line["helo"], line["code"]) == ("smtp", "refused", "mail.example.org", 550)


def test_text_quotes_what_has_spaces() -> None:
    assert 'helo="two words" code=550' in said("text", "two words")


def test_lines_of_one_turn_leave_in_one_write_and_none_is_lost() -> None:
    writes: list[str] = []

    class Stream(io.StringIO):
        def write(self, text: str) -> int:
            writes.append(text)
            return len(text)

    async def talk() -> None:
        set_up_log("text", "info", Stream())
        for number in range(3):
            logging.getLogger("postwren.smtp").info("accepted", extra={"fields": {"n": number}})
        assert writes == []
        await asyncio.sleep(0)
        assert [text.count("\n") for text in writes] == [3]
        logging.getLogger("postwren.smtp").warning("at once")
        assert len(writes) == 2

    asyncio.run(talk())


def test_a_formatter_that_is_not_ours_finds_all_that_records_have() -> None:
    before = logging.LogRecord("x", logging.INFO, "file.py", 1, "m", (), None)
    set_up_log("text", "info", io.StringIO())
    after = logging.getLogRecordFactory()("x", logging.INFO, "file.py", 1, "m %s", ("n",), None)
    assert set(vars(before)) <= set(vars(after))
    assert after.getMessage() == "m n"


def test_a_reader_that_is_gone_ends_nothing() -> None:
    stream = io.StringIO()
    set_up_log("text", "info", stream)
    stream.close()
    logging.getLogger("postwren.smtp").info("accepted")

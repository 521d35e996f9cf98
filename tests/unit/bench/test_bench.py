"""The judgements of benchmark and laboratory: the trace of syncs, the ratio, the quarters, what counts as the message."""

import pytest
from bench.durability import judge
from bench.importing import quarter_rates
from bench.lab.mail import original, parts_of_trace, with_crlf
from bench.lab.process import Unavailable
from bench.measure import OURS, Row, table

TRANSACTION = [
    '7 write(9<socket:[1]>, "250 2.1.0 OK\\r\\n", 14) = 14',
    '7 write(9<socket:[1]>, "354 go on\\r\\n", 11) = 11',
]
ANSWER = '7 write(9<socket:[1]>, "250 2.6.0 kept\\r\\n", 16) = 16'
SYNC = "8 fdatasync(4</data/1.seg>) = 0"


def test_a_sync_between_354_and_250_is_found() -> None:
    assert judge([*TRANSACTION, SYNC, ANSWER]) == (True, ["fdatasync(4</data/1.seg>)"])


def test_a_sync_that_another_thread_resumes_is_found() -> None:
    cut = ["8 fdatasync(4</data/1.seg> <unfinished ...>", "8 <... fdatasync resumed>) = 0"]
    assert judge([*TRANSACTION, *cut, ANSWER]) == (True, ["fdatasync(4</data/1.seg>)"])


@pytest.mark.parametrize(
    "lines",
    [
        [*TRANSACTION, ANSWER, SYNC],
        [SYNC, *TRANSACTION, ANSWER],
        [*TRANSACTION, SYNC.replace("= 0", "= -1 EIO"), ANSWER],
        [*TRANSACTION, "8 fdatasync(4</data/1.seg> <unfinished ...>", ANSWER, "8 <... fdatasync resumed>) = 0"],
    ],
)
def test_a_sync_after_the_answer_or_before_the_message_or_failed_does_not_count(lines: list[str]) -> None:
    assert judge(lines) == (False, [])


def test_a_trace_without_a_transaction_is_no_answer() -> None:
    with pytest.raises(Unavailable):
        judge([SYNC])


def test_the_ratio_is_against_the_best_peer_and_turned_for_times() -> None:
    rate = Row("a", "msg/s", bar=2, values={OURS: [300, 100, 200], "slow": [10], "fast": [100]})
    assert (rate.best_peer(), rate.ratio(), rate.is_met()) == (("fast", 100), 2, True)
    time = Row("b", "ms", bar=2, values={OURS: [10], "slow": [30], "fast": [15]})
    assert (time.best_peer(), time.ratio(), time.is_met()) == (("fast", 15), 1.5, False)


def test_an_absolute_bar_needs_no_peer() -> None:
    assert Row("a", "kB", at_most=8, values={OURS: [8]}).is_met()
    assert not Row("a", "kB", at_most=8, values={OURS: [8.1]}).is_met()
    assert not Row("a", "ratio", at_least=0.8, values={OURS: [0.79]}).is_met()
    assert "**no**" in table([Row("a", "kB", at_most=8, values={OURS: [9]})])


def test_quarters_are_quarters_of_the_octets() -> None:
    samples = [(0.0, 0), (1.0, 25), (2.0, 50), (3.0, 75), (5.0, 100)]
    assert quarter_rates(samples) == (25, 12.5)


def test_only_trace_headers_may_stand_above_a_message() -> None:
    sent = b"Subject: x\r\n\r\nbody\r\n"
    trace = b"Return-Path: <a@b>\r\nReceived: from x\r\n\tby y\r\n"
    assert parts_of_trace(trace + sent, sent) == trace
    assert parts_of_trace(b"X-Other: 1\r\n" + sent, sent) is None
    assert parts_of_trace(trace + sent + b"more", sent) is None
    assert original(trace + sent, [b"body\r\n", sent]) == 1


def test_line_ends_become_crlf_and_a_bare_cr_stays() -> None:
    assert with_crlf(b"a\nb\r\nc\rd") == b"a\r\nb\r\nc\rd\r\n"

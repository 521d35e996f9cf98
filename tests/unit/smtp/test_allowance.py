"""How much an account may submit within an hour."""

from postwren.protocols.smtp.reply import Reply
from postwren.server.smtp.allowance import Allowance, Limits
from postwren.terms import AccountId

ANN, BOB = AccountId(1), AccountId(2)


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_an_account_sends_so_many_messages_within_an_hour_and_not_one_more() -> None:
    clock = Clock()
    allowance = Allowance(Limits(messages=6, recipients=1000), clock)
    assert [allowance.spend(ANN, 1) for _ in range(6)] == [None] * 6
    assert allowance.spend(ANN, 1) == Reply(452, "4.7.1", "This account may send 6 messages an hour; try again in 10 minutes")
    assert allowance.spend(BOB, 1) is None
    clock.now += 599
    assert allowance.objection(ANN, 1) is not None
    clock.now += 1
    assert allowance.spend(ANN, 1) is None
    assert allowance.spend(ANN, 1) is not None
    clock.now += 3600
    assert [allowance.spend(ANN, 1) for _ in range(7)][5:] == [None, allowance.objection(ANN, 1)]


def test_an_account_writes_to_so_many_recipients_within_an_hour_and_not_one_more() -> None:
    clock = Clock()
    allowance = Allowance(Limits(messages=100, recipients=60), clock)
    assert allowance.spend(ANN, 59) is None
    assert allowance.spend(ANN, 2) == Reply(452, "4.7.1", "This account may send to 60 recipients an hour; try again in 1 minute")
    assert allowance.spend(ANN, 1) is None
    clock.now += 3600
    assert allowance.objection(ANN, 61) == Reply(452, "4.5.3", "One message may go to 60 recipients here")
    assert allowance.objection(ANN, 60) is None


def test_who_sends_no_longer_is_forgotten() -> None:
    clock = Clock()
    allowance = Allowance(Limits(), clock)
    for number in range(5000):
        allowance.spend(AccountId(number), 1)
        clock.now += 3600
    assert len(allowance._full_at) <= 1001

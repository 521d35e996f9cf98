"""The one door: every mechanism end to end, and what must not get through it (A-60 to A-64)."""

import asyncio
import threading
from collections import Counter
from dataclasses import replace
from ipaddress import ip_network

import pytest
from tests.unit.server.login.login_world import OLD_TLS, PASSWORD, WRONG, Link, converse, world

from postwren.mailstore.service.accounts import create_account, remove_account, set_credentials
from postwren.protocols import sasl
from postwren.protocols.sasl import ClientCredentials
from postwren.server.login import (
    Accepted,
    Authenticator,
    Challenge,
    LoginExchange,
    LoginPolicy,
    RefusalReason,
    Refused,
    make_credentials,
)
from postwren.server.login.credential import DECOY_HASH, verify_password
from postwren.terms import AccountId
from postwren.testing.loopback import PLAYED_TLS
from postwren.transport.session import Peer
from postwren.wire.errors import LocalProtocolError
from postwren.wire.secret import Secret

ANN = "ann@example.org"
YES = Accepted(AccountId(1), ANN)
NO = Refused(RefusalReason.WRONG)
BUSY = Refused(RefusalReason.BUSY)
PRIVACY = Refused(RefusalReason.PRIVACY_REQUIRED)
MINE = ClientCredentials(ANN, password=PASSWORD)
VERIFY = "postwren.server.login.authenticator.verify_password"


@pytest.fixture
def hashes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The stored hashes that passwords were verified against."""
    seen: list[str] = []

    def counted(password_hash: str, password: Secret[str]) -> bool:
        seen.append(password_hash)
        return verify_password(password_hash, password)

    monkeypatch.setattr(VERIFY, counted)
    return seen


# -- who is let in


@pytest.mark.parametrize("login", [ANN, "ANN@Example.ORG", "ann", "Ann"])
def test_the_right_password_opens_under_every_spelling_of_the_login(login: str) -> None:
    async def scene() -> None:
        w = await world()
        assert await w.judge.password(login, PASSWORD, Link()) == YES
        assert await w.judge.password(login, WRONG, Link()) == NO
        assert w.clock.slept == [1.0]

    asyncio.run(scene())


def test_the_bare_local_part_works_with_one_domain_only() -> None:
    async def scene() -> None:
        w = await world(logins=(ANN, "bob@example.net"))
        assert await w.judge.password("ann", PASSWORD, Link()) == NO

    asyncio.run(scene())


@pytest.mark.parametrize("name", ["SCRAM-SHA-256-PLUS", "SCRAM-SHA-1-PLUS", "SCRAM-SHA-256", "SCRAM-SHA-1", "PLAIN", "LOGIN"])
@pytest.mark.parametrize(("password", "expected"), [(PASSWORD, YES), (WRONG, NO)])
def test_every_mechanism_lets_in_whom_it_should(name: str, password: Secret[str], expected: Accepted | Refused) -> None:
    async def scene() -> None:
        w = await world()
        for login in (ANN, "Ann"):
            step, abort = await converse(
                w.judge,
                Link(),
                name,
                replace(MINE, authcid=login, password=password),
                PLAYED_TLS.bindings if "PLUS" in name else None,
            )
            assert step == expected
            assert expected == NO or abort is None
        step, _ = await converse(w.judge, Link(tls=OLD_TLS), name, replace(MINE, authcid="nobody"), OLD_TLS.bindings)
        assert step == NO

    asyncio.run(scene())


@pytest.mark.parametrize("name", ["PLAIN", "SCRAM-SHA-256"])
@pytest.mark.parametrize(
    ("authzid", "expected"), [("", YES), (ANN, YES), ("Ann", YES), ("bob@example.org", NO), ("root", NO), (ANN + " x", NO)]
)
def test_a64_nobody_acts_as_somebody_else(name: str, authzid: str, expected: Accepted | Refused) -> None:
    async def scene() -> None:
        w = await world(logins=(ANN, "bob@example.org"))
        step, _ = await converse(w.judge, Link(), name, replace(MINE, authzid=authzid))
        assert step == expected

    asyncio.run(scene())


@pytest.mark.parametrize(
    "login",
    [
        "",
        "'",
        "*",
        "ann*master",
        "ann\0",
        "ann@example.org\0",
        "%{user}",
        "*)(uid=*",
        "a" * 10_000,
        "a@" + "b" * 10_000,
        "\udcff",
        "ann\n",
        '"ann"',
        "@",
        "ann@",
        "../ann",
    ],
)
def test_a64_hostile_names_match_nobody(login: str, hashes: list[str]) -> None:
    async def scene() -> None:
        w = await world()
        assert await w.judge.password(login, PASSWORD, Link()) == NO
        if login and "\udcff" not in login and "\0" not in login:
            exchange = begun(w.judge, "SCRAM-SHA-256")
            name = login.replace("=", "=3D").replace(",", "=2C").encode()
            assert isinstance(await exchange.step(b"n,,n=" + name + b",r=abc"), Challenge)

    asyncio.run(scene())
    assert hashes == [DECOY_HASH]


def begun(judge: Authenticator, name: str, link: Link | None = None) -> LoginExchange:
    exchange = judge.begin(name, link or Link())
    assert isinstance(exchange, LoginExchange)
    return exchange


def test_what_is_malformed_is_said_and_costs_no_hash(hashes: list[str]) -> None:
    async def scene() -> None:
        w = await world()
        for name, message in (("PLAIN", b"\xff"), ("plain", b""), ("LOGIN", b""), ("SCRAM-SHA-256", b"x"), ("SCRAM-SHA-1", b"")):
            assert await begun(w.judge, name).step(message) == Refused(RefusalReason.MALFORMED)
        assert w.clock.slept == []

    asyncio.run(scene())
    assert hashes == []


def test_an_exchange_that_is_over_takes_no_more() -> None:
    async def scene() -> None:
        w = await world()
        exchange = begun(w.judge, "PLAIN")
        assert await exchange.step(None) == Challenge(b"")
        with pytest.raises(LocalProtocolError):
            await exchange.step(None)
        assert await exchange.step(b"") == Refused(RefusalReason.MALFORMED)
        with pytest.raises(LocalProtocolError):
            await exchange.step(b"\0ann\0correct horse")

    asyncio.run(scene())


# -- what is offered


def test_a63_passwords_are_asked_for_under_tls_only() -> None:
    async def scene() -> None:
        w = await world()
        clear = Link(tls=None)
        assert w.judge.mechanisms(clear) == ("SCRAM-SHA-256", "SCRAM-SHA-1")
        assert await w.judge.password(ANN, PASSWORD, clear) == PRIVACY
        for name in ("PLAIN", "LOGIN", "SCRAM-SHA-256-PLUS"):
            assert w.judge.begin(name, clear) == PRIVACY
        for name in ("CRAM-MD5", "EXTERNAL", "ANONYMOUS", "XOAUTH2", "OAUTHBEARER", ""):
            assert w.judge.begin(name, Link()) == Refused(RefusalReason.UNSUPPORTED)
        assert w.clock.slept == []

    asyncio.run(scene())


@pytest.mark.parametrize(
    ("address", "may"), [("127.0.0.1", True), ("::1", True), ("", True), ("192.0.2.1", False), ("bogus", False)]
)
def test_cleartext_is_for_loopback_and_only_when_allowed(address: str, may: bool) -> None:
    async def scene() -> None:
        link = Link(Peer(address, 1), tls=None)
        w = await world(LoginPolicy(allow_cleartext=True))
        assert ("PLAIN" in w.judge.mechanisms(link)) is may
        assert await w.judge.password(ANN, PASSWORD, link) == (YES if may else PRIVACY)
        assert await w.again().password(ANN, PASSWORD, link) == PRIVACY

    asyncio.run(scene())


def test_plus_is_advertised_where_clients_can_bind_and_served_where_we_can() -> None:
    async def scene() -> None:
        w = await world()
        assert w.judge.mechanisms(Link()) == ("SCRAM-SHA-256", "SCRAM-SHA-1", "PLAIN", "LOGIN")
        assert w.judge.mechanisms(Link(tls=OLD_TLS))[:2] == ("SCRAM-SHA-256-PLUS", "SCRAM-SHA-1-PLUS")
        step, _ = await converse(w.judge, Link(), "SCRAM-SHA-256", MINE, PLAYED_TLS.bindings)
        assert step == YES, 'flag "y" where nothing was offered'
        step, _ = await converse(w.judge, Link(tls=OLD_TLS), "SCRAM-SHA-256", MINE, OLD_TLS.bindings)
        assert step == NO, 'flag "y" where somebody took the offer away'
        assert w.judge.begin("SCRAM-SHA-256-PLUS", Link(tls=replace(PLAYED_TLS, bindings={}))) == Refused(
            RefusalReason.UNSUPPORTED
        )

    asyncio.run(scene())


def test_certificates_tokens_and_anonymous_open_what_the_policy_says() -> None:
    async def scene() -> None:
        async def verify_token(token: Secret[str]) -> str | None:
            return ANN if token.reveal() == "good" else None

        w = await world(
            LoginPolicy(
                anonymous_login=ANN,
                verify_token=verify_token,
                login_of_certificate=lambda der: {b"ann": ANN, b"gone": "gone@example.org"}.get(der),
            )
        )
        assert {"OAUTHBEARER", "XOAUTH2", "ANONYMOUS"} <= set(w.judge.mechanisms(Link()))
        assert "EXTERNAL" not in w.judge.mechanisms(Link())
        for der, expected in ((b"ann", YES), (b"gone", NO), (b"unknown", NO)):
            link = Link(tls=replace(PLAYED_TLS, client_certificate=der))
            assert (await converse(w.judge, link, "EXTERNAL", ClientCredentials(has_certificate=True)))[0] == expected
        for name in ("OAUTHBEARER", "XOAUTH2"):
            for token, authcid, outcome in (("good", ANN, YES), ("bad", ANN, NO), ("good", "bob@example.org", NO)):
                mine = ClientCredentials(authcid, token=Secret(token))
                assert (await converse(w.judge, Link(), name, mine))[0] == outcome
        assert (await converse(w.judge, Link(), "ANONYMOUS", ClientCredentials(anonymous_trace="me")))[0] == YES

    asyncio.run(scene())


# -- many guesses


def test_a60_after_ten_wrong_guesses_an_address_is_busy_for_the_minute(hashes: list[str]) -> None:
    async def scene() -> None:
        w = await world(LoginPolicy(failure_delay=0))
        w.clock.now -= w.clock.now % 60
        for number in range(10):
            assert await w.judge.password(f"login{number}", Secret(str(number)), Link()) == NO
        assert await w.judge.password(ANN, PASSWORD, Link()) == BUSY
        assert (await converse(w.judge, Link(), "SCRAM-SHA-256", MINE))[0] == BUSY
        assert await w.judge.password(ANN, PASSWORD, Link(Peer("198.51.100.1", 1))) == YES
        w.clock.now += 60
        assert await w.judge.password(ANN, PASSWORD, Link()) == YES

    asyncio.run(scene())
    assert len(hashes) == 11, "whoever is blocked costs no hash; and the second login of ann was remembered"


def test_a60_scram_failures_count_too() -> None:
    async def scene() -> None:
        w = await world(LoginPolicy(failure_delay=0))
        w.clock.now -= w.clock.now % 86_400
        outcomes = []
        for _ in range(14):
            outcomes.append((await converse(w.judge, Link(), "SCRAM-SHA-256", replace(MINE, password=WRONG)))[0])
            w.clock.now -= sum(w.clock.slept)
            w.clock.slept.clear()
        assert outcomes == [NO] * 10 + [BUSY] * 4

    asyncio.run(scene())


def test_a60_guesses_that_come_together_are_not_all_judged(hashes: list[str]) -> None:
    async def scene() -> None:
        w = await world(LoginPolicy(failure_delay=0))
        guesses = [w.judge.password(f"login{number}", Secret(str(number)), Link()) for number in range(50)]
        outcomes = Counter(outcome.reason for outcome in await asyncio.gather(*guesses) if isinstance(outcome, Refused))
        assert outcomes[RefusalReason.WRONG] <= 11
        assert outcomes[RefusalReason.BUSY] >= 39

    asyncio.run(scene())
    assert len(hashes) <= 11


def test_a60_proofs_that_come_together_are_not_all_judged() -> None:
    async def scene() -> None:
        w = await world(LoginPolicy(failure_delay=0))
        finals = []
        for number in range(15):
            client = sasl.client_exchange("SCRAM-SHA-1", replace(MINE, authcid=f"a{number}"), nonce="abc")
            exchange = begun(w.judge, "SCRAM-SHA-1")
            step = await exchange.step(client.start())
            assert isinstance(step, Challenge)
            answer = client.receive(step.data)
            assert isinstance(answer, bytes)
            finals.append((exchange, answer))
        assert [await exchange.step(answer) for exchange, answer in finals] == [NO] * 10 + [BUSY] * 5

    asyncio.run(scene())


def test_a60_a_login_under_attack_waits_where_it_is_not_at_home() -> None:
    async def scene() -> None:
        w = await world(LoginPolicy(failure_delay=0))
        home = Link(Peer("198.51.100.1", 1))
        assert await w.judge.password(ANN, PASSWORD, home) == YES
        for number in range(9):
            assert await w.judge.password(ANN, Secret(str(number)), Link(Peer(f"10.{number}.0.1", 1))) == NO
        w.clock.slept.clear()
        assert await w.judge.password(ANN, PASSWORD, home) == YES
        assert w.clock.slept == []
        assert await w.judge.password(ANN, PASSWORD, Link(Peer("10.99.0.1", 1))) == YES
        assert w.clock.slept == [30]

    asyncio.run(scene())


def test_a60_counters_survive_a_restart_through_the_store() -> None:
    async def scene() -> None:
        w = await world(LoginPolicy(failure_delay=0))
        await w.judge.load()
        await w.judge.save()
        assert w.store.reader.setting("login-throttle") is None, "nothing changed, nothing written"
        for number in range(10):
            await w.judge.password(f"login{number}", WRONG, Link())
        await w.judge.save()
        w.judge.close()
        other = w.again()
        assert await other.password(ANN, PASSWORD, Link(Peer("127.0.0.1", 1))) == YES
        await other.load()
        assert await other.password(ANN, PASSWORD, Link()) == BUSY

    asyncio.run(scene())


def test_exempt_networks_are_served_on() -> None:
    async def scene() -> None:
        w = await world(LoginPolicy(failure_delay=0, exempt=(ip_network("192.0.2.0/24"),)))
        for number in range(12):
            assert await w.judge.password(ANN, Secret(str(number)), Link()) == NO
        assert await w.judge.password(ANN, PASSWORD, Link()) == YES

    asyncio.run(scene())


# -- who exists


def test_a61_unknown_and_known_logins_take_the_same_road(hashes: list[str]) -> None:
    async def scene() -> list[tuple[Accepted | Refused, int, list[float]]]:
        roads = []
        for login, password in (
            (ANN, "wrong"),
            ("nobody@example.org", "wrong"),
            ("no one", "wrong"),
            (ANN, "a\x00b"),
            ("nobody", ""),
        ):
            w = await world()
            before = len(hashes)
            outcome = await w.judge.password(login, Secret(password), Link())
            roads.append((outcome, len(hashes) - before, w.clock.slept))
        return roads

    assert asyncio.run(scene()) == [(NO, 1, [1.0])] * 5


def test_a61_the_wait_of_a_login_does_not_tell_whether_it_exists() -> None:
    async def waits(login: str) -> list[float]:
        w = await world()
        for number in range(9):
            await w.judge.password(login, Secret(str(number)), Link(Peer(f"10.{number}.0.1", 1)))
        return w.clock.slept

    assert asyncio.run(waits(ANN)) == asyncio.run(waits("nobody@example.org"))


def test_a61_scram_shows_the_same_decoy_salt_each_time_and_after_a_restart() -> None:
    async def first(judge: Authenticator, login: str, name: str = "SCRAM-SHA-256") -> tuple[bytes, bytes]:
        step = await begun(judge, name).step(b"n,,n=%b,r=abc" % login.encode())
        assert isinstance(step, Challenge)
        _, salt, iterations = step.data.split(b",")
        return salt, iterations

    async def scene() -> None:
        w = await world()
        decoy = await first(w.judge, "nobody")
        assert decoy == await first(w.judge, "Nobody@example.org")
        assert decoy == await first(w.again(), "nobody")
        assert decoy != await first(w.judge, "somebody")
        assert decoy != await first(w.judge, "nobody", "SCRAM-SHA-1")
        known = await first(w.judge, "ann")
        assert (len(known[0]), known[1]) == (len(decoy[0]), decoy[1])

    asyncio.run(scene())


def test_a61_a_wrong_proof_looks_the_same_for_known_and_unknown() -> None:
    async def road(login: str) -> tuple[object, list[float]]:
        w = await world()
        step, _ = await converse(w.judge, Link(), "SCRAM-SHA-256", replace(MINE, authcid=login, password=WRONG))
        return step, w.clock.slept

    assert asyncio.run(road(ANN)) == asyncio.run(road("nobody")) == (NO, [1.0])


# -- many at once


def test_a62_a_thousand_logins_at_once_hash_two_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    lock, running, most = threading.Lock(), 0, 0

    def watched(password_hash: str, password: Secret[str]) -> bool:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        outcome = verify_password(password_hash, password)
        with lock:
            running -= 1
        return outcome

    async def scene() -> None:
        logins = tuple(f"login{number}@example.org" for number in range(30))
        w = await world(LoginPolicy(hash_queue=20), logins)
        attempts = [w.judge.password(logins[number % 30], PASSWORD, Link()) for number in range(1000)]
        outcomes = await asyncio.gather(*attempts)
        served = [outcome for outcome in outcomes if isinstance(outcome, Accepted)]
        assert len(served) == 22
        assert outcomes.count(BUSY) == 1000 - 22
        assert w.clock.slept == [], "who is turned away has done nothing wrong"
        assert await w.judge.password(logins[29], PASSWORD, Link()) == Accepted(AccountId(30), logins[29])

    monkeypatch.setattr(VERIFY, watched)
    asyncio.run(scene())
    assert most == 2


def test_a62_a_cancelled_login_gives_its_place_back() -> None:
    async def scene() -> None:
        w = await world(LoginPolicy(hash_queue=1))
        tasks = [asyncio.create_task(w.judge.password(f"a{number}", PASSWORD, Link())) for number in range(3)]
        await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert await w.judge.password(ANN, PASSWORD, Link()) == YES

    asyncio.run(scene())


def test_a62_a_password_that_was_right_is_not_hashed_again_for_five_minutes(hashes: list[str]) -> None:
    async def scene() -> None:
        w = await world(logins=(ANN, "bob@example.org"))
        for _ in range(3):
            assert await w.judge.password(ANN, PASSWORD, Link()) == YES
        assert len(hashes) == 1
        assert await w.judge.password("bob", PASSWORD, Link()) == Accepted(AccountId(2), "bob@example.org")
        assert len(hashes) == 2, "the same password of another account is another one"
        w.clock.now += 300
        assert await w.judge.password(ANN, PASSWORD, Link()) == YES
        assert len(hashes) == 3

    asyncio.run(scene())


def test_a62_the_connections_of_a_device_that_come_together_are_hashed_once_or_twice(hashes: list[str]) -> None:
    async def scene() -> None:
        w = await world()
        outcomes = await asyncio.gather(*(w.judge.password(ANN, PASSWORD, Link()) for _ in range(50)))
        assert outcomes == [YES] * 50

    asyncio.run(scene())
    assert len(hashes) <= 2


def test_a62_what_is_remembered_opens_at_once_and_nothing_else_does(hashes: list[str]) -> None:
    async def scene() -> None:
        w = await world(LoginPolicy(failure_delay=0))
        home, away = Link(Peer("198.51.100.1", 1)), Link(Peer("10.99.0.1", 1))
        assert w.judge.remembered(ANN, PASSWORD, home) is None, "it was never proved"
        assert await w.judge.password(ANN, PASSWORD, home) == YES
        assert w.judge.remembered(ANN, PASSWORD, home) == w.judge.remembered("ann", PASSWORD, away) == YES
        for login, password in ((ANN, Secret("wrong")), ("nobody@example.org", PASSWORD), ("", PASSWORD), (ANN, Secret(""))):
            assert w.judge.remembered(login, password, home) is None
        assert w.judge.remembered(ANN, PASSWORD, Link(Peer("198.51.100.1", 1), tls=None)) is None, "in the clear"
        assert len(hashes) == 1
        for number in range(10):
            assert await w.judge.password(ANN, Secret(str(number)), Link(Peer("10.7.0.1", 1))) == NO
        assert w.judge.remembered(ANN, PASSWORD, Link(Peer("10.7.0.1", 1))) is None, "an address with too many failures"
        assert w.judge.remembered(ANN, PASSWORD, Link(Peer("10.42.0.1", 1))) is None, "a login under attack, from a stranger"
        assert w.judge.remembered(ANN, PASSWORD, home) == YES
        await w.store.perform(set_credentials(AccountId(1), make_credentials(Secret("new"))))
        assert w.judge.remembered(ANN, PASSWORD, home) is None
        assert await w.judge.password(ANN, Secret("new"), home) == YES
        w.clock.now += 300
        assert w.judge.remembered(ANN, Secret("new"), home) is None

    asyncio.run(scene())


# -- accounts change


def test_a_changed_password_and_a_removed_account_count_at_once() -> None:
    async def scene() -> None:
        w = await world(LoginPolicy(failure_delay=0))
        assert await w.judge.password(ANN, PASSWORD, Link()) == YES
        await w.store.perform(set_credentials(AccountId(1), make_credentials(Secret("new"))))
        assert await w.judge.password(ANN, PASSWORD, Link()) == NO
        assert (await converse(w.judge, Link(), "SCRAM-SHA-256", MINE))[0] == NO
        assert await w.judge.password(ANN, Secret("new"), Link()) == YES
        await w.store.perform(remove_account(AccountId(1)))
        assert await w.judge.password(ANN, Secret("new"), Link()) == NO
        account = await w.store.perform(create_account(ANN, make_credentials(Secret("again")), 1))
        assert await w.judge.password(ANN, Secret("new"), Link()) == NO
        assert await w.judge.password(ANN, Secret("again"), Link()) == Accepted(account.account_id, ANN)

    asyncio.run(scene())


@pytest.mark.parametrize("what", ["changed", "removed"])
def test_a_password_that_changes_while_it_is_hashed_opens_nothing(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    started, go_on = threading.Event(), threading.Event()

    def held(password_hash: str, password: Secret[str]) -> bool:
        started.set()
        assert go_on.wait(30)
        return verify_password(password_hash, password)

    async def scene() -> None:
        w = await world()
        attempt = asyncio.create_task(w.judge.password(ANN, PASSWORD, Link()))
        await asyncio.to_thread(started.wait, 30)
        if what == "changed":
            await w.store.perform(set_credentials(AccountId(1), make_credentials(PASSWORD)))
        else:
            await w.store.perform(remove_account(AccountId(1)))
        go_on.set()
        assert await attempt == NO

    monkeypatch.setattr(VERIFY, held)
    asyncio.run(scene())


def test_keys_that_change_during_scram_open_nothing() -> None:
    async def scene() -> None:
        w = await world()
        client = sasl.client_exchange("SCRAM-SHA-256", MINE, nonce="abc")
        exchange = begun(w.judge, "SCRAM-SHA-256")
        step = await exchange.step(client.start())
        assert isinstance(step, Challenge)
        answer = client.receive(step.data)
        assert isinstance(answer, bytes)
        await w.store.perform(set_credentials(AccountId(1), make_credentials(PASSWORD)))
        assert isinstance(await exchange.step(answer), Challenge)
        assert await exchange.step(b"") == NO

    asyncio.run(scene())

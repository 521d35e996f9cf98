"""Policies on the way to a real server: who cannot prove what it must gets no mail (RFC 7672, 8461, 8689; A-10)."""

import asyncio
import hashlib
import ssl
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from postwren.app.server import Server
from postwren.config.schema import Config, Listen, Outbound, Tls
from postwren.exchange.dane import public_key_of
from postwren.exchange.mtasts import Found
from postwren.exchange.policy import TlsAttempt, TlsWish
from postwren.exchange.road import NoRoad
from postwren.exchange.rules import Policies
from postwren.exchange.security import _utc_now
from postwren.exchange.setup import make_roads
from postwren.mailauth.mtasts import Mode, Policy
from postwren.testing.authority import Authority
from postwren.testing.resolver import ScriptedResolver
from postwren.transport.deadline import Watch
from postwren.wire.resolver import HostAddress, Mx, Record, Tlsa

HOST = "mx.b.example"
ENFORCE = Found(Policy(Mode.ENFORCE, (HOST,), 86400))


class World:
    """A server, the way to it, and what was reported of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority = Authority(folder)
        self.certificate, self.key = self.authority.issue(HOST)
        der = ssl.PEM_cert_to_DER_cert(self.certificate.read_text())
        self.good = Tlsa(3, 1, 1, hashlib.sha256(public_key_of(der)).digest())
        self.tlsa: list[Record] = []
        self.found = Found(None)
        self.is_secure = False
        self.is_trusted = True
        self.failing: list[str] = []
        self.reported: list[tuple[str, str]] = []

    async def look_up(self, domain: str) -> Found:
        return self.found

    def count(self, domain: str, kind: str, strings: Sequence[str], patterns: Sequence[str], attempt: TlsAttempt) -> None:
        self.reported.append((kind, attempt.result.value))

    def problem(self, domain: str, strings: Sequence[str], patterns: Sequence[str], result: str, why: str) -> None:
        self.reported.append((result, why))

    def connect(self, wish: TlsWish = TlsWish.USUAL) -> str:
        """The version of TLS that we are connected by; "" in the clear."""

        async def story() -> str:
            none = Listen(**dict.fromkeys(Listen.__struct_fields__, ()))
            listen = msgspec.structs.replace(none, smtp=("127.0.0.1:0",))
            server = Server(self.folder / "b", Config(HOST, listen, Tls(str(self.certificate), str(self.key))), is_dev=True)
            port = (await server.start())["smtp"][0]
            records = {
                ("b.example", "MX"): [Mx(10, HOST)],
                (HOST, "A"): [HostAddress("127.0.0.1")],
                (f"_25._tcp.{HOST}", "TLSA"): self.tlsa,
            }
            resolver = ScriptedResolver(records, is_secure=self.is_secure, failing=self.failing)  # type: ignore[arg-type]
            policies = Policies(resolver, self, _utc_now, self)
            trusted = self.authority.path if self.is_trusted else None
            config = Outbound(ports={HOST: port})
            roads = make_roads(config, "mx.a.example", resolver, Watch(), policies, trusted=trusted)
            try:
                connection = await roads.open("b.example", wish)
                version = connection.tls_version
                await connection.quit()
                return version
            finally:
                await server.close()

        return asyncio.run(story())


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_without_a_policy_any_certificate_will_do(world: World) -> None:
    world.is_trusted = False
    assert world.connect() == "TLSv1.3"
    assert world.reported == [("no-policy-found", "success")]


def test_dane_takes_the_certificate_that_is_published(world: World) -> None:
    world.is_secure, world.is_trusted, world.tlsa = True, False, [world.good]
    assert world.connect() == "TLSv1.3"
    assert world.connect(TlsWish.REQUIRED) == "TLSv1.3"
    assert world.reported == [("tlsa", "success")] * 2


def test_a10_dane_takes_no_other_not_even_one_that_all_trust(world: World) -> None:
    world.is_secure, world.tlsa = True, [Tlsa(3, 1, 1, bytes(32))]
    with pytest.raises(NoRoad, match=r"4\.7\.5"):
        world.connect()
    assert world.reported == [("tlsa", "tlsa-invalid")]


def test_a10_a_bogus_answer_defers_and_nobody_is_spoken_to(world: World) -> None:
    world.is_secure, world.failing = True, [f"_25._tcp.{HOST}"]
    with pytest.raises(NoRoad, match=r"4\.4\.3"):
        world.connect()
    assert world.reported == []


@pytest.mark.parametrize("wish", [TlsWish.USUAL, TlsWish.REQUIRED])
def test_a10_a_policy_in_force_wants_a_certificate_that_is_trusted(world: World, wish: TlsWish) -> None:
    world.found = ENFORCE
    assert world.connect(wish) == "TLSv1.3"
    world.is_trusted = False
    with pytest.raises(NoRoad, match=r"4\.7\.5"):
        world.connect(wish)
    assert world.reported == [("sts", "success"), ("sts", "certificate-not-trusted")]


def test_a10_a_host_that_the_policy_does_not_name_gets_nothing(world: World) -> None:
    world.found = Found(Policy(Mode.ENFORCE, ("other.b.example",), 86400))
    with pytest.raises(NoRoad, match="does not allow"):
        world.connect()
    assert world.connect(TlsWish.WAIVED) == "TLSv1.3"


def test_requiretls_goes_only_to_a_host_whose_name_is_proven(world: World) -> None:
    with pytest.raises(NoRoad, match="does not allow"):
        world.connect(TlsWish.REQUIRED)
    world.is_secure = True
    assert world.connect(TlsWish.REQUIRED) == "TLSv1.3"

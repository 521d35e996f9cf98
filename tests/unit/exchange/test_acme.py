"""Certificates by ACME, from an authority that is really there and one that is hostile (RFC 8555)."""

import asyncio
import datetime
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from tests.unit.exchange.acme_stub import AcmeStub
from tests.unit.exchange.chain import NOW

from postwren.exchange.acme import AcmeAuthority, AcmeFailed, Limits
from postwren.exchange.certificates import CertificateKeeper, HttpProver, account_key
from postwren.exchange.jose import AccountKey
from postwren.exchange.web import StrangersWeb
from postwren.testing.authority import Authority
from postwren.testing.resolver import ScriptedResolver
from postwren.transport.tls import ServerTls
from postwren.wire.resolver import HostAddress

T = TypeVar("T")
NAMES: Final = ("mx.example.org", "mta-sts.example.org")
OTHER: Final = ec.generate_private_key(ec.SECP256R1())
RESOLVER: Final = ScriptedResolver({("acme.example", "A"): [HostAddress("127.0.0.1")]})


class World:
    """An authority, and our web server played by a dict."""

    def __init__(self, folder: Path) -> None:
        self.own = Authority(folder)
        self.challenges: dict[str, str] = {}
        self.slept: list[float] = []
        self.stub = AcmeStub(self.own.issue("acme.example"), self._look)
        self.limits = Limits()
        self.key = AccountKey.generate()

    async def _look(self, kind: str, name: str, token: str) -> str:
        return self.challenges.get(token, "")

    async def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)

    def authority(self, directory: str = "") -> AcmeAuthority:
        web = StrangersWeb(RESOLVER, is_private_allowed=True, trusted=self.own.path)
        where = directory or f"{self.stub.base}/directory"
        return AcmeAuthority(web, where, self.key, "postmaster@example.org", self.limits, self._sleep)

    def run(self, work: Callable[[], Awaitable[T]]) -> T:
        async def story() -> T:
            async with self.stub:
                return await work()

        return asyncio.run(story())

    def obtain(self, names: Sequence[str] = NAMES) -> list[x509.Certificate]:
        key = ec.generate_private_key(ec.SECP256R1())
        chain = self.run(lambda: self.authority().obtain(names, key, HttpProver(self.challenges)))
        return x509.load_pem_x509_certificates(chain)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_a_certificate_is_obtained_and_nothing_is_left_behind(world: World) -> None:
    leaf, issuer = world.obtain()
    assert leaf.issuer == issuer.subject
    assert world.challenges == {}
    assert world.slept == [1.0], "as long as the authority said"
    assert world.stub.contacts == ["mailto:postmaster@example.org"]


def test_a_nonce_that_is_refused_is_replaced_and_not_for_ever(world: World) -> None:
    world.stub.bad_nonces = world.limits.nonces - 1
    assert world.obtain()
    world.stub.bad_nonces = world.limits.nonces
    with pytest.raises(AcmeFailed, match="nonce"):
        world.obtain()


def test_what_the_authority_finds_wrong_is_told(world: World) -> None:
    class Silent(HttpProver):
        async def publish(self, name: str, token: str, authorization: str) -> None:
            pass

    key = ec.generate_private_key(ec.SECP256R1())
    with pytest.raises(AcmeFailed, match=r"mx\.example\.org says something else") as caught:
        world.run(lambda: world.authority().obtain(NAMES, key, Silent(world.challenges)))
    assert caught.value.name == "mx.example.org"


def changed(what: str, **changes: Any) -> Callable[[str, dict[str, Any]], dict[str, Any]]:
    return lambda where, document: document | changes if where == what else document


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (changed("directory", newOrder="https://other.example/order"), "elsewhere"),
        (changed("directory", newNonce="http://acme.example/nonce"), "not an address"),
        (changed("directory", newAccount="https://acme.example/x"), "elsewhere"),
        (changed("directory", newAccount=7), "not an address"),
        (changed("/order", authorizations=7), "makes no sense"),
        (changed("/order", authorizations=["https://169.254.169.254/latest"]), "elsewhere"),
        (changed("/order/1", status="odd"), "odd"),
        (changed("/authz/mx.example.org", challenges=[]), "no http-01"),
        (changed("/authz/mx.example.org", challenges=[{"type": "http-01", "url": "x", "token": "../../x"}]), "no http-01"),
        (changed("/authz/mx.example.org", status="invalid", challenges=[{"error": {"detail": "\x1b[2J\n"}}]), None),
        (lambda where, document: {} if where == "directory" else document, "makes no sense"),
    ],
)
def test_a_hostile_authority_gets_nowhere(world: World, wrong: Callable[[str, dict[str, Any]], dict[str, Any]], why: str) -> None:
    world.stub.wrong = wrong
    with pytest.raises(AcmeFailed, match=why) as caught:
        world.obtain()
    assert str(caught.value).isprintable()


def test_a_certificate_for_another_key_or_fewer_names_is_not_taken(world: World) -> None:
    for forge in (lambda own, names: (OTHER.public_key(), names), lambda own, names: (own, names[:1])):
        world.stub = AcmeStub(world.own.issue("acme.example"), world._look)
        world.stub.forge = forge
        with pytest.raises(AcmeFailed, match="not the one"):
            world.obtain()


def test_waiting_has_an_end(world: World) -> None:
    world.limits = Limits(polls=5, wait=0.5)
    world.stub.pending = 4
    assert world.obtain(NAMES[:1])
    world.stub = AcmeStub(world.own.issue("acme.example"), world._look)
    world.stub.pending = 5
    with pytest.raises(AcmeFailed, match="come to an end"):
        world.obtain(NAMES[:1])
    assert set(world.slept) == {0.5}, "no longer than our limit, whatever the authority says"


def test_so_many_names_and_not_one_more(world: World) -> None:
    world.limits = Limits(names=2)
    assert world.obtain(NAMES)
    with pytest.raises(AcmeFailed, match="at most 2"):
        world.obtain([*NAMES, "one.more.example"])


@pytest.mark.parametrize("url", ["http://acme.example/d", "https://a b/", "https://u@a/", "https://[/", "ftp://x", ""])
def test_a_directory_is_an_address_of_https(world: World, url: str) -> None:
    with pytest.raises(AcmeFailed, match="not an address"):
        AcmeAuthority(StrangersWeb(RESOLVER), url, world.key)


def test_the_key_of_an_account_is_kept(tmp_path: Path) -> None:
    assert account_key(tmp_path / "tls").thumbprint == account_key(tmp_path / "tls").thumbprint
    assert (tmp_path / "tls/acme-account.pem").stat().st_mode & 0o077 == 0


class Kept:
    """A keeper over an authority that is played by a list."""

    def __init__(self, folder: Path, stub: AcmeStub) -> None:
        self.now = NOW
        self.names: list[str] = ["mx.example.org"]
        self.asked: list[tuple[str, ...]] = []
        self.failing: set[str] = set()
        self.tells_name = True
        self._stub = stub
        self.keeper = CertificateKeeper(folder / "tls", lambda: self.names, self._obtain, lambda: self.now)
        self.path = self.keeper.prepare()

    async def _obtain(self, names: Sequence[str], key: ec.EllipticCurvePrivateKey) -> bytes:
        self.asked.append(tuple(names))
        wrong = sorted(self.failing & set(names))
        if wrong:
            raise AcmeFailed("no", wrong[0] if self.tells_name else "")
        self._stub.now = self.now
        return self._stub.sign(key.public_key(), list(names))

    def renew(self, later: datetime.timedelta = datetime.timedelta()) -> bool:
        self.now += later
        return asyncio.run(self.keeper.renew())


@pytest.fixture
def kept(world: World, tmp_path: Path) -> Kept:
    return Kept(tmp_path, world.stub)


def test_a_listener_has_a_certificate_at_once_and_the_real_one_without_a_restart(kept: Kept) -> None:
    path = kept.path
    tls = ServerTls(path, path)
    before = tls.credentials.end_point
    assert kept.renew()
    assert path.stat().st_mode & 0o077 == 0
    tls.channel()
    tls.reload()
    assert tls.credentials.end_point != before
    assert tls.credentials.names == {"mx.example.org"}


def test_it_is_renewed_when_two_thirds_of_its_life_are_over(kept: Kept) -> None:
    assert kept.renew()
    assert not kept.renew(datetime.timedelta(days=59, hours=23))
    assert kept.renew(datetime.timedelta(hours=1))
    assert len(kept.asked) == 2


def test_a_name_that_is_missing_makes_it_due(kept: Kept) -> None:
    assert kept.renew()
    kept.names.append("MTA-STS.example.org")
    assert kept.renew()
    assert not kept.renew()


def test_a_name_that_fails_does_not_keep_the_others_certificate_away(kept: Kept) -> None:
    kept.names += ["new.example", "other.example"]
    kept.failing = {"new.example"}
    assert kept.renew()
    assert kept.asked[1:] == [("mx.example.org", "other.example")]
    assert not kept.renew(), "what can be had is there"
    assert kept.asked[2:] == [("mx.example.org", "new.example", "other.example")], "one try, and no order that brings nothing new"
    kept.failing.clear()
    assert kept.renew()


def test_where_nobody_says_which_name_is_wrong_the_host_gets_its_own(kept: Kept) -> None:
    kept.names.append("odd.example")
    kept.failing = {"odd.example"}
    kept.tells_name = False
    assert kept.renew()
    assert kept.asked[1:] == [("mx.example.org",)]


def test_a_host_that_cannot_be_proven_gets_nothing(kept: Kept) -> None:
    kept.names.append("other.example")
    kept.failing = {"mx.example.org"}
    assert not kept.renew()
    assert len(kept.asked) == 1


def test_what_fails_leaves_the_old_one(kept: Kept) -> None:
    kept.renew()
    old = kept.path.read_bytes()
    kept.failing = {"mx.example.org"}
    assert not kept.renew(datetime.timedelta(days=80))
    assert kept.path.read_bytes() == old

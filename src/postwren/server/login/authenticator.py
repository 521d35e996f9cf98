"""The one door: passwords and SASL exchanges of every protocol, judged by policy, throttle and store.

What must stay true: an unknown login takes the same road as a known one with a wrong password, hash by hash and second
by second (A-61); nobody is accepted whose account is not there at that moment with the credentials that were proved;
whatever is told about a failure is one of `RefusalReason`.
"""

import asyncio
import base64
import hmac
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final, assert_never

from postwren.mailstore.model import Account, ScramKeys
from postwren.mailstore.port import Store, Transaction
from postwren.mailstore.service.accounts import canonical_login
from postwren.protocols import sasl
from postwren.protocols.sasl.oauth import TokenServer
from postwren.protocols.sasl.scram import ScramServer
from postwren.server.login.cache import SuccessCache, fingerprint
from postwren.server.login.credential import DECOY_HASH, ITERATIONS, SALT_OCTETS, prepare, verify_password
from postwren.server.login.gate import GateFull, HashGate
from postwren.server.login.outcome import Accepted, Challenge, LoginStep, RefusalReason, Refused
from postwren.server.login.policy import LoginPolicy
from postwren.server.login.throttle import Throttle
from postwren.transport.session import LinkControl
from postwren.wire.errors import LocalProtocolError
from postwren.wire.secret import Secret

__all__ = ["Authenticator", "LoginExchange"]

SECRET_SETTING: Final = "login-secret"  # noqa: S105 - a setting's name
THROTTLE_SETTING: Final = "login-throttle"
_KEY_OCTETS: Final = 32
_DIGEST_OCTETS: Final = {"sha-256": 32, "sha-1": 20}


@dataclass(frozen=True, slots=True)
class _Attempt:
    """Somebody at an address, who says to be `login` (canonical; "" where it can be nobody's)."""

    address: str
    login: str


class Authenticator:
    """One for all listeners of a process. `now` gives seconds since 1970."""

    def __init__(
        self,
        store: Store,
        policy: LoginPolicy,
        *,
        now: Callable[[], float],
        random: Callable[[int], bytes],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._store = store
        self._policy = policy
        self._now = now
        self._random = random
        self._sleep = sleep
        self._key = random(_KEY_OCTETS)
        self._gate = HashGate(policy.hash_queue)
        self._cache = SuccessCache()
        self._throttle = Throttle(policy.exempt)
        self._secret: bytes | None = None
        self._saved = b""

    async def load(self) -> None:
        """Take up the counters of the last run; once, before listening."""
        saved = self._store.reader.setting(THROTTLE_SETTING)
        if saved is not None:
            self._throttle.restore(saved)
        self._saved = self._throttle.snapshot(self._now())

    async def save(self) -> None:
        """Keep the counters across a restart: call it every minute or so, and before the end. Writes only what changed."""
        snapshot = self._throttle.snapshot(self._now())
        if snapshot != self._saved:
            await self._store.perform(lambda tx: tx.put_setting(THROTTLE_SETTING, snapshot))
            self._saved = snapshot

    def close(self) -> None:
        """Let the hashing threads end."""
        self._gate.close()

    # -- what sessions ask

    def mechanisms(self, link: LinkControl) -> tuple[str, ...]:
        """What may be offered on this link now; it changes with STARTTLS."""
        return tuple(
            name
            for name, mechanism in sasl.MECHANISMS.items()
            if self._objection(name, link) is None and (_offers_plus(link) or not mechanism.binds_channel)
        )

    async def password(self, login: str, password: Secret[str], link: LinkControl) -> Accepted | Refused:
        """USER and PASS, LOGIN, and the mechanisms that show the password."""
        if not self._may_show_secrets(link):
            return Refused(RefusalReason.PRIVACY_REQUIRED)
        return await self._judge_password(login, "", password, link)

    def remembered(self, login: str, password: Secret[str], link: LinkControl) -> Accepted | None:
        """What `password` says, at once, where this was right a moment ago. None: it must be hashed, put off or refused; nothing
        was counted then."""
        attempt, now, prepared = self._attempt(login, link), self._now(), prepare(password)
        account = self._account(attempt.login)
        if account is None or prepared is None or not self._may_show_secrets(link):
            return None
        if self._throttle.is_blocked(attempt.address, now) or self._throttle.wait(attempt.address, attempt.login, now) > 0:
            return None
        guess = fingerprint(self._key, attempt.login, prepared)
        if not self._cache.knows(account.account_id, account.credentials.password_hash, guess, now):
            return None
        self._throttle.succeeded(attempt.address, account.login)
        return Accepted(account.account_id, account.login)

    def begin(self, mechanism: str, link: LinkControl) -> "LoginExchange | Refused":
        """Start an exchange; `mechanism` as the peer spelt it."""
        name = mechanism.upper()
        objection = self._objection(name, link)
        if objection is not None:
            return Refused(objection)
        nonce = base64.b64encode(self._random(18)).decode()
        bindings = link.tls.bindings if link.tls else None
        exchange = sasl.server_exchange(name, nonce=nonce, bindings=bindings, offers_plus=_offers_plus(link))
        return LoginExchange(self, link, exchange)

    # -- policy

    def _may_show_secrets(self, link: LinkControl) -> bool:
        return link.tls is not None or (self._policy.allow_cleartext and _is_loopback(link.peer.address))

    def _objection(self, name: str, link: LinkControl) -> RefusalReason | None:
        """Why this mechanism is not to be had on this link now."""
        mechanism = sasl.MECHANISMS.get(name)
        if mechanism is None or not self._is_served(mechanism):
            return RefusalReason.UNSUPPORTED
        if mechanism.shows_secret:
            return None if self._may_show_secrets(link) else RefusalReason.PRIVACY_REQUIRED
        if mechanism.needs_tls and link.tls is None:
            return RefusalReason.PRIVACY_REQUIRED
        is_there = link.tls is not None and (link.tls.bindings if mechanism.binds_channel else link.tls.client_certificate)
        return None if is_there or not mechanism.needs_tls else RefusalReason.UNSUPPORTED

    def _is_served(self, mechanism: sasl.Mechanism) -> bool:
        served = {
            "password": True,
            "token": self._policy.verify_token is not None,
            "certificate": self._policy.login_of_certificate is not None,
            "nothing": self._policy.anonymous_login is not None,
        }
        return served[mechanism.needs]

    # -- judging

    def _attempt(self, login: str, link: LinkControl) -> _Attempt:
        return _Attempt(link.peer.address, canonical_login(self._store.reader, login) or "")

    def _account(self, login: str) -> Account | None:
        return self._store.reader.account_by_login(login) if login else None

    async def _admit(self, attempt: _Attempt) -> Refused | None:
        """Before anything is judged: too many failures from there, or at this login."""
        refused = await self._refuse_blocked(attempt)
        if refused is not None:
            return refused
        wait = self._throttle.wait(attempt.address, attempt.login, self._now())
        if wait > 0:
            await self._sleep(wait)
        return None

    async def _refuse_blocked(self, attempt: _Attempt) -> Refused | None:
        if not self._throttle.is_blocked(attempt.address, self._now()):
            return None
        await self._sleep(self._policy.failure_delay)
        return Refused(RefusalReason.BUSY)

    async def _wrong(self, attempt: _Attempt, guess: bytes | None = None) -> Refused:
        # Counted before the delay: who hangs up during it has failed all the same.
        self._throttle.failed(attempt.address, attempt.login, self._now(), guess)
        await self._sleep(self._policy.failure_delay)
        return Refused(RefusalReason.WRONG)

    async def _judge_password(self, login: str, authzid: str, password: Secret[str], link: LinkControl) -> Accepted | Refused:
        attempt = self._attempt(login, link)
        refused = await self._admit(attempt)
        if refused is not None:
            return refused
        prepared = prepare(password)
        guess = fingerprint(self._key, attempt.login or login, prepared or password)
        account = self._account(attempt.login)
        proved = account.credentials.password_hash if account else DECOY_HASH
        if account is None or not self._cache.knows(account.account_id, proved, guess, self._now()):
            try:
                is_right = await self._verify(attempt, account, prepared or password, guess)
            except GateFull:
                return Refused(RefusalReason.BUSY)
            account = self._account(attempt.login)  # hashing took its time: removed or changed meanwhile is wrong
            if not is_right or account is None or account.credentials.password_hash != proved or prepared is None:
                return await self._wrong(attempt, guess)
            self._cache.remember(account.account_id, proved, guess, self._now())
        return await self._accept(attempt, account, authzid)

    async def _verify(self, attempt: _Attempt, account: Account | None, password: Secret[str], guess: bytes) -> bool:
        """Hash it, in its turn. Guesses that were let in together are not all judged: the first failures close the door; and
        of the connections of a device that come together one is hashed."""
        async with self._gate.place():
            if self._throttle.is_blocked(attempt.address, self._now()):
                raise GateFull
            proved = account.credentials.password_hash if account else DECOY_HASH
            if account and self._cache.knows(account.account_id, proved, guess, self._now()):
                return True
            return await self._gate.run(lambda: verify_password(proved, password))

    async def _accept(self, attempt: _Attempt, account: Account, authzid: str) -> Accepted | Refused:
        """The peer is who it says to be; it may act as itself only."""
        if authzid and canonical_login(self._store.reader, authzid) != account.login:
            return await self._wrong(attempt)
        self._throttle.succeeded(attempt.address, account.login)
        return Accepted(account.account_id, account.login)

    async def _accept_login(self, login: str | None, authzid: str, link: LinkControl) -> Accepted | Refused:
        """Somebody else vouched for this login (a token's issuer, a certificate)."""
        attempt = self._attempt(login or "", link)
        account = self._account(attempt.login)
        return await (self._wrong(attempt) if account is None else self._accept(attempt, account, authzid))

    async def _scram_keys(self, login: str, hash_name: str) -> ScramKeys:
        """What is stored, or a decoy that stays the same from one attempt to the next (A-61)."""
        decoy = _decoy_keys(await self._login_secret(), login, hash_name)
        account = self._account(login)
        return (account.credentials.scram.get(hash_name) if account else None) or decoy

    async def _login_secret(self) -> bytes:
        """The secret behind decoys: it lives in the store, since a salt that changes at restart would tell."""
        if self._secret is None:
            fresh = self._random(_KEY_OCTETS)

            def unit(tx: Transaction) -> bytes:
                kept = tx.setting(SECRET_SETTING)
                if kept is None:
                    tx.put_setting(SECRET_SETTING, fresh)
                return kept or fresh

            kept = self._store.reader.setting(SECRET_SETTING)
            self._secret = kept if kept is not None else await self._store.perform(unit)
        return self._secret


class LoginExchange:
    """One SASL exchange of one session: `step` until it is no `Challenge`. To cancel, drop it."""

    __slots__ = ("_attempt", "_exchange", "_is_begun", "_is_over", "_judge", "_keys", "_link")

    def __init__(self, judge: Authenticator, link: LinkControl, exchange: sasl.ServerExchange) -> None:
        self._judge = judge
        self._link = link
        self._exchange = exchange
        self._is_begun = False
        self._is_over = False
        self._attempt = _Attempt(link.peer.address, "")
        self._keys: ScramKeys | None = None

    async def step(self, response: bytes | None) -> LoginStep:
        """The decoded initial response (None: there was none), then the decoded response to each challenge."""
        if self._is_over or (self._is_begun and response is None):
            raise LocalProtocolError("the exchange is over, or waits for a response")
        outcome = await self._refuse_proof() or await self._judge_step(self._advance(response))
        self._is_over = not isinstance(outcome, Challenge)
        return outcome

    def _advance(self, response: bytes | None) -> sasl.ServerStep:
        if response is not None and self._is_begun:
            return self._exchange.receive(response)
        self._is_begun = True
        return self._exchange.begin(response)

    async def _refuse_proof(self) -> Refused | None:
        """Of proofs that were begun together not all are judged: the first failures close the door."""
        return await self._judge._refuse_blocked(self._attempt) if self._keys is not None else None

    async def _judge_step(self, step: sasl.ServerStep) -> LoginStep:
        match step:
            case sasl.Challenge(data):
                return Challenge(data)
            case sasl.PasswordOffered(authcid, authzid, password):
                return await self._judge._judge_password(authcid, authzid, password, self._link)
            case sasl.KeysNeeded(authcid, hash_name):
                return await self._give_keys(authcid, hash_name)
            case sasl.Proved(_, authzid):
                return await self._judge_proof(authzid)
            case sasl.TokenOffered(authzid, token):
                return await self._judge_token(authzid, token)
            case sasl.IdentityOffered(authzid):
                return await self._judge_certificate(authzid)
            case sasl.AnonymousOffered():
                return await self._judge._accept_login(self._judge._policy.anonymous_login, "", self._link)
            case sasl.Failed(sasl.Fault.WRONG | sasl.Fault.BINDING):
                return await self._judge._wrong(self._attempt)
            case sasl.Failed():
                return Refused(RefusalReason.MALFORMED)
        assert_never(step)

    async def _give_keys(self, authcid: str, hash_name: str) -> LoginStep:
        self._attempt = self._judge._attempt(authcid, self._link)
        refused = await self._judge._admit(self._attempt)
        if refused is not None:
            return refused
        assert isinstance(self._exchange, ScramServer)
        self._keys = await self._judge._scram_keys(self._attempt.login or authcid, hash_name)
        return Challenge(self._exchange.keys(self._keys).data)

    async def _judge_proof(self, authzid: str) -> LoginStep:
        account = self._judge._account(self._attempt.login)
        if account is None or self._keys not in account.credentials.scram.values():
            return await self._judge._wrong(self._attempt)
        return await self._judge._accept(self._attempt, account, authzid)

    async def _judge_token(self, authzid: str, token: Secret[str]) -> LoginStep:
        verify = self._judge._policy.verify_token
        assert verify is not None
        refused = await self._judge._admit(self._attempt)
        if refused is not None:
            return refused
        login = await verify(token) if token.reveal() else None
        if login is None:
            # The failure is counted when the client has acknowledged the document, or never if it hangs up.
            assert isinstance(self._exchange, TokenServer)
            return Challenge(self._exchange.refuse({"status": "invalid_token"}).data)
        return await self._judge._accept_login(login, authzid, self._link)

    async def _judge_certificate(self, authzid: str) -> LoginStep:
        login_of, tls = self._judge._policy.login_of_certificate, self._link.tls
        assert login_of is not None
        assert tls is not None
        login = login_of(tls.client_certificate) if tls.client_certificate else None
        return await self._judge._accept_login(login, authzid, self._link)


def _offers_plus(link: LinkControl) -> bool:
    """Whether -PLUS is advertised: only with the binding that every client takes first, which under TLS 1.3 is one that
    CPython cannot compute (docs/adr/0005). A client that asks for -PLUS all the same is served."""
    return link.tls is not None and "tls-unique" in link.tls.bindings


def _is_loopback(address: str) -> bool:
    """This machine; a Unix socket (no address) is."""
    try:
        return not address or ip_address(address).is_loopback
    except ValueError:
        return False


def _decoy_keys(secret: bytes, login: str, hash_name: str) -> ScramKeys:
    """Keys of nobody, the same for the same name; nothing hashes to them."""

    def derived(purpose: str, octets: int) -> bytes:
        return hmac.digest(secret, f"{purpose}\x00{hash_name}\x00{login}".encode(errors="surrogatepass"), "sha256")[:octets]

    size = _DIGEST_OCTETS[hash_name]
    return ScramKeys(derived("salt", SALT_OCTETS), ITERATIONS, derived("stored", size), derived("server", size))

"""What is stored of a password, and the cache of those that were right (A-62)."""

import os

import pytest

from postwren.protocols.sasl.scram import scram_keys
from postwren.server.login.cache import CAPACITY, TERM, SuccessCache, fingerprint
from postwren.server.login.credential import DECOY_HASH, PasswordUnusable, make_credentials, prepare, verify_password
from postwren.terms import AccountId
from postwren.wire.secret import Secret

ANN, BOB = AccountId(1), AccountId(2)


def test_credentials_hold_argon2id_and_both_scram_keys_but_no_password() -> None:
    made = make_credentials(Secret("pass\u00adword"), os.urandom)
    assert made.password_hash.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert verify_password(made.password_hash, Secret("password"))
    assert not verify_password(made.password_hash, Secret("Password"))
    assert set(made.scram) == {"sha-256", "sha-1"}
    for name, keys in made.scram.items():
        assert keys.iterations == 10_000
        assert (keys.stored_key, keys.server_key) == scram_keys(Secret("password"), keys.salt, 10_000, name)
    assert "password" not in repr(made).replace("password_hash", "")
    assert made.scram["sha-256"].salt != make_credentials(Secret("password")).scram["sha-256"].salt


@pytest.mark.parametrize("password", ["", "a\x00b", "tab\t", "\u0627a\u0628"])
def test_passwords_that_cannot_be_typed_are_refused(password: str) -> None:
    with pytest.raises(PasswordUnusable):
        make_credentials(Secret(password))
    assert prepare(Secret(password)) is None


def test_hashes_that_are_none_match_nothing() -> None:
    assert not verify_password("", Secret("x"))
    assert not verify_password("$argon2id$", Secret("x"))
    assert not verify_password(DECOY_HASH, Secret("x"))


def test_the_decoy_costs_what_a_password_costs() -> None:
    assert DECOY_HASH.split("$")[:4] == make_credentials(Secret("x")).password_hash.split("$")[:4]
    assert [len(part) for part in DECOY_HASH.split("$")] == [
        len(part) for part in make_credentials(Secret("x")).password_hash.split("$")
    ]


def test_a62_fingerprints_hold_the_login_and_the_boundary() -> None:
    prints = {
        fingerprint(b"k", "ann", Secret("pw")),
        fingerprint(b"k", "bob", Secret("pw")),
        fingerprint(b"k", "annp", Secret("w")),
        fingerprint(b"k", "ann", Secret("pW")),
        fingerprint(b"l", "ann", Secret("pw")),
        fingerprint(b"k", "ann", Secret("\udc80")),
    }
    assert len(prints) == 6


def test_a62_a_success_counts_for_its_account_hash_and_term_only() -> None:
    cache = SuccessCache()
    cache.remember(ANN, "hash", b"print", 1000)
    assert cache.knows(ANN, "hash", b"print", 1000 + TERM - 1)
    assert not cache.knows(BOB, "hash", b"print", 1000)
    assert not cache.knows(ANN, "hash", b"other", 1000)
    assert not cache.knows(ANN, "changed", b"print", 1000)
    assert not cache.knows(ANN, "hash", b"print", 1000), "what did not count is forgotten"
    cache.remember(ANN, "hash", b"print", 1000)
    assert not cache.knows(ANN, "hash", b"print", 1000 + TERM)


def test_the_cache_is_bounded() -> None:
    cache = SuccessCache()
    for number in range(CAPACITY + 1):
        cache.remember(ANN, "hash", b"%d" % number, 0)
    assert len(cache) == CAPACITY
    assert not cache.knows(ANN, "hash", b"0", 0)
    assert cache.knows(ANN, "hash", b"1", 0)

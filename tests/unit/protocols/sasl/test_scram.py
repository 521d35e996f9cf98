"""SCRAM in both roles: the vectors of RFC 5802 section 5 and RFC 7677 section 3, and what must fail (A-63)."""

import base64
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postwren.protocols.sasl import (
    Abort,
    Challenge,
    ClientCredentials,
    Failed,
    Fault,
    KeysNeeded,
    Limits,
    NotPreparable,
    Proved,
    saslprep,
)
from postwren.protocols.sasl.scram import ClientBinding, ScramClient, ScramServer, format_saslname, parse_saslname, scram_keys
from postwren.wire.secret import Secret

BINDINGS = {"tls-server-end-point": b"\x01" * 32, "tls-unique": b"\x02" * 12}


@dataclass(frozen=True, slots=True)
class Keys:
    salt: bytes
    iterations: int
    stored_key: bytes
    server_key: bytes


def keys_of(password: str, hash_name: str = "sha-256", salt: bytes = b"salt", iterations: int = 4096) -> Keys:
    return Keys(salt, iterations, *scram_keys(Secret(password), salt, iterations, hash_name))


UNBOUND = ClientBinding("n")
PENCIL = keys_of("pencil")


def client(
    password: str = "pencil",
    binding: ClientBinding = UNBOUND,
    name: str = "user",
    authzid: str = "",
    hash_name: str = "sha-256",
) -> ScramClient:
    return ScramClient("SCRAM", hash_name, ClientCredentials(name, authzid, Secret(password)), "client", binding)


def begun(server: ScramServer, one: ScramClient, keys: Keys = PENCIL) -> bytes:
    """The client's final message."""
    assert isinstance(server.begin(one.start()), KeysNeeded)
    answer = one.receive(server.keys(keys).data)
    assert isinstance(answer, bytes)
    return answer


VECTORS = [
    (
        "sha-1",
        "fyko+d2lbbFgONRv9qkxdawL",
        "3rfcNHYJY1ZVvWVs7j",
        "QSXCR+Q6sek8bf92",
        "v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
        "rmF9pqV8S7suAoZWja4dJRkFsKQ=",
    ),
    (
        "sha-256",
        "rOprNGfwEbeRWgbNEkqO",
        "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0",
        "W22ZaJ0SNY7soEsUEjb6gQ==",
        "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
        "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
    ),
]


@pytest.mark.parametrize(("hash_name", "mine", "theirs", "salt", "proof", "signature"), VECTORS)
def test_the_examples_of_the_rfcs(hash_name: str, mine: str, theirs: str, salt: str, proof: str, signature: str) -> None:
    one = ScramClient("SCRAM", hash_name, ClientCredentials("user", password=Secret("pencil")), mine, ClientBinding("n"))
    server = ScramServer(hash_name, theirs, None, False)
    first = one.start()
    assert first == b"n,,n=user,r=" + mine.encode()
    assert server.begin(first) == KeysNeeded("user", hash_name)
    challenge = server.keys(keys_of("pencil", hash_name, base64.b64decode(salt)))
    assert challenge.data == f"r={mine}{theirs},s={salt},i=4096".encode()
    final = one.receive(challenge.data)
    assert final == f"c=biws,r={mine}{theirs},p={proof}".encode()
    last = server.receive(final)
    assert last == Challenge(b"v=" + signature.encode())
    assert one.receive(last.data) == b""
    assert server.receive(b"") == Proved("user", "")
    assert one.finished() is None


@settings(max_examples=25, deadline=None)
@given(
    st.text(st.characters(codec="utf-8"), min_size=1, max_size=20),
    st.text(st.characters(codec="utf-8"), min_size=1, max_size=20),
    st.sampled_from(["sha-1", "sha-256"]),
    st.sampled_from(["n", "y", "tls-unique", "tls-server-end-point"]),
)
def test_client_and_server_understand_each_other(name: str, password: str, hash_name: str, flag: str) -> None:
    try:
        prepared, login = saslprep(password), saslprep(name)
    except NotPreparable:
        return
    binds = flag in BINDINGS
    one = client(password, ClientBinding(flag, BINDINGS.get(flag, b"")), name, "a=b,c", hash_name)
    server = ScramServer(hash_name, "server", BINDINGS if binds else None, binds)
    answer = server.receive(begun(server, one, keys_of(prepared, hash_name)))
    assert isinstance(answer, Challenge)
    assert one.receive(answer.data) == b""
    assert server.receive(b"") == Proved(login, "a=b,c")
    assert one.finished() is None


def test_a_wrong_password_is_wrong() -> None:
    server = ScramServer("sha-256", "server", None, False)
    assert server.receive(begun(server, client("pencil2"))) == Failed(Fault.WRONG)


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=20))
def test_saslnames_round_trip(name: str) -> None:
    assert parse_saslname(format_saslname(name)) == name


@pytest.mark.parametrize("value", [b"", b"=", b"a=2", b"a=2c", b"a=41", b"\xff", b"a\x00b"])
def test_bad_saslnames_are_none(value: bytes) -> None:
    assert parse_saslname(value) is None


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"n,,",
        b"n,,n=user",
        b"x,,n=user,r=abc",
        b"n,b=x,n=user,r=abc",
        b"n,a=,n=user,r=abc",
        b"n,,m=ext,n=user,r=abc",
        b"n,,n=,r=abc",
        b"n,,n=us=er,r=abc",
        b"n,,n=user,r=",
        b"n,,n=user,r=a b",
        b"n,,n=user,r=\xc3\xa9",
        b"n,,r=abc,n=user",
        b"n,,n=\xff,r=abc",
        b"p=,,n=user,r=abc",
        b"n,,n=user,r=abc"[:9],
    ],
)
def test_malformed_first_messages_are_refused(message: bytes) -> None:
    assert ScramServer("sha-256", "server", None, False).begin(message) == Failed(Fault.MALFORMED)


def test_extensions_are_ignored() -> None:
    assert ScramServer("sha-256", "server", None, False).begin(b"n,,n=user,r=abc,x=1,y=2") == KeysNeeded("user", "sha-256")


@pytest.mark.parametrize(
    ("flag", "binds", "offers"),
    [
        (b"y", False, True),
        (b"p=tls-unique", False, True),
        (b"n", True, True),
        (b"y", True, True),
        (b"p=tls-exporter", True, True),
    ],
)
def test_a63_a_binding_that_does_not_fit_is_refused(flag: bytes, binds: bool, offers: bool) -> None:
    server = ScramServer("sha-256", "server", BINDINGS if binds else None, offers)
    assert server.begin(flag + b",,n=user,r=abc") == Failed(Fault.BINDING)


def test_a63_another_channel_is_refused() -> None:
    server = ScramServer("sha-256", "server", BINDINGS, True)
    one = client(binding=ClientBinding("tls-server-end-point", b"\x03" * 32))
    assert server.receive(begun(server, one)) == Failed(Fault.BINDING)


def test_the_nonce_must_come_back() -> None:
    server = ScramServer("sha-256", "server", None, False)
    final = begun(server, client()).replace(b"r=clientserver", b"r=clientserveR")
    assert server.receive(final) == Failed(Fault.BINDING)


@pytest.mark.parametrize(
    "final", [b"", b"c=biws", b"c=biws,r=clientserver", b"c=biws,r=clientserver,p=", b"c=biws,r=clientserver,p=AAAA"]
)
def test_malformed_final_messages_are_refused(final: bytes) -> None:
    server = ScramServer("sha-256", "server", None, False)
    begun(server, client())
    assert server.receive(final) == Failed(Fault.MALFORMED)


def test_data_behind_the_signature_are_malformed() -> None:
    server = ScramServer("sha-256", "server", None, False)
    assert isinstance(server.receive(begun(server, client())), Challenge)
    assert server.receive(b"x") == Failed(Fault.MALFORMED)


@pytest.mark.parametrize(
    "challenge",
    [
        b"",
        b"r=client,s=AAAA,i=4096",  # adds nothing of its own
        b"r=cliensserver,s=AAAA,i=4096",  # does not extend ours
        b"r=clientserver,s=AAAA,i=4095",
        b"r=clientserver,s=AAAA,i=1000001",
        b"r=clientserver,s=AAAA,i=2147483648",
        b"r=clientserver,s=AAAA,i=" + b"9" * 10_000,
        b"r=clientserver,s=AAAA,i=04096",
        b"r=clientserver,s=AAAA,i=-1",
        b"r=clientserver,s=,i=4096",
        b"r=clientserver,s=?,i=4096",
        b"m=ext,r=clientserver,s=AAAA,i=4096",
        b"s=AAAA,r=clientserver,i=4096",
        b"e=other-error",
    ],
)
def test_a63_a_client_goes_no_further_with_such_a_server(challenge: bytes) -> None:
    assert isinstance(client().receive(challenge), Abort)


@pytest.mark.parametrize("iterations", [4096, 5000])
def test_a63_iterations_within_the_bounds_are_computed(iterations: int) -> None:
    one = ScramClient(
        "S", "sha-256", ClientCredentials("u", password=Secret("p")), "client", ClientBinding("n"), Limits(iterations_max=5000)
    )
    assert isinstance(one.receive(b"r=clientserver,s=AAAA,i=%d" % iterations), bytes)


@pytest.mark.parametrize("last", [b"", b"v=", b"v=AAAA", b"v=?", b"e=invalid-proof", b"x=AAAA"])
def test_a63_a_wrong_signature_of_the_server_aborts(last: bytes) -> None:
    server = ScramServer("sha-256", "server", None, False)
    one = client()
    begun(server, one)
    assert isinstance(one.receive(last), Abort)
    assert isinstance(one.finished(), Abort)


def test_a63_an_ok_without_the_signature_is_worth_nothing() -> None:
    assert isinstance(client().finished(), Abort)
    server, one = ScramServer("sha-256", "server", None, False), client()
    last = server.receive(begun(server, one))
    assert isinstance(one.finished(), Abort)
    assert isinstance(last, Challenge)
    assert one.finished(last.data) is None  # as data beside the OK, where a protocol has room for it
    assert isinstance(one.receive(b"more"), Abort)

"""The mechanisms that are not SCRAM (RFC 4505, RFC 4616, RFC 7628), in both roles, and the client's choice (A-63)."""

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postwren.protocols import sasl
from postwren.protocols.sasl import (
    Abort,
    AnonymousOffered,
    Challenge,
    ClientCredentials,
    Failed,
    Fault,
    IdentityOffered,
    PasswordOffered,
    TokenOffered,
    choose,
)
from postwren.protocols.sasl.oauth import OAuthBearerServer, XOAuth2Server
from postwren.wire.secret import Secret

WORDS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=30)
BINDINGS = {"tls-server-end-point": b"\x01" * 32}
MALFORMED = Failed(Fault.MALFORMED)


def server(name: str) -> sasl.ServerExchange:
    return sasl.server_exchange(name, nonce="server")


def client(name: str, credentials: ClientCredentials) -> sasl.ClientExchange:
    return sasl.client_exchange(name, credentials, nonce="client")


def test_plain_as_in_rfc_4616_section_4() -> None:
    assert server("PLAIN").begin(b"\x00tim\x00tanstaaftanstaaf") == PasswordOffered("tim", "", Secret("tanstaaftanstaaf"))
    assert server("PLAIN").begin(None) == Challenge(b"")
    assert server("PLAIN").receive(b"Ursel\x00Kurt\x00xipj3plmq") == PasswordOffered("Kurt", "Ursel", Secret("xipj3plmq"))
    one = client("PLAIN", ClientCredentials("Kurt", "Ursel", Secret("xipj3plmq")))
    assert one.start() == b"Ursel\x00Kurt\x00xipj3plmq"
    assert isinstance(one.receive(b""), Abort)
    assert one.finished() is None


@pytest.mark.parametrize(
    "message",
    [b"", b"\x00", b"\x00\x00", b"\x00a\x00", b"\x00\x00b", b"a\x00b", b"\x00a\x00b\x00", b"\x00\xff\x00b", b"\x00a\x00\xc0\x80"],
)
def test_malformed_plain_is_refused(message: bytes) -> None:
    assert server("PLAIN").begin(message) == MALFORMED


@given(WORDS, WORDS, WORDS)
def test_plain_and_login_carry_any_text(authcid: str, authzid: str, password: str) -> None:
    mine = ClientCredentials(authcid, authzid, Secret(password))
    assert server("PLAIN").begin(client("PLAIN", mine).start()) == PasswordOffered(authcid, authzid, Secret(password))
    theirs, one = server("LOGIN"), client("LOGIN", mine)
    step = theirs.begin(one.start())
    for _ in range(2):
        assert isinstance(step, Challenge)
        assert isinstance(one.finished(), Abort)
        answer = one.receive(step.data)
        assert isinstance(answer, bytes)
        step = theirs.receive(answer)
    assert step == PasswordOffered(authcid, "", Secret(password))
    assert one.finished() is None
    assert isinstance(one.receive(b""), Abort)


def test_login_takes_the_name_as_initial_response() -> None:
    theirs = server("LOGIN")
    assert theirs.begin(b"ann") == Challenge(b"Password:")
    assert theirs.receive(b"") == MALFORMED
    assert server("LOGIN").begin(b"") == MALFORMED
    assert server("LOGIN").begin(b"a\x00b") == MALFORMED


EXAMPLE = base64.b64decode(  # RFC 7628 section 4.1
    "bixhPXVzZXJAZXhhbXBsZS5jb20sAWhvc3Q9c2VydmVyLmV4YW1wbGUuY29tAXBvcnQ9MTQzAWF1dGg9QmVhcmVyI"
    "HZGOWRmdDRxbVRjMk52YjNSbGNrQmhiSFJoZG1semRHRXVZMjl0Q2c9PQEB"
)
TOKEN = "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg=="


def test_oauthbearer_as_in_rfc_7628_section_4() -> None:
    assert server("OAUTHBEARER").begin(EXAMPLE) == TokenOffered("user@example.com", Secret(TOKEN))
    mine = ClientCredentials("user@example.com", token=Secret(TOKEN), host="server.example.com", port=143)
    assert client("OAUTHBEARER", mine).start() == EXAMPLE


def test_oauthbearer_asks_for_the_scope_with_an_empty_header() -> None:
    ask = b"n,a=user@example.com,\x01host=server.example.com\x01port=143\x01auth=\x01\x01"
    assert server("OAUTHBEARER").begin(ask) == TokenOffered("user@example.com", Secret(""))


@pytest.mark.parametrize("name", ["OAUTHBEARER", "XOAUTH2"])
def test_a_refused_token_takes_one_more_round(name: str) -> None:
    theirs, one = server(name), client(name, ClientCredentials("ann", token=Secret("abc")))
    assert theirs.begin(one.start()) == TokenOffered("ann", Secret("abc"))
    assert isinstance(theirs, OAuthBearerServer | XOAuth2Server)
    step = theirs.refuse({"status": "invalid_token"})
    assert json.loads(step.data) == {"status": "invalid_token"}
    answer = one.receive(step.data)
    assert answer == (b"\x01" if name == "OAUTHBEARER" else b"")
    assert theirs.receive(answer) == Failed(Fault.WRONG)
    assert isinstance(one.finished(), Abort)
    assert isinstance(one.receive(b""), Abort)


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"\x01",
        b"n,,\x01\x01",
        b"n,,\x01auth=Bearer a\x01",
        b"n,,auth=Bearer a\x01\x01",
        b"n,,\x01auth=Basic a\x01\x01",
        b"n,,\x01auth=Bearer a b\x01\x01",
        b"n,,\x01auth=Bearer a\x01auth=Bearer b\x01\x01",
        b"n,user=a,\x01auth=Bearer a\x01\x01",
        b"p=tls-unique,,\x01auth=Bearer a\x01\x01",
    ],
)
def test_malformed_oauthbearer_is_refused(message: bytes) -> None:
    assert server("OAUTHBEARER").begin(message) == MALFORMED


def test_bearer_is_spelt_in_any_case_and_unknown_keys_are_skipped() -> None:
    assert server("OAUTHBEARER").begin(b"y,,\x01new=x\x01auth=bEARER a\x01\x01") == TokenOffered("", Secret("a"))


@pytest.mark.parametrize(
    "message", [b"", b"user=a\x01auth=Bearer b\x01", b"auth=Bearer b\x01user=a\x01\x01", b"user=\x01auth=Bearer b\x01\x01"]
)
def test_malformed_xoauth2_is_refused(message: bytes) -> None:
    assert server("XOAUTH2").begin(message) == MALFORMED


def test_external_names_whom_to_act_as() -> None:
    # RFC 4422 appendix A
    assert server("EXTERNAL").begin(None) == Challenge(b"")
    assert server("EXTERNAL").begin(b"") == IdentityOffered("")
    assert server("EXTERNAL").begin(
        client("EXTERNAL", ClientCredentials(authzid="ann", has_certificate=True)).start()
    ) == IdentityOffered("ann")
    assert server("EXTERNAL").begin(b"a\x00") == MALFORMED


def test_anonymous_leaves_a_trace_of_255_characters_at_most_rfc_4505() -> None:
    assert server("ANONYMOUS").begin(client("ANONYMOUS", ClientCredentials(anonymous_trace="sirhc")).start()) == AnonymousOffered(
        "sirhc"
    )
    assert server("ANONYMOUS").begin(b"\xc3\xa9" * 255) == AnonymousOffered("é" * 255)
    assert server("ANONYMOUS").begin(b"a" * 256) == MALFORMED
    assert server("ANONYMOUS").begin(b"a\r\nb") == MALFORMED


@given(st.sampled_from(sorted(sasl.MECHANISMS)), st.lists(st.binary(max_size=60), min_size=1, max_size=4))
def test_no_server_raises_for_what_a_client_says(name: str, messages: list[bytes]) -> None:
    exchange = sasl.server_exchange(name, nonce="server", bindings=BINDINGS, offers_plus=True)
    step = exchange.begin(messages[0])
    for message in messages[1:]:
        if not isinstance(step, Challenge):
            return
        step = exchange.receive(message)


PASSWORD = ClientCredentials("ann", password=Secret("pw"))
ALL = list(sasl.MECHANISMS)


@pytest.mark.parametrize(
    ("offered", "bindings", "expected"),
    [
        (ALL, BINDINGS, "SCRAM-SHA-256-PLUS"),
        (["plain", "scram-sha-1", "login"], BINDINGS, "SCRAM-SHA-1"),
        (["SCRAM-SHA-1-PLUS", "SCRAM-SHA-256"], BINDINGS, "SCRAM-SHA-1-PLUS"),
        (ALL, {}, "SCRAM-SHA-256"),
        (ALL, {"tls-exporter": b"x"}, "SCRAM-SHA-256"),
        (ALL, None, "SCRAM-SHA-256"),
        (["LOGIN", "PLAIN"], {}, "PLAIN"),
        (["LOGIN", "PLAIN"], None, None),
        (["CRAM-MD5", "ANONYMOUS", "EXTERNAL", "XOAUTH2"], BINDINGS, None),
        ([], BINDINGS, None),
    ],
)
def test_the_client_takes_the_strongest(offered: list[str], bindings: dict[str, bytes] | None, expected: str | None) -> None:
    assert choose(offered, PASSWORD, bindings) == expected


def test_a63_the_client_goes_no_lower_than_what_worked_before() -> None:
    assert choose(["PLAIN", "LOGIN"], PASSWORD, BINDINGS, pinned="SCRAM-SHA-256") is None
    assert choose(["SCRAM-SHA-256", "PLAIN"], PASSWORD, BINDINGS, pinned="SCRAM-SHA-256-PLUS") is None
    assert choose(["SCRAM-SHA-1", "PLAIN"], PASSWORD, BINDINGS, pinned="SCRAM-SHA-256") is None
    assert choose(["SCRAM-SHA-256-PLUS", "PLAIN"], PASSWORD, BINDINGS, pinned="SCRAM-SHA-256") == "SCRAM-SHA-256-PLUS"
    assert choose(["LOGIN"], PASSWORD, {}, pinned="PLAIN") == "LOGIN"  # neither hides the password


def test_secrets_go_in_the_clear_only_where_that_is_allowed() -> None:
    assert choose(["PLAIN"], PASSWORD, None, allows_cleartext=True) == "PLAIN"
    assert choose(["EXTERNAL"], ClientCredentials(has_certificate=True), None, allows_cleartext=True) is None


def test_what_the_credentials_hold_decides() -> None:
    assert choose(ALL, ClientCredentials("a", token=Secret("t")), BINDINGS) == "OAUTHBEARER"
    assert choose(ALL, ClientCredentials(has_certificate=True), BINDINGS) == "EXTERNAL"
    assert choose(ALL, ClientCredentials(anonymous_trace=""), BINDINGS) == "ANONYMOUS"
    assert choose(["ANONYMOUS"], ClientCredentials("a", password=Secret("p"), anonymous_trace=""), BINDINGS) is None


def test_a_scram_client_says_whether_it_could_have_bound_the_channel() -> None:
    def first(name: str, bindings: dict[str, bytes] | None) -> bytes | None:
        return sasl.client_exchange(name, PASSWORD, nonce="abc", bindings=bindings).start()

    assert first("SCRAM-SHA-256", None) == b"n,,n=ann,r=abc"
    assert first("SCRAM-SHA-256", BINDINGS) == b"y,,n=ann,r=abc"
    assert first("SCRAM-SHA-256-PLUS", BINDINGS | {"tls-unique": b"u"}) == b"p=tls-server-end-point,,n=ann,r=abc"
    assert first("SCRAM-SHA-1-PLUS", {"tls-unique": b"u"}) == b"p=tls-unique,,n=ann,r=abc"


def test_secrets_do_not_print() -> None:
    assert "pw" not in repr(PASSWORD)
    assert "tanstaaf" not in repr(server("PLAIN").begin(b"\x00tim\x00tanstaaf"))
    assert "abc" not in repr(server("XOAUTH2").begin(b"user=a\x01auth=Bearer abc\x01\x01"))

"""SCRAM-SHA-256 and SCRAM-SHA-1, each with -PLUS (RFC 5802, RFC 7677): neither side shows the password to the other.

What must stay true: the client takes no server for true that has not signed (A-63); the nonce extends ours; a client
that could bind the channel and was told that the server cannot ("y") is turned away by a server that can; every
comparison of secrets takes constant time. The server's signature travels as a challenge that the client answers with
nothing: none of POP3, SMTP and IMAP has room for data beside its OK.
"""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from postwren.protocols.sasl.exchange import (
    Abort,
    Challenge,
    ClientCredentials,
    Failed,
    Fault,
    KeysNeeded,
    Limits,
    Proved,
    ScramKeysLike,
    ServerStep,
    text_of,
)
from postwren.protocols.sasl.framing import decode_response, encode_challenge
from postwren.protocols.sasl.prepare import saslprep
from postwren.wire.errors import LocalProtocolError
from postwren.wire.secret import Secret

__all__ = ["BINDING_TYPES", "ClientBinding", "ScramClient", "ScramServer", "scram_keys"]

BINDING_TYPES: Final = ("tls-server-end-point", "tls-unique")  # in a client's order of choice; docs/adr/0005
_HASHLIB: Final = {"sha-256": "sha256", "sha-1": "sha1"}


def scram_keys(password: Secret[str], salt: bytes, iterations: int, hash_name: str) -> tuple[bytes, bytes]:
    """(StoredKey, ServerKey) of a password that is prepared already (section 3). Costs `iterations` hashes."""
    salted = _salted_password(password, salt, iterations, hash_name)
    return _hash(hash_name, _mac(hash_name, salted, b"Client Key")), _mac(hash_name, salted, b"Server Key")


def _salted_password(password: Secret[str], salt: bytes, iterations: int, hash_name: str) -> bytes:
    return hashlib.pbkdf2_hmac(_HASHLIB[hash_name], password.reveal().encode(), salt, iterations)


def _hash(hash_name: str, data: bytes) -> bytes:
    return hashlib.new(_HASHLIB[hash_name], data).digest()


def _mac(hash_name: str, key: bytes, data: bytes) -> bytes:
    return hmac.digest(key, data, _HASHLIB[hash_name])


def _xor(left: bytes, right: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(left, right, strict=True))


# -- the grammar of section 7


def parse_saslname(value: bytes) -> str | None:
    """saslname = 1*(value-safe-char / "=2C" / "=3D")"""
    if not value or b"," in value:
        return None
    pieces = value.split(b"=")
    for piece in pieces[1:]:
        if piece[:2] not in (b"2C", b"3D"):
            return None
    plain = pieces[0] + b"".join((b"," if p[:2] == b"2C" else b"=") + p[2:] for p in pieces[1:])
    return text_of(plain)


def format_saslname(name: str) -> bytes:
    """The inverse of `parse_saslname`."""
    return name.replace("=", "=3D").replace(",", "=2C").encode()


def parse_nonce(value: bytes) -> bytes | None:
    """printable = %x21-2B / %x2D-7E"""
    return value if value and all(0x21 <= octet <= 0x7E and octet != 0x2C for octet in value) else None


def parse_base64(value: bytes) -> bytes | None:
    """base64, not empty"""
    octets = decode_response(value)
    return octets if isinstance(octets, bytes) and octets else None


def attributes(message: bytes, names: bytes) -> list[bytes] | None:
    """The values of the attributes that must come first and in this order; extensions behind them are not looked at.
    A mandatory extension (`m=`) in front is one that we do not know, and fails (section 5.1)."""
    fields = message.split(b",", len(names))
    if len(fields) < len(names):
        return None
    values = []
    for name, field in zip(names, fields, strict=False):
        if field[:2] != bytes((name,)) + b"=":
            return None
        values.append(field[2:])
    return values


@dataclass(frozen=True, slots=True)
class Gs2Header:
    """gs2-header = gs2-cbind-flag "," [ authzid ] "," """

    flag: str  # "n", "y" or the name of the binding
    authzid: str
    octets: bytes

    @staticmethod
    def parse(message: bytes) -> "tuple[Gs2Header, bytes] | None":
        """The header and what follows it."""
        fields = message.split(b",", 2)
        if len(fields) != 3:
            return None
        flag, identity, rest = fields
        if flag[:2] == b"p=" and flag[2:].isascii() and len(flag) > 2:
            name = flag[2:].decode()
        elif flag in (b"n", b"y"):
            name = flag.decode()
        else:
            return None
        authzid: str | None = ""
        if identity:
            authzid = parse_saslname(identity[2:]) if identity[:2] == b"a=" else None
        if authzid is None:
            return None
        return Gs2Header(name, authzid, message[: len(message) - len(rest)]), rest


# -- the server


class ScramServer:
    """begin/receive -> KeysNeeded -> keys -> Challenge -> receive -> Challenge (our signature) -> receive -> Proved.

    `bindings` is the channel's data by type, None for the mechanisms without -PLUS; `offers_plus` says whether the peer
    was offered a -PLUS mechanism on this connection.
    """

    __slots__ = (
        "_bindings",
        "_expected",
        "_first",
        "_hash_name",
        "_header",
        "_keys",
        "_name",
        "_nonce",
        "_offers_plus",
        "_proved",
    )

    def __init__(self, hash_name: str, nonce: str, bindings: Mapping[str, bytes] | None, offers_plus: bool) -> None:
        self._hash_name = hash_name
        self._bindings = bindings
        self._offers_plus = offers_plus
        self._nonce = nonce.encode()
        self._header = Gs2Header("n", "", b"")
        self._name = ""
        self._first = b""  # client-first-message-bare, then with "," server-first-message
        self._expected = b""  # what the client's final message must begin with
        self._keys: ScramKeysLike | None = None
        self._proved = False

    def begin(self, initial: bytes | None) -> ServerStep:
        return Challenge(b"") if initial is None else self.receive(initial)

    def receive(self, response: bytes) -> ServerStep:
        if self._proved:
            return Failed(Fault.MALFORMED) if response else Proved(self._name, self._header.authzid)
        return self._receive_first(response) if self._keys is None else self._receive_final(response, self._keys)

    def keys(self, keys: ScramKeysLike) -> Challenge:
        """Answers `KeysNeeded`: the server's first message."""
        if not self._first or self._keys is not None:
            raise LocalProtocolError("no keys are needed")
        self._keys = keys
        salt = encode_challenge(keys.salt)
        server_first = b"r=%b,s=%b,i=%d" % (self._nonce, salt, keys.iterations)
        self._first += b"," + server_first
        return Challenge(server_first)

    def _receive_first(self, message: bytes) -> ServerStep:
        parsed = Gs2Header.parse(message)
        if parsed is None or self._first:
            return Failed(Fault.MALFORMED)
        self._header, bare = parsed
        values = attributes(bare, b"nr")
        if values is None:
            return Failed(Fault.MALFORMED)
        name, nonce = parse_saslname(values[0]), parse_nonce(values[1].split(b",", 1)[0])
        if name is None or nonce is None:
            return Failed(Fault.MALFORMED)
        binding = self._binding(self._header.flag)
        if binding is None:
            return Failed(Fault.BINDING)
        self._name = name
        self._first = bare
        self._nonce = nonce + self._nonce
        self._expected = b"c=%b,r=%b" % (encode_challenge(self._header.octets + binding), self._nonce)
        return KeysNeeded(name, self._hash_name)

    def _binding(self, flag: str) -> bytes | None:
        """cbind-data for this flag, or None where it may not stand (section 6)."""
        if self._bindings is not None:
            return self._bindings.get(flag)
        if flag == "n" or (flag == "y" and not self._offers_plus):
            return b""
        return None

    def _receive_final(self, message: bytes, keys: ScramKeysLike) -> ServerStep:
        without_proof, comma, encoded = message.rpartition(b",p=")
        proof = parse_base64(encoded)
        if not comma or proof is None or len(proof) != len(keys.stored_key):
            return Failed(Fault.MALFORMED)
        binding_and_nonce = b",".join(without_proof.split(b",", 2)[:2])
        if not hmac.compare_digest(binding_and_nonce, self._expected):
            return Failed(Fault.BINDING)
        auth_message = self._first + b"," + without_proof
        client_key = _xor(proof, _mac(self._hash_name, keys.stored_key, auth_message))
        if not hmac.compare_digest(_hash(self._hash_name, client_key), keys.stored_key):
            return Failed(Fault.WRONG)
        self._proved = True
        return Challenge(b"v=" + encode_challenge(_mac(self._hash_name, keys.server_key, auth_message)))


# -- the client


@dataclass(frozen=True, slots=True)
class ClientBinding:
    """What a client says of channel binding: "n" (it cannot), "y" (it could, but the server was not heard to offer it), or the
    type's name with its data."""

    flag: str
    data: bytes = b""


class ScramClient:
    """start -> receive -> receive -> finished. The first `receive` may compute `Limits.iterations_max` hashes (half a second)."""

    __slots__ = (
        "_bare",
        "_binding",
        "_header",
        "_limits",
        "_name",
        "_nonce",
        "_password",
        "_server_signature",
        "_verified",
        "mechanism",
    )

    def __init__(
        self,
        mechanism: str,
        hash_name: str,
        credentials: ClientCredentials,
        nonce: str,
        binding: ClientBinding,
        limits: Limits = Limits(),  # noqa: B008 - frozen
    ) -> None:
        assert credentials.password is not None
        self.mechanism = mechanism
        self._name = hash_name
        self._limits = limits
        self._nonce = nonce.encode()
        self._password = Secret(saslprep(credentials.password.reveal()))
        self._binding = binding
        flag = binding.flag if binding.flag in ("n", "y") else f"p={binding.flag}"
        authzid = b"a=" + format_saslname(credentials.authzid) if credentials.authzid else b""
        self._header = b"%b,%b," % (flag.encode(), authzid)
        self._bare = b"n=%b,r=%b" % (format_saslname(saslprep(credentials.authcid)), self._nonce)
        self._server_signature = b""
        self._verified = False

    def start(self) -> bytes | None:
        return self._header + self._bare

    def receive(self, challenge: bytes, /) -> bytes | Abort:
        if self._verified:
            return Abort("SCRAM goes on after its end")
        return self._receive_final(challenge) if self._server_signature else self._receive_first(challenge)

    def finished(self, additional: bytes | None = None, /) -> Abort | None:
        if additional is not None and not self._verified:
            answer = self.receive(additional)
            if isinstance(answer, Abort):
                return answer
        return None if self._verified else Abort("the server did not prove that it knows the password")

    def _receive_first(self, message: bytes) -> bytes | Abort:
        values = attributes(message, b"rsi")
        if values is None:
            return Abort("the server's first SCRAM message is not understood")
        nonce, salt = parse_nonce(values[0]), parse_base64(values[1])
        count = values[2].split(b",", 1)[0]
        if nonce is None or salt is None or not (count.isdigit() and count[:1] != b"0"):
            return Abort("the server's first SCRAM message is not understood")
        if len(nonce) <= len(self._nonce) or not nonce.startswith(self._nonce):
            return Abort("the server's nonce does not extend ours")
        # The length is judged first: the number of a megabyte of digits is never computed.
        if len(count) > 10 or not self._limits.iterations_min <= int(count) <= self._limits.iterations_max:
            return Abort(f"the server's iteration count {count[:12].decode()} is out of bounds")
        return self._final(message, nonce, salt, int(count))

    def _final(self, server_first: bytes, nonce: bytes, salt: bytes, iterations: int) -> bytes:
        without_proof = b"c=%b,r=%b" % (encode_challenge(self._header + self._binding.data), nonce)
        auth_message = b",".join((self._bare, server_first, without_proof))
        salted = _salted_password(self._password, salt, iterations, self._name)
        client_key = _mac(self._name, salted, b"Client Key")
        signature = _mac(self._name, _hash(self._name, client_key), auth_message)
        self._server_signature = _mac(self._name, _mac(self._name, salted, b"Server Key"), auth_message)
        return without_proof + b",p=" + encode_challenge(_xor(client_key, signature))

    def _receive_final(self, message: bytes) -> bytes | Abort:
        field = message.split(b",", 1)[0]
        if field[:2] == b"e=":
            return Abort("the server refused: " + field[2:60].decode("ascii", "replace"))
        verifier = parse_base64(field[2:]) if field[:2] == b"v=" else None
        if verifier is None or not hmac.compare_digest(verifier, self._server_signature):
            return Abort("the server's signature is wrong")
        self._verified = True
        return b""

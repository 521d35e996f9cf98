"""SASL octets as lines of POP3 (RFC 5034), SMTP (RFC 4954) and IMAP (RFC 9051 section 6.2.2).

Strict (A-29): canonical base64 only, no white space, nothing behind the padding, and a cap on the line.
"""

import binascii

from postwren.protocols.sasl.exchange import Fault, Limits

__all__ = ["decode_initial", "decode_response", "encode_challenge", "encode_initial"]


def decode_response(line: bytes, limits: Limits = Limits()) -> bytes | Fault:  # noqa: B008 - frozen
    """A response line (for a client: a challenge) without its CRLF. "*" alone cancels; an empty line is an empty response."""
    if line == b"*":
        return Fault.CANCELLED
    if len(line) > limits.response_line:
        return Fault.MALFORMED
    try:
        octets = binascii.a2b_base64(line, strict_mode=True)
    except binascii.Error:
        return Fault.MALFORMED
    # Strict mode lets stray bits under the padding pass; what we decode has one spelling.
    return octets if encode_challenge(octets) == line else Fault.MALFORMED


def decode_initial(argument: bytes, limits: Limits = Limits()) -> bytes | Fault:  # noqa: B008 - frozen
    """The argument of AUTH, where "=" is an empty initial response (RFC 4954 section 4, RFC 5034 section 4)."""
    if argument == b"=":
        return b""
    octets = decode_response(argument, limits)
    return octets if octets != b"" else Fault.MALFORMED


def encode_challenge(data: bytes) -> bytes:
    """A challenge or a response."""
    return binascii.b2a_base64(data, newline=False)


def encode_initial(data: bytes) -> bytes:
    """An initial response as argument of the command."""
    return encode_challenge(data) or b"="

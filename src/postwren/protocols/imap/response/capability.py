"""CAPABILITY, ENABLED, ID (RFC 9051 sections 7.2.1 and 7.2.2, RFC 5161, 2971)."""

from dataclasses import dataclass

from postwren.protocols.imap.response.value import format_string

__all__ = ["CapabilityList", "Enabled", "ServerId", "format_capability", "format_enabled", "format_id"]


@dataclass(frozen=True, slots=True)
class CapabilityList:
    """Names as they were written."""

    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Enabled:
    """What an ENABLE switched on; may be nothing."""

    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ServerId:
    """RFC 2971; None is NIL."""

    fields: tuple[tuple[str, str | None], ...] | None


def format_capability(response: CapabilityList, is_utf8: bool) -> bytes:  # noqa: ARG001 - names are atoms
    """capability-data"""
    return " ".join(("* CAPABILITY", *response.names)).encode("ascii") + b"\r\n"


def format_enabled(response: Enabled, is_utf8: bool) -> bytes:  # noqa: ARG001 - names are atoms
    """enable-data"""
    return " ".join(("* ENABLED", *response.names)).encode("ascii") + b"\r\n"


def format_id(response: ServerId, is_utf8: bool) -> bytes:
    """id_response (RFC 2971 section 4)"""
    if response.fields is None:
        return b"* ID NIL\r\n"
    pairs = [format_string(field, is_utf8) + b" " + format_string(value, is_utf8) for field, value in response.fields]
    return b"* ID (%b)\r\n" % b" ".join(pairs)

"""How a mail program reaches an account here, in the XML that Mozilla's programs and many others read (`config-v1.1.xml`).

Only what has TLS is named: what is first is tried first.
"""

from dataclasses import dataclass
from typing import Literal
from xml.sax.saxutils import escape

__all__ = ["Offered", "autoconfig"]


@dataclass(frozen=True, slots=True)
class Offered:
    """A service as programs on other machines reach it."""

    kind: Literal["imap", "pop3", "smtp"]
    port: int
    is_implicit_tls: bool


def autoconfig(domain: str, hostname: str, offered: tuple[Offered, ...]) -> bytes:
    """The document for accounts of this domain."""
    servers = [_server(one, escape(hostname)) for one in offered if one.kind != "smtp"]
    servers += [_server(one, escape(hostname)) for one in offered if one.kind == "smtp"]
    name = escape(domain, {'"': "&quot;"})
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        '<clientConfig version="1.1">',
        f'  <emailProvider id="{name}">',
        f"    <domain>{name}</domain>",
        f"    <displayName>{name}</displayName>",
        *servers,
        "  </emailProvider>",
        "</clientConfig>",
        "",
    ]
    return "\n".join(lines).encode()


def _server(one: Offered, host: str) -> str:
    tag = "outgoingServer" if one.kind == "smtp" else "incomingServer"
    lines = [
        f'    <{tag} type="{one.kind}">',
        f"      <hostname>{host}</hostname>",
        f"      <port>{one.port}</port>",
        f"      <socketType>{'SSL' if one.is_implicit_tls else 'STARTTLS'}</socketType>",
        "      <authentication>password-cleartext</authentication>",
        "      <username>%EMAILADDRESS%</username>",
        f"    </{tag}>",
    ]
    return "\n".join(lines)

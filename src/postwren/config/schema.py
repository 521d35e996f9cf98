"""The schema: every option, its default and what it means. Nothing else holds a default.

Sizes are octets, times are seconds. Options are read once, at the start; certificates are re-read on SIGHUP.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

__all__ = [
    "Config",
    "Imap",
    "Judge",
    "Limits",
    "Listen",
    "Log",
    "Login",
    "MtaSts",
    "Outbound",
    "Smtp",
    "Storage",
    "Submission",
    "Tls",
]

Octets = Annotated[int, Meta(ge=0)]
Count = Annotated[int, Meta(ge=1)]
Hostname = Annotated[str, Meta(pattern=r"^([A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?|\[[0-9A-Za-z:.]+\])?\Z")]
"""A domain in A-labels or an address literal (RFC 5321 section 4.1.3): it goes out in greetings."""


class Listen(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the server listens: lists of HOST:PORT ("[::]:25", "127.0.0.1:24"), or the path of a Unix socket."""

    smtp: Annotated[tuple[str, ...], Meta(description="mail from other servers")] = ("0.0.0.0:25", "[::]:25")
    lmtp: Annotated[tuple[str, ...], Meta(description="mail from a server in front of this one; never on a public address")] = ()
    submission: Annotated[
        tuple[str, ...], Meta(description="mail from the accounts here to anybody, in the clear until STARTTLS")
    ] = ("0.0.0.0:587", "[::]:587")
    submissions: Annotated[tuple[str, ...], Meta(description="the same with TLS from the first octet")] = (
        "0.0.0.0:465",
        "[::]:465",
    )
    imap: Annotated[tuple[str, ...], Meta(description="IMAP, in the clear until STARTTLS")] = ("0.0.0.0:143", "[::]:143")
    imaps: Annotated[tuple[str, ...], Meta(description="IMAP with TLS from the first octet")] = ("0.0.0.0:993", "[::]:993")
    pop3: Annotated[tuple[str, ...], Meta(description="POP3, in the clear until STLS")] = ("0.0.0.0:110", "[::]:110")
    pop3s: Annotated[tuple[str, ...], Meta(description="POP3 with TLS from the first octet")] = ("0.0.0.0:995", "[::]:995")
    http: Annotated[
        tuple[str, ...], Meta(description='public documents: ACME\'s challenges, autoconfig ("0.0.0.0:80"); off unless listed')
    ] = ()
    https: Annotated[tuple[str, ...], Meta(description='and the MTA-STS policy ("0.0.0.0:443"); off unless listed')] = ()


class Tls(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The certificate chain and key in PEM. Without them the server makes a self-signed one in DATA/tls."""

    certificate: Annotated[str, Meta(description="path of the chain, leaf first")] = ""
    key: Annotated[str, Meta(description="path of the private key")] = ""
    strict_sni: Annotated[bool, Meta(description="refuse names that the certificate lacks (never on port 25)")] = True
    acme: Annotated[
        bool,
        Meta(description="get the certificate by ACME, by [listen] http on port 80; you agree to its terms of service"),
    ] = False
    acme_directory: Annotated[str, Meta(description="whose")] = "https://acme-v02.api.letsencrypt.org/directory"
    acme_contact: Annotated[str, Meta(description="an address that is told of trouble; may be empty")] = ""
    acme_names: Annotated[tuple[str, ...], Meta(description='names beside hostname ("mta-sts.example.org")')] = ()
    acme_dns_server: Annotated[
        str, Meta(description="ADDRESS:PORT of our primary name server: names are proven there, not on port 80")
    ] = ""
    acme_dns_key: Annotated[str, Meta(description="path of a TSIG key, as tsig-keygen writes it")] = ""
    acme_trust: Annotated[str, Meta(description="path of certificates to trust for acme_directory; empty: the system's")] = ""


class Smtp(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Mail on its way in, by SMTP and LMTP."""

    size_limit: Annotated[Count, Meta(description="the largest message taken")] = 50_000_000
    recipient_limit: Annotated[Count, Meta(description="recipients of one message (RFC 5321 asks for 100)")] = 100
    subaddress_separator: Annotated[str, Meta(description='ann+lists@ reaches ann@; "" switches it off', max_length=1)] = "+"
    postmaster: Annotated[str, Meta(description="the login that gets postmaster@ where no such address exists")] = ""
    trusted_networks: Annotated[tuple[str, ...], Meta(description="networks whose mail is not judged")] = (
        "127.0.0.0/8",
        "::1/128",
    )


class MtaSts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What others are told about TLS at our hosts (RFC 8461), at https://mta-sts.DOMAIN for each of our domains."""

    mode: Annotated[
        Literal["off", "testing", "enforce"], Meta(description="enforce: who believes it sends by verified TLS or not at all")
    ] = "off"
    mx: Annotated[tuple[str, ...], Meta(description='our MX hosts ("*.example.org": all below); only hostname if none')] = ()


class Submission(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Mail that the accounts here send."""

    messages_per_hour: Annotated[Count, Meta(description="of one account")] = 300
    recipients_per_hour: Annotated[Count, Meta(description="of one account, each recipient of each message")] = 3000
    any_author: Annotated[
        bool, Meta(description="the sender, From and Sender may be any address, not only the account's own")
    ] = False
    show_client: Annotated[bool, Meta(description="the Received line shows the client's name and address to the recipients")] = (
        False
    )


class Judge(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What becomes of mail from elsewhere. Who logs in, and what comes by LMTP, is not judged."""

    dmarc: Annotated[
        Literal["enforce", "junk", "note"],
        Meta(description="where DMARC fails: as the author's domain asks, into Junk at most, or only noted in the header"),
    ] = "enforce"
    check_hello: Annotated[bool, Meta(description="refuse greetings that are no host name, or another's")] = False
    check_name: Annotated[bool, Meta(description="refuse hosts whose address has no name that leads back to it")] = False
    dns_lists: Annotated[
        tuple[str, ...], Meta(description="lists of hosts: ZONE, ZONE*WEIGHT, ZONE=ANSWERS*WEIGHT; good ones weigh less than 0")
    ] = ()
    refused_from: Annotated[Count, Meta(description="a host is refused whose lists weigh so much; less is junk")] = 2
    reports: Annotated[bool, Meta(description="once a day, tell owners of domains who ask what was found (DMARC)")] = True
    greylist: Annotated[bool, Meta(description="who has never written before is asked to come again in a minute")] = False


class Outbound(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Mail on its way to other hosts."""

    smarthost: Annotated[
        str, Meta(description='HOST:PORT that takes all of it, by TLS from the first octet on port 465; "" asks the DNS')
    ] = ""
    credentials: Annotated[str, Meta(description="path of a file with the login there, and its password in a second line")] = ""
    bind: Annotated[str, Meta(description='an address of this machine to connect from; "" leaves it to the system')] = ""
    ports: Annotated[
        dict[str, Annotated[int, Meta(ge=1, le=65535)]],
        Meta(description='MX host to another port than 25, for trying out: { "mx.b.example" = 3025 }'),
    ] = {}
    warn_hours: Annotated[Count, Meta(description="after so long the sender hears that it takes long; it ends after 5 days")] = 4


class Imap(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Mail where it stays, by IMAP."""

    size_limit: Annotated[Count, Meta(description="the largest message that APPEND takes")] = 52_428_800
    compress: Annotated[bool, Meta(description="COMPRESS=DEFLATE after login: less traffic, more memory")] = False
    administrators: Annotated[
        tuple[str, ...], Meta(description="logins that may set quotas (SETQUOTA) and the server's shared annotations")
    ] = ()


class Login(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who may log in, and how often one may fail."""

    allow_cleartext: Annotated[bool, Meta(description="passwords without TLS (only on 127.0.0.1 and ::1 with --dev)")] = False
    failure_delay: Annotated[float, Meta(ge=0, description="a failed login is answered after this")] = 1.0
    trusted_networks: Annotated[tuple[str, ...], Meta(description="networks whose failures are not slowed down")] = ()


class Storage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is kept, and for how long."""

    reserve: Annotated[Octets, Meta(description="refuse mail (452) when less than this is free on the volume")] = 100_000_000
    sync_flags: Annotated[bool, Meta(description="flags are on the disk before they are answered, not within 0.1 s")] = False
    recovery_days: Annotated[int, Meta(ge=0, description="deleted mail can be brought back for so long")] = 30


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Connections; loopback addresses count only towards the total."""

    connections: Annotated[Count, Meta(description="in all")] = 10_000
    connections_per_address: Annotated[Count, Meta(description="from one address, before login")] = 20
    connects_per_minute: Annotated[Count, Meta(description="from one address; its networks may do 3 and 9 times as many")] = 300


class Log(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One line an event, on stderr."""

    format: Annotated[Literal["text", "json"], Meta(description="for people, or for programs")] = "text"
    level: Annotated[Literal["debug", "info", "warning", "error"], Meta(description="the least that is told")] = "info"


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything."""

    hostname: Annotated[Hostname, Meta(description="this server's name, as in its MX record; empty asks the system")] = ""
    listen: Listen = Listen()
    tls: Tls = Tls()
    smtp: Smtp = Smtp()
    judge: Judge = Judge()
    submission: Submission = Submission()
    mta_sts: MtaSts = MtaSts()
    outbound: Outbound = Outbound()
    imap: Imap = Imap()
    login: Login = Login()
    storage: Storage = Storage()
    limits: Limits = Limits()
    log: Log = Log()

"""What is synchronised with what: `DATA/sync/ADDRESS.toml`, which people may edit. It names the store that it is about, so
that an empty or another one is never taken for a mailbox whose messages were deleted (D-72).
"""

import hashlib
import json
import os
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, Literal
from urllib.parse import quote

import msgspec
from msgspec import Meta

from postwren.client.conversation import Security

__all__ = [
    "DEFAULT_PORTS",
    "Choices",
    "Deletion",
    "KeptIn",
    "Protocol",
    "Settings",
    "SettingsError",
    "all_settings",
    "file_of",
    "is_loopback",
    "load_settings",
    "remove_settings",
    "save_settings",
    "write_private",
]

Protocol = Literal["pop3", "imap"]
KeptIn = Literal["keyring", "file", "password-command", "token-command"]
DEFAULT_PORTS: Final[dict[tuple[str, Security], int]] = {
    ("pop3", Security.IMPLICIT): 995,
    ("pop3", Security.STARTTLS): 110,
    ("pop3", Security.NONE): 110,
    ("imap", Security.IMPLICIT): 993,
    ("imap", Security.STARTTLS): 143,
    ("imap", Security.NONE): 143,
}
_LONGEST_NAME: Final = 200  # octets of a file's name before its suffix
_DELETION: Final = r"at-once|never|with-local|after:[1-9][0-9]{0,4}"


class SettingsError(Exception):
    """The settings cannot be used; the text says where and why, and what to do."""


@dataclass(frozen=True, slots=True)
class Choices:
    """Of one run, not of an account: carry out deletions that were held; look again at mailboxes whose UIDVALIDITY kept changing;
    only say what would be done."""

    accepts_deletions: bool = False
    accepts_renumbering: bool = False
    is_dry_run: bool = False


class Deletion:
    """When a message that is durable here is deleted there (POP3)."""

    def __init__(self, text: str) -> None:
        if re.fullmatch(_DELETION, text) is None:
            raise SettingsError(f"{text!r} is no policy: say at-once, never, after:DAYS or with-local")
        kind, _, days = text.partition(":")
        self.kind = kind
        self.seconds = int(days or 0) * 24 * 3600

    def told(self) -> str:
        """As a clause: "they are deleted there ..."."""
        match self.kind:
            case "at-once":
                return "they are deleted there as soon as they are safe here"
            case "never":
                return "they stay there"
            case "after":
                return f"they are deleted there {self.seconds // 86400} days after they came here"
        return "they are deleted there when they are deleted here"


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One account. The fields are the file's; `address` is the account's login here."""

    address: str
    protocol: Protocol
    host: Annotated[str, Meta(pattern=r"^[^\x00-\x20\x7f]+\Z")]
    port: Annotated[int, Meta(ge=1, le=65535)]
    tls: Security
    login: Annotated[str, Meta(pattern=r"^[^\x00-\x1f\x7f]+\Z")]
    kept_in: KeptIn
    store: str
    command: str = ""  # what prints the secret
    mechanism: str = ""  # how the login was proved; nothing weaker is used
    trust: str = ""  # a file of certificates to trust instead of the system's
    delete: Annotated[str, Meta(pattern=f"^({_DELETION})\\Z")] = "at-once"
    smtp: Annotated[str, Meta(pattern=r"^([^\x00-\x20\x7f]+:[0-9]{1,5})?\Z")] = ""  # HOST:PORT by which mail leaves
    smtp_tls: Security = Security.IMPLICIT
    sent: Literal["device", "server"] = "device"  # who keeps a copy of what was sent

    @property
    def trusted(self) -> Path | None:
        """The file of `trust`."""
        return Path(self.trust) if self.trust else None

    @property
    def submission(self) -> tuple[str, int]:
        """Host and port of `smtp`."""
        host, _, port = self.smtp.rpartition(":")
        return host.strip("[]"), int(port or 0)


_EXPLAINED: Final = {
    "tls": "implicit, starttls, or none (this machine only)",
    "delete": "at-once, never, after:DAYS or with-local",
    "kept_in": "where the password is",
    "mechanism": "nothing weaker is used to log in",
    "smtp": "mail written here leaves by it",
    "smtp_tls": "implicit, starttls, or none (this machine only)",
    "sent": "who keeps a copy of what was sent: device or server",
    "store": "the store that this is about; nothing is synchronised with another one",
}


def is_loopback(host: str) -> bool:
    """Whether it is this machine: only then may a password go in the clear."""
    return host in ("localhost", "::1") or re.fullmatch(r"127(\.[0-9]{1,3}){3}", host) is not None


def file_of(data: Path, address: str, suffix: str) -> Path:
    """A file of an account; whatever the address holds, it is one in `DATA/sync`."""
    name = quote(address, safe="@+")
    if len(name) > _LONGEST_NAME:
        name = f"{name[:100]}~{hashlib.sha256(address.encode()).hexdigest()}"
    return data / "sync" / (name + suffix)


def all_settings(data: Path) -> list[Settings]:
    """Of all accounts, by address."""
    folder = data / "sync"
    found = [_load(path) for path in folder.glob("*.toml")] if folder.is_dir() else []
    return sorted(found, key=lambda settings: settings.address)


def load_settings(data: Path, address: str) -> Settings:
    """Raises SettingsError where there are none."""
    path = file_of(data, address, ".toml")
    if not path.exists():
        raise SettingsError(f"{address} is not synchronised here: `postwren sync list` shows what is, `postwren sync add` begins")
    settings = _load(path)
    if settings.address != address:
        raise SettingsError(f"{path}: address is {settings.address!r}, and the file's name says {address!r}")
    return settings


def _load(path: Path) -> Settings:
    try:
        settings = msgspec.convert(tomllib.loads(path.read_text(encoding="utf-8")), Settings)
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: not TOML: {error}") from None
    except msgspec.ValidationError as error:
        raise SettingsError(f"{path}: {error}") from None
    if settings.tls is Security.NONE and not is_loopback(settings.host):
        raise SettingsError(f'{path}: tls = "none" is for this machine only, and the host is {settings.host}')
    if settings.smtp and settings.smtp_tls is Security.NONE and not is_loopback(settings.submission[0]):
        raise SettingsError(f'{path}: smtp_tls = "none" is for this machine only, and the host is {settings.submission[0]}')
    return settings


def save_settings(data: Path, settings: Settings) -> Path:
    """Durable when it returns; returns the file."""
    lines = [f"# What `postwren sync` keeps here of {settings.address}. Change it as you like; the next run reads it."]
    for name, value in msgspec.to_builtins(settings).items():
        lines.append(f"{name} = {_toml(value)}" + (f"  # {_EXPLAINED[name]}" if name in _EXPLAINED else ""))
    path = file_of(data, settings.address, ".toml")
    write_private(path, "\n".join(lines).encode() + b"\n")
    return path


def remove_settings(data: Path, address: str) -> None:
    """Nothing is synchronised from now on."""
    file_of(data, address, ".toml").unlink(missing_ok=True)


def write_private(path: Path, octets: bytes) -> None:
    """A file that only its owner may read, whole or as it was before, durable when it returns."""
    path.parent.mkdir(mode=0o700, exist_ok=True)
    part = path.with_name(path.name + ".new")
    part.unlink(missing_ok=True)
    fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(octets)
            file.flush()
            os.fsync(file.fileno())
        part.rename(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _toml(value: object) -> str:
    """A string or a number; JSON's escapes are TOML's, but for DEL."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")

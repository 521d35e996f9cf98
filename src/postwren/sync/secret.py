"""Where the password of a remote account is: the system's keyring where `keyring` is installed and works, else a file that only
its owner may read; or nowhere, and a command prints it at every run (A-97).
"""

import contextlib
import importlib
import importlib.util
import stat
import subprocess
from pathlib import Path
from typing import Any, Final, Literal

from postwren.sync.settings import Settings, SettingsError, file_of, write_private
from postwren.wire.secret import Secret

__all__ = ["forget_secret", "keep_secret", "read_secret", "run_command"]

_SERVICE: Final = "postwren sync"
_PATIENCE: Final = 120.0  # seconds for a command, which may ask its user something


def keep_secret(data: Path, address: str, secret: Secret[str]) -> Literal["keyring", "file"]:
    """Keep it, and say where."""
    if (keyring := _keyring()) is not None:
        try:
            keyring.set_password(_SERVICE, _entry(data, address), secret.reveal())
        except Exception:  # a keyring that is locked, or has no desktop to ask on: the file does
            keyring = None
        else:
            return "keyring"
    write_private(file_of(data, address, ".secret"), secret.reveal().encode() + b"\n")
    return "file"


def forget_secret(data: Path, settings: Settings) -> None:
    """Harmless where there is none."""
    if settings.kept_in == "keyring" and (keyring := _keyring()) is not None:
        with contextlib.suppress(Exception):  # gone already, or the keyring is
            keyring.delete_password(_SERVICE, _entry(data, settings.address))
    file_of(data, settings.address, ".secret").unlink(missing_ok=True)


def read_secret(data: Path, settings: Settings) -> Secret[str]:
    """The password, or the token of a command. Raises SettingsError."""
    match settings.kept_in:
        case "keyring":
            return _from_keyring(data, settings.address)
        case "file":
            return _from_file(file_of(data, settings.address, ".secret"), settings.address)
    return run_command(settings.command)


def run_command(command: str) -> Secret[str]:
    """The first line that a command of the user's prints. Raises SettingsError."""
    if not command:
        raise SettingsError("no command is given that prints the password")
    try:
        done = subprocess.run(["/bin/sh", "-c", command], stdout=subprocess.PIPE, timeout=_PATIENCE, check=False)
    except subprocess.TimeoutExpired:
        raise SettingsError(f"the command for the password did not end within {_PATIENCE:.0f} seconds: {command}") from None
    text = done.stdout.decode(errors="replace").partition("\n")[0].rstrip("\r")
    if done.returncode or not text:
        raise SettingsError(f"the command for the password ended with {done.returncode} and printed nothing of use: {command}")
    return Secret(text)


def _from_keyring(data: Path, address: str) -> Secret[str]:
    keyring = _keyring()
    if keyring is None:
        raise SettingsError(f"the password of {address} is in a keyring that is not there: `postwren sync password {address}`")
    try:
        text = keyring.get_password(_SERVICE, _entry(data, address))
    except Exception as error:  # each keyring has errors of its own
        raise SettingsError(f"the keyring does not give the password of {address}: {error}") from None
    if not text:
        raise SettingsError(f"the keyring has no password of {address}: `postwren sync password {address}` gives it one")
    return Secret(str(text))


def _from_file(path: Path, address: str) -> Secret[str]:
    try:
        mode = path.stat().st_mode
        text = path.read_text(encoding="utf-8").partition("\n")[0]
    except OSError as error:
        raise SettingsError(f"{path}: {error.strerror}; `postwren sync password {address}` makes it anew") from None
    if stat.S_IMODE(mode) & 0o077:
        raise SettingsError(f"{path} can be read by others: `chmod 600 {path}`, and think of a new password")
    return Secret(text)


def _entry(data: Path, address: str) -> str:
    return f"{address} in {data.absolute()}"


def _keyring() -> Any | None:
    if importlib.util.find_spec("keyring") is None:
        return None
    return importlib.import_module("keyring")

"""The loader: a TOML file, then `POSTWREN_SECTION_OPTION` from the environment; errors name the option and the fix."""

import difflib
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from postwren.config.schema import Config

__all__ = ["ConfigError", "load_config", "options"]

PREFIX = "POSTWREN_"
_PLAIN = {
    "array": 'a list such as ["a", "b"]',
    "bool": "true or false",
    "str": 'a text in "quotes"',
    "int": "a number",
    "float": "a number",
    "object": "a section or table",
}
NOT_OPTIONS = {"POSTWREN_DATA", "POSTWREN_CONFIG"}  # read by the command line


class ConfigError(Exception):
    """The configuration cannot be used; the text says where and why."""


def load_config(path: Path | None, environment: Mapping[str, str]) -> Config:
    """The configuration from `path` (None: defaults only) and the environment; raises ConfigError."""
    values = _read_file(path) if path else {}
    for name, text in environment.items():
        if name.startswith(PREFIX) and name not in NOT_OPTIONS:
            _set_from_environment(values, name, text)
    try:
        return msgspec.convert(values, Config)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{path or 'environment'}: {_explain(str(error))}") from None


def options() -> dict[str, msgspec.structs.FieldInfo]:
    """Every option by its dotted name."""
    found: dict[str, msgspec.structs.FieldInfo] = {}
    for field in msgspec.structs.fields(Config):
        if isinstance(field.type, type) and issubclass(field.type, msgspec.Struct):
            found.update({f"{field.name}.{sub.name}": sub for sub in msgspec.structs.fields(field.type)})
        else:
            found[field.name] = field
    return found


def _read_file(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        hint = "; a text stands in quotes" if "Invalid value" in str(error) else ""
        raise ConfigError(f"{path}: not TOML: {error}{hint}") from None


def _set_from_environment(values: dict[str, Any], name: str, text: str) -> None:
    wanted = name.removeprefix(PREFIX).lower()
    known = {dotted.replace(".", "_"): dotted for dotted in options()}
    if wanted not in known:
        if wanted.partition("_")[0] not in Config.__struct_fields__:
            return  # somebody else's variable
        raise ConfigError(f"environment: {name} is no option{_near(wanted, list(known))}")
    dotted = known[wanted]
    try:
        default = options()[dotted].default
        value: Any = text
        if default is msgspec.NODEFAULT:  # the one table: NAME=NUMBER, ...
            value = {name.strip(): int(number) for name, _, number in (part.partition("=") for part in text.split(",") if part)}
        elif isinstance(default, tuple):
            value = [part.strip() for part in text.split(",") if part.strip()]
        elif not isinstance(default, str):
            value = msgspec.convert(text, type(default), strict=False)
    except (msgspec.ValidationError, ValueError) as error:
        raise ConfigError(f"environment: {name}: {error}") from None
    section, _, option = dotted.rpartition(".")
    place = values.setdefault(section, {}) if section else values
    if isinstance(place, dict):  # else the file is wrong there, and is told so
        place[option] = value


def _explain(message: str) -> str:
    what, _, where = message.partition(" - at `$")
    place = where.strip("`").lstrip(".")
    if "unknown field" in what:
        unknown = what.split("`")[1]
        known = [name.rpartition(".")[2] for name in options() if name.rpartition(".")[0] == place]
        known += [] if place else list(Config.__struct_fields__)
        return (
            f"[{place}] has no option {unknown!r}{_near(unknown, known)}" if place else f"no {unknown!r}{_near(unknown, known)}"
        )
    for term, plain in _PLAIN.items():
        what = what.replace(f"`{term}`", plain)
    return f"{place}: {what}" if place else what


def _near(word: str, known: list[str]) -> str:
    close = difflib.get_close_matches(word, known, 1)
    return f"; did you mean {close[0]!r}?" if close else "; `postwren config example` lists all"

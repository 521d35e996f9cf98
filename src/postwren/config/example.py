"""The example file, generated from the schema: every option at its default, commented out."""

import inspect
import json
from typing import Any, get_args

import msgspec

from postwren.config.schema import Config

__all__ = ["example"]


def example() -> str:
    """A TOML file that changes nothing and explains everything."""
    lines = ["# Postwren's configuration. Every line that is commented out shows the default.", ""]
    sections = []
    for field in msgspec.structs.fields(Config):
        if isinstance(field.type, type) and issubclass(field.type, msgspec.Struct):
            sections.append(field)
        else:
            lines += _option(field)
    for section in sections:
        doc = inspect.getdoc(section.type) or ""
        lines += ["", *(f"# {line}" for line in doc.splitlines()), f"[{section.name}]"]
        for field in msgspec.structs.fields(section.type):
            lines += _option(field)
    return "\n".join(lines) + "\n"


def _option(field: msgspec.structs.FieldInfo) -> list[str]:
    default = field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()
    return [f"# {field.name} = {_toml(default)}  # {_description(field.type)}"]


def _description(kind: Any) -> str:
    metas = [arg for arg in get_args(kind) if isinstance(arg, msgspec.Meta) and arg.description]
    return metas[-1].description or "" if metas else ""


def _toml(value: Any) -> str:
    return json.dumps(list(value) if isinstance(value, tuple) else value)

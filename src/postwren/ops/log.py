"""The log: one line an event on stderr, for people or as JSON. What a peer sent can neither break a line nor speak
to a terminal: control and format characters are escaped, fields are cut at 256 characters (A-33).

    log = logging.getLogger("postwren.smtp")
    log.info("accepted", extra={"fields": {"size": 4096, "peer": "192.0.2.1"}})
"""

import json
import logging
import sys
import time
import unicodedata
from typing import Any, Final, TextIO

__all__ = ["set_up_log"]

LONGEST_FIELD: Final = 256
_UNSAFE: Final = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


def set_up_log(style: str, level: str, stream: TextIO | None = None) -> None:
    """Send the log of all of postwren to `stream` (stderr) in `style` ("text" or "json")."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter() if style == "json" else TextFormatter())
    root = logging.getLogger("postwren")
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    root.propagate = False


class TextFormatter(logging.Formatter):
    """2026-01-31T12:00:00Z smtp info accepted size=4096 peer=192.0.2.1"""

    def format(self, record: logging.LogRecord) -> str:
        words = [_stamp(record), _area(record), record.levelname.lower(), clean(record.getMessage())]
        words += [f"{name}={_quoted(clean(value))}" for name, value in _fields(record).items()]
        return " ".join(words) + _trace(self, record)


class JsonFormatter(logging.Formatter):
    """{"time": ..., "area": "smtp", "level": "info", "event": "accepted", "size": 4096}"""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": _stamp(record),
            "area": _area(record),
            "level": record.levelname.lower(),
            "event": clean(record.getMessage()),
        }
        for name, value in _fields(record).items():
            line[name] = value if isinstance(value, int | float | bool | None) else clean(value)
        if record.exc_info:
            line["trace"] = self.formatException(record.exc_info)
        return json.dumps(line)


def clean(value: object) -> str:
    """Text that is safe on any terminal and in any log reader."""
    if isinstance(value, bytes):
        value = value[: LONGEST_FIELD + 1].decode("utf-8", "backslashreplace")
    text = str(value)
    cut = text[:LONGEST_FIELD]
    if not (cut.isascii() and cut.isprintable()):
        cut = "".join(c if unicodedata.category(c) not in _UNSAFE else f"\\u{ord(c):04x}" for c in cut)
    return cut if len(text) <= LONGEST_FIELD else cut + "..."


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False) if not text or any(c in text for c in ' "=') else text


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    fields: dict[str, Any] = getattr(record, "fields", {})
    return fields


def _area(record: logging.LogRecord) -> str:
    return record.name.removeprefix("postwren.")


def _stamp(record: logging.LogRecord) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z"


def _trace(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    return "\n" + formatter.formatException(record.exc_info) if record.exc_info else ""

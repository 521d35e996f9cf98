"""The log: one line an event on stderr, for people or as JSON. What a peer sent can neither break a line nor speak
to a terminal: control and format characters are escaped, fields are cut at 256 characters (A-33).

    log = logging.getLogger("postwren.smtp")
    log.info("accepted", extra={"fields": {"size": 4096, "peer": "192.0.2.1"}})
"""

import asyncio
import functools
import json
import logging
import re
import sys
import time
import unicodedata
from contextlib import nullcontext, suppress
from typing import Any, Final, TextIO

__all__ = ["set_up_log"]

LONGEST_FIELD: Final = 256
_is_plain: Final = re.compile(r"[!#-<>-~]{1,256}").fullmatch  # needs neither escape nor quotes, nor a look at each character
_UNSAFE: Final = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


def set_up_log(style: str, level: str, stream: TextIO | None = None) -> None:
    """Send the log of all of postwren to `stream` (stderr) in `style` ("text" or "json")."""
    logging._srcfile = None  # nobody prints where a line came from: do not look it up
    logging.setLogRecordFactory(Record)
    handler = BatchHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter() if style == "json" else TextFormatter())
    root = logging.getLogger("postwren")
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    root.propagate = False


_NOT_LOOKED_UP: Final = {
    **dict.fromkeys(("pathname", "filename", "module", "funcName", "threadName", "processName", "taskName"), ""),
    **dict.fromkeys(("lineno", "process", "thread", "relativeCreated"), 0),
    "exc_text": None,
}
"""In every record all the same, for formatters of others that name it."""


_LEVELS: Final = {level: logging.getLevelName(level) for level in (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR)}


class Record(logging.LogRecord):
    """A record without file, function, thread and process, which nobody prints and which take half of its time to find out."""

    def __init__(
        self,
        name: str,
        level: int,
        _pathname: str,
        _lineno: int,
        msg: object,
        args: Any,
        exc_info: Any,
        _func: str | None = None,
        sinfo: str | None = None,
    ) -> None:
        self.__dict__.update(_NOT_LOOKED_UP)
        self.name = name
        self.msg = msg
        self.args = args[0] if len(args) == 1 and isinstance(args[0], dict) and args[0] else args
        self.levelno = level
        self.levelname = _LEVELS.get(level) or logging.getLevelName(level)
        self.exc_info = exc_info
        self.stack_info = sinfo
        self.created = now = time.time()
        self.msecs = now % 1 * 1000


class BatchHandler(logging.StreamHandler[TextIO]):
    """Lines of one turn of the event loop leave in one write; outside of a loop, and from warnings on, at once. They are also
    made only then, when what the turn was about is done."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self._records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        records = self._records
        records.append(record)
        try:
            if record.levelno >= logging.WARNING:
                self.flush()
            elif len(records) == 1:
                asyncio.get_running_loop().call_soon(self.flush)
        except RuntimeError:  # no loop in this thread
            self.flush()
        except Exception:
            self.handleError(record)

    def flush(self) -> None:
        """Write what waits."""
        with self.lock or nullcontext():
            records, self._records = self._records, []
            lines = [self._line(record) for record in records]
            # Who reads the log may be gone: no session ends by that, and there is nobody left to be told.
            with suppress(OSError, ValueError):
                if lines:
                    self.stream.write("".join(lines))
                super().flush()

    def _line(self, record: logging.LogRecord) -> str:
        try:
            return self.format(record) + "\n"
        except Exception:
            self.handleError(record)
            return ""


class TextFormatter(logging.Formatter):
    """2026-01-31T12:00:00Z smtp info accepted size=4096 peer=192.0.2.1"""

    def format(self, record: logging.LogRecord) -> str:
        text = f"{_stamp(record)} {_area(record)} {record.levelname.lower()} {clean(record.getMessage())}"
        for name, value in _fields(record).items():
            text += f" {name}={_word(value)}"
        return text + _trace(self, record) if record.exc_info else text


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


def _word(value: object) -> str:
    if isinstance(value, int):
        return str(value)
    if not isinstance(value, bytes) and _is_plain(text := str(value)):
        return text
    text = clean(value)
    return json.dumps(text, ensure_ascii=False) if not text or any(c in text for c in ' "=') else text


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    fields: dict[str, Any] = getattr(record, "fields", {})
    return fields


def _area(record: logging.LogRecord) -> str:
    return record.name.removeprefix("postwren.")


@functools.lru_cache(2)
def _second(number: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(number))


def _stamp(record: logging.LogRecord) -> str:
    return f"{_second(int(record.created))}.{int(record.msecs):03d}Z"


def _trace(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    """What it says may come from a peer: indented and clean, so that no line of it looks like another event."""
    lines = formatter.formatException(record.exc_info).split("\n") if record.exc_info else []
    return "".join(f"\n  {clean(line)}" for line in lines)

"""How a command tells what it does: lines of JSON, or one line for people that is written over while it goes on. In a pipe only
what counts is said: what is noted, and how it ended.
"""

import json
import sys
import time
from typing import Final, TextIO

from postwren.sync.report import (
    Began,
    Differs,
    Ended,
    Event,
    Failed,
    Found,
    Held,
    Noted,
    Progress,
    Step,
    Verified,
    Watching,
    as_json,
    told,
)

__all__ = ["Teller"]

_EVERY: Final = 0.2  # seconds between two lines of progress


class Teller:
    """Call it with events."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._is_terminal = sys.stderr.isatty() and not as_json
        self._width = 0
        self._shown = 0.0
        self._found = ""

    def __enter__(self) -> "Teller":
        return self

    def __exit__(self, *_: object) -> None:
        self._wipe()

    def __call__(self, event: Event) -> None:
        if self._as_json:
            print(json.dumps(as_json(event), ensure_ascii=False), flush=True)
            return
        match event:
            case Ended():
                self._line(self._found or told(event) if event.is_dry_run else told(event), sys.stdout)
            case Failed() | Noted() | Held():
                self._line(f"postwren: {told(event)}", sys.stderr)
            case Step(is_planned=True) | Watching() | Differs() | Verified():
                self._line(told(event), sys.stdout)
            case Found() | Progress() | Began() | Step():
                self._found = told(event) if isinstance(event, Found) else self._found
                self._over(told(event), is_due=not isinstance(event, Progress) or event.fetched == event.of)

    def _line(self, text: str, stream: TextIO) -> None:
        self._wipe()
        print(text, file=stream, flush=True)

    def _over(self, text: str, *, is_due: bool) -> None:
        now = time.monotonic()
        if self._is_terminal and (is_due or now - self._shown > _EVERY):
            self._wipe()
            print(f"\r{text}", end="", file=sys.stderr, flush=True)
            self._shown, self._width = now, len(text)

    def _wipe(self) -> None:
        if self._width:
            print("\r" + " " * self._width + "\r", end="", file=sys.stderr, flush=True)
            self._width = 0

"""One connection of a web client (RFC 9110, 9112): public documents only, so nobody logs in and nothing is remembered."""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from postwren.protocols.http.server import Answer, Event, PeerClosed, RequestRejected, ServerConnection
from postwren.server.http.route import Route, find
from postwren.transport.deadline import Patience
from postwren.transport.session import Handled, LinkControl, TlsInfo

__all__ = ["BUSY", "PATIENCE", "HttpSession"]

log = logging.getLogger("postwren.http")

PATIENCE: Final = Patience(command=15)
"""For a whole request, however it drips (A-79), and between two."""
BUSY: Final = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
_DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class HttpSession:
    """Implements `transport.session.Session`. `now` gives seconds since 1970."""

    __slots__ = ("_link", "_now", "_routes", "core")

    def __init__(self, routes: Sequence[Route], now: Callable[[], float]) -> None:
        self.core = ServerConnection()
        self._routes = routes
        self._now = now
        self._link: LinkControl

    def opened(self, link: LinkControl) -> Handled:
        self._link = link
        return None

    def handle(self, event: Event) -> Handled:
        match event:
            case PeerClosed():
                self._link.close()
            case RequestRejected():
                log.info("refused", extra={"fields": {"peer": self._link.peer.address, "why": event.reason}})
                self._link.close()
            case _:
                answer = find(self._routes, event, is_tls=self._link.tls is not None) or Answer(404)
                # RFC 9110 section 6.6.1
                self.core.send(replace(answer, fields=[("Date", http_date(self._now())), *answer.fields]))
                told = {"peer": self._link.peer.address, "host": event.host, "path": event.path[:200], "status": answer.status}
                log.info("answered", extra={"fields": told})
                if self.core.is_closing:
                    self._link.close()
        return None

    def tls_started(self, tls: TlsInfo) -> Handled:  # noqa: ARG002 - there is no TLS inside a connection
        self.core.tls_started()
        return None

    def timed_out(self) -> None:
        self.core.last_word(408)

    def server_ends(self) -> None:
        """It is closed without a word: a client asks again elsewhere."""

    def failed(self, error: BaseException) -> None:  # noqa: ARG002 - the link logs it
        self.core.last_word(500)

    def closed(self) -> None:
        """Nothing is held."""


def http_date(epoch: float) -> str:
    """RFC 9110 section 5.6.7, in English whatever the locale."""
    t = time.gmtime(epoch)
    day, month = _DAYS[t.tm_wday], _MONTHS[t.tm_mon - 1]
    return f"{day}, {t.tm_mday:02} {month} {t.tm_year} {t.tm_hour:02}:{t.tm_min:02}:{t.tm_sec:02} GMT"

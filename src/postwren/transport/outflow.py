"""What a link has to write: answers gathered into one write, bodies pulled piece by piece, ciphertext where TLS is on.

    core.data_to_send() -> collect() -> [later] -> batch -> [Compression] -> [TlsChannel] -> transport

The order of outputs is the order on the wire. `later` begins with a body and holds what must wait behind it; at most one piece
of it is in memory beyond the batch. Idle, it holds nothing.
"""

import asyncio
import os
from collections import deque
from typing import Final

from postwren.transport.compression import Compression
from postwren.transport.kernel import unsent
from postwren.transport.tls import TlsChannel
from postwren.wire.core import Output

__all__ = ["BATCH", "BodyFailed", "Outflow"]

BATCH: Final = 65536
"""Octets that are gathered before they are written."""
_PULL_AT_ONCE: Final = 256 << 10  # then other links get their turn


class BodyFailed(Exception):
    """A body could not be read to its end; `__cause__` says why. Nothing may be written after what was."""


class Outflow:
    """One link's way out. The link sets `is_full` when the transport wants no more, and `channel` when TLS begins."""

    __slots__ = (
        "_batch",
        "_batched",
        "_fd",
        "_is_over",
        "channel",
        "compression",
        "is_full",
        "later",
        "transport",
        "written",
    )

    def __init__(self, transport: asyncio.Transport) -> None:
        self.transport = transport
        self.channel: TlsChannel | None = None
        self.compression: Compression | None = None
        self.is_full = False
        self.later: deque[Output] | None = None
        self._batch: list[bytes] | None = None
        self._batched = 0
        self.written = 0  # octets, ever
        self._is_over = False
        sock = transport.get_extra_info("socket")
        self._fd = -1 if sock is None else sock.fileno()

    def collect(self, outputs: list[Output]) -> None:
        """Take what the core wants sent; write what fills a batch. Raises BodyFailed, TlsFault."""
        if self._is_over:
            return
        for output in outputs:
            if self.later is not None:
                self.later.append(output)
            elif not isinstance(output, bytes):
                self.later = deque((output,))
            elif self._batch is None:
                self._batch = [output]
                self._batched = len(output)
            else:
                self._batch.append(output)
                self._batched += len(output)
        if self.is_full:
            return
        if self.later is not None:
            self.pull()
        elif self._batched >= BATCH:
            self.flush()

    def pull(self) -> None:
        """Go on with the bodies, and with what waits behind them, while the peer keeps up. Where `later` is left and `is_full` is
        not set, call it again when others had their turn; a body says b"" where they should. Raises BodyFailed, TlsFault."""
        later = self.later
        left = _PULL_AT_ONCE
        while later and not self.is_full and left > 0:
            output = later[0]
            if isinstance(output, bytes):
                later.popleft()
                self._add(output)
            else:
                try:
                    piece = next(output, None)
                except Exception as error:
                    raise BodyFailed from error
                if piece is None:
                    later.popleft()
                elif piece:
                    self._add(piece)
                else:  # it worked, and had nothing to say
                    left = 0
            if self._batched >= BATCH:
                left -= self._batched
                self.flush()
                if self.transport.is_closing():  # the peer is gone, and the loop has not said so yet
                    return
        if not later:
            self.later = None

    def flush(self) -> None:
        """Write the batch, however small. Raises TlsFault."""
        if self._batch is None:
            return
        batch, self._batch, self._batched = self._batch, None, 0
        data = batch[0] if len(batch) == 1 else b"".join(batch)
        if data:
            if self.compression is not None:
                data = self.compression.deflate(data)
            self.write_octets(data if self.channel is None else self.channel.protect(data))

    def write_octets(self, data: bytes) -> None:
        """Write these as they are (ciphertext already), at once."""
        if data:
            self.written += len(data)
            rest = self._send(data)
            if rest:
                self.transport.write(rest)

    def _send(self, data: bytes) -> bytes:
        """Give the kernel what it takes at once, past the transport, which would hold on to the interpreter for the length of the
        call (5 % of a delivery). What is left is the transport's, and so is an error, which it will find again. A transport that
        closes is not passed by: its descriptor may be another connection's by now."""
        transport = self.transport
        if self._fd < 0 or transport.get_write_buffer_size() or transport.is_closing():
            return data
        try:
            sent = os.write(self._fd, data)
        except OSError:
            return data
        return data[sent:] if sent < len(data) else b""

    def taken(self) -> int:
        """Octets that the peer's system has acknowledged: neither the transport nor our kernel holds them any more."""
        return self.written - self.transport.get_write_buffer_size() - unsent(self.transport)

    def drop(self) -> None:
        """Nothing more will be written, whatever is still said: release bodies and buffers."""
        self._is_over = True
        self.later = self._batch = self.channel = self.compression = None
        self._batched = 0

    def _add(self, piece: bytes) -> None:
        if self._batch is None:
            self._batch = [piece]
        else:
            self._batch.append(piece)
        self._batched += len(piece)

"""A proxy on loopback that counts what a device and a server say: octets each way, round trips, and lines of the device.

A turn is a change of direction from the server to the device's next word: each costs a round trip on a real network.
"""

import contextlib
import socket
import threading
from dataclasses import dataclass

__all__ = ["Counted", "Proxy"]


@dataclass(slots=True)
class Counted:
    """Since the last `reset`."""

    connections: int = 0
    turns: int = 0
    sent: int = 0
    received: int = 0
    retr: int = 0  # lines of the device that begin with RETR


class Proxy:
    """Use it as a context; `port` is where the device goes."""

    def __init__(self, port: int) -> None:
        self._target = port
        self.counted = Counted()
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> "Proxy":
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def reset(self) -> Counted:
        """The counts so far; new ones begin."""
        with self._lock:
            counted, self.counted = self.counted, Counted()
        return counted

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                device, _ = self._listener.accept()
                with self._lock:
                    self.counted.connections += 1
                _Pair(self, device, socket.create_connection(("127.0.0.1", self._target)))

    def told(self, octets: bytes, is_device: bool, is_turn: bool, retr: int) -> None:
        """Count a piece."""
        with self._lock:
            if is_device:
                self.counted.sent += len(octets)
                self.counted.turns += is_turn
                self.counted.retr += retr
            else:
                self.counted.received += len(octets)


class _Pair:
    """One connection: a thread a direction."""

    def __init__(self, proxy: Proxy, device: socket.socket, server: socket.socket) -> None:
        self._proxy = proxy
        self._server_spoke = True  # the greeting
        self._rest = b""
        for sock in (device, server):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=self._carry, args=(device, server, True), daemon=True).start()
        threading.Thread(target=self._carry, args=(server, device, False), daemon=True).start()

    def _carry(self, source: socket.socket, sink: socket.socket, is_device: bool) -> None:
        with contextlib.suppress(OSError):
            while octets := source.recv(1 << 17):
                is_turn, retr = False, 0
                if is_device:
                    is_turn, self._server_spoke = self._server_spoke, False
                    *lines, self._rest = (self._rest + octets).split(b"\r\n")
                    retr = sum(line.upper().startswith(b"RETR ") for line in lines)
                else:
                    self._server_spoke = True
                self._proxy.told(octets, is_device, is_turn, retr)
                sink.sendall(octets)
        for sock in (source, sink):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        with contextlib.suppress(OSError):
            source.close()

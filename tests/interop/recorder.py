"""A relay that writes down what a POP3 server sends: for clients that change what they fetched before they keep it."""

import re
import socket
import threading
from types import TracebackType

LISTS = re.compile(rb"(?i)(RETR|TOP) |(CAPA|UIDL|LIST)\r?$")


class Recorder:
    """Listens on a port of its own and relays to `target`, in the clear, one client at a time."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._said: list[tuple[bytearray, bytearray]] = []  # client, server; a pair a connection
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> "Recorder":
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()

    def _run(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            said = (bytearray(), bytearray())
            self._said.append(said)
            with client, socket.create_connection(("127.0.0.1", self._target)) as server:
                up = threading.Thread(target=_relay, args=(client, server, said[0]))
                up.start()
                _relay(server, client, said[1])
                up.join()

    def retrieved(self) -> list[bytes]:
        """The messages that went over the wire in answer to RETR, as they are stored."""
        messages = []
        for client, server in self._said:
            rest = bytes(server).partition(b"\r\n")[2]  # behind the greeting
            for command in bytes(client).split(b"\r\n")[:-1]:
                reply, _, rest = rest.partition(b"\r\n")
                if reply.startswith(b"+OK") and LISTS.match(command):
                    body, _, rest = (b"\r\n" + rest).partition(b"\r\n.\r\n")
                    if command[:4].upper() == b"RETR":
                        messages.append(body[2:].replace(b"\r\n..", b"\r\n.") + b"\r\n")
        return messages


def _relay(source: socket.socket, target: socket.socket, record: bytearray) -> None:
    try:
        while data := source.recv(65536):
            record += data
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        pass

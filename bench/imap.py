"""IMAP rows: connections, SELECT, FETCH, STORE, COPY, MOVE, EXPUNGE, SEARCH, APPEND; and the fast way to fill Dovecot.

`Imap` sends commands that were built before the clock started and counts tagged completions. Our server joins these rows when it
listens for IMAP; until then they compare the formats of Dovecot, and `upload` fills the maildrops of the POP3 rows.
"""

from collections.abc import Callable
from typing import Any

from bench import corpus
from bench.driver import Refused, Session, Wire, a_line, need, swarm
from bench.measure import Row, Rows, Target

__all__ = ["imap_rows", "upload"]

TAG = b"b-"  # no line of the corpus starts with it
MARK = b"\r\n" + TAG


class Imap(Wire):
    """A logged-in connection."""

    def __init__(self, port: int, login: str = "bench@example.net", mailbox: bytes = b"") -> None:
        super().__init__(port)
        self.line()
        self.run(b'LOGIN "%s" "pass"' % login.encode())
        if mailbox:
            self.run(b"SELECT " + mailbox)

    def check(self) -> None:
        line = self.tail[self.tail.rfind(MARK) + 2 :] if MARK in self.tail else self.tail  # the last tagged line
        if b" OK" not in line[:24]:
            raise Refused(line[-200:].decode("latin1").strip())

    def run(self, text: bytes, ok: bool = True) -> bytes:
        """One command; the end of its answer."""
        self.sock.sendall(TAG + b"1 " + text + b"\r\n")
        self.count(MARK, 1)
        if ok:
            self.check()
        return self.tail

    def blobs(self, blobs: list[tuple[bytes, int]]) -> None:
        """(octets, completions): send each, wait for its completions, go on."""
        for blob, want in blobs:
            self.sock.sendall(blob)
            self.count(MARK, want)
            self.check()


def batches(lines: list[bytes], size: int) -> list[tuple[bytes, int]]:
    """Pre-built pipelines of `size` commands each."""
    out = []
    for start in range(0, len(lines), size):
        part = lines[start : start + size]
        out.append((b"".join(b"%s%d %s\r\n" % (TAG, start + k, text) for k, text in enumerate(part)), len(part)))
    return out


def upload(port: int, login: str, mailbox: bytes, messages: list[bytes], group: int = 100) -> None:
    """Fill a mailbox with MULTIAPPEND."""
    box = Imap(port, login)
    if mailbox != b"INBOX":
        box.run(b"CREATE " + mailbox, ok=False)
    for start in range(0, len(messages), group):
        part = messages[start : start + group]
        literals = b"".join(b" {%d+}\r\n%s" % (len(message), message) for message in part)
        box.run(b"APPEND " + mailbox + literals)
    box.close()


FETCHES = {
    "fetch.flags": b"(FLAGS UID)",
    "fetch.envelope": b"(UID FLAGS INTERNALDATE RFC822.SIZE ENVELOPE)",
    "fetch.bodystructure": b"(BODYSTRUCTURE)",
    "fetch.headers": b"BODY.PEEK[HEADER.FIELDS (FROM TO SUBJECT DATE)]",
    "fetch.body": b"BODY.PEEK[]",
}
SEARCHES = {
    "search.subject": b"SEARCH SUBJECT " + corpus.SUBJECT_WORD,
    "search.body": b"SEARCH BODY " + corpus.BODY_WORD,
    "sort.date": b"SORT (DATE) UTF-8 ALL",
    "thread.references": b"THREAD REFERENCES UTF-8 ALL",
}


def imap_rows(rows: Rows, targets: list[Target], messages: list[bytes]) -> None:
    """All IMAP rows for the targets that listen for IMAP."""
    targets = [target for target in targets if target.imap]
    for target in targets:
        upload(target.imap, "bench@example.net", b"main", messages)
    _connection_rows(rows, targets)
    _reading_rows(rows, targets, len(messages))
    _changing_rows(rows, targets, len(messages))
    _append_rows(rows, targets)


def _connection_rows(rows: Rows, targets: list[Target]) -> None:
    noops = batches([b"NOOP"] * 20_000, 500)

    def logins(target: Target, _: Any) -> None:
        for _turn in range(200):
            box = Imap(target.imap)
            box.run(b"LOGOUT", ok=False)
            box.close()

    rows.measure(Row("login.1", "/s"), targets, logins, 200)
    rows.measure(Row("noop.pipelined", "cmd/s"), targets, lambda _, box: box.blobs(noops), 20_000, lambda t: Imap(t.imap))
    rows.measure(Row("select.warm", "ms"), targets, lambda _, box: box.run(b"SELECT main"), 0, lambda t: Imap(t.imap))


def _reading_rows(rows: Rows, targets: list[Target], count: int) -> None:
    def entered(target: Target) -> Imap:
        return Imap(target.imap, mailbox=b"main")

    def run(text: bytes) -> Callable[[Target, Any], object]:
        return lambda _, box: box.run(text)

    for name, text in SEARCHES.items():
        rows.measure(Row(name, "ms"), targets, run(text), 0, entered)
    for name, items in FETCHES.items():
        rows.measure(Row(name, "msg/s"), targets, run(b"FETCH 1:* " + items), count, entered)


def _changing_rows(rows: Rows, targets: list[Target], count: int) -> None:
    singles = batches([b"STORE %d +FLAGS (\\Flagged)" % k for k in range(1, min(count, 2000) + 1)], 1)

    def cleared(target: Target) -> Imap:
        box = Imap(target.imap, mailbox=b"main")
        box.run(b"STORE 1:* -FLAGS.SILENT (\\Flagged)")
        return box

    def emptied(target: Target) -> Imap:
        box = Imap(target.imap, mailbox=b"main")  # some servers drop a session whose mailbox is deleted
        for name in (b"work", b"work2"):
            box.run(b"DELETE " + name, ok=False)
            box.run(b"CREATE " + name)
        return box

    def filled(target: Target) -> Imap:
        box = emptied(target)
        box.run(b"COPY 1:* work")
        box.run(b"SELECT work")
        return box

    def doomed(target: Target) -> Imap:
        box = filled(target)
        box.run(b"STORE 1:* +FLAGS.SILENT (\\Deleted)")
        return box

    rows.measure(Row("store.single", "msg/s"), targets, lambda _, box: box.blobs(singles), len(singles), cleared)
    rows.measure(Row("store.set", "msg/s"), targets, lambda _, box: box.run(b"STORE 1:* +FLAGS (\\Flagged)"), count, cleared)
    rows.measure(Row("copy", "msg/s"), targets, lambda _, box: box.run(b"COPY 1:* work"), count, emptied)
    rows.measure(Row("move", "msg/s"), targets, lambda _, box: box.run(b"MOVE 1:* work2"), count, filled)
    rows.measure(Row("expunge", "msg/s"), targets, lambda _, box: box.run(b"EXPUNGE"), count, doomed)


def _append_rows(rows: Rows, targets: list[Target]) -> None:
    message = corpus.Corpus(11).sized(4096)
    blob = b"b-2 APPEND app {%d+}\r\n%s\r\n" % (len(message), message)
    multi = b"b-2 APPEND app" + b" {%d+}\r\n%s" % (len(message), message) * 50 + b"\r\n"

    def fresh(target: Target) -> Imap:
        box = Imap(target.imap)
        box.run(b"DELETE app", ok=False)
        box.run(b"CREATE app")
        return box

    rows.measure(Row("append.1.4k", "msg/s"), targets, lambda _, box: box.blobs([(blob, 1)] * 500), 500, fresh)
    rows.measure(Row("append.multi50.4k", "msg/s"), targets, lambda _, box: box.blobs([(multi, 1)] * 10), 500, fresh)

    def ten(target: Target, _: Any) -> None:
        swarm(target.imap, [_append_session(f"u{k}@example.net", message, 100) for k in range(10)])

    rows.measure(Row("append.10.4k", "msg/s"), targets, ten, 1000)


def _append_session(login: str, message: bytes, times: int) -> Session:
    def tagged(tag: bytes) -> Callable[[bytearray], bool]:
        return lambda answer: answer.endswith(b"\r\n") and (answer.startswith(tag) or b"\r\n" + tag in answer)

    yield b"", a_line
    need((yield b'b-1 LOGIN "%s" "pass"\r\n' % login.encode(), tagged(b"b-1 ")), b"b-1 OK")
    blob = b"b-2 APPEND INBOX {%d+}\r\n%s\r\n" % (len(message), message)
    for _ in range(times):
        need((yield blob, tagged(b"b-2 ")), b"b-2 OK")

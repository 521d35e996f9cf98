"""Deterministic mail corpus for the driver: the same seed gives the same bytes everywhere.

message(i) has realistic headers (Received chains, a DKIM signature, encoded words, References
chains, list headers) and bodies (plain, alternative, HTML, related, mixed with attachments,
forwarded message/rfc822). Sizes are log-normal: median about 5-6 kB, with a tail to about 1 MB.
Words to search for are planted: SUBJECT_WORD in about 2 % of the subjects, BODY_WORD in about
1 % of the (unencoded) text bodies.
"""

import base64
import pickle
import quopri
import random
import time
from pathlib import Path

__all__ = ["BODY_WORD", "SUBJECT_WORD", "Corpus", "load"]

SEED = 20240229
SUBJECT_WORD = b"quarterly"
BODY_WORD = b"zebrafish"
_SYLLABLES = [c + v for c in "bdfghklmnprstvz" for v in ("a", "e", "i", "o", "u", "an", "er", "is", "ol")]
_NAMES = [
    "Anna",
    "Bjorn",
    "Chloe",
    "Dmitri",
    "Élise",
    "Farid",
    "Grace",
    "Håkon",
    "Ines",
    "Jürgen",
    "Keiko",
    "Łukasz",
    "Maria",
    "Noor",
    "Olga",
    "Pedro",
    "Quentin",
    "Rosa",
    "Søren",
    "Tomáš",
]
_DOMAINS = ["example.com", "example.org", "mail.example.net", "lists.example.org", "corp.example"]


def _vocabulary(rnd: random.Random) -> list[str]:
    words = sorted({"".join(rnd.choices(_SYLLABLES, k=rnd.choice((1, 2, 2, 2, 3, 3, 4)))) for _ in range(5000)})
    rnd.shuffle(words)
    return words


class Corpus:
    def __init__(self, seed: int = SEED) -> None:
        self.rnd = rnd = random.Random(seed)
        self.words = _vocabulary(rnd)
        total = 0.0
        self.cum: list[float] = []  # Zipf weights, so that texts look like texts
        for rank in range(1, len(self.words) + 1):
            total += 1.0 / rank
            self.cum.append(total)
        self.clock = 1704067200.0  # 2024-01-01
        self.recent: list[tuple[str, list[str], str]] = []  # (message-id, references, subject) of the latest messages
        self.blob = rnd.randbytes(1 << 20)

    def text(self, size: int) -> str:
        """About `size` bytes of paragraphs wrapped near 72 columns, CRLF."""
        words = self.rnd.choices(self.words, cum_weights=self.cum, k=max(4, size // 6))
        if self.rnd.random() < 0.011:
            words[len(words) // 2] = BODY_WORD.decode()
        out: list[str] = []
        line: list[str] = []
        width = 0
        for i, word in enumerate(words):
            line.append(word)
            width += len(word) + 1
            if width > 66:
                out.append(" ".join(line))
                line, width = [], 0
                if i % 90 < 9:
                    out.append("")
        out.append(" ".join(line))
        return "\r\n".join(out) + "\r\n"

    def _encoded_word(self, text: str, kind: str) -> str:
        raw = text.encode()
        if kind == "B":
            return "=?UTF-8?B?" + base64.b64encode(raw).decode() + "?="
        return (
            "=?utf-8?Q?"
            + "".join(chr(b) if chr(b).isalnum() and b < 128 else "_" if b == 32 else f"={b:02X}" for b in raw)
            + "?="
        )

    def _person(self) -> str:
        rnd = self.rnd
        first = rnd.choice(_NAMES)
        last = rnd.choice(self.words).capitalize()
        local = first.encode("ascii", "ignore").decode().lower() or "x"
        box = f"{local}.{last.lower()}{rnd.randrange(90)}@{rnd.choice(_DOMAINS)}"
        name = first + " " + last
        if not name.isascii():
            name = self._encoded_word(name, rnd.choice("BQ"))
        elif rnd.random() < 0.3:
            name = f'"{last}, {first}"'
        return f"{name} <{box}>"

    def _leaf(self, ctype: str, data: str | bytes, encoding: str, extra: str = "") -> bytes:
        raw = data if isinstance(data, bytes) else data.encode()
        if encoding == "base64":
            raw = base64.encodebytes(raw).replace(b"\n", b"\r\n")
        elif encoding == "quoted-printable":
            raw = quopri.encodestring(raw.replace(b"\r\n", b"\n")).replace(b"\n", b"\r\n")
        head = f"Content-Type: {ctype}\r\nContent-Transfer-Encoding: {encoding}\r\n{extra}\r\n"
        return head.encode() + raw

    def _multi(self, subtype: str, parts: list[bytes]) -> bytes:
        mark = f"=_{self.rnd.getrandbits(128):032x}"
        body = b"".join(b"--%s\r\n%s\r\n" % (mark.encode(), part) for part in parts)
        head = f'Content-Type: multipart/{subtype};\r\n\tboundary="{mark}"\r\n\r\n'
        return head.encode() + b"This is a multi-part message in MIME format.\r\n" + body + b"--" + mark.encode() + b"--\r\n"

    def _html(self, text: str) -> str:
        rows = "".join(
            f'<p style="margin:0 0 12px;font-family:Helvetica,Arial;color:#333">{p}</p>\r\n' for p in text.split("\r\n\r\n")
        )
        return f"<!DOCTYPE html><html><head><meta charset=utf-8></head><body>\r\n{rows}</body></html>\r\n"

    def _body(self) -> bytes:
        rnd = self.rnd
        size = int(min(60000, max(200, rnd.lognormvariate(7.3, 0.9))))
        text = self.text(size)
        if rnd.random() < 0.3:
            text = text.replace("er", "ér", 3)
        utf8 = not text.isascii()
        plain = self._leaf('text/plain; charset="utf-8"', text, "quoted-printable" if utf8 else "7bit")
        kind = rnd.random()
        if kind < 0.25:
            return plain
        html = self._leaf(
            'text/html; charset="utf-8"', self._html(text), rnd.choice(("quoted-printable", "quoted-printable", "base64"))
        )
        if kind < 0.35:
            return html
        alternative = self._multi("alternative", [plain, html])
        if kind < 0.75:
            return alternative
        if kind < 0.80:
            image = self._leaf("image/png", self._bytes(3000, 40000), "base64", f"Content-ID: <i{size}@x>\r\n")
            return self._multi("related", [html, image])
        if kind < 0.85:
            inner = self._headers() + alternative
            forward = b"Content-Type: message/rfc822\r\nContent-Disposition: inline\r\n\r\n" + inner
            return self._multi("mixed", [plain, forward])
        parts = [alternative]
        for n in range(rnd.choice((1, 1, 1, 2, 3))):
            name = self.rnd.choice(self.words)
            parts.append(
                self._leaf(
                    rnd.choice(("application/pdf", "image/jpeg", "application/zip")) + f'; name="{name}{n}.bin"',
                    self._bytes(2000, 700000),
                    "base64",
                    f"Content-Disposition: attachment;\r\n\tfilename*=UTF-8''{name}%C3%A9{n}.bin\r\n",
                )
            )
        return self._multi("mixed", parts)

    def _bytes(self, low: int, high: int) -> bytes:
        size = int(min(high, max(low, self.rnd.lognormvariate(9.2, 1.1))))
        start = self.rnd.randrange(len(self.blob) - size)
        return self.blob[start : start + size]

    def _headers(self) -> bytes:
        rnd = self.rnd
        self.clock += rnd.expovariate(1 / 900.0)
        date = time.strftime("%a, %d %b %Y %H:%M:%S ", time.gmtime(self.clock)) + rnd.choice(("+0000", "+0200", "-0500"))
        ident = f"<{int(self.clock):x}.{rnd.getrandbits(64):x}@{rnd.choice(_DOMAINS)}>"
        out = [f"Return-Path: <bounce-{rnd.randrange(10**6)}@{rnd.choice(_DOMAINS)}>"]
        for hop in range(rnd.randrange(2, 6)):
            out.append(
                f"Received: from mx{hop}.{rnd.choice(_DOMAINS)} (mx{hop}.{rnd.choice(_DOMAINS)} [192.0.2.{rnd.randrange(255)}])"
                f"\r\n\tby in{hop}.example.net (Postfix) with ESMTPS id {rnd.getrandbits(64):016X}"
                f"\r\n\tfor <user@example.net>; {date}"
            )
        signature = base64.b64encode(rnd.randbytes(256)).decode()
        out.append(
            "DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=example.com; s=sel1;\r\n\th=from:to:"
            "subject:date:message-id;\r\n\tb=" + "\r\n\t ".join(signature[k : k + 70] for k in range(0, len(signature), 70))
        )
        if self.recent and rnd.random() < 0.45:
            parent, chain, subject = rnd.choice(self.recent)
            refs = [*chain, parent][-12:]
            if not subject.startswith("Re: "):
                subject = "Re: " + subject
            out.append("References: " + "\r\n ".join(refs))
            out.append("In-Reply-To: " + parent)
        else:
            refs = []
            words = rnd.choices(self.words, cum_weights=self.cum, k=rnd.randrange(2, 9))
            if rnd.random() < 0.03:
                words[0] = SUBJECT_WORD.decode()
            subject = " ".join(words).capitalize() if words[0] != SUBJECT_WORD.decode() else " ".join(words)
            if rnd.random() < 0.15:
                subject = self._encoded_word(subject[:38] + " – übersicht", rnd.choice("BQ"))
        out += [
            "Message-ID: " + ident,
            "Date: " + date,
            "From: " + self._person(),
            "To: " + ",\r\n\t".join(self._person() for _ in range(rnd.choice((1, 1, 1, 2, 5)))),
            "Subject: " + subject,
        ]
        if rnd.random() < 0.25:
            out.append("Cc: " + ", ".join(self._person() for _ in range(rnd.randrange(1, 4))))
        if rnd.random() < 0.3:
            out += [
                "List-Id: dev list <dev.lists.example.org>",
                "Precedence: list",
                f"List-Unsubscribe: <https://lists.example.org/u/{rnd.randrange(10**9)}>",
            ]
        out += ["X-Mailer: Bench/1.0", f"X-Spam-Status: No, score={rnd.uniform(-5, 3):.1f}", "MIME-Version: 1.0"]
        self.recent.append((ident, refs, subject))
        del self.recent[:-200]
        return ("\r\n".join(out) + "\r\n").encode()

    def next(self) -> bytes:
        return self._headers() + self._body()

    def sized(self, size: int) -> bytes:
        """A plain message of exactly `size` bytes."""
        head = self._headers() + b"Content-Type: text/plain; charset=us-ascii\r\n\r\n"
        body = b""
        while len(head) + len(body) < size:
            body += self.text(min(size, 50000)).encode()
        return head + body[: size - len(head) - 2] + b"\r\n"


def load(count: int, cache: Path, seed: int = SEED) -> list[bytes]:
    """The first `count` messages, from the pickle `cache` when it has them."""
    if cache.exists():
        messages: list[bytes] = pickle.loads(cache.read_bytes())
        if len(messages) >= count:
            return messages[:count]
    source = Corpus(seed)
    messages = [source.next() for _ in range(count)]
    cache.parent.mkdir(parents=True, exist_ok=True)
    cache.write_bytes(pickle.dumps(messages))
    return messages

"""Twenty-six messages that programs like to repair, drop or break. Not one octet of them may change on the way."""

from typing import Final

__all__ = ["ODD"]

_HEAD: Final = b"From: ann@example.org\r\nSubject: odd\r\n"

ODD: Final = (
    _HEAD + b"\r\n",  # no body
    _HEAD + b"\r\n\r\n\r\n",  # a body of empty lines
    _HEAD + b"\r\nno end of line",
    _HEAD + b"X-Folded: one\r\n two\r\n\tthree\r\n\r\nbody\r\n",
    _HEAD + b"X-Folded: one\r\n   \r\n two\r\n\r\na fold of white space alone\r\n",
    _HEAD + b"X-Empty:\r\nX-Blank:   \r\n\r\nempty values\r\n",
    _HEAD + b"X-Twice: 1\r\nX-Twice: 2\r\nx-twice: 3\r\n\r\nfields that repeat\r\n",
    _HEAD + b"X-Space : before the colon\r\n\r\nbody\r\n",
    _HEAD + b"not a field at all\r\nX-After: it\r\n\r\nbody\r\n",
    _HEAD + b"X-Long: " + b"word " * 400 + b"\r\n\r\na field of 2,000 octets\r\n",
    _HEAD + b"\r\n" + b"x" * 100_000 + b"\r\n",  # a line of 100,000 octets
    _HEAD + b"X-Raw: gr\xfc\xdfe\r\n\r\n8 bits in a field\r\n",
    _HEAD + "X-Utf8: größer\r\n\r\nUTF-8 in a field\r\n".encode(),
    _HEAD + b"Content-Type: text/plain; charset=nonsense\r\n\r\n\xff\xfe\xfd\r\n",
    _HEAD + b"\r\n" + bytes(range(128, 256)) + b"\r\n",
    _HEAD + b"\r\n.\r\n..\r\n.dots\r\n",
    _HEAD + b"\r\nFrom the beginning of a line\r\n>From another\r\n",
    _HEAD + b"\r\ntrailing white space   \r\n\t\r\n",
    _HEAD + b'Content-Type: multipart/mixed; boundary="b"\r\n\r\n--b\r\n\r\nnever closed\r\n',
    _HEAD + b'Content-Type: multipart/mixed; boundary="b"\r\n\r\n--b\r\n\r\none\r\n--b--\r\nepilogue\r\n--b\r\nmore\r\n',
    _HEAD + b"Content-Type: multipart/mixed\r\n\r\nno boundary\r\n",
    _HEAD + b"Content-Transfer-Encoding: base64\r\n\r\n!!!! not base64 !!!!\r\n",
    _HEAD + b"X-TUID: abcdefghijkl\r\nStatus: RO\r\nX-UID: 17\r\nX-Keywords: a b\r\n\r\nfields of other programs\r\n",
    _HEAD + b"Message-ID: <a@b> <c@d>\r\nMessage-ID: <e@f>\r\n\r\nmany names\r\n",
    _HEAD + b"Date: yesterday\r\n\r\nno date\r\n",
    b"Received: by x\r\n" * 300 + _HEAD + b"\r\na long way\r\n",
)

"""Charsets of mail that Python has no codec for: VISCII (RFC 1456), TCVN 5712, and ISO-2022-CN (RFC 1922) but for CNS 11643.

decode(octets, "viscii")       never raises; what stands for nothing becomes U+FFFD
"""

import re
import unicodedata
from collections.abc import Callable
from typing import Final

__all__ = ["DECODERS", "decode"]

_ASCII: Final = "".join(map(chr, range(128)))


def _with(places: dict[int, str], upper: str) -> str:
    """A table of 256: ASCII but for these places, and the upper half."""
    lower = "".join(places.get(at, letter) for at, letter in enumerate(_ASCII))
    assert len(upper) == 128
    return lower + upper


_VISCII: Final = _with(
    {2: "Ẳ", 5: "Ẵ", 6: "Ẫ", 20: "Ỷ", 25: "Ỹ", 30: "Ỵ"},
    "ẠẮẰẶẤẦẨẬẼẸẾỀỂỄỆỐỒỔỖỘỢỚỜỞỊỎỌỈỦŨỤỲÕắằặấầẩậẽẹếềểễệốồổỗỠƠộờởịỰỨỪỬơớƯ"
    "ÀÁÂÃẢĂẳẵÈÉÊẺÌÍĨỳĐứÒÓÔạỷừửÙÚỹỵÝỡưàáâãảăữẫèéêẻìíĩỉđựòóôõỏọụùúũủýợỮ",
)
_TCVN: Final = _with(
    {1: "Ú", 2: "Ụ", 4: "Ừ", 5: "Ử", 6: "Ữ"} | {17: "Ứ", 18: "Ự", 19: "Ỳ", 20: "Ỷ", 21: "Ỹ", 22: "Ý", 23: "Ỵ"},
    "ÀẢÃÁẠẶẬÈẺẼÉẸỆÌỈĨÍỊÒỎÕÓỌỘỜỞỠỚỢÙỦŨ\u00a0ĂÂÊÔƠƯĐăâêôơưđẶ\u0300\u0309\u0303\u0301\u0323àảãáạẲằẳẵắẴẮẦẨẪẤỀặầẩẫấậèỂẻẽéẹềểễếệ"
    "ìỉỄẾỒĩíịòỔỏõóọồổỗốộờởỡớợùỖủũúụừửữứựỳỷỹýỵỐ",
)

_PIECE: Final = re.compile(
    rb"\x1b\$\)(?P<set>[AGE])|\x1b\$[*+][H-M]|\x1b[NO](?P<single>..)|(?P<out>\x0e)|(?P<in>\x0f)|(?P<end>\n)"
    rb"|(?P<text>[^\x1b\x0e\x0f\n]+)|(?P<rest>.)",
    re.DOTALL,
)
_HIGH: Final = bytes(at | 0x80 for at in range(256))


def _chinese(octets: bytes) -> str:
    """RFC 1922 section 3.1: designations last to the end of their line, SO and SI switch. Of the planes of CNS 11643 nothing is
    known here: each of their characters is U+FFFD."""
    text: list[str] = []
    is_gb = is_out = False
    for piece in _PIECE.finditer(octets):
        match piece.lastgroup:
            case "set":
                is_gb = piece["set"] == b"A"
            case "out" | "in":
                is_out = piece.lastgroup == "out"
            case "single":
                text.append("\N{REPLACEMENT CHARACTER}")
            case "end":
                is_gb = is_out = False
                text.append("\n")
            case "text" if is_out and is_gb:
                text.append(piece["text"].translate(_HIGH).decode("gb18030", "replace"))
            case "text" if is_out:
                text.append("\N{REPLACEMENT CHARACTER}" * (len(piece["text"]) + 1 >> 1))
            case "text":
                text.append(piece["text"].decode("ascii", "replace"))
            case "rest":
                text.append("\N{REPLACEMENT CHARACTER}")
            case _:
                pass
    return "".join(text)


def _by_table(table: str) -> Callable[[bytes], str]:
    return lambda octets: octets.decode("latin-1").translate(table)  # a string is a table, too: by index


DECODERS: Final[dict[str, Callable[[bytes], str]]] = {
    "viscii": _by_table(_VISCII),
    "tcvn": lambda octets: unicodedata.normalize("NFC", _by_table(_TCVN)(octets)),
    "iso2022_cn": _chinese,
}


def decode(octets: bytes, name: str) -> str:
    """KeyError where it is none of `DECODERS`."""
    return DECODERS[name](octets)

"""Charset labels of mail to Python's codecs (RFC 2045 section 5.2), as programs use them and not as IANA lists them.

The table is closed: a label from a message never reaches `codecs.lookup`, which imports modules, remembers every name
that it was ever asked, and offers codecs that are no charsets (punycode takes quadratic time).
"""

import re
from encodings.aliases import aliases
from typing import Final

from postwren.message.charmap import DECODERS, decode

__all__ = ["codec_name", "decode_text"]

_NO_CHARSETS: Final = frozenset(
    {
        *("base64_codec", "bz2_codec", "hex_codec", "quopri_codec", "rot_13", "uu_codec", "zlib_codec"),
        *("idna", "punycode", "unicode_escape", "raw_unicode_escape", "undefined", "mbcs", "oem", "palmos"),
    }
)

# Supersets stand for what senders really use under the narrower name (as in browsers).
_OURS: Final = {
    "utf_8": ("utf8", "unicode11utf8", "utf8mb4", "xutf8", "cp65001", "usascii",
              "ascii", "ansix341968", "646", "iso646us", "unknown8bit", "xunknown"),
    "utf_8_sig": ("utf8sig",),
    "cp1252": ("iso88591", "latin1", "l1", "isoir100", "88591", "ansi", "windows1252", "xansi", "xcp1252"),
    "iso8859_15": ("latin9", "latin0", "l9", "iso885915"),
    "iso8859_8": ("iso88598i", "iso88598e", "logical", "visual"),
    "iso8859_6": ("iso88596i", "iso88596e"),
    "cp1254": ("iso88599", "latin5", "windows1254"),
    "cp874": ("windows874", "tis620", "iso885911", "dos874", "xcp874"),
    "cp949": ("windows949", "ksc56011987", "ksc56011989", "ksc5601", "euckr", "korean", "uhc", "cseuckr", "isoir149",
              "xwindows949"),
    "cp932": ("windows31j", "shiftjis", "sjis", "xsjis", "mskanji", "cswindows31j", "xmscp932", "windows932", "shiftjiswin"),
    "euc_jp": ("xeucjp", "cp51932", "eucjpms", "eucjpwin", "xeuc"),
    "iso2022_jp_ext": ("iso2022jp", "iso2022jpms", "csiso2022jp", "cp50220", "cp50221", "cp50222"),
    "iso2022_kr": ("iso2022kr", "csiso2022kr"),
    "gb18030": ("gb2312", "xgbk", "gbk", "cp936", "windows936", "euccn", "gb231280", "chinese", "xeuccn",
                "gb2312charset", "ms936"),
    "hz": ("hzgb2312",),
    "big5hkscs": ("big5", "xxbig5", "cnbig5", "big5tw", "csbig5"),
    "cp950": ("windows950", "ms950"),
    "koi8_r": ("koi8r", "koi8", "koi", "cskoi8r"),
    "koi8_u": ("koi8u", "koi8ru"),
    "cp1251": ("windows1251", "win1251", "xcp1251", "ansi1251"),
    "cp1250": ("windows1250", "xcp1250"),
    "mac_roman": ("xmacroman", "macintosh", "mac", "xmac"),
    "mac_cyrillic": ("xmaccyrillic", "xmacukrainian"),
    "mac_greek": ("xmacgreek",),
    "mac_turkish": ("xmacturkish",),
    "mac_iceland": ("xmacicelandic",),
    "mac_latin2": ("xmacce", "xmaccentraleurroman"),
    "mac_croatian": ("xmaccroatian",),
    "mac_romanian": ("xmacromanian",),
    "utf_7": ("utf7", "unicode11utf7", "xunicode20utf7"),
    "utf_16": ("utf16", "ucs2", "iso10646ucs2", "unicode"),
    "koi8_t": ("koi8t",),
    "mac_arabic": ("xmacarabic", "macarabic"),
    "mac_farsi": ("xmacfarsi", "macfarsi"),
    "cp720": ("ibm720", "dos720", "cp720"),
    "cp737": ("ibm737", "cp737"),
    "viscii": ("viscii", "viscii111", "csviscii", "viscii11"),
    "tcvn": ("tcvn", "tcvn5712", "tcvn57121", "xviettcvn5712", "tcvn571211993", "xviettcvn"),
    "iso2022_cn": ("iso2022cn", "iso2022cnext", "csiso2022cn"),
    "cp437": ("ibm437", "dos437"),
    "cp850": ("ibm850", "dos850"),
}  # fmt: skip

_PUNCTUATION: Final = re.compile(r"[^0-9a-z]+")

_CODECS: Final[dict[str, str]] = {
    **{_PUNCTUATION.sub("", name): codec for name, codec in aliases.items() if codec not in _NO_CHARSETS},
    **{_PUNCTUATION.sub("", codec): codec for codec in aliases.values() if codec not in _NO_CHARSETS},
    **{name: codec for codec, names in _OURS.items() for name in names},
}
_CLEAN: Final = frozenset({"utf_8", "cp1252", "iso8859_15"})  # these cannot give lone surrogates


def codec_name(label: str) -> str | None:
    """The codec for a charset's name, Python's or one of `charmap`; None where it is unknown."""
    return _CODECS.get(_PUNCTUATION.sub("", label[:64].lower()))


def decode_text(data: bytes, label: str = "utf-8") -> str:
    """Text of `data`. Never raises: what cannot be decoded becomes U+FFFD, an unknown charset is read as UTF-8. The result can
    always be encoded."""
    codec = codec_name(label) or "utf_8"
    if codec in DECODERS:
        return decode(data, codec)
    try:
        text = data.decode(codec, "replace")
    except (UnicodeError, LookupError):  # UTF-16 and -32 without their mark can still refuse
        text = data.decode("utf-8", "replace")
    if codec in _CLEAN:
        return text
    return text.encode("utf-8", "replace").decode("utf-8")

"""Charset labels (RFC 2045 section 5.2) as mail has them."""

import codecs

import pytest

from postwren.message.charmap import DECODERS
from postwren.message.charset import _CODECS, codec_name, decode_text

LABELS = [
    ("windows-874", "cp874"), ("windows-949", "cp949"), ("Windows-31J", "cp932"), ("x-sjis", "cp932"), ("x-gbk", "gb18030"),
    ("x-euc-jp", "euc_jp"), ("cp51932", "euc_jp"), ("ISO-8859-8-I", "iso8859_8"), ("iso-8859-6-i", "iso8859_6"),
    ("iso-2022-jp-ms", "iso2022_jp_ext"), ("x-mac-roman", "mac_roman"), ("x-mac-cyrillic", "mac_cyrillic"),
    ("latin-9", "iso8859_15"),
    ("ks_c_5601-1987", "cp949"), ("gb2312", "gb18030"), ("utf8", "utf_8"), ('"utf-8"', "utf_8"), ("koi8-r", "koi8_r"),
    ("ISO_8859-2", "iso8859_2"),
    ("windows-1252", "cp1252"), ("ansi_x3.4-1968", "utf_8"), ("unicode-1-1-utf-7", "utf_7"),
]  # fmt: skip


@pytest.mark.parametrize(("label", "codec"), LABELS)
def test_labels(label: str, codec: str) -> None:
    assert codec_name(label) == codec


@pytest.mark.parametrize(
    "label", ["", "punycode", "idna", "unicode_escape", "rot13", "zlib", "base64", "undefined", "x" * 1000, "../os"]
)
def test_what_is_no_charset_is_unknown(label: str) -> None:
    assert codec_name(label) is None
    assert decode_text(b"abc", label) == "abc"


def test_every_codec_of_the_table_exists_and_decodes_anything_to_what_can_be_encoded() -> None:
    junk = bytes(range(256)) * 2 + b"+2AA-+3AA-\xff\xfe\x00\xd8"
    for codec in set(_CODECS.values()):
        if codec not in DECODERS:
            codecs.lookup(codec)
        decode_text(junk, codec).encode("utf-8")
        decode_text(junk[1:], codec).encode("utf-8")


def test_text_of_real_charsets() -> None:
    assert decode_text("日本".encode("iso2022_jp"), "ISO-2022-JP") == "日本"
    assert decode_text("한글".encode("cp949"), "ks_c_5601-1987") == "한글"
    assert decode_text(b"\x80\xe4", "iso-8859-1") == "€ä"  # senders mean windows-1252


KNOWN = """
windows-1250 windows-1251 windows-1252 windows-1253 windows-1254 windows-1255 windows-1256 windows-1257 windows-1258 windows-874
windows-31j windows-936 windows-949 windows-950 koi8-r koi8-u koi8-t iso-2022-jp iso-2022-jp-1 iso-2022-jp-2 iso-2022-jp-3
iso-2022-jp-2004 iso-2022-jp-ext iso-2022-kr iso-2022-cn iso-2022-cn-ext gb2312 gbk gb18030 hz-gb-2312 big5 big5-hkscs euc-jp
euc-kr euc-cn utf-7 utf-16 utf-16le utf-16be utf-32 viscii tcvn5712-1 macintosh x-mac-ce x-mac-cyrillic x-mac-greek x-mac-turkish
x-mac-arabic x-mac-icelandic x-mac-croatian x-mac-romanian x-mac-ukrainian x-mac-farsi shift_jis johab tis-620 kz1048 ptcp154
iso-8859-1 iso-8859-2 iso-8859-3 iso-8859-4 iso-8859-5 iso-8859-6 iso-8859-7 iso-8859-8 iso-8859-8-i iso-8859-9 iso-8859-10
iso-8859-11 iso-8859-13 iso-8859-14 iso-8859-15 iso-8859-16 ibm850 ibm852 ibm855 ibm866 cp1125
"""


@pytest.mark.parametrize("label", KNOWN.split())
def test_what_mail_uses_is_known(label: str) -> None:
    assert codec_name(label) is not None


def test_vietnamese_of_both_tables() -> None:
    """RFC 1456, and TCVN 5712, which has accents behind their letters, too."""
    text = "Tiếng Việt: Ẵ ỹ Đặng"
    viscii = b"Ti\xaang Vi\xaet: \x05 \xdb \xd0\xa3ng"
    tcvn = b"Ti\xd5ng Vi\xd6t: \xbf\xb2"  # a combining acute behind a letter is one letter with it
    assert decode_text(viscii, "VISCII") == text
    assert decode_text(tcvn[:-2], "TCVN-5712") == text[:12]
    assert decode_text(b"a\xb3", "tcvn") == "á"


def test_chinese_of_rfc_1922() -> None:
    """The designation and the shift end with the line; a plane that is not known is as many characters."""
    octets = b'\x1b$)A\x0e;;!!\x0f ab\n;; \x1b$)G\x0e0!0"\x0f\x1b$*H\x1bNab.'
    assert decode_text(octets, "ISO-2022-CN") == "换\u3000 ab\n;; \ufffd\ufffd\ufffd."
    assert decode_text(b"\x1b", "iso-2022-cn-ext") == "\ufffd"

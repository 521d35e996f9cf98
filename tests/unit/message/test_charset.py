"""Charset labels (RFC 2045 section 5.2) as mail has them."""

import codecs

import pytest

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
        codecs.lookup(codec)
        decode_text(junk, codec).encode("utf-8")
        decode_text(junk[1:], codec).encode("utf-8")


def test_text_of_real_charsets() -> None:
    assert decode_text("日本".encode("iso2022_jp"), "ISO-2022-JP") == "日本"
    assert decode_text("한글".encode("cp949"), "ks_c_5601-1987") == "한글"
    assert decode_text(b"\x80\xe4", "iso-8859-1") == "€ä"  # senders mean windows-1252

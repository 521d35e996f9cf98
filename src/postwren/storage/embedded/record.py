"""The form of a record in a segment file: a header that tells whether the octets behind it are whole.

record = magic, version, length, CRC-32 of the octets, SHA-256 of the octets, CRC-32 of the header; then the octets
"""

import struct
import zlib
from typing import Final, NamedTuple

__all__ = ["HEADER_SIZE", "Record", "format_header", "parse_header"]

MAGIC: Final = b"PWRN"
VERSION: Final = 1
_FIELDS: Final = struct.Struct(">4sHHQI32s")
_CHECK: Final = struct.Struct(">I")
HEADER_SIZE: Final = _FIELDS.size + _CHECK.size


class Record(NamedTuple):
    """What a header says of its octets."""

    size: int
    crc: int
    content_id: bytes


def format_header(size: int, crc: int, content_id: bytes) -> bytes:
    fields = _FIELDS.pack(MAGIC, VERSION, 0, size, crc, content_id)
    return fields + _CHECK.pack(zlib.crc32(fields))


def parse_header(data: bytes) -> Record | None:
    """None when these octets are no header."""
    if len(data) != HEADER_SIZE or _CHECK.unpack_from(data, _FIELDS.size)[0] != zlib.crc32(data[: _FIELDS.size]):
        return None
    magic, version, _, size, crc, content_id = _FIELDS.unpack_from(data)
    return Record(size, crc, content_id) if (magic, version) == (MAGIC, VERSION) else None

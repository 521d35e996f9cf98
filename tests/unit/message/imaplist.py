"""A strict reader of IMAP's parenthesised lists (RFC 9051 section 9: nstring, number, lists), and of the shapes of
ENVELOPE and BODYSTRUCTURE. It shares nothing with what writes them, and raises where a strict client would.
"""

import re
from typing import TypeAlias

Value: TypeAlias = "bytes | int | None | list[Value]"

_ATOM = re.compile(rb"NIL|\d+")
_QUOTED = re.compile(rb'"((?:[^"\\\r\n\0\x80-\xff]|\\["\\])*)"')
_LITERAL = re.compile(rb"\{(\d+)\}\r\n")


def read_list(wire: bytes) -> list[Value]:
    """One list that is all of `wire`. Lists follow one another without a space (as bodies and addresses do) or with one."""
    root: list[Value] = []
    open_lists = [root]
    at = 0
    while at < len(wire):
        here = open_lists[-1]
        byte = wire[at : at + 1]
        if byte == b"(":
            assert at == 0 or wire[at - 1 : at] in (b"(", b")", b" "), f"a list sticks to what is before it at {at}"
            inner: list[Value] = []
            here.append(inner)
            open_lists.append(inner)
            at += 1
            continue
        if byte == b")":
            assert here, "an empty list is NIL"
            open_lists.pop()
            at += 1
        else:
            value, at = _scalar(wire, at)
            here.append(value)
        follows = wire[at : at + 1]
        if follows == b" ":
            at += 1
            assert wire[at : at + 1] not in (b" ", b")", b""), f"a stray space at {at}"
        else:
            assert follows in (b")", b"") or (byte == b")" and follows == b"("), f"no space at {at}: {wire[at - 20 : at + 20]!r}"
    assert len(open_lists) == 1, "a list was not closed"
    assert len(root) == 1
    assert isinstance(root[0], list)
    return root[0]


def _scalar(wire: bytes, at: int) -> tuple[Value, int]:
    if match := _ATOM.match(wire, at):
        return (None if match[0] == b"NIL" else int(match[0])), match.end()
    if match := _QUOTED.match(wire, at):
        return re.sub(rb"\\(.)", rb"\1", match[1]), match.end()
    match = _LITERAL.match(wire, at)
    assert match, f"neither NIL, number, quoted nor literal at {at}: {wire[at : at + 40]!r}"
    value = wire[match.end() : match.end() + int(match[1])]
    assert len(value) == int(match[1])
    assert b"\0" not in value
    return value, match.end() + len(value)


def check_envelope(value: Value) -> None:
    """`envelope`"""
    assert isinstance(value, list)
    assert len(value) == 10
    for each in (value[0], value[1], value[8], value[9]):
        _nstring(each)
    for addresses in value[2:8]:
        if addresses is None:
            continue
        assert isinstance(addresses, list)
        in_group = False
        for address in addresses:
            assert isinstance(address, list)
            assert len(address) == 4
            for part in address:
                _nstring(part)
            if address[3] is None:
                assert in_group == (address[2] is None), "group markers alternate"
                in_group = not in_group
        assert not in_group


def check_body(root: Value, extended: bool) -> int:
    """`body`; how many bodies there are in it."""
    count = 0
    waiting: list[Value] = [root]
    while waiting:
        value = waiting.pop()
        count += 1
        assert isinstance(value, list)
        if isinstance(value[0], list):
            children = 0
            while isinstance(value[children], list):
                waiting.append(value[children])
                children += 1
            rest = value[children:]
            _string(rest[0])
            assert len(rest) == (5 if extended else 1)
            if extended:
                _params(rest[1])
                _extension(rest[2:])
            continue
        waiting.extend(_check_leaf(value, extended))
    return count


def _check_leaf(value: list[Value], extended: bool) -> list[Value]:
    """`body-type-1part`; the body of a message in it."""
    kind, subtype, parameters, identifier, description, encoding, octets, *rest = value
    _string(kind)
    _string(subtype)
    _params(parameters)
    _nstring(identifier)
    _nstring(description)
    _string(encoding)
    assert isinstance(octets, int)
    nested: list[Value] = []
    if kind == b"message" and subtype in (b"rfc822", b"global"):
        check_envelope(rest[0])
        nested = [rest[1]]
        rest = rest[2:]
    if nested or kind == b"text":
        assert isinstance(rest[0], int)
        rest = rest[1:]
    assert len(rest) == (4 if extended else 0)
    if extended:
        _nstring(rest[0])
        _extension(rest[1:])
    return nested


def _extension(value: list[Value]) -> None:
    disposition, language, location = value
    if disposition is not None:
        assert isinstance(disposition, list)
        assert len(disposition) == 2
        _string(disposition[0])
        _params(disposition[1])
    if language is not None:
        assert isinstance(language, list)
        for tag in language:
            _string(tag)
    _nstring(location)


def _params(value: Value) -> None:
    if value is None:
        return
    assert isinstance(value, list)
    assert len(value) % 2 == 0
    for each in value:
        _string(each)


def _string(value: Value) -> None:
    assert isinstance(value, bytes)


def _nstring(value: Value) -> None:
    assert value is None or isinstance(value, bytes)

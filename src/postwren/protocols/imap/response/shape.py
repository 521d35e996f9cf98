"""The shape of ENVELOPE and BODYSTRUCTURE as the grammar has it (RFC 9051 section 9), for readers that are strict.

`envelope_of` and `body_of` make something of almost any tree, as a client must; here is what the tree has to be.
"""

from postwren.protocols.imap.fault import Unparsable
from postwren.protocols.imap.reader import Tree

__all__ = ["check_body", "check_envelope"]


def _check(is_right: bool) -> None:
    if not is_right:
        raise Unparsable


def _is_nstring(tree: Tree) -> bool:
    return tree is None or isinstance(tree, bytes)


def check_envelope(tree: Tree) -> None:
    """envelope"""
    if not isinstance(tree, list) or len(tree) != 10:
        raise Unparsable
    _check(all(_is_nstring(tree[place]) for place in (0, 1, 8, 9)))
    for addresses in tree[2:8]:
        if addresses is None:
            continue
        _check(isinstance(addresses, list) and addresses != [])
        for address in addresses if isinstance(addresses, list) else ():
            _check(isinstance(address, list) and len(address) == 4 and all(map(_is_nstring, address)))


def check_body(tree: Tree) -> None:
    """body, of any depth in a loop"""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if not isinstance(node, list) or not node:
            raise Unparsable
        first = next((place for place, value in enumerate(node) if not isinstance(value, list)), len(node))
        if first:
            waiting += node[:first]
            rest = node[first:]
            _check(bool(rest) and isinstance(rest[0], bytes))
            if len(rest) > 1:
                _check_parameters(rest[1])
                _check_extension(rest[2:])
        else:
            waiting += _check_single(node)


def _check_single(node: list[Tree]) -> list[Tree]:
    """body-type-1part; the body inside a message, where there is one"""
    _check(len(node) >= 7)
    maintype, subtype, parameters, content_id, description, encoding, size, *rest = node
    if not isinstance(maintype, bytes) or not isinstance(subtype, bytes):
        raise Unparsable
    _check_parameters(parameters)
    _check(_is_nstring(content_id) and _is_nstring(description) and isinstance(encoding, bytes) and isinstance(size, int))
    inside: list[Tree] = []
    if maintype.lower() == b"message" and subtype.lower() in (b"rfc822", b"global"):
        _check(len(rest) >= 3 and isinstance(rest[2], int))
        check_envelope(rest[0])
        inside, rest = [rest[1]], rest[3:]
    elif maintype.lower() == b"text":
        _check(bool(rest) and isinstance(rest[0], int))
        rest = rest[1:]
    if rest:
        _check(_is_nstring(rest[0]))
        _check_extension(rest[1:])
    return inside


def _check_parameters(tree: Tree) -> None:
    """body-fld-param"""
    if tree is not None:
        _check(isinstance(tree, list) and tree != [] and len(tree) % 2 == 0 and all(isinstance(word, bytes) for word in tree))


def _check_extension(rest: list[Tree]) -> None:
    """[body-fld-dsp [SP body-fld-lang [SP body-fld-loc *(SP body-extension)]]]"""
    match rest[0] if rest else None:
        case None:
            pass
        case [bytes(), parameters]:
            _check_parameters(parameters)
        case _:
            raise Unparsable
    match rest[1] if len(rest) > 1 else None:
        case None | bytes():
            pass
        case [_, *_] as languages:
            _check(all(isinstance(language, bytes) for language in languages))
        case _:
            raise Unparsable
    _check(len(rest) < 3 or _is_nstring(rest[2]))

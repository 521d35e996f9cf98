"""Whatever a message's octets and the string, the search index says what a look at the message's text says, and folded text is
UTF-8 between its marks.

The first octet is how many of the rest are the string that is looked for; the others are the message.
"""

import atexit
import tempfile
from collections.abc import Iterator
from pathlib import Path

from fuzz.fuzz_message import SEEDS as MESSAGES
from postwren.message.fold import fold
from postwren.message.searchtext import MARK, Needle, Place, holds, search_text
from postwren.storage.embedded.search_index import SearchIndex
from postwren.terms import AccountId, EmailId

_folder = tempfile.TemporaryDirectory()
_index = SearchIndex(Path(_folder.name))
atexit.register(_folder.cleanup)
atexit.register(_index.close)
ANN, ONE = AccountId(1), EmailId(1)


def SEEDS() -> Iterator[bytes]:  # noqa: N802 (the name every target has)
    for message in MESSAGES():
        for start in (0, 30, len(message) // 2):
            word = message[start : start + 12]
            yield bytes([len(word)]) + word + message


def target(data: bytes) -> None:
    length = data[0] if data else 0
    wanted, message = data[1 : 1 + length].decode("utf-8", "replace"), data[1 + length :]
    found = search_text(message)
    for text in found:
        assert fold(text.replace(MARK, b"").decode()) == text.replace(MARK, b"")
    _index.put(ANN, [(ONE, found)], (ONE, b""))
    for needle in (
        Needle(Place.BODY, fold(wanted)),
        Needle(Place.ANYWHERE, fold(wanted)),
        Needle(Place.FIELD, fold(wanted), b"TO"),
    ):
        assert _index.find(ANN, needle, [ONE]) == ({ONE} if holds(found, needle) else set())

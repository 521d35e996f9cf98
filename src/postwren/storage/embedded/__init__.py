"""The adapter of the mailstore's port that keeps mail in a folder: SQLite for what is known, segment files for the octets.

store         opens the folder; queue, outcomes, changes        (the loop's thread)
writer        group commit                                       (its own thread)
transaction   writes of a unit        reader    reads, everywhere
segment       the file that this process appends to              record    its form
body          messages on their way in                           bodies    messages read back
recovery      after a crash           check     is all well      housekeeping   space given back
schema index  tables and connections  volume    the system calls that tests make fail
"""

from postwren.storage.embedded.settings import Settings
from postwren.storage.embedded.store import EmbeddedStore

__all__ = ["EmbeddedStore", "Settings"]

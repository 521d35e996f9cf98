"""The reference adapter of the mailstore's port: everything in dicts, nothing on disk, gone with the process.

store.py        the queue of units of work and the group that runs them
transaction.py  the tables, reads over them, and writes with an undo journal
body.py         messages on their way in, and segments in memory
feed.py         who listens to which account
"""

from postwren.storage.memory.store import MemoryStore

__all__ = ["MemoryStore"]

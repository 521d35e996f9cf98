"""The composition root: the only room that knows every adapter.

settings   what the configuration says, in the words of those who keep it
services   what sessions are made of, a service a protocol
server     from start to end, with its chores
checking   a store's invariants, beside a running server
"""

from postwren.app.checking import Report, check_store
from postwren.app.server import Server, run_server
from postwren.app.settings import dev_listen

__all__ = ["Report", "Server", "check_store", "dev_listen", "run_server"]

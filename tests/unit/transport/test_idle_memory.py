"""What 1,000 idle connections cost, measured from outside: proportional set size of a process that holds them."""

import subprocess
import sys
from pathlib import Path

import pytest
from tests.unit.transport.transport_echo import LOOPS, certificate_in

WARM, CONNECTIONS = 1000, 1000
PLAIN_BAR, TLS_BAR = 8192, 32768

SERVER = """
import gc, sys
from pathlib import Path
sys.path[:0] = sys.argv[4:]
from tests.unit.transport.transport_echo import *
from postwren.transport.tls import ServerTls

def pss():
    gc.collect()
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) * 1024

class Idle:
    # A session as small as a real one: a core with a buffer, a link.
    __slots__ = ("core", "link")
    def __init__(self): self.core = EchoCore()
    def opened(self, link): self.link = link; self.core.out.append(b"hello\\r\\n")
    def handle(self, event): self.core.out.append(event + b"\\r\\n")
    def closed(self): pass

async def work(folder):
    options = {}
    if folder:
        folder = Path(folder)
        options = dict(tls=ServerTls(folder / "certificate.pem", folder / "key.pem"), is_implicit_tls=True)
    stage = Stage(**options)
    stage.listener = Listener(stage.config, Idle)
    from dataclasses import replace
    await stage.listener.start([("127.0.0.1", 0)])
    print(stage.listener.ports[0], flush=True)
    loop = asyncio.get_running_loop()
    await loop.run_in_executor(None, sys.stdin.readline)  # the warm ones stand: free places of the heap are used up
    before = len(stage.listener.links), pss()
    await loop.run_in_executor(None, sys.stdin.readline)  # all stand
    after = len(stage.listener.links), pss()
    print((after[1] - before[1]) // (after[0] - before[0]), after[0], flush=True)
    await loop.run_in_executor(None, sys.stdin.readline)
    await stage.listener.close(0)

run(sys.argv[1], work(sys.argv[3]))
"""

CALLER = """
import resource, socket, ssl, sys
port, certificate, count = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
resource.setrlimit(resource.RLIMIT_NOFILE, (4096, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
context = ssl.create_default_context(cafile=certificate) if certificate else None
held = []
for _ in range(count):
    sock = socket.create_connection(("127.0.0.1", port))
    if context:
        sock = context.wrap_socket(sock, server_hostname="localhost")
    assert sock.recv(100) == b"hello\\r\\n"
    sock.sendall(b"noop\\r\\n")
    assert sock.recv(100) == b"noop\\r\\n"
    held.append(sock)
print("standing", flush=True)
sys.stdin.readline()
"""


def measure(loop: str, folder: Path | None) -> int:
    here = Path(__file__).parent
    paths = [str(here.parents[2]), str(here.parents[2] / "src")]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    directory = "" if folder is None else str(folder)
    certificate = "" if folder is None else str(folder / "certificate.pem")
    server = subprocess.Popen([sys.executable, "-c", SERVER, loop, "", directory, *paths], **pipes)  # type: ignore[call-overload]
    callers = []
    with server:
        try:
            port = server.stdout.readline().strip()
            for count in (WARM, CONNECTIONS):
                caller = subprocess.Popen([sys.executable, "-c", CALLER, port, certificate, str(count)], **pipes)  # type: ignore[call-overload]
                callers.append(caller)
                assert caller.stdout.readline() == "standing\n"
                server.stdin.write("\n")
                server.stdin.flush()
            each, held = map(int, server.stdout.readline().split())
            assert held == WARM + CONNECTIONS
            return each
        finally:
            for caller in callers:
                caller.communicate("\n")
            server.communicate("\n")


@pytest.mark.real
@pytest.mark.parametrize("loop", LOOPS)
def test_an_idle_plain_connection_is_small(loop: str) -> None:
    each = measure(loop, None)
    print(f"idle plain connection on {loop}: {each} octets")
    assert each <= PLAIN_BAR


@pytest.mark.real
@pytest.mark.parametrize("loop", LOOPS)
def test_an_idle_tls_connection_is_small(loop: str, tmp_path: Path) -> None:
    certificate_in(tmp_path)
    each = measure(loop, tmp_path)
    print(f"idle TLS connection on {loop}: {each} octets")
    assert each <= TLS_BAR

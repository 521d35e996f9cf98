"""`make run`: a server on loopback with a demo account, for trying out. It runs `postwren` as anybody would."""

import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

__all__ = ["LOGIN", "PASSWORD", "how", "main"]

DATA = Path("data/try")
LOGIN, PASSWORD = "demo@example.org", "demo"  # for loopback only
PORT_BASES = (2000, 12000, 22000)
ENDS = (10, 25, 43, 65, 87, 93, 95)


def how(base: int) -> str:
    """What one can do with it, where its ports begin at `base`."""
    return f"""
Postwren for trying out, on 127.0.0.1 only. Account {LOGIN}, password {PASSWORD}.

  write a message   curl smtp://127.0.0.1:{base + 87} -u {LOGIN}:{PASSWORD} --mail-from {LOGIN} --mail-rcpt {LOGIN} \
-H "From: {LOGIN}" -H "Subject: Hello" -F "=My first message."
  as a stranger     curl smtp://127.0.0.1:{base + 25} --mail-from you@example.net --mail-rcpt {LOGIN} -T README.md --crlf
  read it           curl "imap://127.0.0.1:{base + 43}/INBOX;MAILINDEX=1" -u {LOGIN}:{PASSWORD}
  fetch it          curl pop3://127.0.0.1:{base + 10}/1 -u {LOGIN}:{PASSWORD}

  any mail program  server 127.0.0.1, login {LOGIN}; it may ask whether you trust the certificate, which is the server's own
    reading         IMAP port {base + 93} with TLS, or {base + 43} without; POP3 port {base + 95} with TLS, or {base + 10} without
    sending         SMTP port {base + 65} with TLS, or {base + 87} without, same login; as {LOGIN}, and to this server only

Its mail is in {DATA}. Ctrl-C ends it.
"""


def main() -> None:
    """Make the account when it is missing, say how to connect, and become the server."""
    postwren = [sys.executable, "-m", "postwren"]
    listed = subprocess.run([*postwren, "account", "list", "--data", str(DATA)], stdout=subprocess.PIPE, text=True, check=False)
    if listed.returncode:
        sys.exit(listed.returncode)
    if LOGIN not in listed.stdout:
        add = [*postwren, "account", "add", LOGIN, "--password-stdin", "--data", str(DATA)]
        subprocess.run(add, input=PASSWORD + "\n", text=True, check=True)
    base = free_base(PORT_BASES)
    print(how(base), flush=True)
    os.execv(sys.executable, [*postwren, "serve", "--dev", "--data", str(DATA), "--port-base", str(base)])


def free_base(bases: Sequence[int]) -> int:
    """The first whose ports nobody uses; the first of all where there is none."""
    return next((base for base in bases if all(_is_free(base + end) for end in ENDS)), bases[0])


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


if __name__ == "__main__":
    main()

"""`make run`: a server on loopback with a demo account, for trying out. It runs `postwren` as anybody would."""

import os
import subprocess
import sys
from pathlib import Path

DATA = Path("data/try")
LOGIN, PASSWORD = "demo@example.org", "demo"  # for loopback only
PORT_BASE = 2000

HOW = f"""
Postwren for trying out, on 127.0.0.1 only. Account {LOGIN}, password {PASSWORD}.

  send a message    curl smtp://127.0.0.1:{PORT_BASE + 25} --mail-from you@example.net --mail-rcpt {LOGIN} -T README.md --crlf
  read it           curl "imap://127.0.0.1:{PORT_BASE + 43}/INBOX;MAILINDEX=1" -u {LOGIN}:{PASSWORD}
  fetch it          curl pop3://127.0.0.1:{PORT_BASE + 10}/1 -u {LOGIN}:{PASSWORD}
  any mail program  IMAP at 127.0.0.1 port {PORT_BASE + 43}, or {PORT_BASE + 93} with TLS
                    sending at 127.0.0.1 port {PORT_BASE + 87}, or {PORT_BASE + 65} with TLS, as {LOGIN} only
                    POP3 at 127.0.0.1 port {PORT_BASE + 10}, or {PORT_BASE + 95} with TLS

Its mail is in {DATA}. Ctrl-C ends it.
"""


def main() -> None:
    """Make the account when it is missing, say how to connect, and become the server."""
    postwren = [sys.executable, "-m", "postwren"]
    logins = subprocess.run(
        [*postwren, "account", "list", "--data", str(DATA)], capture_output=True, text=True, check=True
    ).stdout
    if LOGIN not in logins:
        add = [*postwren, "account", "add", LOGIN, "--password-stdin", "--data", str(DATA)]
        subprocess.run(add, input=PASSWORD + "\n", text=True, check=True)
    print(HOW, flush=True)
    os.execv(sys.executable, [*postwren, "serve", "--dev", "--data", str(DATA), "--port-base", str(PORT_BASE)])


if __name__ == "__main__":
    main()

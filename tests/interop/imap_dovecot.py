"""A private Dovecot 2.3 for IMAP dialogues: with ACLs, quotas, metadata, NOTIFY and TLS; every case has accounts of its own.

apt: dovecot-imapd dovecot-pop3d dovecot-lmtpd. Needs root, to become the mail's owner (the system user `labmail`).
"""

import asyncio
import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from bench.lab.dovecot import OWNER
from bench.lab.mail import Pop3, Sender
from bench.lab.process import Unavailable, free_port_base, until, wait_for_port

__all__ = ["ImapDovecot", "SocketWire"]

PATIENCE: Final = 5.0
"""Seconds until what is expected must have come."""
QUIET: Final = 0.15
"""Seconds of silence that count as silence."""
ACCOUNTS: Final = {"ann@example.org": 0, "bob@example.org": 0, "cat@example.org": 0, "small@example.org": 10_240}
"""Login and quota: Dovecot reads its accounts once a second at most, so they are fixed."""

CONFIG: Final = """
base_dir = {dir}/run
state_dir = {dir}/state
instance_name = imap-dialogues
listen = 127.0.0.1
protocols = imap pop3 lmtp
ssl = yes
ssl_cert = <{dir}/cert.pem
ssl_key = <{dir}/key.pem
disable_plaintext_auth = no
log_path = {dir}/log
auth_mechanisms = plain login scram-sha-1 scram-sha-256
auth_failure_delay = 0
mail_location = sdbox:~/mail
mail_uid = labmail
mail_gid = labmail
first_valid_uid = 1
default_login_user = dovenull
default_internal_user = dovecot
default_vsz_limit = 1G
mail_max_userip_connections = 1000
mail_plugins = acl quota
mail_attribute_dict = file:%h/attributes
imap_metadata = yes
imap_urlauth_host = imap.example.org
imap_hibernate_timeout = 0
login_trusted_networks = 127.0.0.0/8
postmaster_address = postmaster@example.org
passdb {{
  driver = passwd-file
  args = {dir}/accounts
}}
userdb {{
  driver = passwd-file
  args = {dir}/accounts
  default_fields = uid=labmail gid=labmail
}}
namespace inbox {{
  inbox = yes
  separator = /
  mailbox INBOX {{
    auto = subscribe
  }}
  mailbox Sent {{
    special_use = \\Sent
  }}
  mailbox Drafts {{
    special_use = \\Drafts
  }}
  mailbox Trash {{
    special_use = \\Trash
  }}
  mailbox Junk {{
    special_use = \\Junk
  }}
  mailbox Archive {{
    special_use = \\Archive
  }}
}}
namespace others {{
  type = shared
  separator = /
  prefix = Other Users/%%u/
  location = sdbox:%%h/mail
  subscriptions = no
  list = children
}}
plugin {{
  acl = vfile
  acl_shared_dict = file:{dir}/now/shared
  quota = count:
  quota_vsizes = yes
}}
protocol imap {{
  mail_plugins = acl quota imap_acl imap_quota imap_zlib
}}
service anvil {{
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
service imap-login {{
  service_count = 0
  process_min_avail = 1
  inet_listener imap {{
    port = {imap}
  }}
  inet_listener imaps {{
    port = 0
  }}
}}
service imap {{
  process_min_avail = 3
}}
service pop3-login {{
  inet_listener pop3 {{
    port = {pop3}
  }}
  inet_listener pop3s {{
    port = 0
  }}
}}
service lmtp {{
  inet_listener lmtp {{
    address = 127.0.0.1
    port = {lmtp}
  }}
}}
"""


class SocketWire:
    """A dialogue's wire over a socket; every octet goes as it is."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # without the system's authorities, which take 40 ms to read
        self._context.check_hostname = False
        self._context.verify_mode = ssl.CERT_NONE

    @classmethod
    async def open(cls, port: int) -> "SocketWire":
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return cls(reader, writer)

    async def send(self, pieces: Iterator[bytes]) -> None:
        data = b"".join(pieces)
        if data:
            self.writer.write(data)
            await self.writer.drain()
        else:
            self.writer.write_eof()

    async def hear(self, expected: bool) -> bytes:
        try:
            return await asyncio.wait_for(self.reader.read(1 << 16), PATIENCE if expected else QUIET)
        except TimeoutError:
            return b""
        except ConnectionError:
            return b""

    async def closes(self) -> bool:
        return not await self.hear(True) and self.reader.at_eof()

    async def has_tls(self) -> bool:
        if self.writer.get_extra_info("ssl_object") is None:
            await self.writer.start_tls(self._context)
        return True


class ImapDovecot:
    """Implements `imap_stage.World`. Each case calls `new_case` first."""

    name = "dovecot"

    def __init__(self, folder: Path) -> None:
        if not shutil.which("dovecot"):
            raise Unavailable("dovecot is not installed (apt: dovecot-imapd dovecot-pop3d dovecot-lmtpd)")
        base = free_port_base((10, 24, 43))
        self.folder = folder / "dovecot-imap"
        self.imap, self.pop3, self.lmtp = base + 43, base + 10, base + 24
        if subprocess.run(["id", OWNER], capture_output=True, check=False).returncode:
            subprocess.run(["useradd", "-r", "-M", "-s", "/usr/sbin/nologin", OWNER], check=True)
        for name in ("run", "home", "state"):
            (self.folder / name).mkdir(parents=True)
        self._config = self.folder / "dovecot.conf"
        (self.folder / "accounts").write_text("".join(map(self._account, ACCOUNTS)))
        self._certify()
        self._config.write_text(CONFIG.format(dir=self.folder, imap=self.imap, pop3=self.pop3, lmtp=self.lmtp))
        self._case = 0
        self._wires: list[SocketWire] = []

    def _certify(self) -> None:
        kind = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
        files = ["-keyout", str(self.folder / "key.pem"), "-out", str(self.folder / "cert.pem")]
        subprocess.run(["openssl", "req", *kind, "-subj", "/CN=localhost", *files], check=True, capture_output=True)

    def start(self) -> None:
        subprocess.run(["dovecot", "-c", str(self._config)], check=True)
        wait_for_port(self.imap)
        wait_for_port(self.lmtp)

    def stop(self) -> None:
        master = self.folder / "run" / "master.pid"
        if master.exists():
            pid = int(master.read_text())
            subprocess.run(["kill", str(pid)], check=False)
            until(lambda: not Path(f"/proc/{pid}").exists(), 30, "Dovecot ends", 0.05)

    def _account(self, login: str) -> str:
        rule = f"userdb_quota_rule=*:storage={ACCOUNTS[login]}B" if ACCOUNTS[login] else ""
        return f"{login}:{{PLAIN}}secret::::{self.folder}/now/{login}::{rule}\n"

    def new_case(self) -> None:
        """Every account is empty from now on."""
        self._case += 1
        home, link = self.folder / "home" / str(self._case), self.folder / "link"
        home.mkdir()
        shutil.chown(home, OWNER)
        link.symlink_to(home)
        link.replace(self.folder / "now")

    async def close_case(self) -> None:
        for wire in self._wires:
            wire.writer.close()
        self._wires.clear()

    # -- World

    async def account(self, login: str, quota: int) -> None:
        assert ACCOUNTS[login] == quota, "accounts and quotas are fixed"

    async def connect(self, scene: set[str]) -> SocketWire:
        wire = await SocketWire.open(self.imap)
        self._wires.append(wire)
        return wire

    async def deliver(self, login: str, message: bytes) -> None:
        def send() -> None:
            with Sender(self.lmtp, b"LHLO") as sender:
                assert sender.send(message, login)[0].startswith(b"250")

        await asyncio.to_thread(send)

    async def remove_by_pop3(self, login: str, number: int) -> None:
        def remove() -> None:
            pop = Pop3(self.pop3, login, "secret")
            pop.delete([number])
            pop.quit()

        await asyncio.to_thread(remove)

    async def capabilities(self) -> set[str]:
        """After login."""
        self.new_case()
        wire = await SocketWire.open(self.imap)
        await wire.send(iter([b"a LOGIN ann@example.org secret\r\nb CAPABILITY\r\nc LOGOUT\r\n"]))
        heard = b""
        while not await wire_ended(wire, heard):
            heard += await wire.hear(True)
        wire.writer.close()
        line = next(line for line in heard.split(b"\r\n") if line.startswith(b"* CAPABILITY"))
        return set(line.decode().split()[2:])


async def wire_ended(wire: SocketWire, heard: bytes) -> bool:
    return b"\r\nc OK" in heard or wire.reader.at_eof()

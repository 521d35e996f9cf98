"""A private Dovecot 2.3 in one of its three formats; any login has the password `pass`, LMTP takes any recipient.

apt: dovecot-imapd dovecot-pop3d dovecot-lmtpd. Needs root, to become the mail's owner (the system user `labmail`).
Tuned as its own documentation says for speed: high-performance login processes that are kept, reused mail processes, limits
raised; `mail_fsync` stays at its default, so that its durability is what users get.
"""

import shutil
import subprocess
from pathlib import Path

from bench.lab.process import Unavailable, free_port_base, raise_open_files, until, wait_for_port

__all__ = ["FORMATS", "Dovecot"]

FORMATS = ("maildir", "sdbox", "mdbox")
OWNER = "labmail"

CONFIG = """
base_dir = {dir}/run
state_dir = {dir}/state
instance_name = lab-{format}
listen = 127.0.0.1
protocols = imap pop3 lmtp
{tls}
disable_plaintext_auth = no
log_path = {dir}/log
info_log_path = {dir}/info.log
auth_mechanisms = plain login
mail_location = {format}:~/mail
mail_uid = labmail
mail_gid = labmail
first_valid_uid = 1
default_login_user = dovenull
default_internal_user = dovecot
default_vsz_limit = 1G
default_client_limit = 20000
default_process_limit = 5000
mail_max_userip_connections = 10000
verbose_proctitle = no
login_trusted_networks = 127.0.0.0/8
passdb {{
  driver = static
  args = password=pass
}}
userdb {{
  driver = static
  args = uid=labmail gid=labmail home={dir}/home/%n
}}
namespace inbox {{
  inbox = yes
  separator = /
}}
service imap-login {{
  service_count = 0
  process_min_avail = 2
  process_limit = 4
  client_limit = 10000
  inet_listener imap {{
    port = {imap}
  }}
  inet_listener imaps {{
    port = {imaps}
  }}
}}
service pop3-login {{
  service_count = 0
  process_min_avail = 2
  process_limit = 4
  client_limit = 10000
  inet_listener pop3 {{
    port = {pop3}
  }}
  inet_listener pop3s {{
    port = {pop3s}
  }}
}}
service imap {{
  service_count = 256
  process_min_avail = 4
  process_limit = 5000
}}
service pop3 {{
  service_count = 256
  process_min_avail = 2
  process_limit = 5000
}}
service lmtp {{
  service_count = 0
  process_min_avail = 2
  process_limit = 60
  inet_listener lmtp {{
    address = 127.0.0.1
    port = {lmtp}
  }}
}}
service auth {{
  client_limit = 18000
}}
service anvil {{
  client_limit = 18000
}}
service stats {{
  client_limit = 18000
}}
"""


class Dovecot:
    """One instance below `folder`; with `certificate` and `key` it speaks STLS and POP3S too."""

    def __init__(self, folder: Path, kind: str, certificate: Path | None = None, key: Path | None = None) -> None:
        if not shutil.which("dovecot"):
            raise Unavailable("dovecot is not installed (apt: dovecot-imapd dovecot-pop3d dovecot-lmtpd)")
        base = free_port_base((10, 24, 43, 93, 95))
        self.name = f"Dovecot {kind}"
        self.folder = folder / f"dovecot-{kind}"
        self.imap, self.pop3, self.lmtp = base + 43, base + 10, base + 24
        self.imaps, self.pop3s = base + 93, base + 95
        if subprocess.run(["id", OWNER], capture_output=True, check=False).returncode:
            subprocess.run(["useradd", "-r", "-M", "-s", "/usr/sbin/nologin", OWNER], check=True)
        for name in ("run", "home", "state"):
            (self.folder / name).mkdir(parents=True)
        shutil.chown(self.folder / "home", OWNER)
        tls = f"ssl = yes\nssl_cert = <{certificate}\nssl_key = <{key}" if certificate else "ssl = no"
        self._config = self.folder / "dovecot.conf"
        ports = {"imap": self.imap, "pop3": self.pop3, "lmtp": self.lmtp, "pop3s": self.pop3s if certificate else 0}
        ports["imaps"] = self.imaps if certificate else 0
        self._config.write_text(CONFIG.format(dir=self.folder, format=kind, tls=tls, **ports))

    @property
    def pids(self) -> list[int]:
        return [int((self.folder / "run" / "master.pid").read_text())]

    def start(self) -> None:
        raise_open_files()
        subprocess.run(["dovecot", "-c", str(self._config)], check=True)
        wait_for_port(self.pop3)
        wait_for_port(self.lmtp)

    def stop(self) -> None:
        master = self.folder / "run" / "master.pid"
        if master.exists():
            pid = int(master.read_text())
            subprocess.run(["kill", str(pid)], check=False)
            until(lambda: not Path(f"/proc/{pid}").exists(), 30, "Dovecot ends", 0.05)

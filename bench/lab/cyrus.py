"""A private Cyrus 3.6 from Debian's packages, unpacked below a folder: installed, it would take the place of the other servers.

apt: cyrus-common and cyrus-imapd are downloaded and unpacked, sasl2-bin is installed by tests/interop/setup.sh. Needs root and
the
system user `cyrus`, which is made when it is missing. Logins are bare names with the password `pass`. Tuned for speed:
processes are forked
ahead and reused, idled runs, the listen backlog is raised; its durability is its default.
"""

import os
import shutil
import subprocess
from pathlib import Path

from bench.lab.process import Unavailable, free_port_base, raise_open_files, until, wait_for_port

__all__ = ["Cyrus"]

OWNER = "cyrus"
PACKAGES = (
    "cyrus-common",
    "cyrus-imapd",
    "libical3",
    "libpcre3",
    "libxapian30",
    "libclamav12",
    "libjansson4",
    "libpq5",
    "libwrap0",
    "libzephyr4",
)
LIBRARIES = ("usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu")
REALM = "lab"

IMAPD = """
configdirectory: {dir}/conf
partition-default: {dir}/spool
defaultpartition: default
proc_path: {dir}/run/proc
mboxname_lockpath: {dir}/lock
lmtpsocket: {dir}/sock/lmtp
idlesocket: {dir}/sock/idle
notifysocket: {dir}/sock/notify
servername: lab
admins: cyrus
altnamespace: yes
unixhierarchysep: yes
virtdomains: off
hashimapspool: true
allowplaintext: yes
sasl_mech_list: PLAIN LOGIN
sasl_pwcheck_method: auxprop
sasl_auxprop_plugin: sasldb
sasl_sasldb_path: {dir}/sasldb2
sasl_auto_transition: no
autocreate_quota: 0
autocreate_post: yes
duplicatesuppression: no
maxlogins_per_user: 0
maxlogins_per_host: 0
expunge_mode: immediate
delete_mode: immediate
conversations: no
syslog_prefix: cyruslab
lmtp_downcase_rcpt: yes
defaultdomain: {realm}
"""

MASTER = """
START {{
  recover cmd="{bin}/ctl_cyrusdb -C {dir}/imapd.conf -r"
  idled cmd="{bin}/idled -C {dir}/imapd.conf"
}}
SERVICES {{
  imap cmd="{bin}/imapd -C {dir}/imapd.conf -U 250" listen="127.0.0.1:{imap}" prefork=20 maxchild=4000 maxforkrate=500
  lmtp cmd="{bin}/lmtpd -C {dir}/imapd.conf -a" listen="127.0.0.1:{lmtp}" prefork=2 maxchild=100
}}
EVENTS {{
}}
"""


class Cyrus:
    """One instance below `folder`, for these logins; the packages are kept in `cache`."""

    name = "Cyrus"

    def __init__(self, folder: Path, cache: Path, logins: list[str]) -> None:
        if not shutil.which("saslpasswd2"):
            raise Unavailable("sasl2-bin is not installed")
        self._root = _unpacked((cache / "cyrus").resolve())
        base = free_port_base((24, 43))
        self.imap, self.lmtp = base + 43, base + 24
        self.folder = folder / "cyrus"
        self._environment = {**os.environ, "LD_LIBRARY_PATH": ":".join(str(self._root / name) for name in LIBRARIES)}
        for name in ("conf/db", "conf/socket", "conf/proc", "conf/log", "conf/msg", "spool", "run", "lock", "sock"):
            (self.folder / name).mkdir(parents=True)
        bin_folder = self._root / "usr/lib/cyrus/bin"
        places = {"dir": self.folder, "bin": bin_folder, "imap": self.imap, "lmtp": self.lmtp, "realm": REALM}
        (self.folder / "imapd.conf").write_text(IMAPD.format(**places))
        (self.folder / "cyrus.conf").write_text(MASTER.format(**places))
        for login in [OWNER, *logins]:
            words = ["saslpasswd2", "-p", "-c", "-f", str(self.folder / "sasldb2"), "-u", REALM, login]
            subprocess.run(words, input=b"pass\n", check=True, capture_output=True)
        if subprocess.run(["id", OWNER], capture_output=True, check=False).returncode:
            subprocess.run(["useradd", "-r", "-M", "-g", "mail", "-s", "/usr/sbin/nologin", OWNER], check=True)
        subprocess.run(["chown", "-R", f"{OWNER}:mail", str(self.folder)], check=True)

    @property
    def pids(self) -> list[int]:
        return [int((self.folder / "master.pid").read_text())]

    def start(self) -> None:
        raise_open_files()
        words = ["-C", "imapd.conf", "-M", "cyrus.conf", "-p", "master.pid", "-l", "4096", "-d", "-L", "master.log"]
        for place, word in enumerate(words):
            if "." in word:
                words[place] = str(self.folder / word)
        subprocess.run([str(self._root / "usr/sbin/cyrmaster"), *words], check=True, env=self._environment)
        wait_for_port(self.imap)

    def stop(self) -> None:
        master = self.folder / "master.pid"
        if master.exists() and master.read_text().strip():
            pid = int(master.read_text())
            subprocess.run(["kill", "-QUIT", str(pid)], check=False)
            until(lambda: not Path(f"/proc/{pid}").exists(), 30, "Cyrus ends", 0.05)


def _unpacked(cache: Path) -> Path:
    root = cache / "root"
    if not (root / "usr/sbin/cyrmaster").exists():
        root.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(["apt-get", "download", *PACKAGES], cwd=cache, capture_output=True, check=False)
        if done.returncode:
            raise Unavailable(f"the packages of Cyrus cannot be had: {done.stderr[-300:].decode(errors='replace')}")
        for package in sorted(cache.glob("*.deb")):
            subprocess.run(["dpkg-deb", "-x", str(package), str(root)], check=True)
    return root

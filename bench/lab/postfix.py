"""A private Postfix (apt: postfix) that takes mail by SMTP for any user of its domains and hands it on by LMTP or SMTP.

Needs root. `drained` waits until its queue is empty. It rewrites nothing: headers and line lengths pass as they came.
"""

import shutil
import subprocess
from pathlib import Path

from bench.lab.process import Unavailable, free_port_base, until, wait_for_port

__all__ = ["Postfix"]

MAIN = """
compatibility_level = 3.6
queue_directory = {dir}/queue
data_directory = {dir}/data
daemon_directory = /usr/lib/postfix/sbin
command_directory = /usr/sbin
meta_directory = /etc/postfix
shlib_directory = /usr/lib/postfix
mail_owner = postfix
setgid_group = postdrop
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = relay.example.net
mydestination =
mynetworks = 127.0.0.0/8
virtual_mailbox_domains = {domains}
virtual_transport = {transport}
lmtp_destination_concurrency_limit = 50
smtp_destination_concurrency_limit = 50
lmtp_destination_recipient_limit = 1
default_process_limit = 200
in_flow_delay = 0
message_size_limit = 0
mailbox_size_limit = 0
header_size_limit = 10240000
header_address_token_limit = 1024000
smtp_line_length_limit = 0
local_header_rewrite_clients =
smtpd_client_connection_count_limit = 0
smtpd_peername_lookup = no
smtp_dns_support_level = disabled
minimal_backoff_time = 5s
queue_run_delay = 5s
maillog_file = {dir}/logs/mail.log
maillog_file_prefixes = {dir}
alias_maps =
alias_database =
"""

MASTER = """
{port}    inet  n - n - - smtpd
pickup    unix  n - n 60 1 pickup
cleanup   unix  n - n - 0 cleanup
qmgr      unix  n - n 300 1 qmgr
rewrite   unix  - - n - - trivial-rewrite
bounce    unix  - - n - 0 bounce
defer     unix  - - n - 0 bounce
trace     unix  - - n - 0 bounce
verify    unix  - - n - 1 verify
flush     unix  n - n 1000? 0 flush
proxymap  unix  - - n - - proxymap
lmtp      unix  - - n - 40 lmtp
smtp      unix  - - n - - smtp
error     unix  - - n - - error
virtual   unix  - n n - - virtual
retry     unix  - - n - - error
discard   unix  - - n - - discard
tlsproxy  unix  - - n - 0 tlsproxy
tlsmgr    unix  - - n 1000? 1 tlsmgr
anvil     unix  - - n - 1 anvil
scache    unix  - - n - 1 scache
postlog   unix-dgram n - n - 1 postlogd
"""


class Postfix:
    """`transport` is Postfix's own notation: `lmtp:inet:127.0.0.1:24` or `smtp:[127.0.0.1]:25`; `settings`: more of main.cf."""

    def __init__(self, folder: Path, transport: str, domains: str = "example.net example.org", settings: str = "") -> None:
        if not shutil.which("postfix"):
            raise Unavailable("postfix is not installed (apt: postfix)")
        self.name = "Postfix"
        self.folder = folder / "postfix"
        self.smtp = free_port_base((25,)) + 25
        for name in ("conf", "queue", "data", "logs"):
            (self.folder / name).mkdir(parents=True)
        shutil.chown(self.folder / "data", "postfix")
        self._conf = self.folder / "conf"
        (self._conf / "main.cf").write_text(MAIN.format(dir=self.folder, domains=domains, transport=transport) + settings)
        (self._conf / "master.cf").write_text(MASTER.format(port=self.smtp))

    @property
    def pids(self) -> list[int]:
        return [int((self.folder / "queue" / "pid" / "master.pid").read_text())]

    def start(self) -> None:
        done = subprocess.run(["postfix", "-c", str(self._conf), "start"], capture_output=True, text=True, check=False)
        if done.returncode:
            raise Unavailable(f"postfix did not start: {done.stderr[-500:]}{self._log()}")
        wait_for_port(self.smtp)

    def stop(self) -> None:
        subprocess.run(["postfix", "-c", str(self._conf), "stop"], capture_output=True, check=False)

    def drained(self, seconds: float = 60) -> None:
        queues = [self.folder / "queue" / name for name in ("maildrop", "incoming", "active", "deferred")]

        def is_empty() -> bool:
            return not any(path.is_file() for queue in queues for path in queue.rglob("*"))

        try:
            until(is_empty, seconds, "Postfix hands everything on", 0.05)
        except (Unavailable, FileNotFoundError) as error:
            raise Unavailable(f"{error}: {self._log()}") from None

    def _log(self) -> str:
        log = self.folder / "logs" / "mail.log"
        return log.read_text(errors="replace")[-3000:] if log.exists() else ""

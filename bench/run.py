"""python -m bench.run [--rows lmtp,smtp,pop3,idle,import,trace,imap,imap-idle,million,sync-pop3,sync-imap,relay,queue,floor]
    [--only ROW,...] [--quick] [--peers-only]

Sets up private peers (Dovecot in three formats, Postfix in front of one, Cyrus) and our server below a temporary folder, runs
every row
for all of them in interleaved rounds with one driver and one corpus, prints a Markdown table and writes bench/results/*.json.
Needs root and Debian's dovecot-imapd dovecot-pop3d dovecot-lmtpd postfix strace; a whole run takes about half an hour.
"""

import argparse
import contextlib
import json
import shutil
import ssl
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from bench import corpus, device, device_imap, durability, floor, imap, importing, mailflow, million, relay
from bench.lab.cyrus import Cyrus
from bench.lab.dovecot import FORMATS, Dovecot
from bench.lab.postfix import Postfix
from bench.lab.postwren import Postwren
from bench.lab.process import Unavailable, raise_open_files
from bench.measure import OURS, Rows, Target, table

RESULTS = Path(__file__).parent / "results"
GROUPS = (
    "trace",
    "lmtp",
    "smtp",
    "pop3",
    "idle",
    "import",
    "imap",
    "imap-idle",
    "million",
    "sync-pop3",
    "sync-imap",
    "relay",
    "queue",
    "floor",
)
DEFAULT = ",".join(GROUPS)


def main() -> int:
    options = _options()
    raise_open_files()
    started = time.strftime("%Y%m%d-%H%M%S")
    RESULTS.mkdir(exist_ok=True)
    out = RESULTS / f"{started}.json"

    def save(rows: Rows) -> None:
        out.write_text(json.dumps({row.name: row.as_json() for row in rows.all}, indent=1))

    rows = Rows(2 if options.quick else 5, save, frozenset(options.only.split(",")) if options.only else frozenset())
    traces: list[str] = []
    lab = Path(tempfile.mkdtemp(prefix="postwren-bench-", dir=options.lab))
    lab.chmod(0o755)  # the peers' mail processes are other system users
    try:
        for group in options.rows.split(","):
            print(f"== {group}", file=sys.stderr, flush=True)
            try:
                _group(group, rows, lab / group, options, traces)
            except (Unavailable, OSError, EOFError) as error:
                print(f"{group}: {type(error).__name__}: {error}", file=sys.stderr)
                traces.append(f"{group} did not run: {type(error).__name__}: {error}")
    finally:
        shutil.rmtree(lab, ignore_errors=True)
    print(table(rows.all))
    if traces:
        print("\n" + "\n".join(f"- {line}" for line in traces))
    print(f"\n{'quick run, ' if options.quick else ''}written to {out}")
    return 1 if traces and any("did not run" in line for line in traces) else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", default=DEFAULT, help=f"groups, of {','.join(GROUPS)} (default {DEFAULT})")
    parser.add_argument("--quick", action="store_true", help="two rounds and a tenth of the messages: a smoke test, not a figure")
    parser.add_argument("--only", help="rows of these names alone, separated by commas")
    parser.add_argument("--peers-only", action="store_true", help="without our server")
    parser.add_argument("--formats", default=",".join(FORMATS), help="Dovecot's formats")
    parser.add_argument("--lab", type=Path, help="where the temporary folder is made (a real disk, not tmpfs)")
    options = parser.parse_args()
    if unknown := set(options.rows.split(",")) - set(GROUPS):
        parser.error(f"no such rows: {', '.join(sorted(unknown))}")
    return options


def _group(group: str, rows: Rows, folder: Path, options: argparse.Namespace, traces: list[str]) -> None:
    folder.mkdir()
    scale = 0.1 if options.quick else 1.0
    if group == "relay":
        relay.relay_rows(rows, folder, scale)
        return
    if group == "queue":
        relay.queue_rows(rows, folder, int(100_000 * scale))
        return
    if group == "floor":
        floor.floor_rows(rows, scale)
        return
    with contextlib.ExitStack() as stack:
        ours = [] if options.peers_only else [stack.enter_context(_ours(folder, starts=group not in ("import", "million")))]
        targets = [_target(server) for server in ours]
        if group == "import":
            for server in ours:
                importing.import_rows(rows, server, folder, int(200_000 * scale))
            return
        if group == "sync-pop3":
            device.pop3_rows(rows, folder, int(2000 * scale))
            return
        if group == "sync-imap":
            for target in [*stack.enter_context(_peers(folder, group, ["mdbox"])), *targets]:
                device_imap.imap_rows(rows, folder / f"devices-{target.name.split()[0].lower()}", target, scale)
            return
        if group == "million":
            for server, target in zip(ours, targets, strict=True):
                million.million_rows(rows, server, target, million.build(million.FIXTURES, int(1_000_000 * scale)), scale)
            return
        if group == "idle":
            for server, target in zip(ours, targets, strict=True):
                logins = [f"idle{k}@example.net" for k in range(int(1000 * scale))]
                server.add_accounts(logins)
                mailflow.idle_rows(rows, target, logins, ssl.create_default_context(cafile=str(server.certificate)))
            return
        if group == "imap-idle":
            count = int(1000 * scale)
            for server in ours:
                server.add_accounts(f"i{k}@example.net" for k in range(count))
            targets += stack.enter_context(_peers(folder, group, ["sdbox"]))
            imap.idle_imap_rows(rows, targets, count)
            return
        targets += stack.enter_context(_peers(folder, group, options.formats.split(",")))
        if group in ("lmtp", "smtp"):
            mailflow.acceptance_rows(rows, group, targets, scale)
        elif group == "trace":
            traces += _traces(targets, folder)
        else:
            messages = corpus.load(int(10_000 * scale), RESULTS / "corpus.pickle")
            if group == "pop3":
                mailflow.pop3_rows(rows, targets, messages)
            else:
                imap.imap_rows(rows, targets, messages, scale)


def _traces(targets: list[Target], folder: Path) -> list[str]:
    lines = []
    for target in targets:
        for protocol in ("lmtp", "smtp"):
            if target.lmtp if protocol == "lmtp" else target.smtp:
                durable, calls = durability.trace(target, protocol, mailflow.LOGINS[0])
                told = "; ".join(calls).replace(f"{folder}/", "")
                lines.append(f"{target.name}, {protocol}: sync before 250: {'yes' if durable else '**no**'}: {told}")
                print(lines[-1], file=sys.stderr, flush=True)
    return lines


@contextlib.contextmanager
def _ours(folder: Path, starts: bool) -> Iterator[Postwren]:
    server = Postwren(folder / "postwren")
    if starts:
        server.start()
        server.add_accounts([*mailflow.LOGINS, mailflow.MAILDROP, "bench@example.net"])
    try:
        yield server
    finally:
        server.stop()


def _target(server: Postwren) -> Target:
    def fill(login: str, messages: list[bytes]) -> None:
        mailflow.fill_by_lmtp(server.lmtp, login, messages)

    return Target(OURS, lambda: server.pids, server.smtp, server.lmtp, server.pop3, server.pop3s, server.imap, fill)


@contextlib.contextmanager
def _peers(folder: Path, group: str, formats: list[str]) -> Iterator[list[Target]]:
    """Dovecot in every format, or Postfix in front of one; all stopped at the end."""
    with contextlib.ExitStack() as stack:
        targets = []
        for kind in formats if group != "smtp" else ["sdbox"]:
            dovecot = Dovecot(folder, kind)
            stack.callback(dovecot.stop)
            dovecot.start()
            targets.append(_dovecot_target(dovecot))
        if group == "imap":
            cyrus = Cyrus(folder, RESULTS, ["bench", *imap.USERS])
            stack.callback(cyrus.stop)
            cyrus.start()
            targets.append(Target(cyrus.name, lambda: cyrus.pids, imap=cyrus.imap, user=lambda name: name))
        if group in ("smtp", "trace"):
            postfix = Postfix(folder, f"lmtp:inet:127.0.0.1:{targets[0].lmtp}")
            stack.callback(postfix.stop)
            postfix.start()
            target = Target(postfix.name, lambda: postfix.pids, smtp=postfix.smtp, rest=lambda: postfix.drained(120))
            targets = [*(targets if group == "trace" else []), target]
        yield targets


def _dovecot_target(dovecot: Dovecot) -> Target:
    target = Target(dovecot.name, lambda: dovecot.pids, lmtp=dovecot.lmtp, pop3=dovecot.pop3, imap=dovecot.imap)

    def fill(login: str, messages: list[bytes]) -> None:
        imap.upload(target, login.partition("@")[0], b"INBOX", messages)

    target.fill = fill
    return target


if __name__ == "__main__":
    sys.exit(main())

"""Three hosts in network namespaces, each with a domain, a name server and a server of its own on the standard ports. One is cut
off while the others write to it, and comes back: everything arrives, once, and nothing came back to its sender."""

import contextlib
import os
import poplib
import smtplib
import ssl
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from bench.lab.process import until

pytestmark = pytest.mark.real

ROOT = Path(__file__).parent.parent.parent
HOSTS = ("a", "b", "c")
BRIDGE = f"pwb{os.getpid() % 10000}"
ENVIRONMENT = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"}
ANY = ssl._create_unverified_context()  # each server made its certificate itself


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


def address(host: str) -> str:
    return f"10.213.77.{HOSTS.index(host) + 1}"


def user(host: str) -> str:
    return f"u@{host}.example"


class Island:
    """One of the hosts."""

    def __init__(self, name: str, folder: Path, stack: contextlib.ExitStack) -> None:
        self.name, self.space, self.data = name, f"{BRIDGE}{name}", folder / name
        self.log = folder / f"{name}.log"
        ip("netns", "add", self.space)
        stack.callback(ip, "netns", "del", self.space)
        ip("link", "add", self.space, "type", "veth", "peer", "name", "eth0", "netns", self.space)
        ip("link", "set", self.space, "master", BRIDGE, "up")
        for words in (
            ["addr", "add", f"{address(name)}/24", "dev", "eth0"],
            ["link", "set", "eth0", "up"],
            ["link", "set", "lo", "up"],
        ):
            ip("-n", self.space, *words)
        resolver = Path("/etc/netns") / self.space
        resolver.mkdir(parents=True)
        (resolver / "resolv.conf").write_text("nameserver 127.0.0.1\n")
        stack.callback(resolver.rmdir)
        stack.callback((resolver / "resolv.conf").unlink)
        self.data.mkdir()
        (self.data / "postwren.toml").write_text(f'hostname = "mx.{name}.example"\n')
        self.run("account", "add", user(name), "--password-stdin", given="pass\n")
        self.spawn(stack, "tests.interop.nameserver", str(folder / "zone"))
        self.spawn(stack, "postwren", "serve", "--data", str(self.data))
        until(lambda: "ready " in self.log.read_text(), 30, f"{name} is ready", 0.05)

    def spawn(self, stack: contextlib.ExitStack, *words: str) -> None:
        with self.log.open("ab") as log:
            command = ["ip", "netns", "exec", self.space, sys.executable, "-m", *words]
            process = subprocess.Popen(command, stdout=log, stderr=log, env=ENVIRONMENT)
        stack.callback(process.wait, 30)
        stack.callback(process.terminate)

    def run(self, *words: str, given: str = "") -> str:
        command = [sys.executable, "-m", "postwren", *words, "--data", str(self.data)]
        return subprocess.run(command, input=given, capture_output=True, text=True, env=ENVIRONMENT, check=True).stdout

    def link(self, state: str) -> None:
        ip("link", "set", self.space, state)

    def send(self, subject: str) -> None:
        """One message to everybody, the sender too."""
        with smtplib.SMTP(address(self.name), 587, timeout=30) as smtp:
            smtp.starttls(context=ANY)
            smtp.login(user(self.name), "pass")
            smtp.sendmail(user(self.name), [user(host) for host in HOSTS], f"From: {user(self.name)}\nSubject: {subject}\n\nx\n")

    def subjects(self) -> Counter[str]:
        pop = poplib.POP3_SSL(address(self.name), timeout=30, context=ANY)
        pop.user(user(self.name))
        pop.pass_("pass")
        lines = [line for number in range(1, pop.stat()[0] + 1) for line in pop.retr(number)[1]]
        pop.quit()
        return Counter(line.decode().removeprefix("Subject: ") for line in lines if line.startswith(b"Subject: "))


@pytest.fixture
def islands(tmp_path: Path) -> Iterator[dict[str, Island]]:
    rows = [f"{host}.example. MX 10 mx.{host}.example.\nmx.{host}.example. A {address(host)}\n" for host in HOSTS]
    (tmp_path / "zone").write_text("".join(rows))
    with contextlib.ExitStack() as stack:
        try:
            ip("link", "add", BRIDGE, "type", "bridge")
        except (OSError, subprocess.CalledProcessError) as error:
            pytest.skip(f"no network namespaces here: {error}")
        stack.callback(ip, "link", "del", BRIDGE)
        ip("addr", "add", "10.213.77.254/24", "dev", BRIDGE)
        ip("link", "set", BRIDGE, "up")
        yield {host: Island(host, tmp_path, stack) for host in HOSTS}


def test_d07_a_host_that_was_cut_off_gets_everything_once(islands: dict[str, Island]) -> None:
    islands["c"].link("down")
    for host in ("a", "b"):
        islands[host].send(f"from {host} in the dark")
    expected = Counter({"from a in the dark": 1, "from b in the dark": 1})
    for host in ("a", "b"):
        until(lambda host=host: islands[host].subjects() == expected, 30, f"mail at {host}", 0.1)  # type: ignore[misc]
        assert f"to {user('c')}" in islands[host].run("queue", "list")
    islands["c"].link("up")
    for island in islands.values():
        island.send(f"from {island.name} in the light")
        expected[f"from {island.name} in the light"] = 1
    end = time.monotonic() + 60
    while any("nothing waits" not in island.run("queue", "list") for island in islands.values()):
        assert time.monotonic() < end, [island.run("queue", "list") for island in islands.values()]
        for island in islands.values():
            island.run("queue", "retry", "--all")
    for island in islands.values():
        assert island.subjects() == expected

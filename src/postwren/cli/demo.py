"""`make demo`: the whole story, told step by step by programs that really run: two servers that find each other by a zone file, a
letter that goes from one to the other signed and over TLS, one that comes back, three devices that read with their server gone,
and mail that waits for a server that is away. Every step is checked; it ends with 1 at the first that is not as told."""

import asyncio
import socket
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from postwren.cli.demo_host import Host, NotSo, Story
from postwren.client.conversation import Security, ServerFailed
from postwren.client.imap import ImapClient
from postwren.client.smtp import submit
from postwren.protocols.imap.command.fetch import Item, Section
from postwren.protocols.imap.command.store import StoreAction
from postwren.protocols.imap.response.size import Exists
from postwren.terms import Address
from postwren.wire.secret import Secret

ANN, BOB = "ann@a.example", "bob@b.example"
PASSWORDS = {ANN: "ann's secret", BOB: "bob's secret"}
PATIENCE = 30  # seconds for whatever is waited for

LETTER = """\
From: Ann <ann@a.example>
To: {to}
Subject: {subject}
Date: {date}
Message-ID: <{number}@a.example>

{text}

Ann
"""
FIRST = """Dear Bob,

my server carried this letter to yours, and your devices took it from there.
It stays readable when both of our servers are gone."""
SECOND = """Dear Bob,

your server was away when I wrote this. Mine waited for it."""

CONFIG = """\
hostname = "{hostname}"
[smtp]
trusted_networks = []    # judge what comes from this machine, too
[outbound]
ports = {{ {ports} }}    # in the place of port 25
"""


def main() -> None:
    """Tell the story in a temporary folder."""
    with tempfile.TemporaryDirectory(prefix="postwren-demo-") as name:
        folder, bases = Path(name), iter(free_bases(5))
        a, b, *devices = (Host(each, folder / each, next(bases)) for each in ("a", "b", "laptop", "tablet", "phone"))
        hosts = [a, b, *devices]
        try:
            asyncio.run(_tell(Story(), hosts))
        except (NotSo, ServerFailed, OSError, TimeoutError) as error:
            for host in hosts:
                print("".join(f"{host.name}: {line}\n" for line in host.log[-10:]), end="", file=sys.stderr)
            sys.exit(f"NOT AS TOLD: {str(error) or type(error).__name__}")
        except KeyboardInterrupt:
            sys.exit("not told to its end")


async def _tell(story: Story, hosts: list[Host]) -> None:
    a, b, *devices = hosts
    try:
        print("Everything here happens on 127.0.0.1 and in a temporary folder.", flush=True)
        await two_servers(story, a, b)
        letter = await a_letter(story, a, b)
        await one_that_comes_back(story, a)
        await three_devices(story, b, devices)
        await the_server_is_gone(story, b, devices, letter)
        await mail_waits(story, a, b)
        await all_agree(story, devices)
        await asyncio.gather(*(host.stop() for host in hosts))
        for said in await asyncio.gather(*(host.command("check") for host in hosts)):
            story.expect(said.strip().endswith("ok"), said)
        story.tell("All have ended. `postwren check` finds the stores of both servers and of all three devices in order.")
    finally:
        await asyncio.gather(*(host.stop() for host in hosts))
    story.end()


async def two_servers(story: Story, a: Host, b: Host) -> None:
    """Each with a domain, its keys, an account; and a zone file of what they want published."""
    story.part("Two servers, each with a domain of its own")
    zone, ports = [], ", ".join(f'"mx.{host.name}.example" = {host.port(25)}' for host in (a, b))
    for host, published in zip((a, b), await asyncio.gather(_set_up(a, ANN, ports), _set_up(b, BOB, ports)), strict=True):
        zone += [published, f"mx.{host.name}.example. A 127.0.0.1"]
        story.expect(published.count("v=DKIM1") == 2, "two keys a domain")
        story.tell(
            f"{host.name}.example: `postwren account add`, `postwren domain add`: two keys to sign with, and what to publish"
        )
    (a.folder.parent / "zone").write_text("\n".join(zone))
    story.tell("What both want published is put into a file, which is their DNS for today:")
    story.show([line for line in "\n".join(zone).splitlines() if line.startswith(("a.example", "_dmarc.a.", "mx.a."))])
    await asyncio.gather(*(host.start("--zone", str(a.folder.parent / "zone")) for host in (a, b)))
    story.tell("`postwren serve --dev --zone FILE`, twice: mx.a.example and mx.b.example are ready")


async def _set_up(host: Host, login: str, ports: str) -> str:
    host.folder.mkdir()
    (host.folder / "postwren.toml").write_text(CONFIG.format(hostname=f"mx.{host.name}.example", ports=ports))
    await host.command("account", "add", login, "--password-stdin", text=PASSWORDS[login])
    return await host.command("domain", "add", f"{host.name}.example")


async def a_letter(story: Story, a: Host, b: Host) -> bytes:
    """From ann to bob, by way of both servers; returns it as it was submitted."""
    story.part("A letter")
    octets = await send(a, BOB, "The first letter", FIRST)
    story.tell("Ann's mail program logs in at her server (TLS, submission) and hands it a letter to bob@b.example. It says: kept")
    sent = await a.says("attempt", "host=mx.b.example", "fate=delivered")
    story.expect("tls=TLSv1.3" in sent, f"TLS between the servers: {sent}")
    arrived = await message(b, BOB, 1)
    story.expect(arrived.endswith(octets), "the letter as it was written, below what the servers put on top")
    header = arrived[: -len(octets)].decode()
    story.tell("Her server signed it and carried it to his over TLS. His looked at it, and wrote on top of it:")
    verdict = fields(header, "Authentication-Results:")
    story.show(fields(header, "Received:")[:3] + verdict)
    for method in ("spf", "dkim", "dmarc"):
        story.expect(f"{method}=pass" in " ".join(verdict), f"{method}=pass")
    story.tell("spf=pass, dkim=pass, dmarc=pass: it is from a.example, and nobody changed a word")
    return octets


async def one_that_comes_back(story: Story, a: Host) -> None:
    """An address that is not there."""
    await send(a, "nobody@b.example", "Anybody there?", "Hello?")
    report = (await message(a, ANN, 1)).decode()
    text = (
        report.partition("charset=us-ascii")[2].partition("\n\n" if "\r\n" not in report else "\r\n\r\n")[2].partition("--=_")[0]
    )
    story.expect("nobody@b.example" in text and "No such recipient" in text, f"a report that says what happened: {report}")
    story.tell("A letter to nobody@b.example comes back, and says why:")
    story.show(text.partition("The message:")[0].strip().splitlines())


async def three_devices(story: Story, b: Host, devices: list[Host]) -> None:
    """Two by IMAP, one by POP3."""
    story.part("Three devices")
    trust = ("--tls", "implicit", "--trust", str(b.folder / "tls/certificate.pem"), "--password-stdin")
    roads = (("--imap", f"127.0.0.1:{b.port(93)}"),) * 2 + (("--pop3", f"127.0.0.1:{b.port(95)}", "--delete", "never"),)
    adding = [
        device.command("sync", "add", BOB, *road, *trust, text=PASSWORDS[BOB])
        for device, road in zip(devices, roads, strict=True)
    ]
    await asyncio.gather(*adding)
    story.tell(
        "`postwren sync add`: Bob's laptop and tablet will keep a copy of his account by IMAP, his phone takes the mail by POP3"
    )
    for said in await asyncio.gather(*(device.command("sync", "run", BOB) for device in devices)):
        story.expect("1 new" in said, said)
    story.tell("`postwren sync run`: each of them has the letter. (On the phone with `--delete never`: the others want it, too.)")


async def the_server_is_gone(story: Story, b: Host, devices: list[Host], letter: bytes) -> None:
    """Reading and marking without it."""
    story.part("Bob's server is gone")
    laptop, _, phone = devices
    await b.stop()
    ((_, octets),) = await mails(phone)
    story.expect(octets.endswith(letter), "the letter on the phone")
    story.tell("mx.b.example has ended. The phone reads on (`postwren export`, or any program that reads a Maildir):")
    story.show([line for line in octets[-len(letter) :].decode().splitlines() if not line.startswith("Message-ID")])
    await laptop.start()
    async with mailbox(laptop, BOB) as inbox:
        await inbox.store(((1, 1),), StoreAction.ADD, ("\\Flagged",))
    await laptop.stop()
    story.tell(
        "On the laptop, with no network, Bob flags the letter in his mail program: `postwren serve --dev` there shows it the copy"
    )


async def mail_waits(story: Story, a: Host, b: Host) -> None:
    """The queue, and a server that comes back."""
    await send(a, BOB, "The second letter", SECOND)
    await a.says("attempt", "host=mx.b.example", "fate=deferred")
    waiting = await a.command("queue", "list")
    story.expect("1 message to 1 recipient" in waiting and BOB in waiting, f"it waits: {waiting}")
    story.tell("Ann writes again. His server does not answer; hers keeps the letter and will try for five days:")
    story.show(["$ postwren queue list", *waiting.expandtabs(4).splitlines()])
    story.part("It comes back")
    await b.start("--zone", str(a.folder.parent / "zone"))
    await a.command("queue", "retry", "--domain", "b.example")
    await message(b, BOB, 2)
    await a.says("attempt", "host=mx.b.example", "fate=delivered", number=2)
    left = await a.command("queue", "list")
    story.expect(left.strip() == "nothing waits", f"an empty queue: {left}")
    story.tell("mx.b.example is there again. `postwren queue retry` does not wait for the clock: the second letter has arrived")


async def all_agree(story: Story, devices: list[Host]) -> None:
    """What one device changed, the other sees."""
    laptop, tablet, phone = devices
    for device in (laptop, tablet, phone):  # one after the other: the flag goes up before it comes down
        await device.command("sync", "run", BOB)
    for device, had in zip(devices, await asyncio.gather(*map(mails, devices)), strict=True):
        marked = {b"Subject: The first letter": device is not phone, b"Subject: The second letter": False}
        found = {subject: is_flagged for is_flagged, octets in had for subject in marked if subject in octets}
        story.expect(found == marked, f"both letters on the {device.name}, the flag where it belongs: {found}")
    story.tell("`postwren sync run`: all three devices have both letters, and the tablet shows the flag from the laptop")
    await asyncio.gather(*(device.command("sync", "verify", BOB) for device in (laptop, tablet)))
    story.tell("`postwren sync verify`: laptop, tablet and server have the same mail, octet for octet")


# -- mail programs


async def send(a: Host, to: str, subject: str, text: str) -> bytes:
    """By ann, through her server; returns the message."""
    date = time.strftime("%a, %d %b %Y %H:%M:%S +0000", time.gmtime())
    written = LETTER.format(to=to, subject=subject, date=date, number=time.time_ns(), text=text)
    octets = written.replace("\n", "\r\n").encode()
    place = "127.0.0.1", a.port(65), _address(ANN), [_address(to)], octets
    trusted, secret = a.folder / "tls/certificate.pem", Secret(PASSWORDS[ANN])
    done = await submit(*place, security=Security.IMPLICIT, trusted=trusted, login=ANN, password=secret)
    if not (done.message and done.message[0].is_positive):
        raise NotSo(f"the letter is taken: {done}")
    return octets


@asynccontextmanager
async def mailbox(host: Host, login: str) -> AsyncIterator[ImapClient]:
    """Somebody's INBOX by IMAP, over TLS."""
    trusted = host.folder / "tls/certificate.pem"
    async with ImapClient("127.0.0.1", host.port(93), security=Security.IMPLICIT, trusted=trusted) as client:
        await client.login(login, Secret(PASSWORDS[login]))
        await client.select("INBOX")
        yield client
        await client.logout()


async def message(host: Host, login: str, uid: int) -> bytes:
    """A message of somebody's INBOX, as soon as it is there: an IDLE waits for it."""
    async with asyncio.timeout(PATIENCE), mailbox(host, login) as inbox:
        while not (found := await inbox.fetch(((uid, uid),), (Item.FLAGS, Section(is_peek=True)))):
            await _told_of_more(inbox)
        octets = found[0].sections[0].octets
        assert isinstance(octets, bytes)
        return octets


async def _told_of_more(inbox: ImapClient) -> None:
    heard = asyncio.Event()

    def hear(said: object) -> None:
        if isinstance(said, Exists):
            heard.set()

    await inbox.idle(heard, hear)


async def mails(device: Host) -> list[tuple[bool, bytes]]:
    """What a device has, as a Maildir of its own shows it: whether it is flagged, and its octets."""
    with tempfile.TemporaryDirectory() as name:
        await device.command("export", BOB, f"{name}/mail")
        return _read_maildir(Path(name) / "mail")


def _read_maildir(folder: Path) -> list[tuple[bool, bytes]]:
    files = [*folder.glob("cur/*"), *folder.glob("new/*")]
    return [("F" in path.name.partition(":2,")[2], path.read_bytes().replace(b"\n", b"\r\n")) for path in files]


def fields(header: str, name: str) -> list[str]:
    """The lines of the first field that begins with `name`."""
    lines = header.splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith(name))
    end = next((n for n in range(start + 1, len(lines)) if lines[n][:1] not in (" ", "\t")), len(lines))
    return [line.replace("\t", "    ") for line in lines[start:end]]


def free_bases(number: int) -> list[int]:
    """Port bases whose ports nobody uses."""
    return [base for base in range(21000, 32000, 100) if all(map(_is_free, range(base + 10, base + 96)))][:number]


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def _address(text: str) -> Address:
    local, _, domain = text.partition("@")
    return Address(local, domain)


if __name__ == "__main__":
    main()

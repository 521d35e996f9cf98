"""`postwren serve`: the server in the foreground."""

import asyncio
import gc
import resource
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from postwren.cli.context import ConfigOption, DataOption, Place, fail
from postwren.ops.log import set_up_log

if TYPE_CHECKING:
    from postwren.transport.zone import ZoneResolver


def serve(
    data: DataOption = None,
    config: ConfigOption = None,
    dev: Annotated[bool, typer.Option("--dev", help="For trying out: 127.0.0.1 only, passwords without TLS.")] = False,
    port_base: Annotated[
        int,
        typer.Option(
            "--port-base",
            metavar="N",
            min=1,
            max=65000,
            help="With --dev: SMTP N+25, LMTP N+24, submission N+87 and N+65, IMAP N+43 and N+93, POP3 N+10 and N+95, HTTP N+80.",
        ),
    ] = 2000,
    zone: Annotated[
        Path | None,
        typer.Option(
            "--zone", metavar="FILE", help="With --dev: the DNS is this zone file, and mail goes out to where it leads, here too."
        ),
    ] = None,
    workers: Annotated[int, typer.Option("--workers", metavar="N", min=1, help="Processes; only 1 so far.")] = 1,
) -> None:
    """Run the server until SIGTERM. Prints `ready` and the ports on stdout once it listens; logs to stderr."""
    from postwren.app.server import run_server  # it loads the whole server, which other commands do without
    from postwren.app.settings import dev_listen

    if workers != 1:
        fail("one process does everything so far: leave --workers out")
    if zone is not None and not dev:
        fail("--zone goes with --dev: a real server asks the real DNS")
    place = Place.find(data, config)
    set_up_log(place.config.log.format, place.config.log.level)
    settings = msgspec.structs.replace(place.config, listen=dev_listen(port_base)) if dev else place.config
    _raise_descriptor_limit()
    gc.freeze()  # modules never become garbage: looking at them again and again costs 5 % of a busy server
    gc.set_threshold(50_000, 20, 100)
    with _runner() as runner:
        code = runner.run(run_server(place.data, settings, dev, _say_ready, None if zone is None else _read_zone(zone)))
    raise typer.Exit(code)


def _read_zone(path: Path) -> "ZoneResolver":
    from postwren.transport.zone import ZoneInvalid, read_zone

    try:
        return read_zone(path)
    except ZoneInvalid as error:
        fail(f"--zone: {error}")


def _raise_descriptor_limit() -> None:
    """As far as one may without asking: the usual 1024 are fewer than the connections that are let in."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _runner() -> asyncio.Runner:
    try:
        import uvloop
    except ImportError:  # not on this platform: asyncio does the same, slower
        return asyncio.Runner()
    return asyncio.Runner(loop_factory=uvloop.new_event_loop)


def _say_ready(ports: dict[str, list[int]]) -> None:
    print("ready", *(f"{name}={','.join(map(str, numbers))}" for name, numbers in ports.items() if numbers), flush=True)

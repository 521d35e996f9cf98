"""`postwren sync outbox`: what waits on this device to be sent, and what may have been sent."""

from typing import Annotated, Any, Final

import typer

from postwren.cli.context import ConfigOption, DataOption, JsonOption, Place, fail, print_json, with_store
from postwren.cli.trouble import said
from postwren.delivery.queue import Key, drop, read_clock
from postwren.mailstore.port import Store
from postwren.mailstore.queue import DeliveryState
from postwren.mailstore.service.accounts import canonical_login
from postwren.sync.outbox import Waiting, header_of, set_rows, waiting
from postwren.sync.outgoing import Office, Outgoing
from postwren.sync.run import under_lock
from postwren.sync.settings import Settings, all_settings, load_settings

app = typer.Typer(help="See what waits to be sent from this device, and decide about it.", no_args_is_help=True)

_SHOWN: Final = 300
_STATES: Final = {
    DeliveryState.WAITING: "waits",
    DeliveryState.HELD: "is held",
    DeliveryState.HANDED_OVER: "is being sent",
    DeliveryState.DOUBTFUL: "may have been sent",
}

AddressArgument = Annotated[str | None, typer.Argument(metavar="[ADDRESS]", help="One account. [default: all]")]
IdsArgument = Annotated[list[int], typer.Argument(metavar="ID...", help="As the list shows them.")]


@app.command("list")
def list_(
    address: AddressArgument = None, as_json: JsonOption = False, data: DataOption = None, config: ConfigOption = None
) -> None:
    """Show what was not sent yet, and what may have been."""

    async def work(store: Store, place: Place) -> None:
        chosen = all_settings(place.data)
        if address is not None:
            chosen = [load_settings(place.data, canonical_login(store.reader, address) or address)]
        rows = [
            _described(settings, each, header_of(store, each.message.uid))
            for settings in chosen
            for each in waiting(store.reader, settings.address)
        ]
        if as_json:
            print_json(rows)
        for row in rows if not as_json else ():
            print(f"{row['id']}\t{row['account']}\t{row['octets']:,} octets\t{_plain(row['subject'])}")
            for to in row["recipients"]:
                why = f" ({_plain(to['reply'])})" if to["reply"] else ""
                print(f"\tto {_plain(to['address'])}: {to['said']}{why}")

    with_store(data, config, said(work), only_reads=True)


def _described(settings: Settings, each: Waiting, header: dict[str, str]) -> dict[str, Any]:
    return {
        "id": each.message.uid,
        "account": settings.address,
        "queued": each.message.queued,
        "octets": each.octets,
        "subject": header.get("Subject", ""),
        "message_id": header.get("Message-ID", ""),
        "recipients": [
            {
                "address": row.address,
                "state": row.state.name.lower().replace("_", "-"),
                "said": _STATES[row.state],
                "attempts": row.attempts,
                "reply": row.reply,
            }
            for row in each.recipients
        ],
    }


@app.command("retry")
def retry(ids: IdsArgument, data: DataOption = None, config: ConfigOption = None) -> None:
    """Send these at the next run, or at once where a server runs here. What may have been sent may arrive twice then."""

    async def work(store: Store, place: Place) -> None:
        number = 0
        for settings, each in _chosen(store, place, ids):
            with under_lock(place.data, settings.address, ".outgoing"):
                rows = [
                    row._replace(state=DeliveryState.WAITING, next_attempt=0, reply="" if _is_doubtful(row.state) else row.reply)
                    for row in each.recipients
                    if row.state is not DeliveryState.HANDED_OVER
                ]
                await store.perform(set_rows(each.message.uid, rows))
                number += 1
        print(f"{number} will be sent.")

    with_store(data, config, said(work))


@app.command("drop")
def drop_(
    ids: IdsArgument,
    was_sent: Annotated[bool, typer.Option("--was-sent", help="They were sent: keep a copy of each in Sent.")] = False,
    data: DataOption = None,
    config: ConfigOption = None,
) -> None:
    """Forget these: they are not sent from here any more."""

    async def work(store: Store, place: Place) -> None:
        number = 0
        clock = read_clock(store.reader)
        for settings, each in _chosen(store, place, ids):
            with under_lock(place.data, settings.address, ".outgoing"):
                if was_sent:
                    await Outgoing(Office(store, place.data, lambda: clock.queue), settings).was_sent(
                        each.message.uid, each.recipients
                    )
                else:
                    keys: list[Key] = [(row.uid, row.number) for row in each.recipients]
                    await store.perform(drop(keys))
                number += 1
        print(f"{number} dropped.")

    with_store(data, config, said(work))


def _chosen(store: Store, place: Place, ids: list[int]) -> list[tuple[Settings, Waiting]]:
    found = [(settings, each) for settings in all_settings(place.data) for each in waiting(store.reader, settings.address)]
    missing = set(ids) - {each.message.uid for _, each in found}
    if missing:
        fail(f"no such message waits: {', '.join(map(str, sorted(missing)))}; `postwren sync outbox list` shows what does")
    return [(settings, each) for settings, each in found if each.message.uid in ids]


def _is_doubtful(state: DeliveryState) -> bool:
    return state is DeliveryState.DOUBTFUL


def _plain(text: str) -> str:
    """What others wrote, on a terminal (A-33)."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)[:_SHOWN]

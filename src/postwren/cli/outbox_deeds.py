"""What `postwren sync outbox` does (`outbox` has the commands): loaded for nothing else, for what sends is much."""

from collections.abc import Sequence
from typing import Any, Final

from postwren.cli.context import Place, fail, print_json
from postwren.delivery.queue import Key, drop, read_clock
from postwren.mailstore.port import Store
from postwren.mailstore.queue import DeliveryState
from postwren.mailstore.service.accounts import canonical_login
from postwren.sync.outbox import Waiting, header_of, set_rows, waiting
from postwren.sync.outgoing import Office, Outgoing
from postwren.sync.run import under_lock
from postwren.sync.settings import Settings, all_settings, load_settings

__all__ = ["forget", "show", "try_again"]

_SHOWN: Final = 300
_STATES: Final = {
    DeliveryState.WAITING: "waits",
    DeliveryState.HELD: "is held",
    DeliveryState.HANDED_OVER: "is being sent",
    DeliveryState.DOUBTFUL: "may have been sent",
}


async def show(store: Store, place: Place, address: str | None, *, as_json: bool) -> None:
    """What was not sent yet, and what may have been."""
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


async def try_again(store: Store, place: Place, ids: Sequence[int]) -> None:
    """Also what may have been sent."""
    chosen = _chosen(store, place, ids)
    for settings, each in chosen:
        with under_lock(place.data, settings.address, ".outgoing"):
            rows = [
                row._replace(state=DeliveryState.WAITING, next_attempt=0, reply="" if _is_doubtful(row.state) else row.reply)
                for row in each.recipients
                if row.state is not DeliveryState.HANDED_OVER
            ]
            await store.perform(set_rows(each.message.uid, rows))
    print(f"{len(chosen)} will be sent.")


async def forget(store: Store, place: Place, ids: Sequence[int], *, was_sent: bool) -> None:
    """`was_sent`: a copy of each goes into Sent."""
    chosen, clock = _chosen(store, place, ids), read_clock(store.reader)
    for settings, each in chosen:
        with under_lock(place.data, settings.address, ".outgoing"):
            if was_sent:
                office = Office(store, place.data, lambda: clock.queue)
                await Outgoing(office, settings).was_sent(each.message.uid, each.recipients)
            else:
                keys: list[Key] = [(row.uid, row.number) for row in each.recipients]
                await store.perform(drop(keys))
    print(f"{len(chosen)} dropped.")


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


def _chosen(store: Store, place: Place, ids: Sequence[int]) -> list[tuple[Settings, Waiting]]:
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

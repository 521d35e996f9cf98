"""`postwren sync outbox`: what waits on this device to be sent, and what may have been sent."""

from typing import Annotated

import typer

from postwren.cli.context import ConfigOption, DataOption, JsonOption, Place, with_store
from postwren.cli.trouble import said
from postwren.mailstore.port import Store

app = typer.Typer(help="See what waits to be sent from this device, and decide about it.", no_args_is_help=True)

AddressArgument = Annotated[str | None, typer.Argument(metavar="[ADDRESS]", help="One account. [default: all]")]
IdsArgument = Annotated[list[int], typer.Argument(metavar="ID...", help="As the list shows them.")]


@app.command("list")
def list_(
    address: AddressArgument = None, as_json: JsonOption = False, data: DataOption = None, config: ConfigOption = None
) -> None:
    """Show what was not sent yet, and what may have been."""

    async def work(store: Store, place: Place) -> None:
        from postwren.cli.outbox_deeds import show

        await show(store, place, address, as_json=as_json)

    with_store(data, config, said(work), only_reads=True)


@app.command("retry")
def retry(ids: IdsArgument, data: DataOption = None, config: ConfigOption = None) -> None:
    """Send these at the next run, or at once where a server runs here. What may have been sent may arrive twice then."""

    async def work(store: Store, place: Place) -> None:
        from postwren.cli.outbox_deeds import try_again

        await try_again(store, place, ids)

    with_store(data, config, said(work))


@app.command("drop")
def drop(
    ids: IdsArgument,
    was_sent: Annotated[bool, typer.Option("--was-sent", help="They were sent: keep a copy of each in Sent.")] = False,
    data: DataOption = None,
    config: ConfigOption = None,
) -> None:
    """Forget these: they are not sent from here any more."""

    async def work(store: Store, place: Place) -> None:
        from postwren.cli.outbox_deeds import forget

        await forget(store, place, ids, was_sent=was_sent)

    with_store(data, config, said(work))

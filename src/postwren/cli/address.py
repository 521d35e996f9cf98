"""`postwren address`: further addresses of accounts, and catch-alls."""

from typing import Annotated

import typer

from postwren.cli.context import ConfigOption, DataOption, JsonOption, Place, find_account, print_json, with_store
from postwren.mailstore.port import Store
from postwren.mailstore.service.accounts import add_address, remove_address
from postwren.terms import Address

app = typer.Typer(help="Give accounts further addresses (aliases), or a whole domain (@example.org).", no_args_is_help=True)

AddressArgument = Annotated[str, typer.Argument(metavar="ADDRESS", help="local@domain, or @domain for all others there.")]


@app.command("add")
def add(
    address: AddressArgument,
    login: Annotated[str, typer.Argument(metavar="LOGIN", help="The account that gets the mail.")],
    data: DataOption = None,
    config: ConfigOption = None,
) -> None:
    """Deliver mail for ADDRESS to an account."""

    async def work(store: Store, _: Place) -> None:
        account = find_account(store.reader, login)
        await store.perform(add_address(account.account_id, _parse(address)))

    with_store(data, config, work)


@app.command("list")
def list_(as_json: JsonOption = False, data: DataOption = None, config: ConfigOption = None) -> None:
    """Show every address and its account."""

    async def work(store: Store, _: Place) -> None:
        logins = {account.account_id: account.login for account in store.reader.accounts()}
        rows = sorted((show_address(row.address), logins[row.account_id]) for row in store.reader.addresses())
        if as_json:
            print_json([{"address": address, "login": login} for address, login in rows])
        for address, login in rows if not as_json else ():
            print(f"{address}\t{login}")

    with_store(data, config, work, only_reads=True)


@app.command("remove")
def remove(address: AddressArgument, data: DataOption = None, config: ConfigOption = None) -> None:
    """Mail for ADDRESS is refused from now on."""

    async def work(store: Store, _: Place) -> None:
        await store.perform(remove_address(_parse(address)))

    with_store(data, config, work)


def _parse(text: str) -> Address:
    local, at, domain = text.rpartition("@")
    if not (at and domain):
        raise typer.BadParameter(f"{text!r} is no address; expected local@domain, or @domain")
    return Address(local, domain)


def show_address(address: Address) -> str:
    return str(address) if address.local else f"@{address.domain}"

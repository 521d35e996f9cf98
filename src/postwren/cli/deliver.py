"""`postwren deliver`: one message from standard input into an account."""

import sys
import time
from collections.abc import Iterator
from typing import Annotated, BinaryIO

import typer

from postwren.archive.item import to_crlf
from postwren.cli.context import ConfigOption, DataOption, JsonOption, Place, fail, find_account, print_json, with_store
from postwren.mailstore.port import Store
from postwren.mailstore.service import deliver as service
from postwren.mailstore.service.mailboxname import canonical
from postwren.terms import INBOX

PIECE = 1 << 16


def deliver(
    login: Annotated[str, typer.Argument(metavar="LOGIN", help="The account.")],
    mailbox: Annotated[
        str, typer.Option("--mailbox", metavar="NAME", help="Where to; INBOX when there is none of this name.")
    ] = INBOX,
    as_json: JsonOption = False,
    data: DataOption = None,
    config: ConfigOption = None,
) -> None:
    """Deliver the message on standard input. Done means: it is on the disk."""

    async def work(store: Store, _: Place) -> None:
        account = find_account(store.reader, login)
        writer = store.new_body()
        for piece in crlf_pieces(sys.stdin.buffer):
            writer.write(piece)
        if not writer.size:
            writer.discard()
            fail("standard input is empty: no message to deliver")
        body = writer.finish()
        target = service.Target(account.account_id, canonical(mailbox))
        (delivered,) = await store.perform(service.deliver([target], body, int(time.time())), [body])
        if as_json:
            box = store.reader.mailbox(account.account_id, delivered.mailbox_id)
            name = box.name if box is not None else None  # deleted meanwhile
            print_json({"mailbox": name, "uidvalidity": delivered.uidvalidity, "uid": delivered.uid, "octets": body.size})

    with_store(data, config, work)


def crlf_pieces(stream: BinaryIO) -> Iterator[bytes]:
    """A stream with every bare LF turned into CRLF; an mbox separator as first line (as pipes from mail servers have it)
    is left out."""
    first = stream.readline(PIECE)
    carry = b"" if first.startswith(b"From ") else first
    while piece := stream.read(PIECE):
        carry += piece
        if carry.endswith(b"\r"):
            yield to_crlf(carry[:-1])
            carry = b"\r"
        else:
            yield to_crlf(carry)
            carry = b""
    if carry:
        yield to_crlf(carry)

"""Any responses, in any cut, are told by the client's core as they were said; and whatever a message holds, a strict reader
reads all that is rendered of it (A-50)."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.property.test_message import SOUP
from tests.unit.imap.response_strategies import RESPONSES

from postwren.message.digest import digest
from postwren.protocols.imap.client import ClientConnection, LiteralReceived, Received, ServerFault
from postwren.protocols.imap.limits import ClientLimits
from postwren.protocols.imap.response import Response, Tagged, format_response, parse_response
from postwren.protocols.imap.response.fetch import Fetched
from postwren.wire.core import NEED_DATA


def told(octets: list[bytes], limits: ClientLimits) -> list[Any]:
    core = ClientConnection(limits, is_strict=True)
    events: list[Any] = []
    for piece in octets:
        core.receive_data(piece)
        while (event := core.next_event()) is not NEED_DATA:
            if isinstance(event, LiteralReceived) and isinstance(events[-1], LiteralReceived):
                event = LiteralReceived(events.pop().data + event.data)
            events.append(event)
    return events


@settings(max_examples=100, deadline=None)
@given(st.lists(RESPONSES.filter(lambda response: not isinstance(response, Tagged)), max_size=5), st.integers(1, 30))
def test_responses_are_told_as_they_were_said_in_any_cut(responses: list[Response], step: int) -> None:
    octets = b"* PREAUTH x\r\n" + b"".join([format_response(response, False) for response in responses])
    cut = [octets[start : start + step] for start in range(0, len(octets), step)]
    assert told(cut, ClientLimits())[1:] == [Received(response) for response in responses]  # type: ignore[arg-type]
    streamed = ClientLimits(section=3)
    assert told(cut, streamed) == told([octets], streamed)
    assert not any(isinstance(event, ServerFault) for event in told(cut, streamed))


@settings(max_examples=150, deadline=None)
@given(SOUP)
def test_a50_a_strict_reader_reads_what_any_message_is_rendered_to(message: bytes) -> None:
    found = digest(message)
    line = b"* 1 FETCH (ENVELOPE %b BODY %b BODYSTRUCTURE %b)" % (found.envelope, found.body, found.bodystructure)
    read = parse_response(line, is_strict=True)
    assert isinstance(read, Fetched), line
    again = parse_response(format_response(read, False)[:-2], is_strict=True)
    assert again == read

"""What `[outbound]` says becomes roads, or an error that names the option."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from postwren.config.loader import ConfigError
from postwren.config.schema import Outbound
from postwren.exchange.road import Smarthost
from postwren.exchange.service import open_outbound
from postwren.exchange.setup import make_roads
from postwren.mailstore.port import Reader
from postwren.storage.memory import MemoryStore
from postwren.terms import Address
from postwren.testing.resolver import ScriptedResolver
from postwren.transport.deadline import Watch


def roads(**options: Any) -> Any:
    config = msgspec.structs.replace(Outbound(), **options)
    return make_roads(config, "MX.a.example", ScriptedResolver({}), Watch(), read=lambda path: f"ann\npass of {path}\n")


def test_what_is_written_reaches_who_keeps_it() -> None:
    made = roads(
        smarthost="[2001:db8::1]:465",
        credentials="/secret",
        bind="192.0.2.1",
        ports={"MX.b.example": 3025},
    )
    assert made._map.smarthost == Smarthost("2001:db8::1", 465, is_implicit_tls=True)
    assert made._ours.credentials.authcid == "ann"
    assert made._ours.credentials.password.reveal() == "pass of /secret"
    assert (made._ours.source, made.port_of("mx.b.example"), made.port_of("mx.c.example")) == ("192.0.2.1", 3025, 25)
    assert made._map.own == {"mx.a.example"}
    assert roads(smarthost="localhost:25")._map.smarthost == Smarthost("localhost", 25, is_here=True)


def test_when_a_sender_is_warned_and_whose_address_it_is_reach_the_queue() -> None:
    def nobody(_reader: Reader, _address: Address) -> None:
        return None

    config = Outbound(warn_hours=1)
    here = (config, "mx.a.example", MemoryStore(), Watch(), ScriptedResolver({}), "postmaster@a.example")
    made = open_outbound(*here, locate=nobody, is_dev=False)
    assert (made.accept.schedule.warn_after, made.accept.locate) == (3600, nobody)
    assert made.accept.schedule.give_up_after == 5 * 86_400


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"smarthost": "relay.example"}, "HOST:PORT"),
        ({"smarthost": ":25"}, "HOST:PORT"),
        ({"smarthost": "relay.example:0"}, "HOST:PORT"),
        ({"credentials": "/secret"}, "smarthost"),
        ({"bind": "eth0"}, "no IP address"),
    ],
)
def test_what_cannot_be_is_said_with_its_option(options: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        roads(**options)


@pytest.mark.parametrize("content", [None, "", "ann\n", "\npass"])
def test_a_password_that_is_not_there_is_said(content: str | None, tmp_path: Path) -> None:
    path = tmp_path / "password"
    if content is not None:
        path.write_text(content)
    config = Outbound(smarthost="relay.example:587", credentials=str(path))
    with pytest.raises(ConfigError, match="credentials"):
        make_roads(config, "mx", ScriptedResolver({}), Watch())

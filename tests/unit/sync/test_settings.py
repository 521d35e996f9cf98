"""The settings of a device and its secrets: files that people may edit, and that nobody else may read (A-93, A-97)."""

import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postwren.client.conversation import Security
from postwren.sync.secret import forget_secret, keep_secret, read_secret
from postwren.sync.settings import (
    Deletion,
    Settings,
    SettingsError,
    all_settings,
    file_of,
    is_loopback,
    load_settings,
    remove_settings,
    save_settings,
)
from postwren.wire.secret import Secret

ANN = "ann@example.org"
WORDS = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1)

KEYRING = """
kept = {}
def set_password(service, name, word): kept[service, name] = word
def get_password(service, name): return kept.get((service, name))
def delete_password(service, name): del kept[service, name]
"""


def settings(**fields: object) -> Settings:
    usual = {"login": "ann", "kept_in": "file", "store": "x"} | fields
    return Settings(ANN, "pop3", "pop.example.org", 995, Security.IMPLICIT, **usual)  # type: ignore[arg-type]


@given(WORDS, WORDS, st.sampled_from(["at-once", "never", "with-local", "after:30"]))
def test_what_is_written_is_read(tmp_path_factory: pytest.TempPathFactory, login: str, command: str, delete: str) -> None:
    data = tmp_path_factory.mktemp("data")
    wanted = settings(login=login, command=command + '\n"\x7f\\', delete=delete, kept_in="password-command")
    path = save_settings(data, wanted)
    assert load_settings(data, ANN) == wanted
    assert all_settings(data) == [wanted]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    remove_settings(data, ANN)
    assert all_settings(data) == []


@given(st.text(min_size=1, max_size=400).filter(lambda text: text.isprintable()))
def test_a93_an_address_is_never_a_path(address: str) -> None:
    path = file_of(Path("/data"), f"{address}@x", ".toml")
    assert path.parent == Path("/data/sync")
    assert path.resolve() == path
    assert len(path.name.encode()) < 250


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("port = 0", "port"),
        ('tls = "perhaps"', "tls"),
        ('tls = "none"', "this machine only"),
        ('delete = "after:0"', "delete"),
        ("colour = 1", "colour"),
        ("host =", "not TOML"),
        ('host = "a b"', "host"),
        ('address = "bob@example.org"', "file's name says"),
    ],
)
def test_a_mistake_is_named_with_its_file(tmp_path: Path, line: str, said: str) -> None:
    path = save_settings(tmp_path, settings())
    name = line.partition(" ")[0]
    kept = [other for other in path.read_text().splitlines() if not other.startswith(f"{name} =")]
    path.write_text("\n".join([*kept, line]))
    with pytest.raises(SettingsError) as caught:
        load_settings(tmp_path, ANN)
    assert str(path) in str(caught.value)
    assert said in str(caught.value)


def test_only_this_machine_is_loopback() -> None:
    assert all(map(is_loopback, ("localhost", "127.0.0.1", "127.1.2.3", "::1")))
    assert not any(map(is_loopback, ("127.0.0.1.example.org", "127.example.org", "localhost.example.org", "10.0.0.1", "")))


@pytest.mark.parametrize("text", ["", "after:", "after:0", "after:-1", "after:1.5", "AT-ONCE", "never\n"])
def test_what_is_no_policy_is_refused(text: str) -> None:
    with pytest.raises(SettingsError):
        Deletion(text)


@pytest.fixture
def no_keyring() -> Iterator[None]:
    yield
    sys.modules.pop("keyring", None)


@pytest.mark.usefixtures("no_keyring")
def test_a_secret_is_in_the_keyring_where_there_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "keyring.py").write_text(KEYRING)
    monkeypatch.syspath_prepend(tmp_path)
    assert keep_secret(tmp_path, ANN, Secret("sesame")) == "keyring"
    assert not list(tmp_path.glob("sync/*"))
    mine = settings(kept_in="keyring")
    assert read_secret(tmp_path, mine) == Secret("sesame")
    forget_secret(tmp_path, mine)
    with pytest.raises(SettingsError):
        read_secret(tmp_path, mine)
    (tmp_path / "keyring.py").write_text("def set_password(*_): raise RuntimeError('locked')\n")
    del sys.modules["keyring"]
    assert keep_secret(tmp_path, ANN, Secret("sesame")) == "file"
    assert read_secret(tmp_path, settings()) == Secret("sesame")


@pytest.mark.parametrize("command", ["false", "true", "exit 3", "echo"])
def test_a_command_that_gives_no_password_is_named(tmp_path: Path, command: str) -> None:
    with pytest.raises(SettingsError, match=command):
        read_secret(tmp_path, settings(kept_in="password-command", command=command))
    assert read_secret(tmp_path, settings(kept_in="password-command", command="printf 'a b \\nrest'")) == Secret("a b ")

"""Configuration: defaults, errors that help, the generated example."""

import tomllib
from pathlib import Path

import msgspec
import pytest

from postwren.config.example import example
from postwren.config.loader import ConfigError, load_config, options
from postwren.config.schema import Config


def test_no_file_gives_the_defaults() -> None:
    assert load_config(None, {}) == Config()


def test_the_example_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "postwren.toml"
    path.write_text(example())
    assert load_config(path, {}) == Config()


def test_the_example_uncommented_is_every_option_at_its_default(tmp_path: Path) -> None:
    lines = [line[2:] if " = " in line and line.startswith("# ") else line for line in example().splitlines()]
    values = tomllib.loads("\n".join(line for line in lines if not line.startswith("# ")))
    assert msgspec.convert(values, Config) == Config()
    written = {f"{s}.{o}" for s, sub in values.items() if isinstance(sub, dict) for o in sub} | {"hostname"}
    assert written == set(options())


def test_options_stay_few_and_explained() -> None:
    assert len(options()) <= 60
    assert "# \n" not in example()


def test_the_environment_overrides_the_file(tmp_path: Path) -> None:
    path = tmp_path / "postwren.toml"
    path.write_text("hostname = 'a.example'\n[smtp]\nsize_limit = 1000\nrecipient_limit = 7\n")
    config = load_config(path, {"POSTWREN_SMTP_SIZE_LIMIT": "2000", "POSTWREN_LISTEN_POP3": "[::1]:110, 127.0.0.1:110"})
    assert (config.hostname, config.smtp.size_limit, config.smtp.recipient_limit) == ("a.example", 2000, 7)
    assert config.listen.pop3 == ("[::1]:110", "127.0.0.1:110")


def test_a_table_comes_from_the_environment_too(tmp_path: Path) -> None:
    path = tmp_path / "postwren.toml"
    path.write_text('[outbound]\nports = { "mx.b.example" = 3025 }\n')
    assert load_config(path, {}).outbound.ports == {"mx.b.example": 3025}
    config = load_config(None, {"POSTWREN_OUTBOUND_PORTS": "mx.b.example=3025, a=26"})
    assert config.outbound.ports == {"mx.b.example": 3025, "a": 26}
    for wrong in ("mx.b.example", "a=x", "a=70000"):
        with pytest.raises(ConfigError, match=r"(?i)ports"):
            load_config(None, {"POSTWREN_OUTBOUND_PORTS": wrong})


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[smtp]\nsize_limt = 3\n", "did you mean 'size_limit'"),
        ("[smpt]\n", "did you mean 'smtp'"),
        ("x =", "not TOML"),
        ("hostname = mail\n", "not TOML.*a text stands in quotes"),
        ("[listen]\nsmtp = 'a:25'\n", r'listen.smtp: Expected a list such as \["a", "b"\], got a text'),
        ("[smtp]\nsize_limit = 'a'\n", "smtp.size_limit"),
        ("[smtp]\nsize_limit = -1\n", "smtp.size_limit"),
        ("[log]\nlevel = 'loud'\n", "log.level"),
        ("hostname = 'a b'\n", "hostname"),
        ("hostname = 'a.example\\u000a'\n".replace("'", '"'), "hostname"),
    ],
)
def test_a_fault_in_the_file_names_the_option(text: str, says: str, tmp_path: Path) -> None:
    path = tmp_path / "postwren.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=says):
        load_config(path, {})


def test_a_section_that_is_none_is_said_also_where_the_environment_sets_its_option(tmp_path: Path) -> None:
    path = tmp_path / "postwren.toml"
    path.write_text("smtp = 3\n")
    with pytest.raises(ConfigError, match="smtp: Expected"):
        load_config(path, {"POSTWREN_SMTP_SIZE_LIMIT": "3"})


@pytest.mark.parametrize("name", ["", "mx.example.org", "xn--bcher-kva.example", "[192.0.2.1]", "[IPv6:2001:db8::1]"])
def test_a_hostname_is_a_domain_or_an_address_literal(name: str) -> None:
    assert load_config(None, {"POSTWREN_HOSTNAME": name}).hostname == name


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(tmp_path / "none.toml", {})


@pytest.mark.parametrize("name", ["POSTWREN_SMTP_SIZE", "POSTWREN_SMTP_SIZE_LIMIT"])
def test_a_fault_in_the_environment_names_the_variable(name: str) -> None:
    with pytest.raises(ConfigError, match=name):
        load_config(None, {name: "much"})

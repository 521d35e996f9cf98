"""What is wrong in a configuration is said before a server starts, with the option and what helps."""

import datetime
import tomllib
from pathlib import Path

import msgspec
import pytest

from postwren.app.settings import judge_config
from postwren.config.loader import ConfigError
from postwren.config.schema import Config
from postwren.transport.certificate import development_certificate


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('[listen]\nsmtp = ["example.org:25"]', "listen: 'example.org:25' is neither"),
        ('[listen]\npop3 = ["0.0.0.0:65536"]', "listen: '0.0.0.0:65536' is neither"),
        ('[smtp]\ntrusted_networks = ["10.0.0.1/8"]', "smtp.trusted_networks: 10.0.0.1/8"),
        ('[login]\ntrusted_networks = ["home"]', "login.trusted_networks: 'home'"),
        ('[judge]\ndns_lists = ["bad.example*x"]', "judge.dns_lists: "),
        ('[outbound]\nsmarthost = "smtp.example.net"', "is not HOST:PORT"),
        ('[tls]\ncertificate = "chain.pem"', "go together"),
        ('[tls]\ncertificate = "none.pem"\nkey = "key.pem"', "tls.certificate: none.pem: No such file"),
        ('[tls]\ncertificate = "certificate.pem"\nkey = "none.pem"', "tls.key: none.pem: No such file"),
        ('[tls]\ncertificate = "certificate.pem"\nkey = "other/key.pem"', "not a chain and the key of its first certificate"),
        ('[tls]\ncertificate = "text"\nkey = "key.pem"', "not a chain"),
        ("[tls]\nacme = true", "needs the name"),
        ('hostname = "mail.example.org"\n[tls]\nacme = true', 'needs http = ["0.0.0.0:80", "[::]:80"] in [listen]'),
        ('hostname = "a.example"\n[tls]\nacme = true\ncertificate = "certificate.pem"\nkey = "key.pem"', "goes without"),
    ],
)
def test_what_cannot_work_is_said(text: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in (tmp_path, tmp_path / "other"):
        development_certificate(folder, [], datetime.datetime.now(datetime.UTC))
    (tmp_path / "text").write_text("no certificate")
    with pytest.raises(ConfigError) as caught:
        judge_config(msgspec.convert(tomllib.loads(text), Config))
    assert says in str(caught.value)


def test_what_can_work_is_not_complained_of(tmp_path: Path) -> None:
    certificate, key = development_certificate(tmp_path, [], datetime.datetime.now(datetime.UTC))
    judge_config(Config())
    judge_config(msgspec.convert({"tls": {"certificate": str(certificate), "key": str(key)}}, Config))
    acme = {"hostname": "mail.example.org", "listen": {"http": ["[::]:80"]}, "tls": {"acme": True}}
    judge_config(msgspec.convert(acme, Config))

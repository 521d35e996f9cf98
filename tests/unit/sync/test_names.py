"""What the mailboxes of a server are called here (A-93)."""

import pytest

from postwren.sync.look import Checkpoint
from postwren.sync.names import remote_mailboxes
from postwren.sync.remote import Listed, local_name, remote_name


def listed(*names: str, delimiter: str | None = "/") -> list[Listed]:
    return [Listed(name, delimiter, None, Checkpoint(1, 2, 3), 0, None) for name in names]


@pytest.mark.parametrize(
    ("name", "delimiter", "here"),
    [
        ("INBOX", "/", "INBOX"),
        ("inbox.Sent", ".", "INBOX/Sent"),
        ("a/b.c", ".", "a\N{DIVISION SLASH}b/c"),
        ("a.b", None, "a.b"),
        ("/etc/passwd", "/", "etc/passwd"),
        ("a//b/", "/", "a/b"),
        ("tab\tand\0nul", "/", "tab_and_nul"),
    ],
)
def test_levels_are_joined_by_a_slash_whatever_the_server_joins_them_by(name: str, delimiter: str | None, here: str) -> None:
    assert local_name(name, delimiter) == here


def test_a_name_of_ours_has_levels_there_too() -> None:
    assert remote_name("a/b.c", ".") == "a.b_c"
    assert remote_name("a/b", None) == "a_b"


def test_a93_names_are_told_apart_and_what_cannot_be_a_name_is_left_out_and_told() -> None:
    told: list[str] = []
    names = ["../../.ssh", "Work", "work", "x" * 300, "#news", "a/\u202eb", "con."]
    found = {mailbox.remote_name: mailbox.name for mailbox in remote_mailboxes(listed(*names), lambda name: True, told.append)}
    assert found == {"../../.ssh": "../../.ssh", "Work": "Work", "work": "work~", "a/\u202eb": "a/\u202eb", "con.": "con."}
    assert [line.split(":")[0] for line in told] == ["x" * 300, "#news"]  # names are rows of the index and never paths

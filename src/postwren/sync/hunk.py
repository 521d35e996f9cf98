"""What a synchronisation does, in steps: one hunk is one thing to do on one side, and says so in one line.

UIDs of the local copy are `uids`, those of the remote side `remote_uids`. A mailbox is named by its local id, which stays
when either side renames it.
"""

from dataclasses import dataclass
from typing import TypeAlias

from postwren.terms import MailboxId

__all__ = [
    "Adopt",
    "Agree",
    "Bind",
    "Change",
    "CopyRemote",
    "CreateLocal",
    "CreateRemote",
    "DeleteLocal",
    "DeleteRemote",
    "ExpungeLocal",
    "ExpungeRemote",
    "Forget",
    "ForgetMailbox",
    "Hunk",
    "MailboxHunk",
    "MoveLocal",
    "MoveRemote",
    "Pull",
    "Push",
    "RenameLocal",
    "RenameRemote",
    "SetLocal",
    "SetRemote",
    "told",
]

Uids: TypeAlias = tuple[int, ...]
Flags: TypeAlias = frozenset[str]


@dataclass(frozen=True, slots=True)
class Bind:
    """A mailbox of this name is on both sides: from now on one is the other's copy."""

    mailbox_id: MailboxId
    remote_name: str


@dataclass(frozen=True, slots=True)
class CreateLocal:
    """A mailbox that is new there."""

    remote_name: str
    name: str


@dataclass(frozen=True, slots=True)
class CreateRemote:
    """A mailbox that is new here."""

    mailbox_id: MailboxId
    name: str


@dataclass(frozen=True, slots=True)
class RenameLocal:
    """It was renamed there."""

    mailbox_id: MailboxId
    name: str
    remote_name: str


@dataclass(frozen=True, slots=True)
class RenameRemote:
    """It was renamed here."""

    mailbox_id: MailboxId
    remote_name: str
    name: str


@dataclass(frozen=True, slots=True)
class DeleteLocal:
    """It was deleted there: what was synchronised goes, and the mailbox with it unless something else is left in it."""

    mailbox_id: MailboxId
    remote_name: str
    messages: int


@dataclass(frozen=True, slots=True)
class DeleteRemote:
    """It was deleted here, and nothing came there since."""

    mailbox_id: MailboxId
    remote_name: str


@dataclass(frozen=True, slots=True)
class ForgetMailbox:
    """It is on neither side, or no longer the same on both: drop what is remembered of it."""

    mailbox_id: MailboxId
    remote_name: str


MailboxHunk: TypeAlias = (
    Bind | CreateLocal | CreateRemote | RenameLocal | RenameRemote | DeleteLocal | DeleteRemote | ForgetMailbox
)


@dataclass(frozen=True, slots=True)
class Pull:
    """New there."""

    mailbox_id: MailboxId
    remote_uids: Uids


@dataclass(frozen=True, slots=True)
class Push:
    """New here."""

    mailbox_id: MailboxId
    uids: Uids


@dataclass(frozen=True, slots=True)
class CopyRemote:
    """New here, and its octets are there already, in another mailbox or in the same: (UID there, UID here) of each."""

    source_id: MailboxId
    mailbox_id: MailboxId
    pairs: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Adopt:
    """The same message is on both sides and was not paired: (UID there, UID here) of each."""

    mailbox_id: MailboxId
    pairs: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class MoveRemote:
    """Moved here: (UID there in the source, UID here in the destination) of each."""

    source_id: MailboxId
    mailbox_id: MailboxId
    pairs: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class MoveLocal:
    """Moved there: (UID there in the source, UID there in the destination) of each."""

    source_id: MailboxId
    mailbox_id: MailboxId
    pairs: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Change:
    """Flags that come, and flags that go."""

    add: Flags
    remove: Flags


@dataclass(frozen=True, slots=True)
class SetLocal:
    """Flags were changed there."""

    mailbox_id: MailboxId
    change: Change
    remote_uids: Uids


@dataclass(frozen=True, slots=True)
class SetRemote:
    """Flags were changed here."""

    mailbox_id: MailboxId
    change: Change
    remote_uids: Uids


@dataclass(frozen=True, slots=True)
class Agree:
    """Both sides made the same edit: it is what they have in common from now on, and not an edit any more."""

    mailbox_id: MailboxId
    change: Change
    remote_uids: Uids


@dataclass(frozen=True, slots=True)
class ExpungeLocal:
    """Gone there; here it can be recovered for 30 days."""

    mailbox_id: MailboxId
    remote_uids: Uids


@dataclass(frozen=True, slots=True)
class ExpungeRemote:
    """Gone here."""

    mailbox_id: MailboxId
    remote_uids: Uids


@dataclass(frozen=True, slots=True)
class Forget:
    """Gone on both sides."""

    mailbox_id: MailboxId
    remote_uids: Uids


Hunk: TypeAlias = (
    Pull
    | Push
    | CopyRemote
    | Adopt
    | MoveRemote
    | MoveLocal
    | SetLocal
    | SetRemote
    | Agree
    | ExpungeLocal
    | ExpungeRemote
    | Forget
)


def told(hunk: MailboxHunk | Hunk, names: dict[MailboxId, str]) -> str:
    """One line for people, as `--dry-run` prints it; `names` are the local names of the mailboxes."""
    match hunk:
        case Bind(mailbox_id, remote_name):
            return f"{_name(names, mailbox_id)}: is the copy of {remote_name}"
        case CreateLocal(remote_name, name):
            return f"{name}: new on the server as {remote_name}; make it here"
        case CreateRemote(_, name):
            return f"{name}: new here; make it on the server"
        case RenameLocal(mailbox_id, name):
            return f"{_name(names, mailbox_id)}: renamed on the server; rename it here to {name}"
        case RenameRemote(_, remote_name, name):
            return f"{remote_name}: renamed here; rename it on the server to {name}"
        case DeleteLocal(mailbox_id, _, messages):
            return f"{_name(names, mailbox_id)}: deleted on the server; delete it here ({messages:,} messages)"
        case DeleteRemote(_, remote_name):
            return f"{remote_name}: deleted here; delete it on the server"
        case ForgetMailbox(_, remote_name):
            return f"{remote_name}: forget what was synchronised"
        case CopyRemote(source_id, mailbox_id, pairs):
            return f"{_name(names, mailbox_id)}: copy {len(pairs):,} on the server from {_name(names, source_id)}"
        case MoveRemote(source_id, mailbox_id, pairs):
            return f"{_name(names, mailbox_id)}: move {len(pairs):,} on the server from {_name(names, source_id)}"
        case MoveLocal(source_id, mailbox_id, pairs):
            return f"{_name(names, mailbox_id)}: move {len(pairs):,} here from {_name(names, source_id)}"
        case SetLocal(mailbox_id, change, remote_uids):
            return f"{_name(names, mailbox_id)}: {_change(change)} on {len(remote_uids):,} here"
        case SetRemote(mailbox_id, change, remote_uids):
            return f"{_name(names, mailbox_id)}: {_change(change)} on {len(remote_uids):,} on the server"
        case Pull(mailbox_id, uids):
            return f"{_name(names, mailbox_id)}: fetch {len(uids):,}"
        case Push(mailbox_id, uids):
            return f"{_name(names, mailbox_id)}: send {len(uids):,} to the server"
        case Adopt(mailbox_id, pairs):
            return f"{_name(names, mailbox_id)}: {len(pairs):,} are on both sides already"
        case Agree(mailbox_id, change, uids):
            return f"{_name(names, mailbox_id)}: {_change(change)} on {len(uids):,} was done on both sides"
        case ExpungeLocal(mailbox_id, uids):
            return f"{_name(names, mailbox_id)}: gone on the server; delete {len(uids):,} here"
        case ExpungeRemote(mailbox_id, uids):
            return f"{_name(names, mailbox_id)}: deleted here; delete {len(uids):,} on the server"
        case Forget(mailbox_id, uids):
            return f"{_name(names, mailbox_id)}: {len(uids):,} are gone on both sides"


def _name(names: dict[MailboxId, str], mailbox_id: MailboxId) -> str:
    return names.get(mailbox_id, f"mailbox {mailbox_id}")


def _change(change: Change) -> str:
    return " ".join([f"+{flag}" for flag in sorted(change.add)] + [f"-{flag}" for flag in sorted(change.remove)])

"""The behaviour of ports as test classes that every adapter inherits.

    class TestMyStore(MailstoreContract):
        async def open_store(self, path: Path) -> Store:
            return MyStore(path)

Every test is a story told to a `Scene` on a fresh store, whose invariants are checked at its end. An adapter whose
stores outlive their process also inherits `DurableContract`. `machine` has the same as a state machine (it needs
hypothesis).
"""

from postwren.testing.contract.accounts import AccountContract
from postwren.testing.contract.arrival import ArrivalContract
from postwren.testing.contract.copies import CopyContract
from postwren.testing.contract.digests import DigestContract
from postwren.testing.contract.domains import DomainContract
from postwren.testing.contract.durable import DurableContract
from postwren.testing.contract.mailboxes import MailboxContract
from postwren.testing.contract.messages import MessageContract
from postwren.testing.contract.queue import QueueContract
from postwren.testing.contract.recovery import RecoveryContract
from postwren.testing.contract.sharing import SharingContract
from postwren.testing.contract.snapshots import SnapshotContract
from postwren.testing.contract.store import StoreContract

__all__ = ["DurableContract", "MailstoreContract"]


class MailstoreContract(
    StoreContract,
    AccountContract,
    ArrivalContract,
    MessageContract,
    MailboxContract,
    SharingContract,
    RecoveryContract,
    SnapshotContract,
    DigestContract,
    CopyContract,
    DomainContract,
    QueueContract,
):
    """What every adapter of the mailstore's port does."""

"""GETQUOTA, GETQUOTAROOT, SETQUOTA (RFC 9208). An account is one root, named by its login; STORAGE is what its messages take.

Limits are the operator's to set (`postwren account`): SETQUOTA is refused and QUOTASET not advertised.
"""

from typing import Any, Final

from postwren.mailstore.errors import NoSuchMailbox
from postwren.protocols.imap import code
from postwren.protocols.imap.command.sharing import GetQuota, GetQuotaRoot, SetQuota
from postwren.protocols.imap.response.sharing import Quota, QuotaResource, QuotaRoots
from postwren.server.imap.place import find_new, reach
from postwren.server.imap.refusal import NO_RIGHTS, Refusal
from postwren.server.imap.session import Handler, ImapSession, waiting
from postwren.terms import AccountId

__all__ = ["COMMANDS"]

NO_ROOT: Final = Refusal("no such quota root", code.NONEXISTENT)
OPERATORS: Final = Refusal("limits are set by the operator", code.NOPERM)
UNIT: Final = 1024


def quota_of(session: ImapSession, account_id: AccountId) -> Quota:
    """Usage and limit in units of 1,024 octets, begun ones counted; without a limit there is no resource to tell."""
    account = session.service.store.reader.account(account_id)
    assert account is not None
    if not account.quota:
        return Quota(account.login, ())
    return Quota(account.login, (QuotaResource("STORAGE", -(-account.used // UNIT), account.quota // UNIT),))


def get_quota(session: ImapSession, tag: str, command: GetQuota) -> None:
    if command.root != session.login:  # somebody else's, or nobody's: nothing tells which
        session.refuse(tag, NO_ROOT)
        return
    session.say(quota_of(session, session.account_id))
    session.finish(tag, "GETQUOTA done")


async def get_quota_root(session: ImapSession, tag: str, command: GetQuotaRoot) -> None:
    """Section 6: the r right; how full others' accounts are is theirs to know."""
    try:
        found = reach(session, command.mailbox)
        if "r" not in found.rights:
            session.refuse(tag, NO_RIGHTS)
            return
        name, is_mine = found.name, found.account_id == session.account_id
    except NoSuchMailbox:  # the root that would apply (section 4.2): of a name that could be one's own
        account_id, name = find_new(session, command.mailbox)
        is_mine = account_id == session.account_id
    session.say(QuotaRoots(name, (session.login,) if is_mine else ()))
    if is_mine:
        session.say(quota_of(session, session.account_id))
    session.finish(tag, "GETQUOTAROOT done")


def set_quota(session: ImapSession, tag: str, command: SetQuota) -> None:
    session.refuse(tag, OPERATORS if command.root == session.login else NO_ROOT)


COMMANDS: Final[dict[type[Any], Handler]] = {GetQuota: get_quota, GetQuotaRoot: waiting(get_quota_root), SetQuota: set_quota}

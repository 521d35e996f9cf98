"""GETQUOTA, GETQUOTAROOT, SETQUOTA (RFC 9208). An account is one root, named by its login; STORAGE is what its messages take,
MESSAGE how many it has.

Limits are the operator's to set (`postwren account quota`): SETQUOTA is refused and QUOTASET not advertised but to the logins
that he named administrators, who see and set all roots.
"""

from typing import Any, Final

from postwren.mailstore.errors import NoSuchMailbox
from postwren.mailstore.model import Account
from postwren.mailstore.queue import QUEUE_LOGIN
from postwren.mailstore.service.accounts import set_quota
from postwren.mailstore.service.placement import messages_of
from postwren.protocols.imap import code
from postwren.protocols.imap.command.sharing import GetQuota, GetQuotaRoot, SetQuota
from postwren.protocols.imap.response.sharing import Quota, QuotaResource, QuotaRoots
from postwren.server.imap.place import find_new, reach
from postwren.server.imap.refusal import NO_RIGHTS, Refusal
from postwren.server.imap.session import Handler, ImapSession, waiting

__all__ = ["COMMANDS"]

NO_ROOT: Final = Refusal("no such quota root", code.NONEXISTENT)
OPERATORS: Final = Refusal("limits are set by the operator", code.NOPERM)
NO_RESOURCE: Final = Refusal("limits are of STORAGE and MESSAGE, above 0 and up to 2^52", code.CANNOT)
UNIT: Final = 1024
MOST: Final = 2**52


def quota_of(session: ImapSession, account: Account) -> Quota:
    """Usage and limit, octets in units of 1,024, begun ones counted; what has no limit is not told."""
    resources: list[QuotaResource] = []
    if account.quota:
        resources.append(QuotaResource("STORAGE", -(-account.used // UNIT), account.quota // UNIT))
    if account.message_quota:
        messages = messages_of(session.service.store.reader, account)
        resources.append(QuotaResource("MESSAGE", messages, account.message_quota))
    return Quota(account.login, tuple(resources))


def _account(session: ImapSession, root: str) -> Account | None:
    """Whose root it is; somebody else's, and nobody's, is none: nothing tells which, but to an administrator."""
    reader = session.service.store.reader
    is_known = root == session.login or (session.is_administrator and root != QUEUE_LOGIN)
    return reader.account_by_login(root) if is_known else None


def get_quota(session: ImapSession, tag: str, command: GetQuota) -> None:
    account = _account(session, command.root)
    if account is None:
        session.refuse(tag, NO_ROOT)
        return
    session.say(quota_of(session, account))
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
    account = session.service.store.reader.account(session.account_id)
    if is_mine and account is not None:
        session.say(quota_of(session, account))
    session.finish(tag, "GETQUOTAROOT done")


async def set_quota_(session: ImapSession, tag: str, command: SetQuota) -> None:
    """Section 4.1.3: what is not named has no limit from then on; a limit of 0, which would keep out all mail, is not
    to be had."""
    account = _account(session, command.root)
    if account is None:
        session.refuse(tag, NO_ROOT)
        return
    if not session.is_administrator:
        session.refuse(tag, OPERATORS)
        return
    limits = dict(command.limits)
    if not limits.keys() <= {"STORAGE", "MESSAGE"} or not all(0 < limit <= MOST for limit in limits.values()):
        session.refuse(tag, NO_RESOURCE)
        return
    unit = set_quota(account.account_id, limits.get("STORAGE", 0) * UNIT, limits.get("MESSAGE", 0))
    await session.service.store.perform(unit)
    now = session.service.store.reader.account(account.account_id)
    if session.is_closed:
        return
    if now is not None:
        session.say(quota_of(session, now))
    session.finish(tag, "SETQUOTA done")


COMMANDS: Final[dict[type[Any], Handler]] = {
    GetQuota: get_quota,
    GetQuotaRoot: waiting(get_quota_root),
    SetQuota: waiting(set_quota_),
}

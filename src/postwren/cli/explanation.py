"""The refusals of the mailstore, in words that say what to do."""

from postwren.mailstore import errors

__all__ = ["explain"]


def explain(error: errors.MailstoreError) -> str:
    """A refusal in words that say what to do."""
    match error:
        case errors.NoSuchAccount(login=login):
            return f"no account {login!s}; `postwren account list` shows all"
        case errors.AccountExists(login=login):
            return f"the account {login} exists already; `postwren account password {login}` changes its password"
        case errors.LoginInvalid(login=login):
            return f"{login!r} cannot be a login: it must be an address such as ann@example.org"
        case errors.NoSuchAddress(address=address):
            return f"nobody here has the address {address}; `postwren address list` shows all"
        case errors.AddressTaken(address=address):
            return f"the address {address} is taken; `postwren address list` shows by whom"
        case errors.NoSuchMailbox(mailbox=mailbox):
            return f"no mailbox {mailbox}"
        case errors.NoSuchDomain(name=name):
            return f"no domain {name}; `postwren domain list` shows all, `postwren domain add {name}` adds it"
        case errors.DomainExists(name=name):
            return f"the domain {name} is there already; `postwren domain show {name}` shows what is to be published"
        case errors.DomainInvalid(name=name):
            return f"{name!r} is no domain; expected a name such as example.org"
        case errors.MailboxNameInvalid(name=name, why=why):
            return f"{name!r} cannot be a mailbox: {why}"
        case errors.OverQuota(limit=limit, is_messages=is_messages):
            return f"the account would pass its limit of {limit:,} {'messages' if is_messages else 'octets'}"
        case errors.StoreFull():
            return "no space left on the volume (see storage.reserve in the configuration); nothing was kept"
        case errors.StoreFailed():
            return f"the disk failed ({error}); nothing more was kept. Check the volume, then run `postwren check`"
        case errors.StoreUnusable():
            return str(error)
        case errors.BodyCorrupt():
            return f"a message's octets are damaged ({error}); run `postwren check`"
    return f"{type(error).__name__}: {error}"

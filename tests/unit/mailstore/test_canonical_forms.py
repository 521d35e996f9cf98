"""Canonical forms of addresses (RFC 5890, RFC 6531) and mailbox names (RFC 9051 section 5.1) are stable."""

import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from postwren.mailstore.errors import LoginInvalid, MailboxNameInvalid
from postwren.mailstore.model import Credentials
from postwren.mailstore.service.accounts import canonical_address, canonical_login, create_account
from postwren.mailstore.service.mailboxname import canonical
from postwren.storage.memory import MemoryStore
from postwren.terms import Address

anything = st.text(st.characters(), max_size=40)


@given(anything, st.sampled_from(["example.org", "Bücher.example", "例え.jp", "a..b", "\u200d", "xn--a"]))
def test_the_canonical_form_of_an_address_is_its_own(local: str, domain: str) -> None:
    once = canonical_address(Address(local, domain))
    assert canonical_address(once) == once


@given(anything)
def test_whatever_is_typed_as_a_login_is_refused_or_has_one_form(text: str) -> None:
    reader = MemoryStore().reader
    for login in (text, f"{text}@example.org", f"ann@{text}"):
        form = canonical_login(reader, login)
        if form is not None:
            assert canonical_login(reader, form) == form
            create_account(form, Credentials("", {}), 0)
        else:
            try:
                create_account(login, Credentials("", {}), 0)
            except LoginInvalid:
                continue
            raise AssertionError("it can be made but not typed")


@given(st.one_of(anything, st.text("aA/é\u0301INBOXinbox", max_size=12)))
def test_the_canonical_form_of_a_mailbox_name_is_its_own_and_nfc(text: str) -> None:
    try:
        name = canonical(text)
    except MailboxNameInvalid:
        return
    assert canonical(name) == name == unicodedata.normalize("NFC", name)

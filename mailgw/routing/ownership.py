"""Whose an address is."""

from __future__ import annotations

from mailgw.mail.address import Mailbox
from mailgw.routing.interface import Routed, Router
from mailgw.routing.recipients import mailbox_key


def is_own(router: Router, user: Mailbox, address: Mailbox) -> bool:
    """Whether an authenticated user may write as that address: it is the user's own, with or without a detail, or one
    of ours whose mail reaches the user, as behind an alias or a catch-all.
    """
    routed = router.resolve(address)
    if not isinstance(routed, Routed) or not routed.ours:
        return False
    key = mailbox_key(user)
    return any(mailbox_key(target.mailbox) == key for target in routed.targets)

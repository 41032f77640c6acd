"""What the judge sees of greylisting: asked only about mail whose score, or a rule, calls for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from attrs import frozen

from mailgw.mail.envelope import Recipient
from mailgw.mail.transaction import Transaction


@frozen
class GreylistAnswer:
    """`wait` is how many seconds the client has to wait before it comes again; 0: it need not. `detail` says why, for
    people; it becomes a line of the verdict."""

    wait: float = 0.0
    detail: str = ""


class Greylist(Protocol):
    async def ask(self, transaction: Transaction, recipients: Sequence[Recipient]) -> GreylistAnswer:
        """Say whether these recipients' copies of the message may pass now. Its evidence and authentication results
        are in the transaction. Raises TemporaryFailure when that is not known: then they pass."""
        ...


class NoGreylist:
    """Lets everything pass."""

    async def ask(self, transaction: Transaction, recipients: Sequence[Recipient]) -> GreylistAnswer:
        return GreylistAnswer(detail="greylisting is off")

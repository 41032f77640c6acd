"""One attempt at a message's deliveries: who is still to be tried, and what a peer must be able to do."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Protocol

from attrs import evolve

from mailgw.delivery.sevenbit import NotConvertible, to_seven_bit
from mailgw.mail.address import Mailbox, ascii_domain
from mailgw.mail.message import BytesContent, FileContent, Message
from mailgw.operation.threads import Threads
from mailgw.queue.item import Delayed, Delivery, Failed, Outcome, QueuedMessage
from mailgw.smtp import dsn
from mailgw.smtp.client import Capabilities, command

NO_CONNECTION = "4.4.1"
# Larger ones with 8-bit text are rare, and converting holds them in memory.
MAX_CONVERTED = 8 * 1024 * 1024
_FOR = re.compile(rb"\r\n for <[^<>\r\n]*[\x80-\xff][^<>\r\n]*>(?=;\r\n)")


class Signer(Protocol):
    async def sign(self, queued: QueuedMessage) -> QueuedMessage:
        """Give the message with our signatures in front, or as it is. Raises OSError."""
        ...


class Attempt:
    """Collects one outcome for each delivery.

    `pending` holds the numbers of those that another host may still take; a Delayed that is `noted` for one stays
    its outcome when no host does.
    """

    def __init__(self, message: QueuedMessage, deliveries: Sequence[Delivery]) -> None:
        self.message = message
        self._unsigned = message
        self.deliveries = deliveries
        self.pending = list(range(len(deliveries)))
        self._outcomes: list[Outcome | None] = [None] * len(deliveries)
        self._weak: dict[int, Outcome] = {}
        self._eight_bit: bool | None = None
        self._signed = False
        self._suffix_unknown: set[int] = set()
        self.converted = False
        self._not_converted = f"; only up to {MAX_CONVERTED} octets are converted"

    @property
    def outcomes(self) -> list[Outcome]:
        """One for each delivery, in their order."""
        nothing_tried = Delayed(NO_CONNECTION, "no host could be tried")
        return [outcome or self._weak.get(n, nothing_tried) for n, outcome in enumerate(self._outcomes)]

    def settle(self, number: int, outcome: Outcome) -> None:
        """That is what became of it."""
        self._outcomes[number] = outcome
        self.pending.remove(number)

    def note(self, number: int, outcome: Delayed | Failed) -> None:
        """That becomes of it unless another host does better.

        A delay counts more than a failure, and what a host said more than that another could not be reached.
        """
        before = self._outcomes[number]
        if isinstance(before, Delayed) and (isinstance(outcome, Failed) or outcome.status == NO_CONNECTION):
            return
        self._outcomes[number] = outcome

    def note_all(self, outcome: Delayed | Failed, *, weak: bool = False) -> None:
        """Note it for all who are pending. What is `weak` stands only while nothing else is known."""
        for number in self.pending:
            if weak:
                self._weak[number] = outcome
            else:
                self.note(number, outcome)

    def fail_all(self, status: str, reason: str, peer: str) -> None:
        """Settle all who are pending as failed."""
        for number in list(self.pending):
            self.settle(number, Failed(status, reason, peer))

    @property
    def size(self) -> int:
        """The octets that go out, before dot-stuffing (RFC 1870 5)."""
        message = self.message.message
        return len(message.prefix) + message.size - sum(end - start for start, end in message.cuts)

    async def sign(self, signer: Signer) -> None:
        """Have the message signed, once for all hosts. Raises OSError when its file cannot be read."""
        if not self._signed:
            self.message = await signer.sign(self.message)
            self._signed = True

    async def convert(self, offered: Capabilities, threads: Threads) -> None:
        """Make the message 7-bit where the peer takes nothing else, if it can be. Comes before `sign`.

        Hosts behind that one get the same: one message has one signature.
        """
        original = self._unsigned.message
        if offered.eightbitmime or original.size > MAX_CONVERTED or not await self.eight_bit(threads):
            return
        try:
            converted = await threads.run(lambda: to_seven_bit(b"".join(evolve(original, prefix=b"").output())))
        except NotConvertible as problem:
            self._not_converted = f"; it cannot be converted: {problem}"
            return
        changed = evolve(Message.from_bytes(converted), prefix=original.prefix)
        self.message = self._unsigned = evolve(self._unsigned, message=changed)
        self._signed, self._eight_bit, self.converted = False, None, True

    async def eight_bit(self, threads: Threads) -> bool:
        """Whether the message holds octets over 127; a file is read in `threads`."""
        if self._eight_bit is None:
            if isinstance(self.message.message.content, FileContent):
                self._eight_bit = await threads.run(self._scan)
            else:
                self._eight_bit = self._scan()
        return self._eight_bit

    def _scan(self) -> bool:
        return not all(piece.isascii() for piece in self.message.message.output())

    async def fit(self, offered: Capabilities, peer: str, threads: Threads) -> None:
        """Fail those who cannot be sent to a peer that offers only this, because the message needs more."""
        if not offered.smtputf8:
            self._leave_out_for()
        if offered.size and self.size > offered.size:
            reason = f"the message has {self.size} octets, and {peer} takes {offered.size} at most"
            return self.fail_all("5.3.4", reason, peer)
        if not offered.eightbitmime and await self.eight_bit(threads):  # RFC 6152 3
            reason = f"the message holds 8-bit text, and {peer} takes 7-bit text only (it does not offer 8BITMIME)"
            reason += self._not_converted
            return self.fail_all("5.6.3", reason, peer)
        if not offered.smtputf8:
            self._fit_ascii(peer)

    def _fit_ascii(self, peer: str) -> None:
        """RFC 6531 3.2: what is internationalised goes only to who offers SMTPUTF8."""
        envelope = self.message.envelope
        lacks = f"{peer} takes no internationalised mail (it does not offer SMTPUTF8)"
        if envelope.smtputf8 and not self.message.message.head.isascii():
            return self.fail_all("5.6.9", f"the header holds text that is not ASCII, and {lacks}", peer)
        if envelope.reverse_path and not envelope.reverse_path.local_part.isascii():
            return self.fail_all("5.6.7", f"the sender's address is not ASCII, and {lacks}", peer)
        for number in list(self.pending):
            mailbox = self.deliveries[number].recipient.forward_path
            if not mailbox.local_part.isascii():
                self.settle(number, Failed("5.6.7", f"the address {mailbox} is not ASCII, and {lacks}", peer))

    def _leave_out_for(self) -> None:
        """Take a recipient's address that is not ASCII out of our own Received field, where it may stand, or not
        (RFC 6531 3.7.3): behind an alias the message may go where it is not taken."""
        message = self.message.message
        if not message.prefix.isascii():
            self.message = evolve(self.message, message=evolve(message, prefix=_FOR.sub(b"", message.prefix)))
            self._eight_bit = None

    def mail_command(self, offered: Capabilities) -> bytes:
        """Give MAIL with the parameters that the peer knows."""
        envelope = self.message.envelope
        parts = [f"MAIL FROM:<{_path(envelope.reverse_path, offered)}>"]
        if offered.size is not None:
            parts.append(f"SIZE={self.size}")
        if offered.eightbitmime and self._declare_eight_bit():
            parts.append("BODY=8BITMIME")
        if offered.smtputf8 and self._needs_smtputf8():
            parts.append("SMTPUTF8")
        if offered.requiretls and envelope.requiretls:  # RFC 8689 4.2.1
            parts.append("REQUIRETLS")
        if offered.dsn:  # RFC 3461 4.3, 4.4
            if envelope.ret:
                parts.append(f"RET={envelope.ret}")
            if envelope.envid:
                parts.append(f"ENVID={dsn.xtext_encode(envelope.envid)}")
        return command(" ".join(parts))

    def has_suffix(self, number: int, spam_suffix: str) -> bool:
        """Whether a recipient is to be addressed with the suffix by which the next hop, if by any, knows spam."""
        verdict = self.message.verdict
        # What is forwarded was released by a person, to an address that is not the store's.
        forwarded = self.deliveries[number].destination.agent == "forward"
        is_spam = verdict is not None and verdict.action == "spam"
        return bool(spam_suffix) and is_spam and not forwarded and number not in self._suffix_unknown

    def leave_suffix(self, number: int) -> None:
        """The next hop does not know the address with the suffix: go on with the recipient's own."""
        self._suffix_unknown.add(number)

    def rcpt_command(self, number: int, offered: Capabilities, spam_suffix: str = "") -> bytes:
        """Give RCPT with the parameters that the peer knows. `spam_suffix` is what the next hop knows spam by."""
        recipient = self.deliveries[number].recipient
        mailbox = recipient.forward_path
        if self.has_suffix(number, spam_suffix):
            mailbox = _with_detail(mailbox, spam_suffix)
        parts = [f"RCPT TO:<{_path(mailbox, offered)}>"]
        if offered.dsn:  # RFC 3461 4.1, 4.2
            if recipient.notify:
                parts.append(f"NOTIFY={','.join(sorted(recipient.notify))}")
            if recipient.orcpt:
                smtputf8 = offered.smtputf8 and self._needs_smtputf8()
                parts.append(f"ORCPT={dsn.orcpt_encode(recipient.orcpt, smtputf8)}")
        return command(" ".join(parts))

    def _declare_eight_bit(self) -> bool:
        """A file is not read for it: to call 7-bit text 8BITMIME is allowed (RFC 6152 2)."""
        if self.message.envelope.body == "8BITMIME":
            return True
        content = self.message.message.content
        if isinstance(content, BytesContent) and self._eight_bit is None:
            self._eight_bit = not (content.data.isascii() and self.message.message.prefix.isascii())
        return self._eight_bit is not False

    def _needs_smtputf8(self) -> bool:
        """RFC 6531 3.4: only what needs it says so, that it can go on through hosts that do not offer it."""
        envelope = self.message.envelope
        mailboxes = [self.deliveries[number].recipient.forward_path for number in self.pending]
        if envelope.reverse_path:
            mailboxes.append(envelope.reverse_path)
        if not all(mailbox.is_ascii for mailbox in mailboxes):
            return True
        message = self.message.message
        return envelope.smtputf8 and not (message.head.isascii() and message.prefix.isascii())


def _with_detail(mailbox: Mailbox, suffix: str) -> Mailbox:
    """Put a suffix, such as `+Spam`, behind the local part; a detail that stands there gives way."""
    name = mailbox.local_part.partition(suffix[0])[0] or mailbox.local_part
    return Mailbox(name + suffix, mailbox.domain)


def _path(mailbox: Mailbox | None, offered: Capabilities) -> str:
    if mailbox is None:
        return ""
    if mailbox.is_ascii or offered.smtputf8:
        return str(mailbox)
    return str(Mailbox(mailbox.local_part, ascii_domain(mailbox.domain)))

"""Messages and deliveries for the tests of the queue."""

from __future__ import annotations

from attrs import evolve

from mailgw.mail.address import Mailbox
from mailgw.mail.envelope import Envelope, Recipient
from mailgw.mail.message import BytesContent, Message
from mailgw.mail.reply import Reply
from mailgw.mail.verdict import Verdict, VerdictLine
from mailgw.queue.item import Delivery, Destination, Priority, QueuedMessage
from mailgw.queue.store import Entry

RELAY = Destination("relay", "mx:example.org")
SENDER = Mailbox("sender", "example.net")


def entry(
    message_id: str = "01ABCDEFGH000001",
    destinations: tuple[Destination, ...] = (RELAY,),
    *,
    due: float = 0.0,
    expires: float = 432000.0,
    reverse_path: Mailbox | None = SENDER,
    data: bytes = b"Subject: hello\r\n\r\nbody\r\n",
) -> Entry:
    recipients = tuple(Recipient(Mailbox(f"user{n}", "example.org")) for n in range(len(destinations)))
    message = QueuedMessage(
        id=message_id,
        envelope=Envelope(reverse_path, recipients),
        message=Message.from_bytes(data),
        received=due,
        origin="mx",
    )
    deliveries = tuple(
        Delivery(message_id, n, recipient, destination, due, expires)
        for n, (recipient, destination) in enumerate(zip(recipients, destinations, strict=True))
    )
    return Entry(message, deliveries)


def as_bulk(put: Entry) -> Entry:
    """The same, for those who can wait."""
    return evolve(put, deliveries=tuple(evolve(delivery, priority=Priority.BULK) for delivery in put.deliveries))


def full_entry(message_id: str = "01ABCDEFGH00FULL") -> Entry:
    """One that has something, and something awkward, in each place."""
    recipients = (
        Recipient(Mailbox('a "quoted" part', "example.org"), "rfc822;A@example.org", frozenset({"DELAY", "FAILURE"})),
        Recipient(Mailbox("jürgen", "bücher.example"), "", frozenset({"NEVER"})),
        Recipient(Mailbox("nul\x00 and \udce4 surrogate", "[IPv6:2001:db8::1]")),
    )
    head = b"Authentication-Results: mx.example.org; spf=pass\r\nSubject: \xff\x00 raw\r\n\r\n"
    verdict = Verdict(
        "spam",
        7.25,
        (
            VerdictLine("SPF_FAIL", "say “no”", "spf", 1.0, 0.5, 0.5, 0.5),
            VerdictLine("RULE", "", "rules", 6.75, 1.0, 6.75, 7.25, "spam"),
        ),
        "the score is 7.25",
        Reply(554, "5.7.1", ("one", "two"), close=True),
    )
    message = QueuedMessage(
        id=message_id,
        envelope=Envelope(Mailbox("sender", "example.net"), recipients, "8BITMIME", True, "HDRS", "an=envid", True),
        message=Message(BytesContent(head + b"\x00\xff body\r\n"), head, b"Received: by us\r\n", ((0, 50),)),
        received=1700000000.123,
        origin="submission",
        session_id="01SESSION",
        identity="alice@example.org",
        verdict=verdict,
        author_domain="xn--bcher-kva.example",
    )
    deliveries = (
        Delivery(
            message_id, 0, recipients[0], Destination("maildir", "a@example.org", "spam"), 12.5, 1e9, 3, "later ü"
        ),
        Delivery(message_id, 1, recipients[1], Destination("relay", "route:out"), 11.0, 2e9, priority=Priority.BULK),
        Delivery(message_id, 2, recipients[2], RELAY, 13.0, 3e9),
    )
    return Entry(message, deliveries)

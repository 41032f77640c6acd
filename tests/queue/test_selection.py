"""What a person selects in a queue: the patterns mean what they say, whatever stands in the rows."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from attrs import evolve
from twisted.internet import reactor
from twisted.trial.unittest import TestCase

from mailgw.mail.address import Mailbox
from mailgw.mail.envelope import Envelope, Recipient
from mailgw.queue import quarantine
from mailgw.queue import selection as selections
from mailgw.queue.item import Delivery, Destination
from mailgw.queue.listing import Listing
from mailgw.queue.schema import open_database
from mailgw.queue.selection import Selection
from mailgw.queue.sqlite import SqliteStore
from mailgw.queue.store import Entry, QueueSize
from tests.queue.items import SENDER, entry

_USER = Mailbox("user", "example.org")
_HELD_UNTIL = 9e9


def made(
    number: int,
    sender: Mailbox | None = SENDER,
    recipient: Mailbox = _USER,
    destination: str = "relay:mx:example.org",
    last: str = "",
    received: float = 1000.0,
    identity: str = "",
) -> Entry:
    message_id = f"01ABCDEFGH{number:06}"
    put = entry(message_id)
    message = evolve(
        put.message, envelope=Envelope(sender, (Recipient(recipient),)), received=received, identity=identity
    )
    delivery = Delivery(message_id, 0, Recipient(recipient), Destination.parse(destination), 1.0, 2.0, 1, last)
    return Entry(message, (delivery,))


class SelectionTests(TestCase):
    async def fill(self, *entries: Entry) -> None:
        self.directory = Path(self.mktemp())
        store = SqliteStore(self.directory, reactor, inline_size=1000, minimum_free=0, clock=reactor)
        await store.open()
        await store.put(*entries)
        await store.close()

    def assert_selects(self, selection: Selection, *numbers: int) -> None:
        with closing(Listing(self.directory)) as listing:
            found = [int(one.message.id[-6:]) for one in listing.entries(100, selection)]
            self.assertEqual(found, list(numbers), selection)
            self.assertEqual(listing.size(selection).messages, len(numbers))
            first = [int(one.message.id[-6:]) for one in listing.entries(1, selection)]
            self.assertEqual(first, list(numbers[:1]), selection)

    async def test_sender(self) -> None:
        await self.fill(
            made(1, Mailbox("Alice", "Example.net")),
            made(2, None),
            made(3, Mailbox("bounces", "lists.example"), identity="alice@example.net"),
            made(4, Mailbox("under_score", "example.net")),
            made(5, Mailbox("underXscore", "example.net")),
            made(6, Mailbox("Jürgen", "bücher.example")),
            made(7, Mailbox("two words", "example.net")),
            made(8, Mailbox("100%", "example.net")),
        )
        self.assert_selects(Selection(sender="alice@example.net"), 1, 3)
        self.assert_selects(Selection(sender="<>"), 2)
        self.assert_selects(Selection(sender="under_score@*"), 4)
        self.assert_selects(Selection(sender="under?score@example.net"), 4, 5)
        self.assert_selects(Selection(sender="JÜRGEN@bücher.example"), 6)
        self.assert_selects(Selection(sender='"two words"@example.net'), 7)
        self.assert_selects(Selection(sender="*%@example.net"), 8)
        self.assert_selects(Selection(sender="alice"))
        self.assert_selects(Selection(sender="*"), 1, 2, 3, 4, 5, 6, 7, 8)

    async def test_recipient(self) -> None:
        await self.fill(
            made(1, recipient=Mailbox("user", "example.org")),
            made(2, recipient=Mailbox('with "quotes"', "example.org")),
            made(3, recipient=Mailbox("jürgen", "bücher.example")),
            made(4, recipient=Mailbox("user", "[IPv6:2001:db8::1]")),
            made(5, recipient=Mailbox("user", "example.org.evil.example")),
        )
        self.assert_selects(Selection(recipient="USER@example.org"), 1)
        self.assert_selects(Selection(recipient="*@example.org"), 1, 2)
        self.assert_selects(Selection(recipient='"with \\"quotes\\""@example.org'), 2)
        self.assert_selects(Selection(recipient="*@BÜCHER.example"), 3)
        self.assert_selects(Selection(recipient="user@[IPv6:2001:DB8::1]"), 4)

    async def test_brackets_in_a_reason_are_only_themselves(self) -> None:
        await self.fill(made(1, last="451 4.7.1 greylisted, try later"), made(2, last="450 4.7.1 [PBL] blocked ü"))
        self.assert_selects(Selection(reason="*[pbl]*"), 2)
        self.assert_selects(Selection(reason="*Ü"), 2)
        self.assert_selects(Selection(reason="*4.7.1*"), 1, 2)

    async def test_destination_also_of_what_is_held(self) -> None:
        held = made(3)
        held = evolve(held, deliveries=tuple(quarantine.hold(d, _HELD_UNTIL) for d in held.deliveries))
        await self.fill(made(1), made(2, destination="relay:route:smart"), held)
        self.assert_selects(Selection(destination="relay:mx:example.org"), 1, 3)
        self.assert_selects(Selection(destination="relay:mx:*", held=False), 1)
        self.assert_selects(Selection(destination="relay:mx:*", held=True), 3)
        self.assert_selects(Selection(destination="quarantine:*"), 3)
        self.assert_selects(Selection(held=True), 3)
        self.assert_selects(Selection(held=False), 1, 2)
        self.assert_selects(Selection(destination="maildir:*"))

    async def test_age_and_ids(self) -> None:
        await self.fill(*(made(n, received=1000.0 * n) for n in (1, 2, 3)))
        self.assert_selects(Selection(since=2000.0), 2, 3)
        self.assert_selects(Selection(until=2000.0), 1)
        self.assert_selects(Selection(since=1500.0, until=2500.0), 2)
        ids = frozenset({"01ABCDEFGH000001", "01ABCDEFGH000003", "01ABCDEFGH000009"})
        self.assert_selects(Selection(ids=ids), 1, 3)
        self.assert_selects(Selection(ids=ids, destination="relay:*", since=2000.0), 3)

    async def test_only_the_deliveries_that_are_selected(self) -> None:
        two = (Destination("relay", "mx:example.org"), Destination("relay", "route:smart"))
        await self.fill(*(entry(f"01ABCDEFGH{n:06}", two) for n in range(450)))
        with closing(Listing(self.directory)) as listing:
            selection = Selection(destination="relay:route:smart")
            found = list(listing.entries(300, selection))
            self.assertEqual([one.message.id for one in found], [f"01ABCDEFGH{n:06}" for n in range(300)])
            self.assertEqual({tuple(d.number for d in one.deliveries) for one in found}, {(1,)})
            self.assertEqual(listing.size(selection), QueueSize(450, 450))
            self.assertEqual(listing.size(Selection(destination="relay:*")), QueueSize(450, 900))
            self.assertEqual(len(list(listing.entries(400, Selection(destination="relay:*")))), 400)
            self.assertEqual(len(list(listing.entries(1000, Selection(sender="*@*")))), 450)

    async def test_a_destination_with_few_deliveries_or_many(self) -> None:
        """By the index, or in the order of ids: what is selected is the same."""
        await self.fill(*(made(n, destination=f"relay:route:r{n % 3}", last="450 later") for n in range(9)))
        for few in (0, 1000):
            self.patch(selections, "_FEW", few)
            self.assert_selects(Selection(destination="relay:route:r1", reason="*later"), 1, 4, 7)
            self.assert_selects(Selection(destination="*r1", recipient="user@*", held=False), 1, 4, 7)
            self.assert_selects(Selection(destinations=frozenset({"relay:route:r2"}), sender="*"), 2, 5, 8)

    async def test_a_row_that_cannot_be_read_does_not_stop_it(self) -> None:
        await self.fill(made(1), made(2))
        with closing(open_database(self.directory)) as connection:
            connection.execute("UPDATE deliveries SET recipient = '[]' WHERE message_id = '01ABCDEFGH000001'")
        self.assert_selects(Selection(recipient="*"), 2)

    async def test_summary(self) -> None:
        now = 1_000_000.0
        await self.fill(
            made(1, destination="relay:route:smart", received=500.0, last="450 later"),
            made(2, destination="relay:route:smart", received=900.0, last="450 later"),
            made(3, destination="relay:mx:example.org", received=700.0),
        )
        with closing(Listing(self.directory)) as listing:
            smart, other = listing.summary(Selection(), now)
            self.assertEqual((smart.destination, smart.deliveries, smart.oldest), ("relay:route:smart", 2, 500.0))
            self.assertEqual((smart.next_due, smart.last), (1.0, "450 later"))
            self.assertEqual((other.destination, other.deliveries, other.last), ("relay:mx:example.org", 1, ""))
            (one,) = listing.summary(Selection(since=800.0), now)
            self.assertEqual((one.destination, one.deliveries, one.oldest), ("relay:route:smart", 1, 900.0))

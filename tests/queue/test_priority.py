"""People's mail goes before bulk and reports: at a site, in the window, among attempts; and yet the rest moves."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from mailgw.mail.address import Mailbox
from mailgw.mail.envelope import Envelope, Recipient
from mailgw.mail.message import Message
from mailgw.queue.item import Delivered, Destination, Priority
from mailgw.queue.priority import priority_of, room_for
from mailgw.queue.store import QueueSize
from tests.queue.items import RELAY, as_bulk, entry
from tests.queue.scheduling import LATER, OTHER, SchedulerCase, number

ANN = Mailbox("ann", "example.org")


def priority(header: bytes, recipients: int = 1, sender: Mailbox | None = ANN) -> Priority:
    envelope = Envelope(sender, tuple(Recipient(Mailbox(f"u{n}", "example.net")) for n in range(recipients)))
    return priority_of(envelope, Message.from_bytes(header + b"\r\nbody\r\n"), 50)


class PriorityTests(SynchronousTestCase):
    def test_by_what_the_message_says(self) -> None:
        for header, expected in (
            (b"Subject: lunch?\r\n", Priority.PEOPLE),
            (b"List-Id: <talk.example.org>\r\n", Priority.BULK),
            (b"list-unsubscribe: <https://example.org/u>\r\n", Priority.BULK),
            (b"Precedence: bulk\r\n", Priority.BULK),
            (b"PRECEDENCE:  List\r\n", Priority.BULK),
            (b"Precedence: first-class\r\n", Priority.PEOPLE),
            # A password reset is awaited by somebody.
            (b"Auto-Submitted: auto-generated\r\n", Priority.PEOPLE),
            (b"Subject: List-Id: no\r\n", Priority.PEOPLE),
        ):
            self.assertEqual(priority(header), expected, header)

    def test_by_the_envelope(self) -> None:
        self.assertEqual(priority(b"", recipients=49), Priority.PEOPLE)
        self.assertEqual(priority(b"", recipients=50), Priority.BULK)
        self.assertEqual(priority(b"", sender=None), Priority.BULK)


class RoomTests(SynchronousTestCase):
    def test_each_keeps_something_and_takes_the_rest(self) -> None:
        self.assertEqual(room_for(Priority.BULK, 160, 0, 0), 140)
        self.assertEqual(room_for(Priority.PEOPLE, 160, 0, 140), 20)
        self.assertEqual(room_for(Priority.PEOPLE, 160, 0, 0), 150)
        self.assertEqual(room_for(Priority.BULK, 160, 150, 0), 10)

    def test_of_little_nothing_is_kept(self) -> None:
        for priority in Priority:
            self.assertEqual(room_for(priority, 1, 0, 0), 1)
            self.assertEqual(room_for(priority, 2, 1, 1), 0)


class BehindTests(SchedulerCase):
    """A flood of bulk, and mail of a person."""

    def setUp(self) -> None:
        super().setUp()
        self.agent.answer = lambda delivery: None

    def started(self, n: int) -> bool:
        return number(n) in {message_id for message_id, _ in self.agent.attempts}

    def test_a_site_with_10000_waiting_has_a_place_for_a_person_at_once(self) -> None:
        self.put(*(as_bulk(entry(number(n), due=1.0)) for n in range(10000)))
        self.scheduler.start()
        self.assertEqual(len(self.agent.under_way), 9)
        self.offer(entry(number(20000), due=1000.0))
        self.assertTrue(self.started(20000))

    def test_and_for_the_next_ones_when_a_bulk_attempt_ends(self) -> None:
        self.put(*(as_bulk(entry(number(n), due=1.0)) for n in range(10000)))
        self.scheduler.start()
        self.offer(*(entry(number(n), due=1000.0) for n in range(20000, 20003)))
        self.agent.end(count=2)
        self.assertTrue(self.started(20001) and self.started(20002))

    def test_what_the_store_holds_behind_10000_is_found(self) -> None:
        """After a restart; and mail of a person that was greylisted, and is due again."""
        self.put(*(as_bulk(entry(number(n), due=1.0)) for n in range(10000)))
        self.put(entry(number(20000), due=2.0), entry(number(20001), due=1060.0))
        self.scheduler.start()
        self.assertTrue(self.started(20000))
        self.clock.advance(60.0)
        self.agent.end(count=1)
        self.assertTrue(self.started(20001))

    def test_bulk_to_thousands_of_sites_leaves_room_in_the_window(self) -> None:
        self.make_scheduler(window=200)
        self.put(*(as_bulk(entry(number(n), (Destination("relay", f"mx:{n}.example"),), due=1.0)) for n in range(2000)))
        self.put(entry(number(5000), (OTHER,), due=2.0))
        self.scheduler.start()
        self.assertTrue(self.started(5000))

    def test_bulk_to_slow_sites_leaves_attempts_for_people(self) -> None:
        self.make_scheduler(concurrency=16)
        self.scheduler.start()
        self.offer(*(as_bulk(entry(number(n), (Destination("relay", f"mx:{n}.example"),))) for n in range(100)))
        self.assertEqual(len(self.agent.under_way), 14)
        self.offer(entry(number(999), (OTHER,)))
        self.assertTrue(self.started(999))

    def test_bulk_moves_behind_any_mail_of_people(self) -> None:
        """However much there is, for the same site and for others."""
        self.make_scheduler(window=100, concurrency=16, site_concurrency=2)
        self.scheduler.start()
        self.offer(*(entry(number(n)) for n in range(50)))
        self.offer(as_bulk(entry(number(999))))
        for n in range(50, 80):
            self.offer(entry(number(n)))
            self.agent.end()
        self.assertTrue(self.started(999))

    def test_all_of_it_goes(self) -> None:
        self.make_scheduler(window=40)
        self.agent.answer = lambda delivery: LATER if delivery.attempts == 0 else Delivered("there")
        sites = [Destination("relay", f"mx:{n}.example") for n in range(7)]
        for n in range(600):
            one = entry(number(n), (sites[n % 7],), due=float(n % 50))
            self.put(as_bulk(one) if n % 3 else one)
        self.scheduler.start()
        self.clock.pump([50.0] * 20)
        self.assertEqual(self.size(), QueueSize(0, 0))
        self.assertEqual(len(self.agent.attempts), 1200)

    def test_recipients_of_a_bulk_message_go_together_still(self) -> None:
        self.agent.answer = lambda delivery: Delivered("there")
        self.scheduler.start()
        self.offer(as_bulk(entry(destinations=(RELAY,) * 3)))
        self.assertEqual(self.agent.attempts, [(number(1), (0, 1, 2))])

"""A long queue costs no more than a short one: nothing that the gateway asks of its database reads all of it."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from mailgw.queue import reading
from mailgw.queue.codec import encode_delivery, encode_facts, encode_message
from mailgw.queue.item import Priority
from mailgw.queue.schema import open_database
from mailgw.queue.writer import Change, apply
from tests.queue.items import entry


class PlanTests(SynchronousTestCase):
    def setUp(self) -> None:
        directory = Path(self.mktemp())
        directory.mkdir()
        self.connection = open_database(directory)
        self.addCleanup(self.connection.close)
        self.statements: list[str] = []

    def assert_nothing_is_scanned(self) -> None:
        self.connection.set_trace_callback(None)
        self.assertTrue(self.statements)
        for statement in self.statements:
            plan = [step for *_, step in self.connection.execute(f"EXPLAIN QUERY PLAN {statement}")]
            for table in ("deliveries", "messages", "content_files", "waiting", "delivery"):
                self.assertFalse([step for step in plan if step.startswith(f"SCAN {table}")], (statement, plan))

    def trace(self) -> None:
        self.connection.set_trace_callback(
            lambda statement: None if statement in ("BEGIN", "COMMIT") else self.statements.append(statement)
        )

    def test_writing(self) -> None:
        """Each settlement read the keys of all deliveries: 8 ms with a million of them."""
        one, other = entry("01ABCDEFGH000001"), entry("01ABCDEFGH000002")
        change = Change()
        for put in (one, other):
            info, prefix = encode_message(put.message)
            change.messages.append((put.message.id, info, prefix, b""))
            change.deliveries += [(*encode_delivery(d), *encode_facts(put.message)) for d in put.deliveries]
        self.trace()
        apply(self.connection, [change])
        apply(self.connection, [Change(retries=[encode_delivery(d) for d in one.deliveries])])
        apply(self.connection, [Change(gone=[d.id for put in (one, other) for d in put.deliveries])])
        self.assert_nothing_is_scanned()
        self.assertEqual(self.connection.execute("SELECT count(*) FROM messages").fetchone(), (0,))

    def test_reading(self) -> None:
        self.trace()
        for destination, without in ((None, ()), ("relay:mx:example.org", ()), (None, ("relay:mx:example.org",))):
            reading.read_due(self.connection, 1.0, 10, (), 0.0, destination, without, Priority.BULK)
        reading.read_next_due(self.connection, 0.0, Priority.BULK)
        reading.read_message(self.connection, Path, "01ABCDEFGH000001")
        reading.read_deliveries(self.connection, "01ABCDEFGH000001")
        self.assert_nothing_is_scanned()

    def test_what_is_parked_is_passed_over_in_the_index(self) -> None:
        """SQLite read each of those deliveries: 2.5 s for a million."""
        self.trace()
        reading.read_due(self.connection, 1.0, 10, (), 0.0, None, ("relay:mx:example.org",), Priority.PEOPLE)
        self.connection.set_trace_callback(None)
        first, *_ = [s for *_, s in self.connection.execute(f"EXPLAIN QUERY PLAN {self.statements[0]}")]
        self.assertEqual(first, "SEARCH waiting USING COVERING INDEX due (priority=? AND due>? AND due<?)")

"""The file that policies are kept in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.trial.unittest import SynchronousTestCase, TestCase

from mailgw.mta_sts import store
from mailgw.mta_sts.policy import parse_policy
from mailgw.mta_sts.store import MIGRATIONS, Kept, StatePolicyStore, forget, read, use, write
from mailgw.state.database import Database, connect
from tests.mta_sts.case import POLICY


def kept(domain: str = "example.org", fetched: float = 1000.0) -> Kept:
    return Kept(domain, "1", parse_policy(POLICY), fetched)


class TableTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.connection = connect(Path(self.mktemp()), MIGRATIONS)
        self.addCleanup(self.connection.close)

    def test_what_was_written_is_read(self) -> None:
        write(self.connection, kept())
        self.assertEqual(read(self.connection, "example.org"), kept())
        self.assertIsNone(read(self.connection, "example.com"))

    def test_the_later_one_stays(self) -> None:
        write(self.connection, kept(fetched=2000.0))
        write(self.connection, kept(fetched=1000.0))  # a worker that was slow
        self.assertEqual(read(self.connection, "example.org"), kept(fetched=2000.0))
        write(self.connection, kept(fetched=3000.0))
        self.assertEqual(read(self.connection, "example.org"), kept(fetched=3000.0))

    def test_what_was_fetched_while_the_clock_was_wrong_does_not_stay(self) -> None:
        write(self.connection, kept(fetched=9e9))
        write(self.connection, kept(fetched=1000.0))
        self.assertEqual(read(self.connection, "example.org"), kept(fetched=1000.0))

    def test_forgotten(self) -> None:
        write(self.connection, kept())
        self.assertTrue(forget(self.connection, "example.org"))
        self.assertFalse(forget(self.connection, "example.org"))

    def test_what_has_expired_makes_room(self) -> None:
        write(self.connection, kept("old.example"))
        write(self.connection, kept("new.example", 1000.0 + 604800 + 1))
        self.assertIsNone(read(self.connection, "old.example"))

    def test_bounded_in_number(self) -> None:
        self.patch(store, "MAX_POLICIES", 3)
        for number in range(3):
            write(self.connection, kept(f"d{number}.example"))
        use(self.connection, "d0.example", 5000.0)
        write(self.connection, kept("d3.example", 2000.0))
        self.assertIsNotNone(read(self.connection, "d0.example"))
        (count,) = self.connection.execute("SELECT count(*) FROM policies").fetchone()
        self.assertEqual(count, 3)


class StoreTests(TestCase):
    async def test_over_a_database(self) -> None:
        database = Database(Path(self.mktemp()), MIGRATIONS, reactor)
        await database.open()
        policies: Any = StatePolicyStore(database)
        await policies.put(kept("a.example", 1000.0))
        await policies.put(kept("b.example", 2000.0))
        policies.note_used("a.example", 9000.0)
        self.assertEqual(await policies.get("a.example"), kept("a.example"))
        self.assertEqual(await policies.due(1500.0, 0.0, 10), [kept("a.example")])
        self.assertEqual(await policies.due(5000.0, 0.0, 1), [kept("a.example")])
        self.assertEqual(await policies.due(5000.0, 20000.0, 10), [])
        await database.close()

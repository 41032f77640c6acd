"""The history: what is kept of a message comes back, is found again, and is forgotten in time."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

from attrs import evolve
from twisted.internet import reactor
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase, TestCase

from mailgw.config.schema import History, Override
from mailgw.history.kept import pack, unpack
from mailgw.history.recorder import Recorder, prune
from mailgw.history.search import HistorySearch, Wanted
from mailgw.history.tables import FILE, MIGRATIONS
from mailgw.mail.address import Mailbox
from mailgw.mail.envelope import Recipient
from mailgw.mail.evidence import AuthResult, Evidence
from mailgw.mail.message import Message
from mailgw.mail.reply import Reply
from mailgw.mail.transaction import Transaction
from mailgw.state.database import Database, StateUnusable, connect
from mailgw.verdict.judgement import Judged
from mailgw.verdict.policies import Policies
from mailgw.verdict.policy import Policy, decide
from tests.filters.support import make_transaction
from tests.queue.items import entry

AUTH = (AuthResult("spf", "pass", (("smtp.mailfrom", "a@b.example"),), "why", "a comment"),)
EVIDENCE = (Evidence("A", "seen", 0.5, "f"), Evidence("A", "again", 0.7, "g"), Evidence("B", "x\ud800ü", 1.0, "f"))
POLICY = Policies(Policy({"A": 1.0, "B": 20.0}), {"bob@example.org": Override(thresholds={"spam": 3.0})})
OK = Reply(250, "2.0.0", ("OK",))


def judged(*recipients: int, owner: str = "bob@example.org", answers: tuple[Evidence, ...] = ()) -> Judged:
    ((policy, _),) = POLICY.groups([[Mailbox.parse(owner)]])
    verdict = decide((*EVIDENCE, *answers), policy, outbound=False, reference="T1")
    return Judged(verdict, recipients, policy, answers)


class KeptTests(SynchronousTestCase):
    def test_everything_comes_back(self) -> None:
        client = make_transaction().client
        answers = (Evidence("GREYLIST_PASSED", "known"),)
        one, other = judged(0, 2), judged(1, owner="ann@example.org", answers=answers)
        facts = unpack(pack(client, ["a@b", "c@d", "e@f"], AUTH, EVIDENCE, [(one, "ID1"), (other, "")]))
        self.assertEqual((facts.client, facts.recipients), (client, ("a@b", "c@d", "e@f")))
        self.assertEqual((facts.auth, facts.evidence), (AUTH, EVIDENCE))
        for kept, was, name in zip(facts.verdicts, (one, other), ("ID1", ""), strict=True):
            self.assertEqual((kept.id, kept.recipients, kept.verdict), (name, was.recipients, was.verdict))
            self.assertEqual(kept.policy.thresholds, was.policy.thresholds)
            self.assertEqual((kept.policy.origins, kept.answers), (was.policy.origins, was.answers))

    def test_the_mailbox_behind_an_alias_is_kept(self) -> None:
        owners = [[Mailbox("info", "a.example"), Mailbox("bob", "a.example")], [Mailbox("x", "a.example")]]
        facts = unpack(pack(make_transaction().client, [], (), (), [(evolve(judged(0, 1), owners=owners), "")]))
        self.assertEqual(facts.verdicts[0].owners, (("info@a.example", "bob@a.example"), ("x@a.example",)))

    def test_whom_evidence_is_about_is_kept(self) -> None:
        evidence = [Evidence("A", recipients=(1, 2)), Evidence("B")]
        self.assertEqual(unpack(pack(make_transaction().client, [], (), evidence, [])).evidence, tuple(evidence))


class RecorderTests(TestCase):
    async def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        self.clock = Clock()
        self.clock.advance(1_700_000_000)
        self.database = Database(self.folder / FILE, MIGRATIONS, reactor)
        await self.database.open()
        self.recorder = Recorder(self.database, History(), self.clock)

    async def record(self, name: str = "01AAAAAAAA000001", **changes: Any) -> Transaction:
        transaction = evolve(make_transaction(**changes), id=name, auth=list(AUTH), evidence=list(EVIDENCE))
        results = [(judged(0), name), (judged(1), f"{name[:-1]}C")]
        self.recorder.record(transaction, results, OK)
        return transaction

    async def search(self) -> HistorySearch:
        await self.recorder.write()
        await self.database.close()
        search = HistorySearch(self.folder)
        self.addCleanup(search.close)
        return search

    async def test_a_message_is_found_by_what_is_known_of_it(self) -> None:
        subject = "=?utf-8?q?Gr=C3=BC=C3=9Fe?= 100% off_now"
        message = Message.from_bytes(
            f"From: Ann <ann@writer.example>\r\nSubject: {subject}\r\nMessage-ID: <m1@x>\r\n\r\nbody\r\n".encode()
        )
        await self.record(message=message)
        self.clock.advance(100)
        await self.record("01AAAAAAAA000002")
        search = await self.search()
        for wanted in (
            Wanted(sender="ann@writer"),
            Wanted(subject="grüße"),
            Wanted(subject="100% OFF"),
            Wanted(subject="*off_now"),
            Wanted(message_id="m1@x"),
            Wanted(until=1_700_000_050.0),
            Wanted(sender="ann", action="reject", recipient="bob@*", until=1_700_000_050.0),
        ):
            self.assertEqual([row.id for row in search.find(wanted, 10)], ["01AAAAAAAA000001"], wanted)
        for wanted in (
            Wanted(subject="100x off"),
            Wanted(recipient="ob@*"),
            Wanted(action="inbox"),
            Wanted(client="198"),
        ):
            self.assertEqual(search.find(wanted, 10), [], wanted)
        self.assertEqual([row.id[-1] for row in search.find(Wanted(), 10)], ["2", "1"], "the newest first")
        self.assertEqual(len(search.find(Wanted(), 1)), 1)

    async def test_a_copy_leads_to_its_message_and_the_fates_of_all(self) -> None:
        transaction = await self.record()
        for name, event in ((transaction.id, "delivered"), ("01AAAAAAAA00000C", "delayed")):
            queued = entry(name)
            self.recorder.fate(queued.message, queued.deliveries[0], event, remote="mx [192.0.2.1]", detail="it said")
        report = entry("01BBBBBBBB000001")
        self.recorder.report(evolve(entry().message, id="01AAAAAAAA00000C"), report)
        search = await self.search()
        row = search.message("01AAAAAAAA00000C")
        assert row is not None
        self.assertEqual(row.id, transaction.id)
        self.assertEqual(
            [(f.event, f.remote, f.detail) for f in search.fates(row.id)],
            [
                ("delivered", "mx [192.0.2.1]", "it said"),
                ("delayed", "mx [192.0.2.1]", "it said"),
            ],
        )
        found = search.message("01BBBBBBBB000001")
        assert found is not None
        self.assertEqual((found.service, found.parent), ("report", "01AAAAAAAA00000C"))
        facts = search.facts(row.id)
        assert facts is not None
        self.assertEqual([kept.id for kept in facts.verdicts], [transaction.id, "01AAAAAAAA00000C"])
        self.assertIsNone(search.message("01CCCCCCCC000001"))

    async def test_all_since_a_time_page_by_page(self) -> None:
        for number in range(1203):
            await self.record(f"01AAAAAAAA{number:06}")
        search = await self.search()
        names = [row.id for row, facts in search.since(0.0) if facts is not None]
        self.assertEqual(names, [f"01AAAAAAAA{number:06}" for number in range(1203)])
        self.assertEqual((search.count(0.0), search.count(2e9)), (1203, 0))

    async def test_what_cannot_be_stored_takes_nothing_along(self) -> None:
        await self.record()
        queued = entry("01AAAAAAAA000001")
        self.recorder.fate(queued.message, queued.deliveries[0], "delayed", detail="\udce4 has no form in UTF-8")
        odd = evolve(queued.deliveries[0], recipient=Recipient(Mailbox("\udce4", "example.org")))
        self.recorder.fate(queued.message, odd, "failed")
        self.recorder.fate(queued.message, queued.deliveries[0], "delivered")
        search = await self.search()
        fates = [(fate.event, fate.detail) for fate in search.fates("01AAAAAAAA000001")]
        self.assertEqual(fates, [("delayed", "? has no form in UTF-8"), ("delivered", "")])
        self.assertEqual(len(self.flushLoggedErrors(UnicodeEncodeError)), 1)

    async def test_there_is_no_history(self) -> None:
        await self.database.close()
        with self.assertRaises(StateUnusable):
            HistorySearch(self.folder / "elsewhere")

    async def test_the_message_is_not_held(self) -> None:
        """Content may be large, and many messages wait to be written."""
        import gc
        import weakref

        transaction = await self.record()
        # attrs classes without slots of their own can be referenced weakly.
        held = weakref.ref(transaction.message)  # type: ignore[type-var]
        del transaction
        gc.collect()
        self.assertIsNone(held())
        await self.database.close()


class PruneTests(SynchronousTestCase):
    def setUp(self) -> None:
        path = Path(self.mktemp())
        self.connection = connect(path, MIGRATIONS)
        self.addCleanup(self.connection.close)
        for number in range(10):
            name = f"01AAAAAAAA{number:06}"
            values = (name, float(number), "mx", "", "", "", "", "", "", 1, "inbox", 0.0, "", "")
            self.connection.execute(f"INSERT INTO messages VALUES (NULL{',?' * 14})", values)
            self.connection.execute("INSERT INTO details VALUES (?, ?)", (name, b"x" * 3000))
            self.connection.execute("INSERT INTO copies VALUES (?, ?)", (f"{name}C", name))
            for copy in (name, f"{name}C"):
                self.connection.execute("INSERT INTO fates VALUES (?,1,'delivered','','','','',0)", (copy,))

    def left(self, connection: sqlite3.Connection) -> list[int]:
        return [
            connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
            for table in ("messages", "details", "copies", "fates")
        ]

    def test_what_is_older_goes_with_all_that_belongs_to_it(self) -> None:
        self.assertFalse(prune(self.connection, 4.0, 1 << 30))
        self.assertEqual(self.left(self.connection), [6, 6, 6, 12])

    def test_what_is_too_much_goes(self) -> None:
        prune(self.connection, 0.0, 10_000)
        self.assertEqual(self.left(self.connection), [0, 0, 0, 0])

"""`mailgw reports`: read, sum up, look at what goes out."""

from __future__ import annotations

import json
import mailbox
import time

from attrs import evolve

from mailgw.reports import issued, observed, tls_observed
from mailgw.reports.aggregate_reader import read_aggregate
from mailgw.reports.aggregate_xml import to_xml
from mailgw.reports.letter import packed
from mailgw.reports.tables import DAY, MIGRATIONS, database_path
from mailgw.reports.tls_report import read_tls_report
from mailgw.state.database import connect, transact
from tests.commands.files import CommandTest
from tests.reports.support import PUBLISHED, RECORD
from tests.reports.test_aggregate_xml import REPORT
from tests.reports.test_reading import mailed
from tests.reports.test_tls_observed import BAD, GOOD

TODAY = int(time.time()) // DAY


class ReadTests(CommandTest):
    def setUp(self) -> None:
        super().setUp()
        (self.folder / "state").mkdir()

    def reports(self, *arguments: str, code: int = 0) -> str:
        return self.run_command("reports", *arguments, code=code).output

    def file(self, name: str, data: bytes) -> str:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return str(path)

    def test_before_there_is_anything(self) -> None:
        self.assertIn("no reports on", self.reports())
        self.assertIn("0 domains", self.reports("pending"))
        self.assertIn("0 reports sent", self.reports("sent"))
        self.assertFalse(database_path(str(self.folder / "state")).exists())

    def test_files_folders_and_mboxes(self) -> None:
        one = self.file("one.xml", to_xml(REPORT))
        self.file("maildir/new/2", mailed(packed(to_xml(evolve(REPORT, report_id="2")))))
        self.file("maildir/cur/3", b"Subject: hello\n\nno report\n")
        self.file("maildir/tmp/4", b"<half")
        box = mailbox.mbox(f"{self.folder}/mbox")
        for number in ("4", "5"):
            box.add(mailed(packed(to_xml(evolve(REPORT, report_id=number)))))
        box.close()
        output = self.reports("read", one, one, f"{self.folder}/maildir", f"{self.folder}/mbox")
        self.assertIn("4 reports read, 1 known already, 1 files without a report, 0 refused", output)
        self.assertIn("8 messages in the name of sender.example, 100 % pass", self.reports("--since", "2020-01-01"))

    def test_what_cannot_be_read_is_named(self) -> None:
        good, bad = self.file("good.xml", to_xml(REPORT)), self.file("bad.gz", b"\x1f\x8b\x08nonsense")
        output = self.reports("read", bad, good, code=1)
        self.assertIn("bad.gz: the gzip data", output)
        self.assertIn("1 reports read", output)

    def test_a_state_that_cannot_be_made_is_named(self) -> None:
        one = self.file("one.xml", to_xml(REPORT))
        (self.folder / "state").rmdir()
        self.assertIn("state/reports.db (state_directory): unable to open", self.reports("read", one, code=1))

    def test_our_own_addresses_are_marked(self) -> None:
        records = (RECORD, evolve(RECORD, source_ip="127.0.0.1"))
        self.reports("read", self.file("r.xml", to_xml(evolve(REPORT, records=records))))
        own = {line["address"]: line["own"] for line in self.json_lines("reports", "--since", "2020-01-01", "--json")}
        self.assertEqual(own, {"192.0.2.1": False, "127.0.0.1": True})
        self.assertIn("127.0.0.1 *", self.reports("--since", "2020-01-01"))

    def test_since_and_domain(self) -> None:
        self.reports("read", self.file("r.xml", to_xml(REPORT)))
        self.assertIn("no reports", self.reports("--since", "1d"))
        self.assertIn("no reports", self.reports("--since", "2020-01-01", "--domain", "other.example"))
        self.assertIn("192.0.2.1", self.reports("--since", "2020-01-01", "--domain", "Sender.Example"))
        self.assertIn("is not a day", self.reports("--since", "yesterday", code=2))

    def test_hostile_names_do_not_reach_the_terminal(self) -> None:
        self.reports("read", self.file("r.xml", to_xml(evolve(REPORT, org_name="\x9b31mred\x85"))))
        self.assertNotIn("\x9b", self.reports("--since", "2020-01-01"))


class SendTests(CommandTest):
    def setUp(self) -> None:
        super().setUp()
        (self.folder / "state").mkdir()
        connection = connect(database_path(str(self.folder / "state")), MIGRATIONS)
        silent = evolve(PUBLISHED, domain="silent.example", rua=())
        transact(
            connection,
            [
                lambda c: observed.count(c, TODAY, PUBLISHED, RECORD, 10),
                lambda c: observed.count(c, TODAY, silent, RECORD, 10),
                lambda c: tls_observed.add(c, {(TODAY, GOOD): 5, (TODAY, BAD): 2}),
                lambda c: issued.claim(c, issued.Key("dmarc", TODAY - 1, "sender.example"), time.time()),
                lambda c: issued.settle(
                    c, issued.Key("dmarc", TODAY - 1, "sender.example"), "sent", time.time(), "2 records"
                ),
            ],
        )
        connection.close()

    def test_pending(self) -> None:
        rows = self.json_lines("reports", "pending", "--json")
        self.assertEqual(
            [(row["domain"], row["messages"], row["state"]) for row in rows if row["kind"] == "dmarc"],
            [("sender.example", 1, "no [dmarc_reports] sender"), ("silent.example", 1, "asks for none")],
        )
        self.configuration.write_text(
            self.configuration.read_text() + '\n[dmarc_reports]\nsender = "dmarc@example.org"\n'
        )
        first = self.json_lines("reports", "pending", "--json")[0]
        self.assertEqual(first["state"], "waits")
        self.assertIn("3 domains on", self.run_command("reports", "pending").output)

    def settle(self, state: issued.State, detail: str) -> None:
        key = issued.Key("tls", TODAY, "dest.example")
        connection = connect(database_path(str(self.folder / "state")), MIGRATIONS)
        transact(
            connection,
            [
                lambda c: issued.claim(c, key, time.time()),
                lambda c: issued.settle(c, key, state, time.time(), detail),
            ],
        )
        connection.close()

    def test_pending_of_tls(self) -> None:
        def last() -> dict[str, object]:
            return self.json_lines("reports", "pending", "--json")[-1]

        self.assertEqual(
            last(),
            {
                "kind": "tls",
                "domain": "dest.example",
                "policies": ["no-policy-found"],
                "sessions": 5,
                "failures": 2,
                "state": "no [tls_reports] sender",
            },
        )
        text = self.configuration.read_text()
        self.configuration.write_text(text + '\n[tls_reports]\nsender = "tls@example.org"\n')
        self.assertEqual(last()["state"], "waits")
        self.configuration.write_text(text + '\n[tls_reports]\nskip = ["dest.example"]\n')
        self.assertEqual(last()["state"], "skipped")
        self.settle("nobody", "")
        self.assertEqual(last()["state"], "asks for none")
        # Most domains ask for none: they are not listed.
        self.assertEqual(len(self.json_lines("reports", "sent", "--json")), 1)

    def test_sent_of_tls(self) -> None:
        self.settle("sent", "7 sessions")
        rows = self.json_lines("reports", "sent", "--json")
        self.assertEqual(
            [(row["source"], row["subject"]) for row in rows], [("tls", "dest.example"), ("dmarc", "sender.example")]
        )

    def test_preview_of_tls(self) -> None:
        report = read_tls_report(self.run_command("reports", "preview", "Dest.example", "--tls").output.encode())
        ((policy),) = report.policies
        self.assertEqual((policy.domain, policy.successes, policy.failures), ("dest.example", 5, 2))
        self.run_command("reports", "preview", "sender.example", "--tls", code=1)

    def test_preview(self) -> None:
        report = read_aggregate(self.run_command("reports", "preview", "Sender.example").output.encode())
        self.assertEqual((report.published.domain, report.records), ("sender.example", (RECORD,)))
        output = self.run_command("reports", "preview", "sender.example", "--day", "2020-01-01", code=1).output
        self.assertIn("nothing was seen of sender.example on 2020-01-01", output)

    def test_sent(self) -> None:
        (row,) = self.json_lines("reports", "sent", "--json")
        self.assertEqual((row["subject"], row["state"], row["detail"]), ("sender.example", "sent", "2 records"))
        self.assertEqual(json.dumps(row).count("sender.example"), 1)
        self.assertIn("1 reports sent", self.run_command("reports", "sent").output)

"""The filters that ask other engines: what they state, and what becomes of mail when the engine is not there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionRefusedError
from twisted.trial.unittest import SynchronousTestCase

from mailgw.config.errors import ConfigurationErrors
from mailgw.config.schema import FilterFile, Settings
from mailgw.engines.milter_wire import Options, encode, strings
from mailgw.filters.catalogue import read
from mailgw.filters.runner import FilterRunner, RunResult
from mailgw.mail.message import FileContent, Message
from mailgw.mail.transaction import Transaction
from mailgw.operation.threads import ThreadsInline
from tests.engines.support import EngineReactor
from tests.engines.test_readers import ANSWER, REPORT, response
from tests.fakes import FakeResolver
from tests.filters.support import GOOD, make_transaction


class EngineFilterTestCase(SynchronousTestCase):
    """One filter, made by the catalogue from its section, run by the runner. Its engine listens on /engine."""

    name = ""

    def setUp(self) -> None:
        self.reactor = EngineReactor()
        self.transaction = make_transaction()

    def make(self, **section: Any) -> FilterRunner:
        sections: dict[str, Any] = {self.name: {"enabled": True, **self.addresses(), **section}}
        catalogue = read(FilterFile(filters=sections), "filters.toml", "")
        settings = Settings(hostname="mail.example.org")
        made = catalogue.make(settings, self.reactor, ThreadsInline(), FakeResolver())
        return FilterRunner([f for f in made if f.name == self.name], self.reactor)

    def addresses(self) -> dict[str, Any]:
        return {"addresses": ["unix:/engine"]}

    def run_filter(self, runner: FilterRunner, transaction: Transaction | None = None) -> Deferred[RunResult]:
        self.transaction = transaction or make_transaction()
        return Deferred.fromCoroutine(runner.run(self.transaction))

    def answered(self, answer: bytes, **section: Any) -> list[tuple[str, str]]:
        running = self.run_filter(self.make(**section))
        self.reactor.accept().send(answer)
        self.successResultOf(running)
        return self.found()

    def found(self) -> list[tuple[str, str]]:
        return [(e.symbol, e.detail) for e in self.transaction.evidence]

    def errors(self, **section: Any) -> list[str]:
        error = self.assertRaises(ConfigurationErrors, self.make, **section)
        return [f"{e.key}: {e.message}" for e in error.errors]


class ClamavTests(EngineFilterTestCase):
    name = "clamav"

    def test_what_is_sent(self) -> None:
        running = self.run_filter(self.make())
        peer = self.reactor.accept()
        size = len(GOOD).to_bytes(4, "big")
        self.assertEqual(peer.received, b"zINSTREAM\0" + size + GOOD + b"\0\0\0\0")
        peer.send(b"stream: OK\0")
        self.assertEqual(self.successResultOf(running), RunResult())
        self.assertEqual(self.found(), [])

    def test_a_large_message_comes_from_its_file_in_pieces(self) -> None:
        data = GOOD + b"x\r\n" * 300000
        path = self.mktemp()
        Path(path).write_bytes(data)
        message = Message(FileContent(path, len(data)), GOOD.partition(b"\r\n\r\n")[0] + b"\r\n\r\n")
        running = self.run_filter(self.make(), make_transaction(message=message))
        peer = self.reactor.accept()
        rest, content, pieces = peer.received.removeprefix(b"zINSTREAM\0"), b"", 0
        while size := int.from_bytes(rest[:4], "big"):
            content, rest, pieces = content + rest[4 : 4 + size], rest[4 + size :], pieces + 1
        self.assertEqual((content, rest), (data, b"\0\0\0\0"))
        self.assertGreater(pieces, 2)
        peer.send(b"stream: OK\0")
        self.successResultOf(running)

    def test_a_virus_a_suspicion_and_a_site_s_own_suspicion(self) -> None:
        self.assertEqual(self.answered(b"stream: Eicar-Test FOUND\0"), [("CLAMAV_VIRUS", "Eicar-Test")])
        heuristic = b"stream: Heuristics.Phishing.Email.SpoofedDomain FOUND\0"
        self.assertEqual(self.answered(heuristic)[0][0], "CLAMAV_SUSPICIOUS")
        junk = b"stream: Sanesecurity.Junk.1.UNOFFICIAL FOUND\0"
        self.assertEqual(self.answered(junk)[0][0], "CLAMAV_VIRUS")
        self.assertEqual(self.answered(junk, suspicious=["Sanesecurity.Junk."])[0][0], "CLAMAV_SUSPICIOUS")

    def test_a_message_that_is_too_large_is_not_sent_and_says_so(self) -> None:
        self.successResultOf(self.run_filter(self.make(max_size=len(GOOD) - 1)))
        self.assertEqual(self.reactor.asked, [])
        self.assertEqual(self.found()[0][0], "CLAMAV_TOO_LARGE")
        self.assertEqual(self.answered(b"INSTREAM size limit exceeded. ERROR\0")[0][0], "CLAMAV_TOO_LARGE")

    def test_mail_waits_when_clamd_is_not_there(self) -> None:
        running = self.run_filter(self.make())
        self.reactor.refuse(ConnectionRefusedError())
        self.assertEqual(self.successResultOf(running).deferring, ("clamav",))
        self.assertEqual(self.found()[0][0], "FILTER_ERROR")
        self.assertIn("clamav: unix:/engine: no connection", self.found()[0][1])

    def test_mail_passes_when_clamd_is_not_there_and_etc_says_so(self) -> None:
        running = self.run_filter(self.make(on_error="ignore"))
        self.reactor.refuse(ConnectionRefusedError())
        self.assertEqual(self.successResultOf(running), RunResult())
        self.assertEqual(self.found()[0][0], "FILTER_ERROR")

    def test_a_silent_clamd_is_given_up_in_time_and_then_not_asked(self) -> None:
        runner = self.make(time_limit=7, failures=2)
        for _ in range(2):
            running = self.run_filter(runner)
            peer = self.reactor.accept()
            self.reactor.advance(6.9)
            self.assertNoResult(running)
            self.reactor.advance(0.2)
            self.assertEqual(self.successResultOf(running).deferring, ("clamav",))
            self.assertEqual(self.found()[0][0], "FILTER_TIMEOUT")
            self.assertTrue(peer.transport.aborted)
        running = self.run_filter(runner)
        self.assertEqual(self.successResultOf(running).deferring, ("clamav",))
        self.assertIn("not asked for now (no answer within 7 s)", self.found()[0][1])

    def test_clamd_ends_in_the_middle_of_a_scan_or_talks_nonsense(self) -> None:
        for end in ("close", "lose", "send"):
            running = self.run_filter(self.make())
            peer = self.reactor.accept()
            peer.send(b"\0garbage") if end == "send" else getattr(peer, end)()
            self.assertEqual(self.successResultOf(running).deferring, ("clamav",))
            self.assertEqual(self.found()[0][0], "FILTER_ERROR")

    def test_errors_of_the_section(self) -> None:
        self.assertEqual(
            self.errors(addresses=[])[0], 'filters.clamav.addresses: not set; write "unix:/PATH" or "HOST:PORT"'
        )
        found = self.errors(addresses=["unix:/x", "inet:3310@localhost"])
        self.assertIn("filters.clamav.addresses[1]", found[0])
        self.assertIn("localhost:3310", found[0])
        self.assertIn("filters.clamav.pause: 0.0 is not above 0", self.errors(pause=0))


class RspamdTests(EngineFilterTestCase):
    name = "rspamd"

    def judged(self, **answer: Any) -> list[tuple[str, str]]:
        return self.answered(response(json.dumps({**ANSWER, **answer}).encode()))

    def strengths(self) -> list[float]:
        return [e.strength for e in self.transaction.evidence]

    def test_what_is_sent(self) -> None:
        running = self.run_filter(self.make())
        peer = self.reactor.accept()
        head, _, body = peer.received.partition(b"\r\n\r\n")
        peer.close()
        self.successResultOf(running)
        self.assertTrue(head.startswith(b"POST /checkv2 HTTP/1.1\r\n"))
        self.assertEqual(body, GOOD)

    def test_a_score_is_evidence_in_proportion(self) -> None:
        self.assertEqual(
            self.judged(action="no action", score=3.0, messages={}),
            [("RSPAMD_SPAM", "score 3.00 of 15 (no action): B 6, A 1.5 and 1 more")],
        )
        self.assertEqual(self.strengths(), [0.25])
        self.judged(action="no action", score=-6, messages={})
        self.assertEqual((self.found()[0][0], self.strengths()), ("RSPAMD_HAM", [0.5]))
        self.judged(score=500)
        self.assertEqual(self.strengths(), [1.0])
        self.assertEqual(self.judged(score=0, action="no action"), [])

    def test_an_action_that_a_module_forces_counts_whatever_the_score(self) -> None:
        found = self.judged(score=-1.0, action="reject", messages={"smtp_message": "clamav: virus found"})
        self.assertEqual((found[0][0], self.strengths()), ("RSPAMD_SPAM", [1.0]))
        self.assertIn("clamav: virus found", found[0][1])
        found = self.judged(score=0.0, action="soft reject", messages={"smtp_message": "Try again later"})
        self.assertEqual(found, [("RSPAMD_SOFT_REJECT", "Try again later")])

    def test_rspamd_does_not_decide_alone(self) -> None:
        weights = read(FilterFile(), "f", "").weights
        for symbol in ("RSPAMD_SPAM", "SPAMASSASSIN_SPAM", "MILTER_REJECT", "MILTER_DISCARD", "MILTER_QUARANTINE"):
            self.assertLess(weights[symbol], FilterFile().thresholds.spam)

    def test_mail_passes_when_rspamd_is_overloaded(self) -> None:
        self.assertEqual(self.answered(response(b'{"error":"busy"}', "503 x"))[0][0], "FILTER_ERROR")

    def test_a_message_that_is_too_large(self) -> None:
        self.successResultOf(self.run_filter(self.make(max_size=10)))
        self.assertEqual(self.found()[0][0], "RSPAMD_TOO_LARGE")


class SpamassassinTests(EngineFilterTestCase):
    name = "spamassassin"

    def test_what_is_sent_and_that_it_ends(self) -> None:
        running = self.run_filter(self.make(user="ann"))
        peer = self.reactor.accept()
        head, _, body = peer.received.partition(b"\r\n\r\n")
        self.assertEqual(head, b"REPORT SPAMC/1.5\r\nUser: ann\r\nContent-length: %d" % len(body))
        self.assertTrue(body.endswith(b"\r\n" + GOOD))
        self.assertTrue(body.startswith(b"Return-Path: <ann@example.net>\r\nReceived: from mail.example.net ("))
        self.assertTrue(peer.transport.half_closed)
        peer.close()
        self.successResultOf(running)

    def test_a_score_is_evidence_with_its_strongest_rules(self) -> None:
        found = self.answered(REPORT)
        self.assertEqual(
            found,
            [("SPAMASSASSIN_SPAM", "score 1006.30 of 5: GTUBE 1000, DATE_IN_PAST 3.7, RDNS_NONE 2.7, DKIM_VALID -0.1")],
        )

    def test_a_message_that_is_too_large(self) -> None:
        self.successResultOf(self.run_filter(self.make(), make_transaction(GOOD + b"x" * 512000)))
        self.assertEqual(self.found()[0][0], "SPAMASSASSIN_TOO_LARGE")


class MilterTests(EngineFilterTestCase):
    """Milters that want to hear nothing but the end."""

    name = "milter"

    def addresses(self) -> dict[str, Any]:
        return {"servers": {"one": {"address": "unix:/one"}}}

    @staticmethod
    def says(*replies: bytes, actions: int = 0) -> bytes:
        options = Options(6, actions, 0x7F | 0x200).encode()  # type: ignore[arg-type]
        return options + b"".join(replies)

    def test_decisions_are_evidence_with_the_milter_s_words(self) -> None:
        for reply, found in (
            (encode("c"), []),
            (encode("y", b"550 5.7.1 Spam\0"), [("MILTER_REJECT", "one rejects: 550 5.7.1 Spam")]),
            (encode("r"), [("MILTER_REJECT", "one rejects")]),
            (encode("t"), [("MILTER_TEMPFAIL", "one fails for now")]),
            (encode("d"), [("MILTER_DISCARD", "one discards")]),
        ):
            self.assertEqual(self.answered(self.says(reply)), found)
        quarantine = self.says(encode("q", b"odd\0"), encode("c"), actions=0x20)
        self.assertEqual(self.answered(quarantine), [("MILTER_QUARANTINE", "one: odd")])

    def test_fields_are_added_where_etc_says_so_and_nothing_else_is(self) -> None:
        field = encode("h", strings(["X-Seen", "yes"]))
        odd = encode("h", strings(["X-Odd", "a\nX-More: b"]))
        body = encode("b", b"other")
        server = {"address": "unix:/one", "headers": True}
        self.answered(self.says(field, odd, body, encode("c"), actions=1), servers={"one": server})
        self.assertEqual(self.transaction.additions, [b"X-Seen: yes\r\n"])
        server = {"address": "unix:/one", "pretend": ["add_header"]}
        self.answered(self.says(field, encode("c"), actions=1), servers={"one": server})
        self.assertEqual(self.transaction.additions, [])

    def test_several_milters_run_at_once_and_one_that_fails_is_named(self) -> None:
        runner = self.make(servers={"one": {"address": "unix:/one"}, "two": {"address": "unix:/two"}})
        running = self.run_filter(runner)
        self.assertEqual(self.reactor.asked, ["/one", "/two"])
        self.reactor.refuse(ConnectionRefusedError())
        self.reactor.accept().send(self.says(encode("r")))
        self.assertEqual(self.successResultOf(running), RunResult())
        self.assertEqual([symbol for symbol, _ in self.found()], ["MILTER_ERROR", "MILTER_REJECT"])
        self.assertTrue(self.found()[0][1].startswith("one: unix:/one: no connection"))

    def test_on_error_of_one_milter_defers_and_keeps_what_the_others_found(self) -> None:
        servers = {"one": {"address": "unix:/one", "on_error": "defer"}, "two": {"address": "unix:/two"}}
        running = self.run_filter(self.make(servers=servers))
        self.reactor.accept().close()
        self.reactor.accept().send(self.says(encode("r")))
        self.assertEqual(self.successResultOf(running).deferring, ("milter",))
        self.assertEqual([symbol for symbol, _ in self.found()], ["FILTER_ERROR", "MILTER_ERROR", "MILTER_REJECT"])

    def test_a_silent_milter_is_given_up_after_its_reply_time(self) -> None:
        running = self.run_filter(self.make())
        self.reactor.accept()
        self.reactor.advance(9.9)
        self.assertNoResult(running)
        self.reactor.advance(0.2)
        self.successResultOf(running)
        self.assertIn("did not answer within 10 s", self.found()[0][1])

    def test_progress_gives_it_more_time_up_to_its_limit(self) -> None:
        servers = {"one": {"address": "unix:/one", "on_error": "defer"}}
        running = self.run_filter(self.make(servers=servers))
        peer = self.reactor.accept()
        peer.send(self.says())
        for _ in range(4):
            self.reactor.advance(4.9)
            self.assertNoResult(running)
            peer.send(encode("p"))
        self.reactor.advance(0.5)
        self.assertEqual(self.successResultOf(running).deferring, ("milter",))
        self.assertIn("not done within 20 s", self.found()[0][1])
        self.assertTrue(peer.transport.aborted)

    def test_who_waits_and_goes_leaves_nothing_behind(self) -> None:
        running = self.run_filter(self.make())
        peer = self.reactor.accept()
        running.cancel()
        self.failureResultOf(running)
        self.assertTrue(peer.transport.aborted)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_errors_of_the_section(self) -> None:
        self.assertIn("write [filters.milter.servers.NAME]", self.errors(servers={})[0])
        self.assertIn("filters.milter.servers.one.address: not set", self.errors(servers={"one": {}})[0])
        found = self.errors(servers={"one": {"address": "/x", "time_limit": 30}})
        self.assertIn("filters.milter.servers.one.time_limit: is not below that of all, 30", found)

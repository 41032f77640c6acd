"""Expectation tests: how their files are read, and what they say when they do not hold."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from mailgw.mail.evidence import Evidence
from mailgw.verdict.expectation import Case, failures, read_case
from mailgw.verdict.judgement import Judged
from mailgw.verdict.policy import Policy, decide

HEAD = "# why\nclient 192.0.2.9\nhelo h.example\nmail_from a@b.example\nrcpt c@d.example\nrcpt e@f.example\n"
MESSAGE = "---\nFrom: a@b.example\nDate: Mon, 02 Nov 2026 10:00:00 +0000\n\nbody\n"


def read(text: str) -> Case:
    return read_case("x.eml", text.encode())


class ReadTests(SynchronousTestCase):
    def test_a_message_with_what_the_client_said(self) -> None:
        case = read(f"{HEAD}dns b.example TXT v=spf1 -all\nexpect verdict spam\n{MESSAGE}")
        self.assertEqual(case.errors, [])
        transaction = case.transaction()
        self.assertEqual((transaction.client.address, transaction.client.helo), ("192.0.2.9", "h.example"))
        self.assertEqual(str(transaction.envelope.reverse_path), "a@b.example")
        self.assertEqual([str(r.forward_path) for r in transaction.envelope.recipients], ["c@d.example", "e@f.example"])
        assert transaction.message is not None
        self.assertTrue(transaction.message.head.endswith(b"+0000\r\n\r\n"))
        self.assertEqual((case.dns, case.now), ([(7, "b.example TXT v=spf1 -all")], 1793613600.0))

    def test_the_time_that_it_says_goes_before_its_date(self) -> None:
        self.assertEqual(read(f"at 2026-11-02T11:00:00\nexpect verdict spam\n{MESSAGE}").now, 1793617200.0)

    def test_evidence_alone(self) -> None:
        case = read("evidence A 0.5 spf what was seen\nevidence B\nexpect verdict inbox\n")
        self.assertEqual(case.evidence, [Evidence("A", "what was seen", 0.5, "spf"), Evidence("B")])
        self.assertIsNone(case.message)

    def test_what_is_wrong_names_its_line(self) -> None:
        for text, line, words in (
            ("helo x\nwhat 1\n", 2, "'what' is no word of a test"),
            ("expect verdict ham\n", 1, "'ham' is no verdict; there are: inbox, spam"),
            ("expect score 3\n", 1, "expect score < N"),
            ("\nrcpt nobody\n", 2, "the address has no domain"),
            ("evidence A much\n", 1, "SYMBOL STRENGTH SOURCE DETAIL"),
            ("at noon\n", 1, "noon"),
            (f"helo x\n{MESSAGE}", 1, "it expects nothing"),
            ("expect verdict spam\n", 1, "no message"),
        ):
            errors = read(text).errors
            self.assertEqual([error.line for error in errors], [line], text)
            self.assertIn(words, str(errors[0]))
            self.assertTrue(str(errors[0]).startswith(f"x.eml:{line}: "))


class FailureTests(SynchronousTestCase):
    def problems(self, *expectations: str) -> list[str]:
        head = "rcpt c@d.example\nrcpt e@f.example\nevidence BAD\n"
        case = read(head + "".join(f"expect {text}\n" for text in expectations))
        self.assertEqual(case.errors, [])
        policies: Any = (Policy({"BAD": 7.0}), Policy({"BAD": 1.0}))
        judged = [Judged(decide(case.evidence, p, outbound=False), (n,), p) for n, p in enumerate(policies)]
        return [str(error) for error in failures(case, judged)]

    def test_all_hold(self) -> None:
        self.assertEqual(
            self.problems("verdict spam for c@d.example", "verdict inbox for E@f.example", "symbol BAD", "score < 8"),
            [],
        )

    def test_what_does_not_hold_says_what_came_instead(self) -> None:
        (problem,) = self.problems("verdict inbox")
        self.assertIn("x.eml:4: expected verdict inbox, got spam", problem)
        self.assertIn("BAD +7.00", problem)
        for text, words in (
            ("symbol GOOD", "expected symbol GOOD, got BAD"),
            ("not symbol BAD", "did not expect symbol BAD"),
            ("score <= 6", "expected score <= 6, got 7.00"),
            ("verdict spam for x@y.example", "there is no rcpt x@y.example"),
        ):
            (problem,) = self.problems(text)
            self.assertIn(words, problem)

"""What ARC's outcome is for others: a line of Authentication-Results, and evidence."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from mailgw.mail.evidence import AuthResult, Evidence
from mailgw.senderauth.arc import ArcResult, Seal
from mailgw.senderauth.arc_findings import auth_result, evidence
from mailgw.senderauth.results import authentication_results

PASS = ArcResult("pass", "", (Seal("b.example", "fail"), Seal("a.example", "pass")), 2, signs_from=True)


class ArcFindingsTests(SynchronousTestCase):
    def test_pass(self) -> None:
        self.assertEqual(
            authentication_results("gw.example", [auth_result(PASS, "192.0.2.1")]),
            b"Authentication-Results: gw.example;\r\n"
            b" arc=pass (i=2, sealed by b.example) smtp.remote-ip=192.0.2.1\r\n"
            b" header.oldest-pass=2\r\n",
        )
        self.assertEqual(evidence(PASS, None), Evidence("ARC_PASS", "sealed by b.example, a.example", source="arc"))
        self.assertEqual(evidence(PASS, "a.example").detail, "sealed by b.example, a.example; a.example is trusted")

    def test_unknown_oldest_pass_and_address(self) -> None:
        self.assertEqual(auth_result(ArcResult("pass", "", PASS.seals), "").properties, ())

    def test_fail(self) -> None:
        failed = ArcResult("fail", "the chain is broken")
        self.assertEqual(
            authentication_results("gw.example", [auth_result(failed, "2001:db8::1")]),
            b"Authentication-Results: gw.example;\r\n"
            b' arc=fail reason="the chain is broken" smtp.remote-ip="2001:db8::1"\r\n',
        )
        self.assertEqual(evidence(failed, None), Evidence("ARC_FAIL", "the chain is broken", source="arc"))

    def test_failure_of_dns_is_a_fail_for_others_and_evidence_of_its_own(self) -> None:
        """RFC 8617 5.2.1: all failures are permanent."""
        undecided = ArcResult("temperror", "DNS does not answer")
        self.assertEqual(auth_result(undecided, "").result, "fail")
        self.assertEqual(evidence(undecided, None).symbol, "ARC_TEMPERROR")

    def test_none(self) -> None:
        self.assertEqual(auth_result(ArcResult("none"), "192.0.2.1"), AuthResult("arc", "none"))
        self.assertEqual(evidence(ArcResult("none"), None).symbol, "ARC_NONE")

"""What is said of a message: RFC 9990 "policy_evaluated", "Policy Override Reason", "auth_results"."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from mailgw.mail.address import Mailbox
from mailgw.mail.dmarc import PublishedPolicy
from mailgw.mail.evidence import AuthResult
from mailgw.mail.verdict import Action
from mailgw.reports.aggregate import DkimSeen, SpfSeen
from mailgw.reports.disposition import disposed, make_record
from tests.reports.support import evaluation, seen


def dkim(result: str, domain: str, selector: str = "s1", reason: str = "") -> AuthResult:
    return AuthResult("dkim", result, (("header.d", domain), ("header.s", selector)), reason)


class DispositionTests(SynchronousTestCase):
    def check(self, found: object, action: Action, disposition: str, *reasons: str) -> None:
        got, why = disposed(found, action)  # type: ignore[arg-type]
        self.assertEqual((got, [reason.type for reason in why]), (disposition, list(reasons)))

    def test_a_pass(self) -> None:
        for action in ("inbox", "spam", "reject"):
            self.check(evaluation("pass", "reject"), action, "pass")
            self.check(evaluation("pass", "none"), action, "none")

    def test_what_the_domain_asks_for_is_done(self) -> None:
        self.check(evaluation("fail", "reject"), "reject", "reject")
        self.check(evaluation("fail", "quarantine"), "spam", "quarantine")
        self.check(evaluation("fail", "quarantine"), "hold", "quarantine")
        self.check(evaluation("fail", "none"), "inbox", "none")

    def test_less_is_done_than_it_asks_for(self) -> None:
        self.check(evaluation("fail", "reject"), "spam", "quarantine", "local_policy")
        self.check(evaluation("fail", "reject"), "inbox", "none", "local_policy")
        self.check(evaluation("fail", "quarantine"), "inbox", "none", "local_policy")

    def test_what_other_filters_do_is_not_told(self) -> None:
        self.check(evaluation("fail", "none"), "reject", "none")
        self.check(evaluation("fail", "quarantine"), "reject", "quarantine")

    def test_a_trusted_forwarder(self) -> None:
        found = evaluation("fail", "reject", exception="the ARC seal of lists.example")
        self.check(found, "inbox", "none", "trusted_forwarder")
        self.assertEqual(disposed(found, "inbox")[1][0].comment, "the ARC seal of lists.example")

    def test_testing(self) -> None:
        testing = PublishedPolicy("sender.example", "reject", "none", "none", testing=True)
        self.check(evaluation("fail", "quarantine", published=testing), "spam", "quarantine", "policy_test_mode")
        # p=none is as it is with t=y (RFC 9989 4.7).
        nothing = PublishedPolicy("sender.example", "none", "none", "none", testing=True)
        self.check(evaluation("fail", "none", published=nothing), "inbox", "none")

    def test_dns_that_does_not_answer(self) -> None:
        self.check(evaluation("temperror", ""), "inbox", "none", "other")


class RecordTests(SynchronousTestCase):
    def test_the_identifiers(self) -> None:
        record = make_record(evaluation("pass", spf=True), seen(), "inbox")
        self.assertEqual((record.source_ip, record.count), ("192.0.2.1", 1))
        self.assertEqual((record.header_from, record.envelope_from), ("sender.example", "example.net"))
        self.assertEqual((record.dkim, record.spf), ("pass", "pass"))
        self.assertEqual(record.envelope_to, "")  # it tells who of us was written to

    def test_the_null_reverse_path(self) -> None:
        helo = AuthResult("spf", "pass", (("smtp.helo", "mail.example.net"),))
        record = make_record(evaluation(), seen(reverse_path=None, auth=(helo,)), "inbox")
        self.assertEqual(record.envelope_from, "")
        self.assertEqual(record.spf_seen, (SpfSeen("mail.example.net", "pass", "mfrom"),))

    def test_spf_is_that_of_mail_from(self) -> None:
        auth = (
            AuthResult("spf", "fail", (("smtp.helo", "mail.example.net"),)),
            AuthResult("spf", "pass", (("smtp.mailfrom", "ann@example.net"),)),
        )
        record = make_record(evaluation(), seen(auth=auth), "inbox")
        self.assertEqual(record.spf_seen, (SpfSeen("example.net", "pass", "mfrom"),))

    def test_signatures_in_their_order(self) -> None:
        auth = (
            dkim("fail", "sender.example", "old", "the body was changed"),
            dkim("pass", "other.example"),
            dkim("pass", "news.sender.example"),
            dkim("pass", "sender.example"),
            dkim("pass", "sender.example"),
            dkim("none", "sender.example", ""),
        )
        record = make_record(evaluation("pass"), seen(auth=auth), "inbox")
        self.assertEqual(
            record.dkim_seen,
            (
                DkimSeen("sender.example", "s1", "pass"),
                DkimSeen("news.sender.example", "s1", "pass"),
                DkimSeen("other.example", "s1", "pass"),
                DkimSeen("sender.example", "old", "fail", "the body was changed"),
            ),
        )

    def test_names_that_are_not_ascii(self) -> None:
        record = make_record(evaluation(), seen(reverse_path=Mailbox("ann", "bücher.example")), "inbox")
        self.assertEqual(record.envelope_from, "xn--bcher-kva.example")

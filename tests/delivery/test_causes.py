"""Classes of causes: by status, by what the remote said."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from mailgw.delivery.causes import NAMES, cause_of
from mailgw.delivery.wording import languages, load_wording
from mailgw.mail.reply import Reply
from mailgw.queue.item import Failed

# What servers of the world answer: the texts are those of their documentation and of public threads about them.
SAID = {
    "550 5.1.1 The email account that you tried to reach does not exist": "unknown_user",
    "550 No such user here": "unknown_user",
    "550 5.0.0 User unknown in virtual alias table": "unknown_user",
    "550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found by SMTP address lookup": "unknown_user",
    "556 5.1.10 Recipient address has null MX": "null_mx",
    "452 4.2.2 The email account that you tried to reach is over quota": "mailbox_full",
    "552 Mailbox size limit exceeded": "mailbox_full",
    "550 5.2.1 The email account that you tried to reach is disabled": "mailbox_disabled",
    "552 5.3.4 Message size exceeds fixed limit": "message_too_large",
    "554 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using zen.spamhaus.org": "blocklisted",
    "550 5.7.1 Our system has detected that this message is likely unsolicited mail": "spam",
    "550 5.7.1 rejected as SPAM": "spam",
    "421 4.7.28 Our system has detected an unusual rate of unsolicited mail": "rate_limited",
    "450 4.2.0 Recipient address rejected: Greylisted, see http://example.test/": "greylisted",
    "550 5.7.26 This mail is unauthenticated": "dmarc",
    "550 5.7.1 Unauthenticated email from example.org is not accepted due to domain's DMARC policy": "dmarc",
    "550 5.7.25 The IP address sending this message does not have a PTR record setup": "reverse_dns",
    "550 5.7.1 Client host rejected: cannot find your reverse hostname": "reverse_dns",
    "554 5.7.1 Relay access denied": "relay_denied",
    "550 5.7.54 SMTP; Unable to relay recipient in non-accepted domain": "relay_denied",
    "530 5.7.0 Must issue a STARTTLS command first": "tls",
    "530 5.7.0 Authentication required": "authentication_required",
    "554 5.7.1 The file limitations policy blocks attachments of this type": "attachment",
    "552 5.7.0 This message was blocked because its content presents a potential virus": "virus",
    "550 5.7.133 RESOLVER.RST.SenderNotAuthenticatedForGroup": "internal_only",
    "504 5.5.2 <localhost>: Helo command rejected: need fully-qualified hostname": "helo",
    "550 5.7.1 poor reputation of a domain used in message transfer": "reputation",
    "452 4.3.1 Insufficient system storage": "system_full",
    "421 4.3.2 Service not available, closing transmission channel": "system_closed",
    "451 4.4.0 DNS query failed": "dns_failure",
    "550 because I say so": "other",
}


class CauseTests(SynchronousTestCase):
    def test_by_status(self) -> None:
        for status, name in (
            ("5.1.1", "unknown_user"),
            ("5.1.10", "null_mx"),
            ("5.1.2", "no_domain"),
            ("4.2.2", "mailbox_full"),
            ("5.3.4", "message_too_large"),
            ("5.7.0", "policy"),
            ("5.7.1", "withdrawn"),
            ("5.7.26", "dmarc"),
            ("4.7.4", "tls"),
            ("4.4.7", "expired"),
            ("4.4.1", "unreachable"),
            ("4.3.0", "internal"),
            ("5.0.0", "other"),
        ):
            self.assertEqual(cause_of(Failed(status, "")), name, status)

    def test_by_what_was_said(self) -> None:
        for said, name in SAID.items():
            code, _, text = said.partition(" ")
            first, _, rest = text.partition(" ")
            status, text = (first, rest) if first.count(".") == 2 and first[0] == code[0] else ("", text)
            failure = Failed(status or f"{code[0]}.0.0", "", "mx", Reply(int(code), status, (text,)))
            self.assertEqual(cause_of(failure), name, said)

    def test_each_has_its_words_in_each_language(self) -> None:
        self.assertGreaterEqual(len(NAMES), 60)
        for language in languages():
            wording = load_wording(language)
            for name in NAMES:
                cause = wording.cause(name)
                self.assertTrue(cause.what.endswith(".") and cause.action.endswith("."), f"{language} {name}")

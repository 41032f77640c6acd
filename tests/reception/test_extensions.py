"""DSN, REQUIRETLS and SMTPUTF8 from MAIL and RCPT into the queue, and extensions that are taken away."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from mailgw.config.schema import Listener
from mailgw.mail.address import Mailbox
from mailgw.reception.listener import extensions
from tests.reception.harness import Server


class ParameterTests(SynchronousTestCase):
    def test_dsn_goes_into_the_queue(self) -> None:
        server = Server()
        peer = server.connect()
        self.assertIn("250 DSN", peer.say("EHLO client.example").replace("250-", "250 "))
        peer.say("MAIL FROM:<a@b.example> RET=HDRS ENVID=QQ+20314")
        peer.say("RCPT TO:<alice@ours.example> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;al+2Bice@there.example")
        peer.say("RCPT TO:<bob@ours.example> NOTIFY=NEVER", "DATA")
        peer.say("Subject: x", "", "body", ".")
        (entry,) = server.offered
        envelope = entry.message.envelope
        self.assertEqual((envelope.ret, envelope.envid, envelope.requiretls), ("HDRS", "QQ 314", False))
        alice, bob = (delivery.recipient for delivery in entry.deliveries)
        self.assertEqual((alice.notify, alice.orcpt), ({"SUCCESS", "DELAY"}, "rfc822;al+ice@there.example"))
        self.assertEqual((bob.notify, bob.orcpt), ({"NEVER"}, ""))

    def test_what_one_transaction_said_is_forgotten_in_the_next(self) -> None:
        server = Server()
        peer = server.connect()
        peer.say("EHLO client.example", "MAIL FROM:<a@b.example> RET=FULL ENVID=1", "RSET")
        peer.deliver()
        (entry,) = server.offered
        self.assertEqual((entry.message.envelope.ret, entry.message.envelope.envid), ("", ""))

    def test_requiretls_is_not_known_in_clear_text(self) -> None:
        peer = Server().connect()
        self.assertNotIn("REQUIRETLS", peer.say("EHLO client.example"))
        self.assertRegex(peer.say("MAIL FROM:<a@b.example> REQUIRETLS"), "^5")

    def test_smtputf8(self) -> None:
        server = Server()
        peer = server.connect()
        peer.say("EHLO client.example", "MAIL FROM:<jörg@büro.example> SMTPUTF8 BODY=8BITMIME")
        peer.say("RCPT TO:<alice@ours.example> ORCPT=utf-8;älice@ours.example", "DATA")
        peer.say("Subject: grüße", "", "body", ".")
        (entry,) = server.offered
        envelope = entry.message.envelope
        self.assertTrue(envelope.smtputf8)
        self.assertEqual(envelope.reverse_path, Mailbox("jörg", "büro.example"))
        self.assertEqual(entry.deliveries[0].recipient.orcpt, "utf-8;älice@ours.example")
        self.assertIn(b"with UTF8SMTP id", entry.message.message.prefix)


class WithoutTests(SynchronousTestCase):
    """[listeners.NAME] without"""

    def offered(self, *without: str) -> list[str]:
        server = Server()
        settings = server.factory._session_settings
        listener = Listener(kind="mx", tls="none", without=without)  # type: ignore[arg-type]
        return extensions(listener, settings).keywords(tls=True, authenticated=False)

    def test_each_alone(self) -> None:
        for name in ("PIPELINING", "SIZE", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES", "DSN"):
            self.assertIn(name, [line.split()[0] for line in self.offered()])
            self.assertNotIn(name, [line.split()[0] for line in self.offered(name)])

    def test_smtputf8_goes_with_8bitmime(self) -> None:
        self.assertNotIn("SMTPUTF8", self.offered("8BITMIME"))

    def test_requiretls_needs_a_certificate(self) -> None:
        self.assertNotIn("REQUIRETLS", self.offered())

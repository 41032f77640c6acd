"""A real Dovecot as the mail store: LMTP over TCP and over its socket, INBOX and the spam folder."""

from __future__ import annotations

import shutil
import socket
import tempfile
from pathlib import Path

from tests import dovecot
from tests.integration.gateway import Gateway
from tests.integration.test_recipients import rcpt
from tests.integration.world import GTUBE, GatewayTestCase, in_thread, send

JOE, JANE, FULL = "joe@routed.test", "jane@routed.test", "full@routed.test"
MESSAGE = b"From: a@sender.test\r\nSubject: hello\r\n\r\nHello\r\n"
SPAM = f"From: a@sender.test\r\nSubject: prize\r\n\r\n{GTUBE}\r\n".encode()

ROUTED = """
[domains."routed.test"]
deliver = "route:store"
call_ahead = {call_ahead}

[routes.store]
hosts = ["{host}"]
protocol = "lmtp"
{more}
"""


class DovecotTestCase(GatewayTestCase):
    skip = dovecot.absent() or None

    async def begin(
        self,
        *,
        tcp: bool = False,
        sieve: bool = False,
        more: str = "",
        call_ahead: bool = False,
        check_quota: bool = False,
    ) -> Gateway:
        directory = Path(tempfile.mkdtemp(prefix="mailgw-dovecot-"))
        self.addCleanup(shutil.rmtree, directory, ignore_errors=True)
        directory.chmod(0o755)
        port = free_port()
        self.store = dovecot.Dovecot(
            directory, port, [JOE, JANE, FULL], sieve=sieve, quotas={FULL: "100B"}, check_quota=check_quota
        )
        self.store.start()
        self.addCleanup(self.store.stop)
        await self.make_world()
        host = f"127.0.0.1:{port}" if tcp else f"unix:{self.store.socket}"
        routed = ROUTED.format(host=host, more=more, call_ahead=str(call_ahead).lower())
        return await self.start_gateway(more=routed)

    async def send(self, recipients: list[str], message: bytes = MESSAGE) -> None:
        await in_thread(send, self.gateway.ports["mx"], "a@sender.test", recipients, message)


class DeliveryTests(DovecotTestCase):
    async def test_call_ahead_and_delivery_over_tcp(self) -> None:
        gateway = await self.begin(tcp=True, call_ahead=True)
        self.assertEqual((await in_thread(rcpt, gateway, "jim@routed.test"))[0], 550)
        await self.send([JOE, JANE])
        await self.until(lambda: all(len(self.store.messages(address)) == 1 for address in (JOE, JANE)))
        self.assertIn(b"Return-Path: <a@sender.test>", self.store.messages(JOE)[0])
        self.store.stop()
        self.assertEqual((await in_thread(rcpt, gateway, JOE))[0], 250)
        self.assertEqual((await in_thread(rcpt, gateway, "new@routed.test"))[0], 451)

    async def test_call_ahead_and_delivery_over_its_socket(self) -> None:
        gateway = await self.begin(call_ahead=True)
        self.assertEqual((await in_thread(rcpt, gateway, "jim@routed.test"))[0], 550)
        await self.send([JOE, JANE])
        await self.send([JOE])
        await self.until(lambda: (len(self.store.messages(JOE)), len(self.store.messages(JANE))) == (2, 1))

    async def test_each_recipient_has_the_reply_that_is_its_own(self) -> None:
        """Over the quota is said behind the content, unknown at RCPT; both come back, and who has room has it."""
        await self.begin()
        users = self.gateway.ports["submission"]
        recipients = [JOE, FULL, "jim@routed.test"]
        await in_thread(lambda: send(users, "alice@example.test", recipients, OURS, tls=True))
        await self.until(lambda: len(self.store.messages(JOE)) == 1)
        await self.until(lambda: len(self.gateway.folder("alice")) >= 1)
        full = await self.gateway.wait_for(event="failed", recipient=FULL)
        unknown = await self.gateway.wait_for(event="failed", recipient="jim@routed.test")
        self.assertEqual((full["status"], unknown["status"]), ("5.2.2", "5.1.1"))
        self.assertIn("Quota exceeded", full["reason"])
        self.assertIn("User doesn't exist", unknown["reason"])
        reports = b"".join(self.gateway.folder("alice"))
        self.assertIn(b"Final-Recipient: rfc822; full@routed.test", reports)
        self.assertIn(b"Final-Recipient: rfc822; jim@routed.test", reports)
        self.assertNotIn(b"Final-Recipient: rfc822; joe@routed.test", reports)

    async def test_who_is_over_the_quota_is_refused_at_rcpt(self) -> None:
        gateway = await self.begin(tcp=True, check_quota=True)
        self.store.fill(FULL, 500)
        await in_thread(lambda: send(gateway.ports["submission"], "alice@example.test", [JOE, FULL], OURS, tls=True))
        failed = await gateway.wait_for(event="failed", recipient=FULL)
        self.assertEqual(failed["status"], "5.2.2")
        self.assertIn("the recipient was refused", failed["reason"])
        self.assertIn("Quota exceeded", failed["reason"])
        await self.until(lambda: len(self.store.messages(JOE)) == 1)
        await self.until(lambda: len(gateway.folder("alice")) == 1)
        (report,) = gateway.folder("alice")
        self.assertIn(b"Final-Recipient: rfc822; full@routed.test", report)
        self.assertIn(b"Quota exceeded", report)

    async def test_who_is_over_the_quota_is_known_by_call_ahead(self) -> None:
        gateway = await self.begin(call_ahead=True, check_quota=True)
        self.store.fill(FULL, 500)
        code, text = await in_thread(rcpt, gateway, FULL)
        self.assertEqual((code // 100, text[:5]), (5, "5.2.2"))

    async def test_a_large_message_over_its_socket(self) -> None:
        """Its content is a file of the queue, and goes in pieces."""
        await self.begin()
        body = b"".join(b".%06d and some more text to fill the line\r\n" % n for n in range(20_000))
        await self.send([JOE, JANE], MESSAGE + body)
        await self.until(lambda: all(len(self.store.messages(address)) == 1 for address in (JOE, JANE)))
        for address in (JOE, JANE):
            (message,) = self.store.messages(address)
            self.assertTrue(message.endswith(b"\n\nHello\n" + body.replace(b"\r\n", b"\n")))

    async def test_mail_waits_for_a_socket_that_is_not_there(self) -> None:
        gateway = await self.begin(more="[queue]\nretry = [1.0]\njitter = 0.0")
        self.store.stop()
        self.store.socket.unlink(missing_ok=True)
        await self.send([JOE])
        delayed = await gateway.wait_for(event="delayed")
        self.assertIn(f"no connection to unix:{self.store.socket}", delayed["reason"])
        self.assertIn("No such file or directory; nobody listens there: start the mail store", delayed["reason"])
        self.store.start()
        await self.until(lambda: len(self.store.messages(JOE)) == 1)


class SpamTests(DovecotTestCase):
    async def test_spam_goes_to_its_folder_by_the_address(self) -> None:
        await self.begin(more='spam_suffix = "+Spam"')
        await self.send([JOE, "jane+news@routed.test"], SPAM)
        await self.send([JOE])
        await self.until(lambda: (len(self.store.messages(JOE)), len(self.store.messages(JOE, "Spam"))) == (1, 1))
        await self.until(lambda: len(self.store.messages(JANE, "Spam")) == 1)
        self.assertIn(b"Subject: prize", self.store.messages(JOE, "Spam")[0])
        self.assertEqual(self.store.messages(JANE), [])

    async def test_spam_is_not_lost_in_a_store_without_details(self) -> None:
        """Its recipient_delimiter is `+`: with another sign the whole is a name, and nobody's."""
        gateway = await self.begin(more='spam_suffix = "=Spam"')
        await self.send([JOE], SPAM)
        await self.until(lambda: len(self.store.messages(JOE)) == 1)
        unknown = await gateway.wait_for(event="spam_suffix_unknown")
        self.assertEqual((unknown["recipients"], unknown["suffix"]), ([JOE], "=Spam"))

    async def test_spam_goes_to_its_folder_by_the_header(self) -> None:
        if reason := dovecot.without_sieve():
            self.skipTest(reason)
        await self.begin(sieve=True)
        await self.send([JOE], SPAM)
        await self.send([JOE])
        await self.until(lambda: (len(self.store.messages(JOE)), len(self.store.messages(JOE, "Spam"))) == (1, 1))

    async def test_a_sender_cannot_choose_the_folder_by_the_header(self) -> None:
        if reason := dovecot.without_sieve():
            self.skipTest(reason)
        await self.begin(sieve=True)
        await self.send([JOE], b"X-Spam-Flag: YES\r\n" + MESSAGE)
        await self.until(lambda: len(self.store.messages(JOE)) == 1)


OURS = b"From: alice@example.test\r\nTo: joe@routed.test\r\nSubject: hello\r\n\r\n" + b"Hello\r\n" * 50


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])

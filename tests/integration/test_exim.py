"""A real Exim as the sender and as the next hop."""

from __future__ import annotations

import smtplib
from email.message import EmailMessage
from functools import partial

from attrs import evolve
from cryptography.x509 import load_pem_x509_certificate

from mailgw.delivery.tls.tlsa import advised
from tests import exim
from tests.integration.peers import AWKWARD, BODY, EximTestCase, free_port
from tests.integration.test_dsn import ALICE, BOB, RET_FULL, asked, only_report
from tests.integration.world import in_thread, send

LOCAL_BODY = BODY.replace(b"\r\n", b"\n")
# Exim is a host of the domain whose mail it keeps.
ZONE = {"exim.test": {"MX": ["10 mx.exim.test."]}, "mx.exim.test": {"A": ["127.0.0.1"]}}


class EximSendsTests(EximTestCase):
    if exim.absent():
        skip = exim.absent()

    async def test_pipelined_under_tls(self) -> None:
        """With BDAT, since we offer CHUNKING."""
        await self.make_world()
        gateway = await self.start_gateway()
        port = await self.start_exim(gateway.ports["mx"])
        await in_thread(send, port, "a@sender.test", [ALICE, BOB], AWKWARD)
        await self.until(lambda: bool(gateway.folder("alice") and gateway.folder("bob")))
        (message,) = gateway.folder("alice")
        self.assertEqual(message.partition(b"\n\n")[2], LOCAL_BODY)
        self.assertRegex(message, rb"from exim\.test \(.*\[127\.0\.0\.1\]\)")
        self.assertIn(b"with ESMTPS id", message)
        accepted = await gateway.wait_for(event="accepted")
        self.assertEqual(accepted["recipients"], [ALICE, BOB])
        await self.until(lambda: "Completed" in self.log())
        # L: it pipelined, K: it sent BDAT.
        self.assertRegex(self.log(), r"=> alice@example\.test .* X=TLS1\.[23].* L K C=\"250 2\.0\.0 OK: queued as")

    async def test_in_clear_text_with_data(self) -> None:
        await self.make_world()
        gateway = await self.start_gateway()
        port = await self.start_exim(
            gateway.ports["mx"], transport="hosts_avoid_tls = *\n  hosts_try_chunking =\n  hosts_avoid_pipelining = *"
        )
        await in_thread(send, port, "a@sender.test", [ALICE], AWKWARD)
        await self.until(lambda: bool(gateway.folder("alice")))
        self.assertEqual(gateway.folder("alice")[0].partition(b"\n\n")[2], LOCAL_BODY)
        self.assertIn(b"with ESMTP id", gateway.folder("alice")[0])
        await self.until(lambda: "Completed" in self.log())
        self.assertRegex(self.log(), r"=> alice@example\.test .* I=\S+ C=\"250 ")  # no X, L and K

    async def test_a_large_message(self) -> None:
        """In several chunks, and in a file of the queue."""
        await self.make_world()
        gateway = await self.start_gateway()
        port = await self.start_exim(gateway.ports["mx"])
        body = b"".join(b".%06d and some more text to fill the line\r\n" % n for n in range(20_000))
        await in_thread(send, port, "a@sender.test", [ALICE], AWKWARD + body)
        await self.until(lambda: bool(gateway.folder("alice")))
        received = gateway.folder("alice")[0].partition(b"\n\n")[2]
        self.assertEqual(received, LOCAL_BODY + body.replace(b"\r\n", b"\n"))
        await self.until(lambda: "Completed" in self.log())
        self.assertRegex(self.log(), r"=> alice@example\.test .* K C=\"250 ")

    async def test_many_messages_over_one_connection(self) -> None:
        await self.make_world()
        gateway = await self.start_gateway()
        port = await self.start_exim(gateway.ports["mx"], settings="queue_only = true")
        for _ in range(3):
            await in_thread(send, port, "a@sender.test", [ALICE], AWKWARD)
        await self.until(lambda: len(gateway.folder("alice")) == 3)
        for message in gateway.folder("alice"):
            self.assertEqual(message.partition(b"\n\n")[2], LOCAL_BODY)

    async def test_a_refusal(self) -> None:
        await self.make_world()
        gateway = await self.start_gateway()
        port = await self.start_exim(gateway.ports["mx"])
        await in_thread(send, port, "a@sender.test", ["nobody@example.test"], AWKWARD)
        await self.until(lambda: "** nobody@example.test" in self.log())
        self.assertIn("550 5.1.1 <nobody@example.test> is unknown here", self.log())

    async def test_an_internationalised_address(self) -> None:
        await self.make_world()
        gateway = await self.start_gateway({"aliases": "jörg@example.test: alice@example.test\n"})
        port = await self.start_exim(gateway.ports["mx"])
        message = EmailMessage()
        message["From"], message["To"], message["Subject"] = "a@sender.test", "jörg@example.test", "grüße"
        message.set_content("Hallo")

        def submit() -> None:
            with smtplib.SMTP("127.0.0.1", port) as client:
                client.send_message(message, "a@sender.test", ["jörg@example.test"])

        await in_thread(submit)
        await self.until(lambda: len(gateway.folder("alice")) == 1)
        self.assertIn("for <jörg@example.test>".encode(), gateway.folder("alice")[0])
        self.assertIn(b"with UTF8SMTPS", gateway.folder("alice")[0])
        await self.until(lambda: "Completed" in self.log())
        self.assertRegex(self.log(), r"=> jörg@example\.test .* K C=\"250 ")

    async def test_it_passes_on_what_its_client_asked_of_us(self) -> None:
        await self.make_world()
        gateway = await self.start_gateway()
        port = await self.start_exim(gateway.ports["mx"])
        await in_thread(
            partial(send, port, ALICE, [BOB], AWKWARD, mail_options=RET_FULL, rcpt_options=asked("SUCCESS"))
        )
        report = await only_report(self, gateway)
        self.assertIn("mail.example.test", report.message["Reporting-MTA"])
        self.assertEqual(report.message["Original-Envelope-Id"], "QQ+314")
        (recipient,) = report.recipients
        self.assertEqual(recipient["Action"], "delivered")
        self.assertEqual(recipient["Original-Recipient"], "rfc822; first+address@there.test")


class EximReceivesTests(EximTestCase):
    if exim.absent():
        skip = exim.absent()

    async def test_we_send_to_exim(self) -> None:
        await self.make_world(zone=ZONE)
        port = free_port()
        gateway = await self.start_gateway(relay_port=port)
        await self.start_exim(gateway.ports["mx"], port)
        await in_thread(partial(send, gateway.ports["submission"], ALICE, ["x@exim.test"], AWKWARD, tls=True))
        await self.until(lambda: b"awkward" in self.inbox())
        self.assertIn(LOCAL_BODY.rstrip(b"\n"), self.inbox())
        self.assertRegex(self.log(), r"<= alice@example\.test H=\(mail\.example\.test\) .* P=esmtps L")
        delivered = await gateway.wait_for(event="delivered")
        self.assertIn("certificate not verified", delivered["detail"])

    async def test_exim_reports_what_our_user_asked(self) -> None:
        await self.make_world(zone=ZONE)
        port = free_port()
        gateway = await self.start_gateway(relay_port=port)
        await self.start_exim(gateway.ports["mx"], port)
        options = {"mail_options": RET_FULL, "rcpt_options": asked("SUCCESS")}
        await in_thread(
            partial(send, gateway.ports["submission"], ALICE, ["x@exim.test"], AWKWARD, tls=True, **options)
        )
        report = await only_report(self, gateway)
        self.assertIn("exim.test", report.message["Reporting-MTA"])
        self.assertIn("QQ+2B314", str(report.message["Original-Envelope-ID"]))  # Exim leaves the xtext as it is
        self.assertEqual(report.recipients[0]["Action"], "delivered")

    async def test_what_requires_tls_comes_back(self) -> None:
        """Exim does not offer REQUIRETLS, and its certificate is not verified: RFC 8689 4.2.1."""
        await self.make_world(zone=ZONE)
        port = free_port()
        gateway = await self.start_gateway(relay_port=port)
        await self.start_exim(gateway.ports["mx"], port)
        options = {"mail_options": ["REQUIRETLS", "RET=FULL"]}
        await in_thread(
            partial(send, gateway.ports["submission"], ALICE, ["x@exim.test"], AWKWARD, tls=True, **options)
        )
        report = await only_report(self, gateway)
        self.assertEqual((report.recipients[0]["Action"], report.recipients[0]["Status"]), ("failed", "5.7.10"))
        self.assertEqual(report.original.get_content_type(), "text/rfc822-headers")
        self.assertEqual(self.inbox(), b"")

    async def test_it_proves_itself_by_its_tlsa_records(self) -> None:
        """Or gets no mail: the other host is the same Exim by a name whose record is of another key."""
        await self.make_world()
        port = free_port()
        gateway = await self.start_gateway(relay_port=port)
        await self.start_exim(gateway.ports["mx"], port)
        certificate = load_pem_x509_certificate((self.folder / "certificate.pem").read_bytes())
        right, wrong = advised(certificate), "3 1 1 " + "00" * 32
        zone = {
            **ZONE,
            f"_{port}._tcp.mx.exim.test": {"TLSA": [right]},
            "other.test": {"MX": ["10 mx.other.test."]},
            "mx.other.test": {"A": ["127.0.0.1"]},
            f"_{port}._tcp.mx.other.test": {"TLSA": [wrong]},
        }
        self.dns.world = evolve(self.dns.world, zone={**self.dns.world.zone, **zone}, authenticated=True)
        recipients = ["x@exim.test", "x@other.test"]
        await in_thread(partial(send, gateway.ports["submission"], ALICE, recipients, AWKWARD, tls=True))
        delivered = await gateway.wait_for(event="delivered")
        self.assertIn("certificate proven by TLSA 3 1 1 of mx.exim.test", delivered["detail"])
        delayed = await gateway.wait_for(event="delayed")
        self.assertIn(
            f"mx.other.test [127.0.0.1] has a certificate that fits no TLSA record; {right}", delayed["reason"]
        )

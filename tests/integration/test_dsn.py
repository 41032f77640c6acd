"""Delivery status notifications (RFC 3461) together with a real Postfix, which offers DSN too."""

from __future__ import annotations

import email
import email.policy
from functools import partial
from typing import Any

from tests import postfix
from tests.integration.gateway import Gateway
from tests.integration.peers import AWKWARD, BODY, PostfixTestCase, free_port
from tests.integration.world import GatewayTestCase, in_thread, send

RET_FULL = ["RET=FULL", "ENVID=QQ+2B314"]
ALICE, BOB = "alice@example.test", "bob@example.test"


def asked(*notify: str, orcpt: str = "rfc822;first+2Baddress@there.test") -> list[str]:
    return [f"NOTIFY={','.join(notify)}", f"ORCPT={orcpt}"]


class Report:
    """A report, read by a program."""

    def __init__(self, data: bytes) -> None:
        self.parsed: Any = email.message_from_bytes(data, policy=email.policy.default)
        assert self.parsed.get_content_type() == "multipart/report", data
        self.message, *self.recipients = self.parsed.get_payload(1).get_payload()
        self.original = self.parsed.get_payload(2)


async def only_report(test: GatewayTestCase, gateway: Gateway) -> Report:
    """The one message in alice's folder."""
    await test.until(lambda: bool(gateway.folder("alice")))
    (data,) = gateway.folder("alice")
    return Report(data)


class PostfixDsnTests(PostfixTestCase):
    if postfix.absent():
        skip = postfix.absent()

    async def test_postfix_passes_on_what_its_client_asked_of_us(self) -> None:
        await self.make_world()
        gateway = await self.start_gateway()
        port = await self.start_postfix(relayhost=f"[127.0.0.1]:{gateway.ports['mx']}")
        await in_thread(
            partial(send, port, ALICE, [BOB], AWKWARD, mail_options=RET_FULL, rcpt_options=asked("SUCCESS", "FAILURE"))
        )
        report = await only_report(self, gateway)
        self.assertEqual(report.message["Original-Envelope-Id"], "QQ+314")
        (recipient,) = report.recipients
        self.assertEqual(recipient["Action"], "delivered")
        self.assertEqual(recipient["Original-Recipient"], "rfc822; first+address@there.test")
        self.assertEqual(recipient["Final-Recipient"], f"rfc822; {BOB}")
        self.assertEqual(len(gateway.folder("bob")), 1)

    async def test_we_pass_on_what_our_user_asked_and_postfix_reports(self) -> None:
        await self.make_world()
        port = free_port()
        gateway = await self.start_gateway(relay_port=port)
        await self.start_postfix(
            port,
            transport_maps=f"inline:{{ {{ outside.test = discard: }}, "
            f"{{ example.test = smtp:[127.0.0.1]:{gateway.ports['mx']} }} }}",
        )
        await in_thread(self.submit(gateway, RET_FULL, asked("SUCCESS")))
        report = await only_report(self, gateway)
        self.assertIn("postfix.test", report.message["Reporting-MTA"])
        self.assertIn("QQ+314", str(report.message["Original-Envelope-Id"]))
        self.assertEqual(report.recipients[0]["Original-Recipient"], "rfc822;first+address@there.test")
        self.assertFalse([event for event in gateway.events if event.get("event") == "report"])

    async def test_a_next_hop_without_dsn(self) -> None:
        await self.make_world()
        port = await self.start_postfix(
            relayhost=f"[127.0.0.1]:{self.sink_port}", smtpd_discard_ehlo_keywords="dsn,silent-discard"
        )
        gateway = await self.start_gateway(relay_port=port)
        await in_thread(self.submit(gateway, RET_FULL, asked("SUCCESS", "DELAY")))
        report = await only_report(self, gateway)
        self.assertEqual(report.recipients[0]["Action"], "relayed")
        self.assertEqual(report.recipients[0]["Remote-MTA"], "dns; mx.outside.test")
        self.assertIn("queued as", report.recipients[0]["Diagnostic-Code"])
        self.assertEqual(report.original.get_content_type(), "text/rfc822-headers")

    async def test_a_failure_brings_the_whole_message_back(self) -> None:
        await self.make_world()
        port = await self.refusing_postfix()
        gateway = await self.start_gateway(relay_port=port)
        await in_thread(self.submit(gateway, RET_FULL, asked("FAILURE")))
        report = await only_report(self, gateway)
        self.assertEqual(report.recipients[0]["Action"], "failed")
        self.assertEqual(report.original.get_content_type(), "message/rfc822")
        self.assertIn(BODY.replace(b"\r\n", b"\n"), gateway.folder("alice")[0])

    async def test_never(self) -> None:
        await self.make_world()
        port = await self.refusing_postfix()
        gateway = await self.start_gateway(relay_port=port)
        await in_thread(self.submit(gateway, [], ["NOTIFY=NEVER"]))
        await gateway.wait_for(event="no_report")
        self.assertEqual(gateway.folder("alice"), [])

    async def refusing_postfix(self) -> int:
        return await self.start_postfix(mynetworks="192.0.2.0/24", smtpd_relay_restrictions="reject_unauth_destination")

    def submit(self, gateway: Gateway, mail_options: list[str], rcpt_options: list[str]) -> Any:
        """Alice sends to the outside."""
        port = gateway.ports["submission"]
        options = {"mail_options": mail_options, "rcpt_options": rcpt_options}
        return partial(send, port, ALICE, ["d@outside.test"], AWKWARD, tls=True, **options)


class AliasTests(GatewayTestCase):
    async def test_an_alias_with_several_targets_is_expanded(self) -> None:
        await self.make_world()
        aliases = f"team@example.test: {BOB}, d@outside.test\n"
        gateway = await self.start_gateway({"aliases": aliases})
        options = {"mail_options": RET_FULL, "rcpt_options": asked("SUCCESS")}
        await in_thread(partial(send, gateway.ports["mx"], ALICE, ["team@example.test"], AWKWARD, **options))
        report = await only_report(self, gateway)
        self.assertEqual([recipient["Action"] for recipient in report.recipients], ["expanded"])
        self.assertEqual(report.recipients[0]["Final-Recipient"], "rfc822; team@example.test")
        await self.until(lambda: bool(gateway.folder("bob") and self.sink.received))
        self.assertEqual(len(gateway.folder("alice")), 1)

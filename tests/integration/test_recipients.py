"""Recipients of routed domains: the real gateway before a sink, a command, and a real Dovecot."""

from __future__ import annotations

import smtplib
import socket
from pathlib import Path

from mailgw.develop.sink import Manners
from mailgw.mail.reply import Reply
from tests.integration.gateway import Gateway
from tests.integration.world import GatewayTestCase, in_thread, send

MESSAGE = b"From: a@sender.test\r\nSubject: hello\r\n\r\nHello\r\n"
NOBODY = Reply(550, "5.1.1", ("no such entry in cn=people,dc=internal",))

ROUTED = """
[domains."routed.test"]
deliver = "route:store"
{known}

[routes.store]
hosts = ["127.0.0.1:{port}"]
{more}
"""


def rcpt(gateway: Gateway, address: str) -> tuple[int, str]:
    with smtplib.SMTP("127.0.0.1", gateway.ports["mx"], "client.test", timeout=60) as client:
        client.ehlo()
        client.mail("a@sender.test")
        code, text = client.rcpt(address)
        return code, text.decode()


class CallAheadTests(GatewayTestCase):
    async def test_a_next_hop_that_refuses_and_goes_away(self) -> None:
        await self.make_world(Manners(recipients={"jim@routed.test": NOBODY}))
        gateway = await self.start_gateway(more=ROUTED.format(known="call_ahead = true", port=self.sink_port, more=""))
        await in_thread(send, gateway.ports["mx"], "a@sender.test", ["joe@routed.test"], MESSAGE)
        await self.until(lambda: len(self.sink.received) == 1)
        self.assertEqual(self.sink.connection_count, 1)  # asked and delivered over one session
        code, text = await in_thread(rcpt, gateway, "jim@routed.test")
        self.assertEqual(code, 550)
        self.assertEqual(text, "5.1.1 <jim@routed.test> is unknown here: please check the address")
        refused = await gateway.wait_for(event="recipient_refused")
        self.assertIn("cn=people", refused["reason"])
        await self.sink.stop()
        self.assertEqual((await in_thread(rcpt, gateway, "joe@routed.test"))[0], 250)
        self.assertEqual((await in_thread(rcpt, gateway, "jane@routed.test"))[0], 451)

    async def test_a_next_hop_that_is_silent(self) -> None:
        await self.make_world()
        silent = socket.create_server(("127.0.0.1", 0))  # the system takes connections, and nobody greets
        self.addCleanup(silent.close)
        port = silent.getsockname()[1]
        more = ROUTED.format(known="call_ahead = true", port=port, more="\n[timeouts]\ncall_ahead = 1\n")
        gateway = await self.start_gateway(more=more)
        code, text = await in_thread(rcpt, gateway, "joe@routed.test")
        self.assertEqual((code, text[:5]), (451, "4.4.3"))


class CommandTests(GatewayTestCase):
    async def test_what_a_command_prints(self) -> None:
        await self.make_world()
        listed = Path(self.mktemp()).absolute()
        known = f'recipients_command = ["/bin/cat", "{listed}"]\nrecipients_interval = 0.2'
        gateway = await self.start_gateway(more=ROUTED.format(known=known, port=self.sink_port, more=""))
        await gateway.wait_for(event="recipients_failed")
        self.assertEqual((await in_thread(rcpt, gateway, "joe@routed.test"))[0], 451)
        listed.write_text("joe@routed.test\n")
        await gateway.wait_for(event="recipients_changed", count=1)
        self.assertEqual((await in_thread(rcpt, gateway, "joe@routed.test"))[0], 250)
        self.assertEqual((await in_thread(rcpt, gateway, "jim@routed.test"))[0], 550)
        listed.unlink()
        await gateway.wait_for(event="recipients_failed", consequence="its last list stays")
        self.assertEqual((await in_thread(rcpt, gateway, "joe@routed.test"))[0], 250)

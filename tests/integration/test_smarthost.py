"""Mail to the outside by a smarthost that wants TLS, a user name and a password: another mailgw."""

from __future__ import annotations

from tests.integration.gateway import PASSWORD, Gateway
from tests.integration.world import GatewayTestCase, in_thread, send

MESSAGE = b"From: alice@example.test\r\nMessage-ID: <m@example.test>\r\nSubject: x\r\n\r\nbody\r\n"
ROUTED = """
[routes.smarthost]
hosts = ["127.0.0.1:{port}"]
tls = "required"
username = "alice@example.test"
password_file = "smarthost.password"

[queue]
retry = [1.0]
jitter = 0.0
"""


class SmarthostTests(GatewayTestCase):
    """`smarthost` sends on to the sink; `gateway` has no other way out than by it."""

    async def start_both(self, password: str) -> tuple[Gateway, Gateway]:
        await self.make_world()
        smarthost = Gateway(self.mktemp(), dns=self.dns_port, relay_port=self.sink_port)
        smarthost.write_configuration()
        configuration = smarthost.etc / "mailgw.toml"
        # Two of one name would be a mail loop.
        text = configuration.read_text().replace("mail.example.test", "smarthost.example.test")
        configuration.write_text(text)
        self.addCleanup(self.coroutine, smarthost.kill)
        await smarthost.start()
        gateway = await self.start_gateway(
            {"smarthost.password": password + "\n"},
            relay="route:smarthost",
            relay_port=9,
            more=ROUTED.format(port=smarthost.ports["submission"]),
        )
        return gateway, smarthost

    async def submit(self, gateway: Gateway) -> None:
        await in_thread(
            lambda: send(gateway.ports["submission"], "alice@example.test", ["d@outside.test"], MESSAGE, tls=True)
        )

    async def test_with_the_password(self) -> None:
        gateway, smarthost = await self.start_both(PASSWORD)
        await self.submit(gateway)
        await self.until(lambda: len(self.sink.received) == 1)
        accepted = await smarthost.wait_for(event="accepted", message_id="<m@example.test>")
        self.assertEqual(accepted["identity"], "alice@example.test")
        self.assertEqual(accepted["service"], "submission")
        session = await gateway.wait_for(event="relay_session")
        self.assertIn("TLSv1.3", session["tls"])
        delivered = await gateway.wait_for(event="delivered")
        self.assertIn(accepted["transaction"], delivered["detail"])
        content = self.sink.received[0].content
        self.assertIn(b"by smarthost.example.test (mailgw) with ESMTPSA", content)
        self.assertTrue(content.endswith(b"\r\n\r\nbody\r\n"))
        for one in (gateway, smarthost):
            self.assertNotIn(PASSWORD, one.output)

    async def test_with_a_wrong_password_it_waits_until_that_is_mended(self) -> None:
        """A password that was mended was not seen before a restart."""
        gateway, smarthost = await self.start_both("some other password")
        await self.submit(gateway)
        delayed = await gateway.wait_for(event="delayed")
        self.assertIn("it did not take our user name and password", delayed["reason"])
        self.assertIn("535", delayed["reason"])
        await smarthost.wait_for(event="auth_failed")
        self.assertEqual(self.sink.received, [])
        self.assertNotIn("some other password", gateway.output + smarthost.output)
        (gateway.etc / "smarthost.password").write_text(PASSWORD)
        await self.until(lambda: len(self.sink.received) == 1)
        self.assertEqual([str(mailbox) for mailbox in self.sink.received[0].recipients], ["d@outside.test"])
        self.assertEqual(gateway.folder("alice"), [])  # nobody was told that it failed

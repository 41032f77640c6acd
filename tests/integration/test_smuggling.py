"""Every known way to hide a second message in a first one, against the real gateway and on to a next hop."""

from __future__ import annotations

import re

from tests.integration.test_trouble import talk
from tests.integration.world import GatewayTestCase, in_thread

ENDS = (
    b"\n.\n",
    b"\n.\r\n",
    b"\r\n.\n",
    b"\r.\r",
    b"\r.\r\n",
    b"\r\n.\r",
    b"\n.\r",
    b"\r.\n",
    b"\r\r\n.\r\r\n",
    b"\r\n\0.\r\n",
    b"\r\n.\0\r\n",
    b"\r\n. \r\n",
    b"\r\n..\r\n",
)
"""Ends of data that some server has taken for one (CVE-2023-51764 and its kin). Only CRLF.CRLF is one (RFC 5321
4.1.1.4)."""

ENVELOPE = b"EHLO c.sender.test\r\nMAIL FROM:<a@sender.test>\r\nRCPT TO:<x@routed.test>\r\nDATA\r\n"
SMUGGLED = (
    b"MAIL FROM:<evil@sender.test>\r\nRCPT TO:<victim@routed.test>\r\nDATA\r\n"
    b"From: evil@sender.test\r\n\r\nevil\r\n.\r\n"
)
CONFIG = """
[domains."routed.test"]
deliver = "route:sink"

[routes.sink]
hosts = ["127.0.0.1:{port}"]
"""


class SmugglingTests(GatewayTestCase):
    timeout = 300

    async def replies(self, end: bytes) -> list[str]:
        message = b"From: a@sender.test\r\nSubject: outer\r\n\r\nouter" + end + SMUGGLED
        answer: bytes = await in_thread(
            talk, self.gateway.ports["mx"], ENVELOPE, message + b"\r\n.\r\nQUIT\r\n", b"QUIT\r\n"
        )
        return re.findall(r"^(\d\d\d) ", answer.decode(), re.MULTILINE)

    async def start(self, listener: str) -> None:
        await self.make_world()
        # Each try is a session with errors of its own.
        more = CONFIG.format(port=self.sink_port) + "\n[limits]\nsoft_errors = 100\nhard_errors = 200\n"
        await self.start_gateway(more=more, mx_more=listener)

    async def test_each_is_one_message_or_a_refusal(self) -> None:
        await self.start("")
        for end in ENDS:
            replies = await self.replies(end)
            self.assertEqual(replies.count("354"), 1, (end, replies))
            self.assertLessEqual(replies[5:].count("250"), 1, (end, replies))
        await self.nothing_smuggled()

    async def test_normalised_each_is_exactly_one_message(self) -> None:
        await self.start('normalise_networks = ["127.0.0.0/8"]')
        taken = 0
        for end in ENDS:
            replies = await self.replies(end)
            self.assertEqual(replies.count("354"), 1, (end, replies))
            taken += b"\0" not in end
        await self.until(lambda: len(self.sink.received) == taken)
        await self.nothing_smuggled()

    async def nothing_smuggled(self) -> None:
        """What is relayed has the outer envelope only, and no line end but CRLF that another server could misread."""
        for message in self.sink.received:
            self.assertEqual([str(recipient) for recipient in message.recipients], ["x@routed.test"])
            self.assertEqual(str(message.reverse_path), "a@sender.test")
            self.assertNotRegex(message.content, rb"(?<!\r)\n|\r(?!\n)")
        accepted = [event for event in self.gateway.events if event["event"] == "accepted"]
        self.assertEqual({event["sender"] for event in accepted} - {"a@sender.test"}, set())

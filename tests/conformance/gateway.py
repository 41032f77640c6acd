"""A suite of others through a running gateway: its zone is served on loopback, each case is a message from the case's
client, and the Authentication-Results field of what is delivered is the judge.

`SuiteTestCase` is for any suite: `serve` a zone, `deliver` letters, read the `results`.
"""

from __future__ import annotations

import re
import smtplib
from collections.abc import Mapping, Sequence

from attrs import frozen
from twisted.internet.defer import gatherResults
from twisted.internet.threads import deferToThread

from mailgw.develop.dnsserver import World
from tests.integration.world import GatewayTestCase

# A case of a suite is one client of many: what bounds clients is not what is tested. Nothing that one scenario says of
# a name may live on into the next.
MORE = """
[listeners.suite]
addresses = ["127.0.0.1:0"]
tls = "none"
xclient_networks = ["127.0.0.1"]

[limits]
connections_per_address = 1000
connections_per_network = 1000

[rates.connections]
limit = 0
counts = "connections"

[rates.messages]
limit = 0

[trace]
received_spf = true
"""
FILTERS = "[greylisting]\nenabled = false\n[thresholds]\nspam = 1000.0\nreject = 1000.0\n"
AT_ONCE = 8
BODY = (
    b"From: Suite <case@suite.test>\r\nTo: alice@example.test\r\nDate: Mon, 05 Jan 2026 10:00:00 +0000\r\n\r\nHello\r\n"
)

_RESULT = re.compile(r"([a-z-]+)=([a-z]+)\b")
_REASON = re.compile(r'reason="((?:[^"\\]|\\.)*)"')
_PROPERTY = re.compile(r"([a-z]+\.[a-z-]+)=(\"(?:[^\"\\]|\\.)*\"|\S+)")


@frozen
class Letter:
    """One message: who sends it, and what."""

    name: str
    address: str = "192.0.2.1"
    helo: str = "mail.sender.test"
    mail_from: str = "case@suite.test"
    content: bytes = BODY


@frozen
class Result:
    """One result of the field."""

    method: str
    result: str
    reason: str
    properties: Mapping[str, str]


@frozen
class Outcome:
    """What became of a letter: the results of its field, or the reply that refused it."""

    results: tuple[Result, ...] = ()
    refused: str = ""
    received_spf: tuple[str, ...] = ()
    """The results in Received-SPF fields."""

    def of(self, method: str, **properties: str) -> list[Result]:
        """Give the results of a method that have a property with each of these names (`smtp_helo` for smtp.helo)."""
        names = [name.replace("_", ".") for name in properties]
        return [r for r in self.results if r.method == method and all(name in r.properties for name in names)]


class SuiteTestCase(GatewayTestCase):
    """Starts one gateway for all cases of a test."""

    timeout = 300

    async def begin(self, dns_timeout: float = 2.0) -> None:
        await self.make_world()
        await self.start_gateway(
            {"filters.toml": FILTERS}, more=MORE, dns_timeout=f"{dns_timeout}\ncache_size = 0", level="info"
        )

    def serve(self, zone: Mapping[str, Mapping[str, Sequence[str]]], silent: Sequence[str] = ()) -> None:
        """Put a zone in place of the last, as `develop.dnsserver` takes it."""
        self.dns.world = World(zone, silent=silent)

    async def deliver(self, letters: Sequence[Letter]) -> list[Outcome]:
        """Send letters, some at once, and give what became of each."""
        port = self.gateway.ports["suite"]
        outcomes: list[Outcome] = []
        for n in range(0, len(letters), AT_ONCE):
            group = letters[n : n + AT_ONCE]
            replies = await gatherResults([deferToThread(send, port, letter) for letter in group])
            outcomes += [await self._became(reply) for reply in replies]
        return outcomes

    async def _became(self, reply: str) -> Outcome:
        accepted = re.match(r"250 .*queued as ([0-9A-Z]+)", reply)
        if accepted is None:
            return Outcome(refused=reply)
        new = self.gateway.mail / "example.test" / "alice" / "new"
        await self.until(lambda: any(new.glob(f"*{accepted[1]}*")))
        (path,) = new.glob(f"*{accepted[1]}*")
        content = path.read_bytes()
        path.unlink()
        return Outcome(
            results_of(content),
            received_spf=tuple(result.decode() for result in re.findall(rb"(?m)^Received-SPF: (\w+)", content)),
        )


def send(port: int, letter: Letter) -> str:
    """Send a letter as its client; give the last reply."""
    with smtplib.SMTP("127.0.0.1", port, timeout=60) as client:
        family = "IPV6:" if ":" in letter.address else ""
        for command in (
            f"XCLIENT ADDR={family}{letter.address}",
            f"EHLO {letter.helo}",
            f"MAIL FROM:<{letter.mail_from}>",
            "RCPT TO:<alice@example.test>",
        ):
            code, text = client.docmd(command)
            if code >= 400:
                return f"{code} {text.decode(errors='replace')} ({command})"
        code, text = client.data(letter.content)
        return f"{code} {text.decode(errors='replace')}"


def results_of(content: bytes) -> tuple[Result, ...]:
    """Read the topmost Authentication-Results field (RFC 8601 2.2), as far as we write it."""
    _, found, rest = content.replace(b"\r\n", b"\n").partition(b"Authentication-Results:")
    assert found, content[:1000]
    field = re.split(rb"\n(?![ \t])", rest, maxsplit=1)[0].decode()
    parts = re.findall(r'(?:"(?:[^"\\]|\\.)*"|[^";])+', " ".join(field.split()))[1:]
    return tuple(_result(part.strip()) for part in parts)


def _result(text: str) -> Result:
    head = _RESULT.match(text)
    assert head is not None, text
    reason = _REASON.search(text)
    return Result(
        head[1],
        head[2],
        reason[1] if reason else "",
        {name: value.strip('"') for name, value in _PROPERTY.findall(text)},
    )

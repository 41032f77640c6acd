"""A running gateway and senders whose DNS is made to hurt: each message has its results, and nobody else waits."""

from __future__ import annotations

from twisted.internet.defer import gatherResults
from twisted.internet.threads import deferToThread

from tests.conformance.gateway import Letter, SuiteTestCase, send
from tests.senderauth.signing import rsa_record_of, sign

FLOOD = 8  # the clients are threads, of which the reactor has ten


def fan_out(name: str) -> dict[str, dict[str, list[str]]]:
    """An SPF record that includes ten more, each of which includes ten more."""
    below = [f"{n}.{name}" for n in range(10)]
    zone = {name: {"TXT": ["v=spf1 " + " ".join(f"include:{child}" for child in below) + " -all"]}}
    for child in below:
        zone[child] = {"TXT": ["v=spf1 " + " ".join(f"include:{n}.{child}" for n in range(10)) + " -all"]}
    return zone


class HostileDnsTests(SuiteTestCase):
    async def test_each_message_has_its_results(self) -> None:
        await self.begin()
        self.serve(
            {
                "long.test": {"TXT": ["v=spf1 " + "ip4:192.0.2.9 " * 4500 + "-all"]},
                "loop.test": {"CNAME": ["loop.test."]},
                "many.test": {"TXT": [*(f"text {n}" for n in range(299)), "v=spf1 ip4:192.0.2.1 -all"]},
                "s1._domainkey.example.org": {"TXT": [rsa_record_of((1 << 16383) + 1)]},
                "_dmarc.suite.test": {"TXT": ["v=DMARC1; p=none; x=" + "y" * 64000]},
                **fan_out("tree.test"),
            },
            silent=["silent.test"],
        )
        expected = {
            "long": "permerror",
            "loop": "temperror",
            "many": "pass",
            "tree": "permerror",
            "silent": "temperror",
        }
        letters = [Letter(name, mail_from=f"a@{name}.test") for name in expected]
        outcomes = await self.deliver([*letters, Letter("key", content=sign())])
        for name, outcome in zip(expected, outcomes[:-1], strict=True):
            self.assertEqual([r.result for r in outcome.of("spf", smtp_mailfrom="")], [expected[name]], name)
            self.assertEqual([r.result for r in outcome.of("dmarc")], ["permerror"])
        (signature,) = outcomes[-1].of("dkim")
        self.assertEqual((signature.result, signature.reason), ("policy", "the key has 16384 bits, more than 8192"))

    async def test_senders_whose_dns_is_silent_keep_nobody_waiting(self) -> None:
        await self.begin(dns_timeout=5.0)
        self.serve({"good.test": {"TXT": ["v=spf1 ip4:192.0.2.1 -all"]}}, silent=[f"n{n}.test" for n in range(FLOOD)])
        port = self.gateway.ports["suite"]
        flood = [deferToThread(send, port, Letter("", mail_from=f"a@n{n}.test")) for n in range(FLOOD)]
        # Behind them, so that their questions are on their way.
        await self.until(lambda: len({name for name, _ in self.dns.queries if name.startswith("n")}) == FLOOD)
        (outcome,) = await self.deliver([Letter("good", mail_from="a@good.test")])
        self.assertEqual([r.result for r in outcome.of("spf", smtp_mailfrom="")], ["pass"])
        self.assertFalse(any(waiting.called for waiting in flood))
        for reply in await gatherResults(flood):
            self.assertTrue(reply.startswith("250"), reply)

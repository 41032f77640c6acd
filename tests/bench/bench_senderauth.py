"""CPU time of the sender checks with warm DNS, and of our signatures: python -m tests.bench.bench_senderauth

Prints milliseconds of CPU a check, in this process: medians of several rounds.
"""

from __future__ import annotations

import functools
import random
import statistics
import time
from collections.abc import Callable, Coroutine
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from mailgw.config.schema import Dns
from mailgw.dns.resolver import DnsResolver
from mailgw.mail.address import Mailbox
from mailgw.mail.evidence import AuthResult
from mailgw.mail.message import Message
from mailgw.mail.transaction import Client
from mailgw.operation.threads import ThreadsInline
from mailgw.senderauth.authenticator import Authenticator, Findings
from mailgw.senderauth.results import authentication_results, forged
from mailgw.senderauth.signing import sign as our_signatures
from mailgw.senderauth.signing_key import SigningKey, load_private
from tests.delivery.keys import pem
from tests.dns.test_resolver import FakeExchange
from tests.dnsserver import DnsServer
from tests.fakes import reverse_name
from tests.senderauth.sealing import chain
from tests.senderauth.signing import CONTENT, ed25519_record, rsa_record, sign

ROUNDS = 7
TIMES = 200

ZONE = {
    "example.org": {
        "TXT": ["v=spf1 ip4:198.51.100.0/24 include:a.example include:b.example mx -all"],
        "MX": [(10, "mx.example.org")],
    },
    "a.example": {"TXT": ["v=spf1 ip4:203.0.113.0/24 ip4:203.0.114.0/24 ip6:2001:db8::/32 ~all"]},
    "b.example": {"TXT": ["v=spf1 include:c.example ?all"]},
    "c.example": {"TXT": ["v=spf1 a:mail.c.example -all"]},
    "mail.c.example": {"A": ["203.0.113.7"]},
    "mx.example.org": {"A": ["192.0.2.1"]},
    "_dmarc.example.org": {"TXT": ["v=DMARC1; p=reject; rua=mailto:dmarc@example.org; adkim=r; aspf=r"]},
    "simple.example": {"TXT": ["v=spf1 ip4:192.0.2.0/24 -all"]},
    reverse_name("192.0.2.1"): {"PTR": ["mx.example.org"]},
}


def run(work: Coroutine[Any, Any, Findings]) -> Findings:
    results: list[Findings] = []
    Deferred.fromCoroutine(work).addCallback(results.append)
    return results[0]


def measure(name: str, work: Callable[[], object], times: int = TIMES) -> None:
    work()
    rounds = []
    for _ in range(ROUNDS):
        before = time.process_time()
        for _ in range(times):
            work()
        rounds.append((time.process_time() - before) * 1000 / times)
    print(f"{name:58} {statistics.median(rounds):8.3f} ms")


def main() -> None:
    clock = Clock()
    clock.advance(time.time())
    exchange = FakeExchange(clock)
    zone: dict[str, Any] = dict(ZONE)
    zone["s1._domainkey.example.org"] = {"TXT": [rsa_record()]}
    zone["s1._domainkey.lists.example"] = {"TXT": [rsa_record()]}
    zone["s2._domainkey.example.org"] = {"TXT": [ed25519_record()]}
    exchange.servers["127.0.0.1"] = DnsServer(zone, ttl=86400)
    resolver = DnsResolver(clock, Dns(servers=("127.0.0.1",)), random.Random(1), exchange=exchange)
    authenticator = Authenticator(resolver, ThreadsInline(), "gw.example", clock)
    client = Client("S", "mx", "192.0.2.1", helo="mx.example.org")
    body = CONTENT + b"This is one of the lines that a message has, about so long as here.\r\n" * 65
    rsa, ed25519 = sign(body), sign(body, selector="s2", algorithm="ed25519-sha256")
    large = sign(CONTENT + b"x  y\t z is a line of a large message, which needs some work.\r\n" * 160_000)
    findings = [
        run(authenticator.spf(client, Mailbox("ann", "example.org"))),
        run(authenticator.dkim(Message.from_bytes(rsa))),
    ]
    assert [f.auth[0].result for f in findings] == ["pass", "pass"], findings
    auth = [result for found in findings for result in found.auth]

    def arc(content: bytes) -> Findings:
        return run(authenticator.arc(Message.from_bytes(content), client))

    def spf(domain: str) -> Findings:
        return run(authenticator.spf(client, Mailbox("ann", domain)))

    def together(domain: str) -> Findings:
        message = Message.from_bytes(rsa)
        found = (*spf(domain).auth, *run(authenticator.dkim(message)).auth)
        return run(authenticator.dmarc(message, found))

    measure("SPF, one record with ip4", lambda: spf("simple.example"))
    measure("SPF, three includes and an mx", lambda: spf("example.org"))
    measure("iprev", lambda: run(authenticator.iprev(client)))
    measure("helo", lambda: run(authenticator.helo(client)))
    measure(f"DKIM RSA 2048, {len(rsa)} octets", lambda: run(authenticator.dkim(Message.from_bytes(rsa))))
    measure(f"DKIM Ed25519, {len(ed25519)} octets", lambda: run(authenticator.dkim(Message.from_bytes(ed25519))))
    measure("DKIM, not signed", lambda: run(authenticator.dkim(Message.from_bytes(body))))
    measure(f"DKIM RSA 2048, {len(large)} octets", lambda: run(authenticator.dkim(Message.from_bytes(large))), 1)
    signed = Message.from_bytes(rsa)
    bounces = AuthResult("spf", "pass", (("smtp.mailfrom", "x@bounces.example.org"),))
    none = Message.from_bytes(rsa.replace(b"<ann@example.org>", b"<ann@a.b.c.example.net>"))
    measure("DMARC, aligned", lambda: run(authenticator.dmarc(signed, auth)))
    measure("DMARC, with a walk for SPF", lambda: run(authenticator.dmarc(signed, [bounces, auth[1]])))
    measure("DMARC, no record for five labels", lambda: run(authenticator.dmarc(none, auth)))
    measure("SPF (one record), DKIM RSA 2048 and DMARC together", lambda: together("simple.example"))
    measure("SPF (three includes), DKIM RSA 2048 and DMARC together", lambda: together("example.org"))
    for count in (1, 5, 50):
        sealed = chain(count, body)
        assert arc(sealed).auth[0].result == "pass"
        measure(f"ARC RSA 2048, sets: {count}, {len(sealed)} octets", functools.partial(arc, sealed))
    measure("ARC, no chain", lambda: arc(rsa))
    keys = (SigningKey("example.org", "r", load_private(pem("rsa"))),)
    both = (*keys, SigningKey("example.org", "e", load_private(pem("ed25519"))))
    now = int(clock.seconds())
    size = f"{len(body)} octets"
    measure(f"DKIM, signed with RSA 2048, {size}", lambda: our_signatures(Message.from_bytes(body), keys, now))
    measure(f"DKIM, signed with both keys, {size}", lambda: our_signatures(Message.from_bytes(body), both, now))
    measure("Authentication-Results, written", lambda: authentication_results("gw.example", auth))
    measure("Authentication-Results, looked for", lambda: forged(Message.from_bytes(rsa), "gw.example"))
    measure("DNS, answer from the cache", lambda: run(resolver.lookup("example.org", "MX")))  # type: ignore[arg-type]


if __name__ == "__main__":
    main()

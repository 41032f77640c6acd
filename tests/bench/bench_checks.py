"""CPU of all local checks of a message, with DNS warm: python -m tests.bench.bench_checks

Judges a signed message of about 5 KB, text and HTML, the way the gateway does: reverse DNS, HELO, SPF, DKIM, ARC,
DMARC, all filters that are on as shipped (DNS lists and a classifier that has learned 600 messages among them), policy.
Prints milliseconds of CPU a message in this process, the median of several rounds, as a whole and without some parts.
"""

from __future__ import annotations

import random
import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from attrs import evolve
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from mailgw.classifier.store import Learner
from mailgw.composition.etc import Etc, load
from mailgw.composition.judging import make_judge
from mailgw.config.schema import Dns
from mailgw.dns.resolver import DnsResolver
from mailgw.mail.address import Mailbox
from mailgw.mail.envelope import Envelope, Recipient
from mailgw.mail.message import Message
from mailgw.mail.transaction import Client, Transaction
from mailgw.operation.threads import ThreadsInline
from mailgw.reception.credentials import hash_password
from mailgw.verdict.judge import Judge
from tests.bench.bench_filters import ALTERNATIVE
from tests.bench.bench_senderauth import ZONE
from tests.classifier.support import sample
from tests.dns.test_resolver import FakeExchange
from tests.dnsserver import DnsServer
from tests.senderauth.signing import rsa_record, sign

ROUNDS = 7
TIMES = 200
LEARNED = 300
"""Messages of each kind."""

# What shows that the lists serve us: else they are not asked.
LISTED = {
    f"{name}.{zone}": {"A": ["127.0.0.2"]}
    for name, zone in (
        ("2.0.0.127", "zen.spamhaus.org"),
        ("dbltest.com", "dbl.spamhaus.org"),
        ("2.0.0.127", "list.dnswl.org"),
        ("test.surbl.org", "multi.surbl.org"),
        ("test.uribl.com", "multi.uribl.com"),
    )
}
ETC = Path(__file__).parents[2] / "etc"
SETTINGS = """\
hostname = "mail.example.net"
state_directory = "{state}"
[domains."example.net"]
[listeners.mx]
addresses = ["127.0.0.1:0"]
tls = "none"
"""


def make_etc(folder: Path, clock: Clock) -> Etc:
    """The shipped filters and rules, for a domain with one user, and a state in `folder`."""
    for name in ("filters.toml", "rules.toml"):
        shutil.copy(ETC / name, folder / name)
    (folder / "users").write_text(f"bob@example.net:{hash_password('a password')}\n")
    (folder / "aliases").write_text("")
    path = folder / "mailgw.toml"
    path.write_text(SETTINGS.format(state=folder))
    return load(path, clock, ThreadsInline())


def teach(folder: Path) -> None:
    with Learner(folder / "classifier") as learner:
        for number in range(LEARNED):
            for spam in (True, False):
                learner.learn(sample(number, spam=spam), spam=spam, source="command", now=float(number))
        learner.commit()


def judge_once(judge: Judge, message: Message) -> Transaction:
    client = Client("S", "mx", "192.0.2.1", helo="mx.example.org", esmtp=True)
    sender = Mailbox("ann", "example.org")
    transaction = Transaction("T", client, Envelope(sender, (Recipient(Mailbox("bob", "example.net")),)), message)
    done: list[Any] = []
    Deferred.fromCoroutine(judge.judge(transaction, judge.begin(client, sender))).addBoth(done.append)
    assert done and not hasattr(done[0], "raiseException"), done
    return transaction


def measure(name: str, judge: Judge, data: bytes) -> None:
    judge_once(judge, Message.from_bytes(data))
    rounds = []
    for _ in range(ROUNDS):
        before = time.process_time()
        for _ in range(TIMES):
            judge_once(judge, Message.from_bytes(data))
        rounds.append((time.process_time() - before) * 1000 / TIMES)
    print(f"{name:44} {statistics.median(rounds):8.3f} ms")


def main() -> None:
    clock = Clock()
    clock.advance(time.time())
    exchange = FakeExchange(clock)
    zone: dict[str, Any] = {**ZONE, **LISTED, "s1._domainkey.example.org": {"TXT": [rsa_record()]}}
    exchange.servers["127.0.0.1"] = DnsServer(zone, ttl=86400)
    resolver = DnsResolver(clock, Dns(servers=("127.0.0.1",)), random.Random(1), exchange=exchange)
    message = sign(ALTERNATIVE.replace(b"ann@example.net", b"ann@example.org"))
    folder = Path(tempfile.mkdtemp(prefix="mailgw-bench-"))
    try:
        teach(folder)
        etc = make_etc(folder, clock)
        threads = ThreadsInline()
        whole = make_judge(etc, resolver, clock, threads)
        stated = {evidence.symbol for evidence in judge_once(whole, Message.from_bytes(message)).evidence}
        assert {"SPF_PASS", "DKIM_VALID", "DMARC_PASS"} <= stated, stated
        sections = {**etc.catalogue.sections}
        sections["classifier"] = evolve(sections["classifier"], enabled=False)
        without = evolve(etc, catalogue=evolve(etc.catalogue, sections=sections))
        print(f"{len(message)} octets; {', '.join(sorted(stated))}")
        measure("all local checks", whole, message)
        measure("without the classifier", make_judge(without, resolver, clock, threads), message)
        measure("without sender authentication", make_judge(etc, resolver, clock, threads, authenticate=False), message)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()

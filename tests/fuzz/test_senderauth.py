"""The sender checks take anything: a result comes out, nothing is raised, nothing breaks out of the field."""

from __future__ import annotations

import time

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from mailgw.mail.address import Mailbox
from mailgw.mail.evidence import AuthResult
from mailgw.mail.message import Message
from mailgw.mail.transaction import Client
from mailgw.operation.threads import ThreadsInline
from mailgw.senderauth.authenticator import SYMBOLS, Authenticator, Findings
from mailgw.senderauth.results import authentication_results, forged
from tests.fakes import FakeResolver
from tests.senderauth.sealing import chain
from tests.senderauth.signing import ed25519_record, rsa_record, sign

TERMS = st.sampled_from(
    [
        "v=spf1",
        "a",
        "mx",
        "ptr",
        "-all",
        "~all",
        "include:",
        "exists:",
        "redirect=",
        "exp=",
        "ip4:",
        "ip6:",
        "b.example",
        "%{i}",
        "%{l}",
        "%{p}",
        "%{d9r.}",
        "%{",
        "%",
        "/24",
        "//64",
        ":",
        "=",
        " ",
        " ",
        "192.0.2.1",
        "2001:db8::",
        "é",
    ]
)
RECORD = st.lists(TERMS, max_size=20).map("".join)
PIECES = st.sampled_from(
    ["a@a.example", "<b@b.a.example>", ",", ";", ":", '"', "(", ")", "[", "]", "\\", "@", ".", " ", "ü"]
)
TAGS = st.sampled_from(["p=reject", "sp=none", "np=x", "psd=y", "psd=n", "t=y", "rua=mailto:a@b", ";", "=", " "])
METHODS = {
    "spf": {"none", "neutral", "pass", "fail", "softfail", "temperror", "permerror"},
    "arc": {"none", "pass", "fail"},
    "dkim": {"none", "pass", "fail", "policy", "neutral", "temperror", "permerror"},
    "dmarc": {"none", "pass", "fail", "temperror", "permerror"},
}


class FuzzTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(time.time())
        self.resolver = FakeResolver()
        self.authenticator = Authenticator(self.resolver, ThreadsInline(), "gw.example", self.clock)

    def check(self, findings: Findings) -> None:
        for result in findings.auth:
            self.assertIn(result.result, METHODS[result.method])
        self.assertLessEqual({evidence.symbol for evidence in findings.evidence}, set(SYMBOLS))
        field = authentication_results("gw.example", findings.auth)
        message = Message.from_bytes(field + b"\r\n")
        self.assertEqual(len(message.fields), 1)
        self.assertEqual(forged(message, "gw.example"), ((0, len(field)),))

    @settings(max_examples=300, deadline=None)
    @given(RECORD, RECORD, RECORD, st.text(max_size=20), st.text(max_size=20))
    def test_spf(self, first: str, second: str, text: str, local_part: str, helo: str) -> None:
        self.resolver.set("a.example", {"TXT": [f"v=spf1 {first}"], "MX": [(1, "b.example")], "A": ["192.0.2.7"]})
        self.resolver.set("b.example", {"TXT": [second, text], "A": ["192.0.2.1"], "AAAA": ["2001:db8::1"]})
        for address in ("192.0.2.1", "2001:db8::1"):
            client = Client("S", "mx", address, helo=helo)
            for reverse_path in (Mailbox(local_part, "a.example"), None):
                self.check(self.successResultOf(Deferred.fromCoroutine(self.authenticator.spf(client, reverse_path))))
        self.assertEqual(self.flushLoggedErrors(), [])

    @settings(max_examples=300, deadline=None)
    @given(st.integers(0, 600), st.integers(0, 30), st.binary(max_size=30), st.integers(0, 400), st.binary(max_size=9))
    def test_dkim(self, position: int, removed: int, noise: bytes, in_record: int, record_noise: bytes) -> None:
        for algorithm, record in (("rsa-sha256", rsa_record(1024)), ("ed25519-sha256", ed25519_record())):
            data = record.encode()
            in_record %= len(data)
            spoilt = data[:in_record] + record_noise + data[in_record + len(record_noise) :]
            self.resolver.set("s1._domainkey.example.org", {"TXT": [spoilt]})
            content = sign(algorithm=algorithm, bits=1024)
            message = Message.from_bytes(content[:position] + noise + content[position + removed :])
            self.check(self.successResultOf(Deferred.fromCoroutine(self.authenticator.dkim(message))))
        self.assertEqual(self.flushLoggedErrors(), [])

    @settings(max_examples=300, deadline=None)
    @given(
        st.lists(st.one_of(PIECES, st.text(max_size=4)), max_size=15).map("".join),
        st.lists(st.one_of(TAGS, st.text(max_size=4)), max_size=15).map("".join),
        st.text(max_size=20),
    )
    def test_dmarc(self, author: str, tags: str, domain: str) -> None:
        auth = [
            AuthResult("spf", "pass", (("smtp.mailfrom", f"x@{domain}"),)),
            AuthResult("dkim", "pass", (("header.d", domain),)),
        ]
        for name in ("_dmarc.a.example", "_dmarc.example"):
            self.resolver.set(name, {"TXT": [b"v=DMARC1;" + tags.encode("utf-8", "surrogatepass")]})
        message = Message.from_bytes(b"From: " + author.encode("utf-8", "surrogatepass") + b"\r\n\r\nx\r\n")
        self.check(self.successResultOf(Deferred.fromCoroutine(self.authenticator.dmarc(message, auth))))
        self.assertEqual(self.flushLoggedErrors(), [])

    @settings(max_examples=300, deadline=None)
    @given(st.integers(0, 2200), st.integers(0, 30), st.binary(max_size=30), st.text(max_size=20))
    def test_arc(self, position: int, removed: int, noise: bytes, address: str) -> None:
        self.resolver.set("s1._domainkey.lists.example", {"TXT": [rsa_record()]})
        content = chain(2)
        message = Message.from_bytes(content[:position] + noise + content[position + removed :])
        check = self.authenticator.arc(message, Client("S", "mx", address))
        self.check(self.successResultOf(Deferred.fromCoroutine(check)))
        self.assertEqual(self.flushLoggedErrors(), [])

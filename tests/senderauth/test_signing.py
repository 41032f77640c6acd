"""Our signatures: that they verify, what they cover, and what breaks them."""

from __future__ import annotations

import base64
import re
from typing import Any

import dkim
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from mailgw.mail.message import FileContent, Message, head_of
from mailgw.operation.threads import ThreadsInline
from mailgw.senderauth.dkim import Dkim, DkimResult
from mailgw.senderauth.hashes import canonical_fields, hash_body, hash_fields
from mailgw.senderauth.signing import sign, signed_names
from mailgw.senderauth.signing_key import SigningKey, load_private
from tests.delivery.keys import pem
from tests.fakes import FakeResolver
from tests.senderauth.signing import CONTENT

NOW = 1_795_800_000
RSA = SigningKey("example.org", "r", load_private(pem("rsa")))
ED25519 = SigningKey("example.org", "e", load_private(pem("ed25519")))
AWKWARD = {
    "folded": b"From: Ann\r\n <ann@example.org>\r\nSubject: a\r\n\tb\r\n \r\n c  d\r\n\r\nx\r\n",
    "duplicate": b"From: a@example.org\r\nTo: b@x.test\r\nTo: c@x.test\r\nSubject: 1\r\nSubject: 2\r\n\r\nx\r\n",
    "empty": b"From: a@example.org\r\nSubject:\r\nTo: \r\nCc:\t \r\n\r\nx\r\n",
    "space": b"From: a@example.org  \t\r\nSUBJECT:  x \t y  \r\ndate:x\r\n\r\nx\r\n",
    "non-ASCII": "From: jörg@example.org\r\nSubject: grüße \r\n\r\nx\r\n".encode(),
    "not UTF-8": b"From: a@example.org\r\nSubject: gr\xfc\xdfe\r\n\r\n\xe4\xf6\r\n",
    "no subject": b"From: a@example.org\r\n\r\nx\r\n",
    "long lines": b"From: a@example.org\r\nSubject: " + b"y" * 900 + b"\r\n\r\n" + b"x" * 998 + b"\r\n",
    "no body": b"From: a@example.org\r\nSubject: x\r\n\r\n",
    "no separator": b"From: a@example.org\r\nSubject: x\r\n",
    "no last CRLF": b"From: a@example.org\r\nSubject: x\r\n\r\nno end",
    "blank lines at the end": b"From: a@example.org\r\nSubject: x\r\n\r\nx\r\n\r\n \r\n\t\r\n\r\n",
    "only blank lines": b"From: a@example.org\r\nSubject: x\r\n\r\n\r\n\r\n",
    "dots": b"From: a@example.org\r\nSubject: x\r\n\r\n.\r\n..\r\n.x\r\n",
    "a list": b"List-Id: <l.example.org>\r\nList-Unsubscribe: <https://x>\r\nList-Unsubscribe-Post: x=y\r\n"
    b"From: a@example.org\r\nSubject: x\r\n\r\nx\r\n",
    "resent": b"Resent-From: b@example.org\r\nResent-From: c@example.org\r\nFrom: a@example.org\r\n\r\nx\r\n",
}


class SigningTestCase(SynchronousTestCase):
    def signed(self, content: bytes, *keys: SigningKey, **options: Any) -> bytes:
        return sign(Message.from_bytes(content), keys or (RSA, ED25519), NOW, **options) + content

    def results(self, content: bytes, now: float = NOW) -> tuple[DkimResult, ...]:
        resolver = FakeResolver({key.name: {"TXT": [key.record]} for key in (RSA, ED25519)})
        verifier = Dkim(resolver, ThreadsInline(), lambda: now)
        return self.successResultOf(Deferred.fromCoroutine(verifier.verify(Message.from_bytes(content))))

    def verdicts(self, content: bytes) -> list[str]:
        return [result.result for result in self.results(content)]


class VerifyTests(SigningTestCase):
    def test_awkward_messages_verify_here_and_by_dkimpy(self) -> None:
        records = {f"{key.name}.".encode(): key.record.encode() for key in (RSA, ED25519)}
        for name, content in AWKWARD.items():
            signed = self.signed(content)
            self.assertEqual(self.verdicts(signed), ["pass", "pass"], name)
            for index in (0, 1):
                verifier = dkim.DKIM(signed)
                self.assertTrue(verifier.verify(index, dnsfunc=lambda name, timeout=5: records.get(name)), name)

    def test_two_signatures_with_rsa_on_top(self) -> None:
        results = self.results(self.signed(CONTENT))
        self.assertEqual([result.algorithm for result in results], ["rsa-sha256", "ed25519-sha256"])
        self.assertEqual({result.domain for result in results}, {"example.org"})

    def test_a_relay_may_fold_and_strip(self) -> None:
        signed = self.signed(b"From: ann@example.org\r\nSubject: one two\r\n\r\na  b\r\n\r\n")
        changed = signed.replace(b"Subject: one two", b"subject:one\r\n\ttwo ").replace(b"a  b\r\n\r\n", b"a b \r\n")
        self.assertEqual(self.verdicts(changed), ["pass", "pass"])

    def test_what_is_changed_breaks_it(self) -> None:
        signed = self.signed(b"From: a@example.org\r\nTo: b@x.test\r\nSubject: x\r\n\r\nbody\r\n")
        for old, new in ((b"body", b"Body"), (b"Subject: x", b"Subject: y"), (b"b@x", b"c@x"), (b"body", b"body\r\nm")):
            self.assertEqual(self.verdicts(signed.replace(old, new)), ["fail", "fail"], new)

    def test_nobody_can_add_a_field_that_is_oversigned(self) -> None:
        """RFC 6376 8.15; features: what Rspamd, Mox and Maddy oversign."""
        signed = self.signed(b"From: a@example.org\r\nDate: x\r\n\r\nbody\r\n")
        for name in (b"From", b"To", b"Cc", b"Subject", b"Date", b"Reply-To", b"Message-ID", b"MIME-Version",
                     b"Content-Type", b"Content-Transfer-Encoding"):  # fmt: skip
            self.assertEqual(self.verdicts(name + b": new\r\n" + signed), ["fail", "fail"], name)

    def test_lists_may_add_their_fields(self) -> None:
        signed = self.signed(b"From: a@example.org\r\n\r\nbody\r\n")
        added = b"Received: x\r\nSender: l@x.test\r\nList-Id: <x>\r\nResent-From: b@x.test\r\n"
        self.assertEqual(self.verdicts(added + signed), ["pass", "pass"])

    def test_expiry(self) -> None:
        signed = self.signed(CONTENT, expires=NOW + 60)
        self.assertEqual([result.result for result in self.results(signed, NOW + 61)], ["policy", "policy"])
        self.assertEqual(self.verdicts(signed), ["pass", "pass"])
        self.assertNotIn(b"x=", sign(Message.from_bytes(CONTENT), [ED25519], NOW).split(b"b=")[0])


class FieldTests(SigningTestCase):
    def test_what_goes_out_is_signed(self) -> None:
        """The prefix counts, and the fields that are cut do not."""
        message = Message(
            Message.from_bytes(b"Subject: cut\r\nFrom: a@example.org\r\n\r\nx\r\n").content,
            b"Subject: cut\r\nFrom: a@example.org\r\n\r\n",
            prefix=b"Date: ours\r\n",
            cuts=((0, 14),),
        )
        fields = sign(message, (RSA, ED25519), NOW)
        sent = fields + b"".join(message.output())
        self.assertEqual(sent[len(fields) :], b"Date: ours\r\nFrom: a@example.org\r\n\r\nx\r\n")
        self.assertEqual(self.verdicts(sent), ["pass", "pass"])
        self.assertEqual(self.verdicts(sent.replace(b"ours", b"hers")), ["fail", "fail"])

    def test_names(self) -> None:
        message = Message.from_bytes(b"Sender: s\r\nFrom: a\r\nReceived: x\r\nList-Id: x\r\nIn-Reply-To: y\r\n\r\n")
        names = signed_names(message.fields)
        self.assertEqual(names.count("from"), 2)
        self.assertEqual(names.count("sender"), 2)
        self.assertEqual((names.count("list-id"), names.count("in-reply-to"), names.count("to")), (1, 1, 1))
        self.assertFalse({"received", "return-path", "authentication-results"} & set(names))

    def test_names_that_would_break_the_list_are_left_out(self) -> None:
        signed = self.signed(b"List-=;a: 1\r\nFrom: a@example.org\r\nSubject : x\r\n\r\nx\r\n")
        self.assertEqual(self.verdicts(signed), ["pass", "pass"])

    def test_a_thousand_fields_still_sign_from(self) -> None:
        content = b"List-X: 1\r\n" * 999 + b"From: a@example.org\r\n\r\nx\r\n"
        self.assertEqual(self.verdicts(self.signed(content)), ["pass", "pass"])

    def test_the_field_is_short_lines_of_ascii_without_l(self) -> None:
        field = sign(Message.from_bytes(AWKWARD["a list"]), (RSA, ED25519), NOW)
        self.assertTrue(field.isascii())
        self.assertLessEqual(max(map(len, field.split(b"\r\n"))), 78)
        self.assertNotRegex(field, rb"[ ;]l=")
        self.assertEqual(field.count(b"c=relaxed/relaxed"), 2)

    def test_a_file_is_hashed_in_pieces(self) -> None:
        content = CONTENT + b"x  y \t z\r\n" * 100_000
        path = self.mktemp()
        with open(path, "wb") as file:
            file.write(content)
        message = Message(FileContent(path, len(content)), head_of(content))
        self.assertEqual(sign(message, [ED25519], NOW), sign(Message.from_bytes(content), [ED25519], NOW))


class Rfc8463Tests(SynchronousTestCase):
    """The example of RFC 8463 Appendix A."""

    MESSAGE = (
        b"From: Joe SixPack <joe@football.example.com>\r\nTo: Suzie Q <suzie@shopping.example.net>\r\n"
        b"Subject: Is dinner ready?\r\nDate: Fri, 11 Jul 2003 21:00:37 -0700 (PDT)\r\n"
        b"Message-ID: <20030712040037.46341.5F8J@football.example.com>\r\n\r\n"
        b"Hi.\r\n\r\nWe lost the game.  Are you hungry yet?\r\n\r\nJoe.\r\n"
    )
    UNSIGNED = (
        b" v=1; a=ed25519-sha256; c=relaxed/relaxed;\r\n d=football.example.com; i=@football.example.com;\r\n"
        b" q=dns/txt; s=brisbane; t=1528637909; h=from : to :\r\n subject : date : message-id : from : subject : date;"
        b"\r\n bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;\r\n b="
    )
    SECRET = "nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A="
    SIGNATURE = "/gCrinpcQOoIfuHNQIbq4pgh9kyIK3AQUdt9OdqQehSwhEIug4D11BusFa3bT3FY5OsU7ZbnKELq+eXdp1Q1Dw=="
    PUBLIC = "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="

    def test_the_signature_is_that_of_the_rfc(self) -> None:
        """Ed25519 signs the digest as it is; a second hashing in between would give other octets."""
        message = Message.from_bytes(self.MESSAGE)
        digest, _ = hash_body(message, {"relaxed"})["relaxed"]
        self.assertEqual(base64.b64encode(digest), b"2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=")
        names = re.sub(r"\s", "", "from:to:subject:date:message-id:from:subject:date").split(":")
        canonical = canonical_fields(message.fields, names, "relaxed/relaxed")
        private = Ed25519PrivateKey.from_private_bytes(base64.b64decode(self.SECRET))
        key = SigningKey("football.example.com", "brisbane", private)
        data = key.sign(hash_fields(canonical, b"DKIM-Signature", self.UNSIGNED, "relaxed/relaxed"))
        self.assertEqual(base64.b64encode(data).decode(), self.SIGNATURE)
        self.assertEqual(key.record, f"v=DKIM1; k=ed25519; p={self.PUBLIC}")

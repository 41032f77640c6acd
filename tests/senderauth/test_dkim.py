"""DKIM: each outcome has its RFC 8601 result and a reason."""

from __future__ import annotations

import re
import time
from pathlib import Path

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from mailgw.mail.message import FileContent, Message, head_of
from mailgw.operation.threads import ThreadsInline
from mailgw.senderauth.dkim import Dkim, DkimResult
from mailgw.senderauth.hashes import INLINE_SIZE
from tests.fakes import FAIL, FakeResolver
from tests.senderauth.signing import CONTENT, ed25519_record, rsa_record, rsa_record_of, sign

NAME = "s1._domainkey.example.org"


class CountingThreads(ThreadsInline):
    runs = 0

    async def run(self, work, *args, **kwargs):  # type: ignore[no-untyped-def, override]  # as the base has it
        self.runs += 1
        return work(*args, **kwargs)


class DkimCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.resolver = FakeResolver({NAME: {"TXT": [rsa_record()]}})
        self.threads = CountingThreads()
        self.now = time.time()

    def verify_message(self, message: Message) -> tuple[DkimResult, ...]:
        verifier = Dkim(self.resolver, self.threads, lambda: self.now)
        return self.successResultOf(Deferred.fromCoroutine(verifier.verify(message)))

    def verify(self, content: bytes) -> DkimResult:
        (result,) = self.verify_message(Message.from_bytes(content))
        return result

    def assertResult(self, content: bytes, result: str, reason: str) -> None:
        outcome = self.verify(content)
        self.assertEqual(outcome.result, result, outcome)
        self.assertIn(reason, outcome.reason)

    def set_key(self, record: str) -> None:
        self.resolver.set(NAME, {"TXT": [record]})


class SignatureTests(DkimCase):
    def test_no_signature(self) -> None:
        self.assertEqual(self.verify_message(Message.from_bytes(CONTENT)), ())
        self.assertEqual(self.resolver.asked, [])

    def test_good(self) -> None:
        for header in (b"simple", b"relaxed"):
            for body in (b"simple", b"relaxed"):
                result = self.verify(sign(canonicalization=(header, body)))
                self.assertEqual((result.result, result.reason), ("pass", ""))
                self.assertEqual((result.domain, result.selector), ("example.org", "s1"))
                self.assertEqual((result.algorithm, len(result.signature)), ("rsa-sha256", 8))

    def test_ed25519(self) -> None:
        self.set_key(ed25519_record())
        self.assertEqual(self.verify(sign(algorithm="ed25519-sha256")).result, "pass")
        self.assertResult(
            sign(algorithm="ed25519-sha256").replace(b"the minutes\r\nDate", b"another\r\nDate"),
            "fail",
            "does not match the header",
        )

    def test_relaxed_survives_refolding(self) -> None:
        content = sign().replace(b"Subject: the minutes", b"SUBJECT:   the\r\n\t minutes")
        self.assertEqual(self.verify(content).result, "pass")

    def test_changed_body(self) -> None:
        self.assertResult(sign() + b"and more\r\n", "fail", "the body was changed")

    def test_changed_header(self) -> None:
        self.assertResult(sign().replace(b"bob@", b"eve@"), "fail", "does not match the header")

    def test_second_from_field_fails(self) -> None:
        self.assertResult(sign().replace(b"\r\nFrom:", b"\r\nFrom: eve@example.com\r\nFrom:"), "fail", "")

    def test_fields_that_are_not_signed_may_come_and_go(self) -> None:
        self.assertEqual(self.verify(b"Received: from a by b\r\n" + sign()).result, "pass")

    def test_wrong_key(self) -> None:
        self.set_key(rsa_record(1024))
        self.assertResult(sign(), "fail", "does not match the header")

    def test_key_that_marks_a_test(self) -> None:
        """RFC 6376 3.6.1: a failure under t=y counts as no signature."""
        self.set_key(rsa_record() + "; t=y")
        self.assertTrue(self.verify(sign()).testing)
        self.assertResult(sign() + b"more\r\n", "neutral", "the key is a test")

    def test_appended_text_under_l_is_not_believed(self) -> None:
        content = sign(length=True)
        self.assertEqual(self.verify(content).result, "pass")
        self.assertResult(content.rstrip() + b"\r\nBuy this.\r\n", "policy", "l= leaves 11 octets of the body unsigned")
        self.assertResult(content.replace(b"minutes. \r\n\r\n", b"minutes."), "pass", "")
        self.assertResult(content.replace(b"here  are", b"are"), "fail", "shorter than l= says")

    def test_a_field_that_is_signed_more_often_than_it_is_there_cannot_be_added(self) -> None:
        """RFC 6376 5.4: a name in h= beyond the fields that there are signs their absence."""
        names = [b"from", b"from", b"subject", b"subject", b"reply-to"]
        content = sign(include_headers=names)
        self.assertEqual(self.verify(content).result, "pass")
        for added in (b"From: eve@example.com", b"Subject: another", b"Reply-To: eve@example.com"):
            for place in (b"\r\nFrom:", b"\r\nTo:"):
                changed = content.replace(place, b"\r\n" + added + place, 1)
                self.assertResult(changed, "fail", "does not match the header")

    def test_a_signed_field_cannot_be_taken_away(self) -> None:
        self.assertResult(sign().replace(b"To: bob@example.net\r\n", b""), "fail", "does not match the header")

    def test_of_several_fields_the_lowest_are_signed(self) -> None:
        """RFC 6376 5.4.2: as often as the name stands in h=, from the bottom."""
        two = CONTENT.replace(b"To:", b"X-Tag: upper\r\nX-Tag: lower\r\nTo:")
        once = sign(two, include_headers=[b"from", b"x-tag"])
        self.assertEqual(self.verify(once.replace(b"upper", b"changed")).result, "pass")
        self.assertEqual(self.verify(once.replace(b"X-Tag: upper", b"X-Tag: new\r\nX-Tag: upper")).result, "pass")
        self.assertResult(once.replace(b"lower", b"changed"), "fail", "does not match the header")
        self.assertResult(once.replace(b"To:", b"X-Tag: new\r\nTo:"), "fail", "does not match the header")
        twice = sign(two, include_headers=[b"from", b"x-tag", b"x-tag"])
        self.assertEqual(self.verify(twice).result, "pass")
        swapped = twice.replace(b"X-Tag: upper\r\nX-Tag: lower", b"X-Tag: lower\r\nX-Tag: upper")
        self.assertResult(swapped, "fail", "does not match the header")

    def test_rsa_sha1_is_refused(self) -> None:
        self.assertResult(sign(algorithm="rsa-sha1"), "policy", "rsa-sha1")

    def test_first_five_signatures_only(self) -> None:
        content = CONTENT
        for _ in range(7):
            content = sign(content, include_headers=[b"from"])
        results = self.verify_message(Message.from_bytes(content))
        self.assertEqual([result.result for result in results], ["pass"] * 5)
        self.assertEqual(self.resolver.asked, [(NAME, "TXT")])

    def test_one_bad_signature_does_not_spoil_the_good_one(self) -> None:
        content = b"DKIM-Signature: v=1; nonsense\r\n" + sign()
        results = self.verify_message(Message.from_bytes(content))
        self.assertEqual([result.result for result in results], ["neutral", "pass"])

    def test_time(self) -> None:
        content = sign()
        self.now -= 86400
        self.assertResult(content, "policy", "dated in the future")
        expired = sign().replace(b" t=", b" x=10; t=")
        self.now += 86400
        self.assertResult(expired, "policy", "expired")

    def test_expiry_before_the_signature_was_made(self) -> None:
        """RFC 6376 3.5, x=."""
        content = sign()
        made = re.search(rb" t=(\d+)", content)
        assert made is not None
        expiry = int(made[1]) - 10
        self.now = expiry - 10.0
        self.assertResult(content.replace(b" t=", b" x=%d; t=" % expiry), "neutral", "x= is before t=")

    def test_signature_that_cannot_be_read(self) -> None:
        good = sign()
        for old, new, result, reason in (
            (b"v=1;", b"v=2;", "neutral", "version"),
            (b"v=1;", b"", "neutral", "v= is missing"),
            (b"v=1;", b"v=1; v=1;", "neutral", "twice"),
            (b"v=1;", b"v=1; junk;", "neutral", "tag=value"),
            (b"a=rsa-sha256", b"a=rsa-md5", "neutral", "algorithm"),
            (b"c=relaxed/relaxed", b"c=lax", "neutral", "canonicalization"),
            (b"d=example.org", b"d=", "neutral", "d= is missing"),
            (b"d=example.org", b"d=exa mple..org", "neutral", "domain name"),
            (b"s=s1", b"s=../s1", "neutral", "domain name"),
            (b"i=@example.org", b"i=@example.com", "permerror", "i="),
            (b"i=@example.org", b"i=ann@badexample.org", "permerror", "i="),
            (b"q=dns/txt", b"q=http", "neutral", "DNS"),
            (b"q=dns/txt", b"l=x", "neutral", "l= is not a number"),
            (b"q=dns/txt", b"l=-1", "neutral", "l= is not a number"),
            (b"q=dns/txt", b"x=tomorrow", "neutral", "x= is not a number"),
            (b"h=from", b"hh=from", "neutral", "h= is missing"),
            (b"bh=", b"hb=", "neutral", "bh= is missing"),
            (b" s=s1;", b"", "neutral", "s= is missing"),
            (b"q=dns/txt", b"l=" + b"1" * 5000, "neutral", "l= is not a number"),
            (b"bh=", b"bh=!!", "neutral", "bh= is not base64"),
            (b" b=", b" b=*", "neutral", "b= is not base64"),
            (b"h=from", b"h=" + b"a:" * 300 + b"from", "neutral", "fields are signed"),
            (b"q=dns/txt", b"q=dns/txt; z=" + b"x" * 9000, "neutral", "longer than"),
            (b"q=dns/txt;", b"q=dns/txt;\r\n \r\n", "neutral", "empty lines"),
            (b"q=dns/txt;", b"q=dns/txt\x00;", "neutral", "control characters"),
        ):
            self.assertIn(old, good)
            self.assertResult(good.replace(old, new, 1), result, reason)
        self.assertEqual(self.resolver.asked, [])

    def test_from_must_be_signed(self) -> None:
        self.assertResult(sign().replace(b"from", b"fr\xffom"), "permerror", "From field is not signed")

    def test_what_the_signature_says_of_itself_is_printable(self) -> None:
        result = self.verify(b"DKIM-Signature: d=\x1b[31mred\x00; s=\xff; b=" + b"x" * 5000 + b"\r\n" + CONTENT)
        self.assertTrue(all(text.isprintable() for text in (result.domain, result.selector, result.signature)))

    def test_hostile_space_takes_linear_time(self) -> None:
        """dkimpy's pattern for b= goes quadratic over folded empty lines."""
        folds = b"\r\n\t" * 2500
        for content in (
            b"DKIM-Signature: v=1; b=" + folds + b";\r\n" + CONTENT,
            b"DKIM-Signature: v=1; h=from: b" + b" \r\n" * 2500 + b" :\r\n" + CONTENT,
            sign().replace(b"h=from", b"h= b" + b" " * 6000 + b":from"),
        ):
            before = time.process_time()
            self.verify(content)
            self.assertLess(time.process_time() - before, 0.5)


class KeyTests(DkimCase):
    def test_dns_does_not_answer(self) -> None:
        self.resolver.set(NAME, FAIL)
        self.assertResult(sign(), "temperror", "DNS does not answer")

    def test_no_key(self) -> None:
        self.resolver.zone.clear()
        self.assertResult(sign(), "permerror", "there is no key")

    def test_keys_that_may_not_verify_this(self) -> None:
        good = rsa_record()
        for record, result, reason in (
            ("v=DKIM1; p=", "permerror", "revoked"),
            ("hello", "permerror", "tag=value"),
            ("v=spf1 -all", "permerror", "not one of DKIM"),
            ("v=DKIM2; p=x", "permerror", "not one of DKIM"),
            (good.replace("k=rsa", "k=ed25519"), "permerror", "not one for rsa-sha256"),
            (good + "; h=sha1", "permerror", "does not allow sha256"),
            (good + "; s=tlsrpt", "permerror", "not one for mail"),
            ("v=DKIM1; p=AAAA", "permerror", "cannot be read"),
            ("v=DKIM1; k=rsa", "permerror", "not one of DKIM"),
            (good + "; k=rsa", "permerror", "tag=value"),
            ("v=DKIM1; p=" + "A" * 9000, "permerror", "longer than"),
            (rsa_record_of((1 << 511) + 1), "policy", "512 bits, fewer than 1024"),
            (rsa_record_of((1 << 8999) + 1), "policy", "more than 8192"),
            (rsa_record_of((1 << 1023) + 1, (1 << 1000) + 1), "policy", "very large exponent"),
            (rsa_record_of(0), "permerror", "cannot be read"),
            (rsa_record_of((1 << 1023) + 1, 1), "permerror", "cannot be read"),
        ):
            self.set_key(record)
            self.assertResult(sign(), result, reason)

    def test_keys_for_reports_on_tls(self) -> None:
        """RFC 8460 3: their keys should say s=tlsrpt, and may say nothing else."""
        plain = b"Content-Type: text/plain\r\n"
        report = b'Content-Type: multipart/report; boundary="x";\r\n report-type="tlsrpt"\r\n'
        bare = b"content-type: Multipart/Report;report-type=tlsrpt; boundary=x\r\n"
        other = b"Content-Type: multipart/report; report-type=tlsrpts; boundary=x\r\n"
        hidden = b"Content-Type: multipart/report; boundary=report-type-tlsrpt\r\n"
        for services, field, result in (
            ("tlsrpt", report, "pass"),
            ("tlsrpt", bare, "pass"),
            ("email:tlsrpt", plain, "pass"),
            ("email", report, "pass"),
            ("tlsrpt", plain, "permerror"),
            ("tlsrpt", other, "permerror"),
            ("tlsrpt", hidden, "permerror"),
            ("tlsrpt", plain + report, "permerror"),
            ("other", report, "permerror"),
        ):
            self.set_key(f"{rsa_record()}; s={services}")
            self.assertEqual(self.verify(sign(field + CONTENT)).result, result, (services, field))

    def test_keys_that_may(self) -> None:
        good = rsa_record()
        for record in (
            good.replace("v=DKIM1; k=rsa; ", ""),
            good + "; h=sha1:sha256; s=email:other; n=note",
            good + "; s=*",
            good.replace("; p", " ;  p "),
            good + "; t=s",
        ):
            self.set_key(record)
            self.assertEqual(self.verify(sign()).result, "pass", record)

    def test_flag_s_forbids_subdomains(self) -> None:
        self.set_key(rsa_record() + "; t=y:s")
        self.assertResult(sign(identity=b"ann@sub.example.org"), "permerror", "subdomain")
        self.set_key(rsa_record())
        result = self.verify(sign(identity=b"ann@sub.example.org"))
        self.assertEqual((result.result, result.identity), ("pass", "ann@sub.example.org"))

    def test_other_text_beside_the_key(self) -> None:
        self.resolver.set(NAME, {"TXT": ["some verification text", rsa_record()]})
        self.assertEqual(self.verify(sign()).result, "pass")

    def test_keys_are_asked_for_at_once(self) -> None:
        names = [f"s{n}._domainkey.example.org" for n in range(3)]
        content = CONTENT
        for n in range(3):
            content = sign(content, selector=f"s{n}", include_headers=[b"from"])
        self.resolver.silent = True
        verifier = Dkim(self.resolver, self.threads, lambda: self.now)
        verifying = Deferred.fromCoroutine(verifier.verify(Message.from_bytes(content)))
        self.assertNoResult(verifying)
        self.assertEqual(sorted(name for name, _ in self.resolver.asked), names)


class LargeTests(DkimCase):
    def content(self, size: int) -> bytes:
        head, _, _ = CONTENT.partition(b"\r\n\r\n")
        return head + b"\r\n\r\n" + (b"x " * 37 + b"\r\n") * (size // 76)

    def test_small_runs_in_place(self) -> None:
        self.verify(sign(self.content(INLINE_SIZE // 2)))
        self.assertEqual(self.threads.runs, 0)

    def test_large_runs_in_a_thread(self) -> None:
        self.assertEqual(self.verify(sign(self.content(INLINE_SIZE * 2))).result, "pass")
        self.assertEqual(self.threads.runs, 1)

    def test_large_header_runs_in_a_thread(self) -> None:
        fields = b"".join(b"X-%d: %s\r\n" % (n, b"y" * 900) for n in range(50))
        self.assertEqual(self.verify(fields + sign()).result, "pass")
        self.assertEqual(self.threads.runs, 1)

    def test_file(self) -> None:
        content = sign(self.content(1_000_000))
        path = Path(self.mktemp())
        path.write_bytes(content)
        message = Message(FileContent(str(path), len(content)), head_of(content))
        self.assertEqual([result.result for result in self.verify_message(message)], ["pass"])
        self.assertEqual(self.threads.runs, 1)

    def test_message_without_body(self) -> None:
        content = CONTENT.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
        for form in (b"simple", b"relaxed"):
            self.assertEqual(self.verify(sign(content, canonicalization=(b"relaxed", form))).result, "pass")

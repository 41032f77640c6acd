"""DMARC (RFC 9989): what is aligned, which policy holds, what DNS leaves open."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypeVar

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from mailgw.mail.evidence import AuthResult
from mailgw.senderauth.dmarc import Dmarc, DmarcResult, Identifier, identifiers
from tests.fakes import FAIL, FakeResolver

T = TypeVar("T")
PLAIN = "v=DMARC1; p=reject"


def spf(domain: str, result: str = "pass") -> AuthResult:
    return AuthResult("spf", result, (("smtp.mailfrom", f"sender@{domain}"),))


def helo(domain: str, result: str = "pass") -> AuthResult:
    return AuthResult("spf", result, (("smtp.helo", domain),))


def dkim(domain: str, result: str = "pass") -> AuthResult:
    return AuthResult("dkim", result, (("header.d", domain), ("header.s", "s1")))


class DmarcCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.resolver = FakeResolver()

    def publish(self, domain: str, text: str) -> None:
        self.resolver.set(f"_dmarc.{domain}", FAIL if text == FAIL else {"TXT": [text]})

    def now(self, work: Coroutine[Deferred[Any], Any, T]) -> T:
        return self.successResultOf(Deferred.fromCoroutine(work))

    def check(self, author: str, *auth: AuthResult) -> DmarcResult:
        (result,) = self.now(Dmarc(self.resolver).check((author,), auth))
        return result

    def result(self, author: str, *auth: AuthResult) -> str:
        return self.check(author, *auth).result


class IdentifierTests(SynchronousTestCase):
    def found(self, *auth: AuthResult) -> list[tuple[str, str, bool]]:
        return [(i.method, i.domain, i.passed) for i in identifiers(auth)]

    def test_what_passed(self) -> None:
        """RFC 9989 4.3, 4.4.1, 4.4.2: only a pass authenticates."""
        for result in ("fail", "softfail", "neutral", "none", "permerror", "policy"):
            self.assertEqual(self.found(spf("a.example", result), dkim("a.example", result)), [], result)
        self.assertEqual(
            self.found(spf("a.example"), dkim("b.example"), dkim("b.example"), dkim("c.example")),
            [("spf", "a.example", True), ("dkim", "b.example", True), ("dkim", "c.example", True)],
        )

    def test_spf_of_mail_from_alone(self) -> None:
        """RFC 9989 3.2.4, 4.4.2: HELO counts only in place of a null reverse-path."""
        self.assertEqual(self.found(helo("a.example"), spf("b.example", "fail")), [])
        self.assertEqual(self.found(helo("a.example"), spf("b.example")), [("spf", "b.example", True)])
        self.assertEqual(self.found(helo("a.example")), [("spf", "a.example", True)])

    def test_forms_of_a_domain(self) -> None:
        self.assertEqual(
            self.found(spf("EXAMPLE.org."), dkim("bücher.example")),
            [("spf", "example.org", True), ("dkim", "xn--bcher-kva.example", True)],
        )
        odd = AuthResult("spf", "pass", (("smtp.mailfrom", '"a@b"@example.org'),))
        self.assertEqual(self.found(odd), [("spf", "example.org", True)])
        self.assertEqual(self.found(AuthResult("spf", "pass"), AuthResult("dkim", "pass"), dkim("ü..x")), [])

    def test_other_methods(self) -> None:
        self.assertEqual(self.found(AuthResult("iprev", "pass"), AuthResult("arc", "pass", (("header.d", "a.b"),))), [])

    def test_what_dns_did_not_tell(self) -> None:
        self.assertEqual(
            self.found(spf("a.example", "temperror"), AuthResult("dkim", "temperror")),
            [("spf", "a.example", False), ("dkim", "", False)],
        )


class BasicsTests(DmarcCase):
    """RFC 9989 4.1 to 4.4, 5.3."""

    def test_without_a_record_it_does_not_apply(self) -> None:
        """4.10.1: however good SPF and DKIM are."""
        result = self.check("example.com", spf("example.com"), dkim("example.com"))
        self.assertEqual((result.result, result.policy, result.record), ("none", None, None))

    def test_pass_takes_a_record_and_one_aligned_identifier(self) -> None:
        """4.1, 5.3.5."""
        self.publish("example.com", PLAIN)
        for auth in (
            [spf("example.com")],
            [dkim("example.com")],
            [spf("x.example"), dkim("y.example"), dkim("example.com")],
        ):
            self.assertEqual(self.result("example.com", *auth), "pass")
        for auth in ([], [spf("example.net")], [spf("example.com", "softfail"), dkim("example.com", "fail")]):
            result = self.check("example.com", *auth)
            self.assertEqual((result.result, result.policy), ("fail", "reject"))

    def test_what_was_aligned_is_told(self) -> None:
        self.publish("example.com", PLAIN)
        result = self.check("example.com", spf("bounces.example.net"), dkim("example.com"), dkim("esp.example"))
        self.assertEqual(result.aligned, (Identifier("dkim", "example.com"),))
        self.assertEqual(result.others, (Identifier("spf", "bounces.example.net"), Identifier("dkim", "esp.example")))
        self.assertEqual(result.policy_domain, "example.com")

    def test_the_table_of_alignment(self) -> None:
        """4.4."""
        self.publish("example.com", PLAIN)
        for domain, relaxed in (("foo.example.com", True), ("news.example.com", True), ("foo.example.net", False)):
            self.assertEqual(self.result("news.example.com", dkim(domain)), "pass" if relaxed else "fail", domain)
        self.publish("example.com", "v=DMARC1; p=reject; adkim=s; aspf=s")
        for domain, strict in (("foo.example.com", False), ("news.example.com", True), ("foo.example.net", False)):
            self.assertEqual(self.result("news.example.com", dkim(domain)), "pass" if strict else "fail", domain)
            self.assertEqual(self.result("news.example.com", spf(domain)), "pass" if strict else "fail", domain)

    def test_spf_and_dkim_have_modes_of_their_own(self) -> None:
        """4.7, adkim and aspf."""
        self.publish("example.com", "v=DMARC1; p=reject; adkim=s")
        self.assertEqual(self.result("example.com", dkim("a.example.com")), "fail")
        self.assertEqual(self.result("example.com", spf("a.example.com")), "pass")
        self.publish("example.com", "v=DMARC1; p=reject; aspf=s")
        self.assertEqual(self.result("example.com", dkim("a.example.com")), "pass")
        self.assertEqual(self.result("example.com", spf("a.example.com")), "fail")

    def test_names_are_compared_without_case(self) -> None:
        """4.4, RFC 4343."""
        self.publish("example.com", "v=DMARC1; p=reject; adkim=s")
        self.assertEqual(self.result("example.com", dkim("EXAMPLE.com")), "pass")

    def test_a_name_that_only_ends_alike(self) -> None:
        self.publish("example.com", PLAIN)
        self.assertEqual(self.result("example.com", dkim("badexample.com"), spf("example.com.evil.com")), "fail")

    def test_organisations_within_a_domain(self) -> None:
        """4.10.2: psd=n separates a part; without it the record with the fewest labels unites."""
        self.publish("example.com", PLAIN)
        self.publish("uni.example.com", "v=DMARC1; p=none; psd=n")
        self.assertEqual(self.result("uni.example.com", dkim("a.uni.example.com")), "pass")
        self.assertEqual(self.result("uni.example.com", dkim("example.com")), "fail")
        self.assertEqual(self.result("example.com", dkim("uni.example.com")), "fail")

    def test_several_authors(self) -> None:
        """11.5: a result for each."""
        self.publish("one.example", PLAIN)
        results = self.now(Dmarc(self.resolver).check(("one.example", "two.example"), [dkim("two.example")]))
        self.assertEqual([(r.domain, r.result) for r in results], [("one.example", "fail"), ("two.example", "none")])


class PolicyTests(DmarcCase):
    """Which policy holds (RFC 9989 4.7, 4.10.1)."""

    def policy(self, author: str, text: str, *auth: AuthResult) -> str | None:
        self.publish("example.com", text)
        result = self.check(author, *auth)
        self.assertEqual(result.result, "pass" if auth else "fail")
        return result.policy

    def test_of_the_domain_and_of_those_below(self) -> None:
        self.resolver.set("a.example.com", {"A": ["192.0.2.1"]})
        for tags, own, existing, nonexistent in (
            ("p=reject", "reject", "reject", "reject"),
            ("p=none; sp=reject", "none", "reject", "reject"),
            ("p=none; np=reject", "none", "none", "reject"),
            ("p=reject; sp=quarantine; np=none", "reject", "quarantine", "none"),
            ("rua=mailto:r@example.com", "none", "none", "none"),
        ):
            for author, policy in (("example.com", own), ("a.example.com", existing), ("b.example.com", nonexistent)):
                self.assertEqual(self.policy(author, f"v=DMARC1; {tags}"), policy, (tags, author))

    def test_sp_and_np_of_a_subdomains_own_record_do_not_apply_to_it(self) -> None:
        """4.7, sp."""
        self.publish("a.example.com", "v=DMARC1; p=none; sp=reject; np=reject")
        self.assertEqual(self.policy("a.example.com", PLAIN), "none")

    def test_of_a_public_suffix(self) -> None:
        self.resolver.set("shop.example", {"A": ["192.0.2.1"]})
        self.publish("example", "v=DMARC1; p=none; sp=quarantine; np=reject; psd=y")
        self.assertEqual(self.check("shop.example").policy, "quarantine")
        self.assertEqual(self.check("a.shop.example").policy, "reject")
        self.assertEqual(self.check("none.example").policy, "reject")

    def test_whether_it_exists_is_asked_only_when_it_matters(self) -> None:
        for tags, asked in (("p=reject", False), ("p=reject; np=reject", False), ("p=none; np=reject", True)):
            self.resolver.asked.clear()
            self.policy("a.example.com", f"v=DMARC1; {tags}")
            self.assertEqual(("a.example.com", "CNAME") in self.resolver.asked, asked, tags)

    def test_testing_is_one_lower(self) -> None:
        """4.7, t."""
        for asked, holds in (("reject", "quarantine"), ("quarantine", "none"), ("none", "none")):
            self.assertEqual(self.policy("example.com", f"v=DMARC1; p={asked}; t=y"), holds)
            self.assertEqual(self.policy("example.com", f"v=DMARC1; p={asked}; t=n"), asked)
        self.assertEqual(self.policy("a.example.com", "v=DMARC1; p=none; sp=reject; t=y"), "quarantine")

    def test_pct_is_ignored(self) -> None:
        """A.6."""
        self.assertEqual(self.policy("example.com", "v=DMARC1; p=reject; pct=0"), "reject")

    def test_a_record_that_asks_for_nothing(self) -> None:
        """4.10.1, 9.2: no DMARC processing, and where its owner has written it wrong, permerror."""
        for tags, result in (("adkim=s", "none"), ("p=rejekt", "permerror"), ("p=reject; sp=x", "permerror")):
            self.publish("example.com", f"v=DMARC1; {tags}")
            found = self.check("example.com", dkim("example.com"))
            self.assertEqual((found.result, found.policy), (result, None), tags)

    def test_a_pass_says_the_policy_too(self) -> None:
        self.assertEqual(self.policy("example.com", PLAIN, dkim("example.com")), "reject")
        self.resolver.set("a.example.com", FAIL)
        self.assertIsNone(self.policy("a.example.com", "v=DMARC1; p=none; np=reject", dkim("example.com")))


class DnsTests(DmarcCase):
    """RFC 9989 5.3.6: what DNS does not tell is neither pass nor fail."""

    def test_no_answer_for_the_record(self) -> None:
        self.publish("example.com", FAIL)
        self.assertEqual(self.result("example.com", spf("example.com")), "temperror")
        self.assertEqual(self.result("a.example.com"), "temperror")
        self.publish("example.com", PLAIN)
        self.publish("com", FAIL)
        self.assertEqual(self.result("a.example.com", dkim("a.example.com")), "temperror")

    def test_no_answer_about_an_organisation(self) -> None:
        self.publish("example.com", PLAIN)
        self.publish("com", FAIL)
        self.assertEqual(self.result("example.com", dkim("a.example.com")), "temperror")
        self.assertEqual(self.result("example.com", dkim("a.example.com"), spf("example.com")), "pass")
        self.assertEqual(self.result("example.com", dkim("a.example.net")), "fail")

    def test_no_answer_for_spf_or_dkim_of_the_author(self) -> None:
        self.publish("example.com", PLAIN)
        for auth in (
            spf("example.com", "temperror"),
            dkim("a.example.com", "temperror"),
            AuthResult("dkim", "temperror"),
        ):
            result = self.check("example.com", auth, spf("x.example"))
            self.assertEqual((result.result, result.aligned), ("temperror", ()))
            self.assertEqual(self.result("example.com", auth, dkim("example.com")), "pass")

    def test_a_strangers_dns_does_not_help_it(self) -> None:
        """Else everybody could turn a fail into a temperror."""
        self.publish("example.com", PLAIN)
        self.publish("evil.com", FAIL)
        self.publish("evil.example", FAIL)
        auth = (spf("evil.com", "temperror"), dkim("evil.example", "temperror"), dkim("evil.com"))
        self.assertEqual(self.result("example.com", *auth), "fail")
        self.assertEqual([name for name, _ in self.resolver.asked if "evil" in name], [])

    def test_no_answer_about_existence(self) -> None:
        self.publish("example.com", "v=DMARC1; p=none; np=reject")
        self.resolver.set("a.example.com", FAIL)
        self.assertEqual(self.result("a.example.com"), "temperror")

    def test_the_usual_message_takes_one_question(self) -> None:
        self.publish("example.com", PLAIN)
        self.assertEqual(self.result("example.com", spf("example.com"), dkim("example.com")), "pass")
        self.assertEqual(self.resolver.asked, [("_dmarc.example.com", "TXT")])

    def test_hostile_answers(self) -> None:
        self.resolver.set("_dmarc.loop.example", {"CNAME": ["_dmarc.loop.example"]})
        self.resolver.set("_dmarc.large.example", {"TXT": [f"{PLAIN}; x={'y' * 65000}"]})
        self.resolver.set("_dmarc.many.example", {"TXT": [*(f"text {n}" for n in range(299)), PLAIN]})
        for author, result in (("loop", "temperror"), ("large", "permerror"), ("many", "fail")):
            self.assertEqual(self.result(f"{author}.example"), result, author)

    def test_questions_are_bounded(self) -> None:
        """Eight names for each of the author, SPF and five signatures, and whether it exists; none is asked twice."""
        author = ".".join("x" * 50) + ".example.com"
        self.publish("example.com", "v=DMARC1; p=none; np=reject")
        auth = [dkim(f"{n}.{'y.' * 60}example.com") for n in range(5)]
        self.check(author, spf(f"s.{author}"), *auth)
        self.assertLessEqual(len(self.resolver.asked), 7 * 8 + 1)
        self.assertEqual(len(set(self.resolver.asked)), len(self.resolver.asked))


class FuzzTests(DmarcCase):
    @settings(max_examples=300, deadline=None)
    @given(
        st.dictionaries(
            st.sampled_from(["a.b.example", "b.example", "example", "c.b.example"]),
            st.one_of(
                st.lists(
                    st.sampled_from(
                        ["p=", "sp=", "np=", "reject", "none", "psd=y", "psd=n", "t=y", ";", "rua=x:y", "adkim=s", "é"]
                    ),
                    max_size=12,
                ).map(lambda parts: "v=DMARC1; " + "".join(parts)),
                st.text(max_size=30),
                st.just(FAIL),
            ),
        ),
        st.sampled_from(["a.b.example", "b.example", "example", "x"]),
        st.lists(
            st.builds(
                lambda make, domain, result: make(domain, result),
                st.sampled_from([spf, dkim, helo]),
                st.one_of(
                    st.sampled_from(["a.b.example", "c.b.example", "b.example", "example"]), st.text(max_size=12)
                ),
                st.sampled_from(["pass", "temperror", "fail"]),
            ),
            max_size=6,
        ),
    )
    def test_any_records_and_results(self, zone: dict[str, str], author: str, auth: list[AuthResult]) -> None:
        self.resolver = FakeResolver()
        for domain, text in zone.items():
            self.publish(domain, text)
        result = self.check(author, *auth)
        self.assertIn(result.result, ("pass", "fail", "none", "temperror", "permerror"))
        self.assertEqual(result.result == "pass", bool(result.aligned))
        if result.result == "fail":
            self.assertIn(result.policy, ("none", "quarantine", "reject"))

"""MTA-STS and [tls_policies]: with which MX hosts, and how (RFC 8461 4, 5; features 4.5)."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from mailgw.config import schema
from mailgw.delivery.classify import Unreachable
from mailgw.delivery.sessions import Sessions
from mailgw.delivery.tls.choice import AccessChooser, Choice, problem_result
from mailgw.mail.tlsresult import AppliedPolicy, TlsResult
from mailgw.mta_sts.fetching import FetchError
from mailgw.mta_sts.finder import PolicyFinder, Problem
from mailgw.operation.threads import ThreadsInline
from mailgw.queue.item import Delayed
from tests.fakes import FakeResolver
from tests.mta_sts.case import POLICY, MemoryStore, Web

DOMAIN = "example.org"
HOSTS = ("mx.example.org", "backup.example.net")
APPLIED = AppliedPolicy(
    "sts",
    ("version: STSv1", "mode: enforce", "mx: mx.example.org", "max_age: 604800"),
    ("mx.example.org",),
)


class ChoiceTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.resolver = FakeResolver({f"_mta-sts.{DOMAIN}": {"TXT": ["v=STSv1; id=1"]}})
        self.web = Web()
        self.clock = Clock()
        self.clock.advance(1_000_000)
        self.finder = PolicyFinder(self.resolver, self.web, MemoryStore(), self.clock)
        self.seen: list[TlsResult] = []

    def choose(
        self, policy: dict[str, Any] | None = None, hosts: Sequence[str] = HOSTS, domain: str = DOMAIN, **how: Any
    ) -> Choice:
        policies = {DOMAIN: schema.TlsPolicy(**policy)} if policy is not None else {}
        chooser = AccessChooser(policies, self.finder, self.seen.append)
        return self.successResultOf(Deferred.fromCoroutine(chooser.choose(domain, hosts, **how)))

    def nobody(self, hosts: Sequence[str]) -> Delayed:
        chooser = AccessChooser({}, self.finder, self.seen.append)
        failure = self.failureResultOf(Deferred.fromCoroutine(chooser.choose(DOMAIN, hosts)), Unreachable)
        outcome = failure.value.outcome
        assert isinstance(outcome, Delayed)
        return outcome


class EnforceTests(ChoiceTestCase):
    def test_the_hosts_that_it_names_by_verified_tls(self) -> None:
        choice = self.choose()
        self.assertEqual((choice.access.tls, choice.access.basis), ("verified", "mta-sts"))
        self.assertEqual(choice.hosts, ("mx.example.org",))
        self.assertEqual(choice.policy, APPLIED)

    def test_the_spelling_of_a_domain_and_of_hosts(self) -> None:
        self.assertEqual(self.choose(domain="Example.ORG", hosts=["MX.Example.org"]).hosts, ("MX.Example.org",))

    def test_hosts_that_it_does_not_name_are_passed_over(self) -> None:
        hosts = ("a.example.net", "mx.example.org", "b.example.net", "c.example.net", "mx2.example.org", "d.example")
        self.web.answer = POLICY + b"mx: mx2.example.org\n"
        choice = self.choose(hosts=hosts)
        self.assertEqual(choice.passed_over("mx.example.org"), ["a.example.net"])
        self.assertEqual(choice.passed_over("mx2.example.org"), ["b.example.net", "c.example.net"])
        self.assertEqual(self.seen, [])  # until a session is opened

    def test_what_is_not_held_to_it_may_go_anywhere(self) -> None:
        """RFC 8689 3, RFC 8460 5.3."""
        choice = self.choose(hosts=["mx.evil.example"], held=False)
        self.assertEqual((choice.access.tls, choice.hosts), ("opportunistic", ("mx.evil.example",)))
        self.assertEqual((self.seen, self.web.urls), ([], []))

    def test_nobody_is_named(self) -> None:
        """RFC 8461 5: it waits, and what is wrong and what to do is said."""
        outcome = self.nobody(["mx.evil.example"])
        self.assertEqual(outcome.status, "4.7.5")
        reason = "the MTA-STS policy does not name the host"
        wanted = TlsResult(DOMAIN, APPLIED, failure="validation-failure", mx_host="mx.evil.example", reason=reason)
        self.assertEqual(self.seen, [wanted])
        for words in ("(mx.evil.example)", "names mx.example.org", "id 1", 'in [tls_policies."example.org"]'):
            self.assertIn(words, outcome.reason)
        self.assertFalse(outcome.site_wide)  # other domains may well have these hosts

    def test_nobody_is_named_and_the_policy_has_been_corrected_without_a_new_id(self) -> None:
        self.choose()
        self.web.answer = POLICY.replace(b"mx.example.org", b"new.example.org")
        self.clock.advance(3600)
        self.assertEqual(self.choose(hosts=["new.example.org"]).hosts, ("new.example.org",))

    def test_none_takes_it_back(self) -> None:
        self.choose()
        self.resolver.set(f"_mta-sts.{DOMAIN}", {"TXT": ["v=STSv1; id=2"]})
        self.web.answer = b"version: STSv1\nmode: none\nmax_age: 86400\n"
        choice = self.choose(hosts=["mx.evil.example"])
        self.assertEqual((choice.access.tls, choice.policy.type), ("opportunistic", "no-policy-found"))

    def test_a_policy_that_cannot_be_had(self) -> None:
        """RFC 8461 3.3: then it is as if there were none."""
        self.web.answer = FetchError("the answer is 404")
        choice = self.choose()
        self.assertEqual((choice.access.tls, choice.hosts), ("opportunistic", HOSTS))

    def test_not_of_a_domain_above_nor_of_an_address(self) -> None:
        """RFC 8461 3.4."""
        for domain in ("mail.example.org", "[192.0.2.1]", "localhost"):
            self.assertEqual(self.choose(domain=domain).access.tls, "opportunistic")


class TestingTests(ChoiceTestCase):
    def test_mail_goes_on_and_what_would_fail_is_reported(self) -> None:
        self.web.answer = POLICY.replace(b"enforce", b"testing")
        choice = self.choose()
        self.assertEqual((choice.access.tls, choice.hosts), ("opportunistic", HOSTS))
        self.assertEqual(choice.policy.type, "sts")
        self.assertEqual(choice.unnamed, {"backup.example.net"})

    def test_nobody_is_named(self) -> None:
        self.web.answer = POLICY.replace(b"enforce", b"testing")
        self.assertEqual(self.choose(hosts=["a.example", "b.example"]).hosts, ("a.example", "b.example"))


class OrderTests(ChoiceTestCase):
    def test_it_strengthens_what_the_configuration_wants(self) -> None:
        for tls in ("opportunistic", "required", "verified"):
            choice = self.choose({"tls": tls})
            self.assertEqual((choice.access.tls, choice.access.basis), ("verified", "mta-sts"), tls)
            self.assertEqual(choice.hosts, ("mx.example.org",))

    def test_none_is_clear_text_whatever_the_domain_publishes(self) -> None:
        choice = self.choose({"tls": "none"})
        self.assertEqual((choice.access.tls, choice.hosts, self.web.urls), ("none", HOSTS, []))

    def test_a_newer_tls_stays_demanded(self) -> None:
        self.assertEqual(self.choose({"minimum_version": "1.3"}).access.minimum_version, "1.3")

    def test_what_the_configuration_wants_stays_where_it_is_only_tested(self) -> None:
        self.web.answer = POLICY.replace(b"enforce", b"testing")
        choice = self.choose({"tls": "required"})
        self.assertEqual((choice.access.tls, choice.access.basis), ("required", "policy"))

    def test_it_can_be_ignored(self) -> None:
        choice = self.choose({"tls": "opportunistic", "ignore": ("mta-sts",)}, hosts=["mx.evil.example"])
        self.assertEqual((choice.access.tls, choice.access.dane), ("opportunistic", True))
        self.assertEqual((self.web.urls, self.seen), ([], []))
        self.assertFalse(self.choose({"ignore": ("dane", "mta-sts")}).access.dane)


class ProblemTests(SynchronousTestCase):
    def test_what_is_reported(self) -> None:
        """RFC 8460 4.3.2.2; it has no word for DNS that is silent."""
        for kind, failure in (
            ("fetch", "sts-policy-fetch-error"),
            ("webpki", "sts-webpki-invalid"),
            ("invalid", "sts-policy-invalid"),
        ):
            result = problem_result(DOMAIN, None, Problem(kind, "why"))  # type: ignore[arg-type]
            assert result is not None
            self.assertEqual((result.failure, result.policy.type, result.reason), (failure, "sts", "why"))
        self.assertIsNone(problem_result(DOMAIN, None, Problem("dns", "why")))


class SiteTests(ChoiceTestCase):
    """Domains on the same hosts share a site, but for those that have them spoken to in another way."""

    def sessions(self) -> Sessions:
        for domain in (DOMAIN, "other.example"):
            self.resolver.set(domain, {"MX": [(10, HOSTS[0]), (20, HOSTS[1])]})
        network: Any = self.clock
        chooser = AccessChooser({}, self.finder, self.seen.append)
        args = (self.resolver, schema.Relay(), {}, "gw.example.com", ThreadsInline(), random.Random(1))
        return Sessions(network, *args, chooser=chooser)

    def test_sites_and_pools(self) -> None:
        sessions = self.sessions()

        def ask(question: Any) -> Any:
            return self.successResultOf(Deferred.fromCoroutine(question))

        plain = ask(sessions.site("mx:other.example"))
        self.assertEqual(plain, "mx:backup.example.net,mx.example.org")
        # The scheduler's question does not wait for a web server.
        self.assertEqual(ask(sessions.site(f"mx:{DOMAIN}")), plain)
        self.assertEqual(self.web.urls, [])
        hops = ask(sessions.next_hops(f"mx:{DOMAIN}"))
        self.assertEqual((hops.hosts, hops.policy), ((("mx.example.org", 25),), APPLIED))
        self.assertNotEqual(hops.key, ask(sessions.next_hops("mx:other.example")).key)
        self.assertEqual(ask(sessions.site(f"mx:{DOMAIN}")), "mx:mx.example.org;verified")
        # Reports on TLS wait behind nothing that TLS is in the way of.
        self.assertEqual(ask(sessions.site(f"mx-any-tls:{DOMAIN}")), f"{plain};any tls")
        freely = ask(sessions.next_hops(f"mx-any-tls:{DOMAIN}"))
        self.assertEqual([host for host, _ in freely.hosts], ["mx.example.org", "backup.example.net"])
        self.assertEqual(freely, ask(sessions.next_hops(f"mx:{DOMAIN}", held=False)))

    def test_no_connection_to_a_host_that_the_policy_leaves_out(self) -> None:
        """Two domains with the same MX hosts, whose policies name one each, share no connection."""
        sessions = self.sessions()
        self.resolver.set("_mta-sts.other.example", {"TXT": ["v=STSv1; id=1"]})
        first = self.successResultOf(Deferred.fromCoroutine(sessions.next_hops(f"mx:{DOMAIN}")))
        self.web.answer = POLICY.replace(b"mx.example.org", b"backup.example.net")
        second = self.successResultOf(Deferred.fromCoroutine(sessions.next_hops("mx:other.example")))
        self.assertEqual(first.access, second.access)
        self.assertNotEqual(first.key, second.key)

"""Whose policy holds: recipient before domain before site, each key by itself."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from mailgw.config.schema import Override, Thresholds
from mailgw.mail.address import Mailbox
from mailgw.verdict.policies import Policies
from mailgw.verdict.policy import Policy

SITE = Policy({"A": 1.0, "B": 2.0}, Thresholds(spam=6.0, reject=15.0), {"B": "spam"})
POLICIES = Policies(
    SITE,
    {
        "alice@example.org": Override(thresholds={"spam": 3.0}, scores={"A": 0.5}),
        "example.org": Override(thresholds={"spam": 5.0, "reject": 10.0}, rules={"A": "hold"}),
        "b\u00fccher.example": Override(thresholds={"spam": 4.0}),
    },
    {"example.org": Override(thresholds={"outbound_hold": 9.0})},
)


def policy_of(*addresses: str) -> Policy:
    ((policy, numbers),) = POLICIES.groups([[Mailbox.parse(address) for address in addresses]])
    assert numbers == (0,)
    return policy


class PoliciesTests(SynchronousTestCase):
    def test_an_address_goes_before_its_domain_key_by_key(self) -> None:
        policy = policy_of("alice@example.org")
        self.assertEqual((policy.thresholds.spam, policy.thresholds.reject), (3.0, 10.0))
        self.assertEqual(policy.weights, {"A": 0.5, "B": 2.0})
        self.assertEqual(policy.rules, {"A": "hold", "B": "spam"})

    def test_each_key_knows_its_section(self) -> None:
        self.assertEqual(
            policy_of("alice@example.org").origins,
            {
                "thresholds.spam": 'recipients."alice@example.org"',
                "scores.A": 'recipients."alice@example.org"',
                "thresholds.reject": 'recipients."example.org"',
                "rules.A": 'recipients."example.org"',
            },
        )

    def test_a_domain(self) -> None:
        self.assertEqual(policy_of("bob@example.org").thresholds.spam, 5.0)
        self.assertIs(policy_of("bob@sub.example.org"), SITE)

    def test_spelling_does_not_count(self) -> None:
        self.assertEqual(policy_of("ALICE@Example.ORG").thresholds.spam, 3.0)
        self.assertEqual(policy_of("x@xn--bcher-kva.example").thresholds.spam, 4.0)

    def test_the_mailbox_behind_an_address_counts_too(self) -> None:
        self.assertEqual(policy_of("alice+shop@example.org", "alice@example.org").thresholds.spam, 3.0)
        self.assertEqual(policy_of("info@elsewhere.example", "bob@example.org").thresholds.spam, 5.0)

    def test_recipients_of_one_policy_are_one_group(self) -> None:
        addresses = ("a@x.example", "alice@example.org", "b@y.example", "bob@example.org")
        groups = POLICIES.groups([[Mailbox.parse(address)] for address in addresses])
        self.assertEqual([numbers for _, numbers in groups], [(0, 2), (1,), (3,)])

    def test_without_recipients_it_is_the_sites(self) -> None:
        self.assertEqual(POLICIES.groups([]), [(SITE, ())])

    def test_users(self) -> None:
        self.assertEqual(POLICIES.of_user("ann@example.org").thresholds.outbound_hold, 9.0)
        self.assertIs(POLICIES.of_user("ann@example.net"), SITE)
        self.assertIs(POLICIES.of_user("no address"), SITE)

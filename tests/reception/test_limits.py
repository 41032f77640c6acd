"""Session counts and error counts."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from mailgw.config.schema import Limits
from mailgw.mail.transaction import Service
from mailgw.reception.limits import ErrorCount, SessionCount


def addresses(number: int) -> list[str]:
    """So many IPv4 addresses, each of a network of its own."""
    return [f"10.{n // 256}.{n % 256}.1" for n in range(number)]


class SessionCountTests(SynchronousTestCase):
    def fill(self, count: SessionCount, service: Service, addresses: Iterable[str], **where: Any) -> list[str | None]:
        """Enter once for each address; give what was full each time."""
        return [count.enter(service, address, **where) for address in addresses]

    def test_a_share_is_kept_for_submission(self) -> None:
        count = SessionCount(Limits(connections=10, submission_reserve=3))
        self.assertEqual(self.fill(count, "mx", addresses(20)), [None] * 7 + ["all"] * 13)
        self.assertEqual(self.fill(count, "submission", addresses(20)), [None] * 3 + ["all"] * 17)
        self.assertEqual(count.enter("mx", "203.0.113.9"), "all")

    def test_submission_may_use_more_than_its_share(self) -> None:
        count = SessionCount(Limits(connections=10, submission_reserve=3))
        self.assertEqual(self.fill(count, "submission", addresses(20)), [None] * 10 + ["all"] * 10)

    def test_a_place_that_was_left_is_free_again(self) -> None:
        count = SessionCount(Limits(connections=2, submission_reserve=1))
        self.assertIsNone(count.enter("mx", "192.0.2.1"))
        self.assertEqual(count.enter("mx", "192.0.2.1"), "all")
        count.leave("mx", "192.0.2.1")
        self.assertIsNone(count.enter("mx", "192.0.2.1"))

    def test_an_address_and_its_network_have_their_own_limits(self) -> None:
        count = SessionCount(Limits(connections_per_address=2, connections_per_network=3))
        self.assertEqual(self.fill(count, "mx", ["192.0.2.1"] * 3), [None, None, "address"])
        self.assertEqual(self.fill(count, "mx", ["192.0.2.7", "192.0.2.8"]), [None, "network"])
        self.assertIsNone(count.enter("mx", "192.0.3.1"))
        count.leave("mx", "192.0.2.7")
        self.assertIsNone(count.enter("mx", "192.0.2.8"))

    def test_an_ipv6_host_has_a_64_and_a_network_a_56(self) -> None:
        count = SessionCount(Limits(connections_per_address=2, connections_per_network=3))
        self.assertEqual(self.fill(count, "mx", ["2001:db8::1", "2001:db8::2", "2001:db8::3"]), [None, None, "address"])
        self.assertEqual(self.fill(count, "mx", ["2001:db8:0:1::1", "2001:db8:0:ff::1"]), [None, "network"])
        self.assertIsNone(count.enter("mx", "2001:db8:0:100::1"))

    def test_a_flood_on_the_mx_port_takes_nothing_from_submission(self) -> None:
        count = SessionCount(Limits(connections_per_address=2))
        self.fill(count, "mx", ["192.0.2.1"] * 5)
        self.assertIsNone(count.enter("submission", "192.0.2.1"))

    def test_our_own_networks_count_in_all_only(self) -> None:
        count = SessionCount(Limits(connections=10, submission_reserve=1, connections_per_address=2))
        self.assertEqual(self.fill(count, "mx", ["127.0.0.1"] * 10, own=True), [None] * 9 + ["all"])

    def test_good_history_gives_more_room(self) -> None:
        count = SessionCount(Limits(connections_per_address=2, connections_per_network=100))
        self.assertEqual(self.fill(count, "mx", ["192.0.2.1"] * 9, factor=4.0), [None] * 8 + ["address"])

    def test_who_has_no_session_is_not_held(self) -> None:
        count = SessionCount(Limits(connections=5000))
        many = addresses(600)
        self.fill(count, "mx", many)
        self.assertGreater(len(count), 600)
        for address in many:
            count.leave("mx", address)
        self.assertEqual((len(count), count.total), (0, 0))

    def test_load_begins_at_four_fifths(self) -> None:
        count = SessionCount(Limits(connections=10, submission_reserve=1))
        self.fill(count, "mx", addresses(8))
        self.assertFalse(count.under_load)
        self.fill(count, "submission", addresses(1))
        self.assertTrue(count.under_load)


class ErrorCountTests(SynchronousTestCase):
    def test_delay_begins_behind_the_soft_limit(self) -> None:
        count = ErrorCount(Limits(soft_errors=2))
        delays = []
        for _ in range(4):
            count.errors += 1
            delays.append(count.delay > 0)
        self.assertEqual(delays, [False, False, True, True])

    def test_each_limit_ends_the_session_with_its_reason(self) -> None:
        limits = Limits(hard_errors=3, unknown_recipients=2, auth_failures=1)
        self.assertEqual(ErrorCount(limits).exhausted, "")
        self.assertIn("errors", ErrorCount(limits, errors=3).exhausted)
        self.assertIn("recipients", ErrorCount(limits, unknown_recipients=2).exhausted)
        self.assertIn("logins", ErrorCount(limits, auth_failures=1).exhausted)

"""Rates: how much is taken within a time, and for whom."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from mailgw.config.schema import Rate
from mailgw.mail.address import Mailbox
from mailgw.mail.transaction import Client, Service
from mailgw.reception.rates import Counts, Exceeded, Limiter, Once, Rates, Subject, duration, exceeded, pattern

NOW = 1_700_000_000.0


def client(address: str = "192.0.2.1", identity: str = "", service: Service = "mx") -> Client:
    return Client("ID", service, address, identity=identity)


class LimiterTests(SynchronousTestCase):
    def take(self, limiter: Limiter, now: float, tries: int, key: str = "k", factor: float = 1.0) -> int:
        """Try so often; give how many were taken."""
        taken = 0
        for _ in range(tries):
            if not limiter.wait(key, now, factor):
                limiter.count(key, now, factor)
                taken += 1
        return taken

    def test_all_of_it_may_come_at_once_and_comes_back_evenly(self) -> None:
        limiter = Limiter("x", Rate(limit=10, period=60.0))
        self.assertEqual(self.take(limiter, NOW, 50), 10)
        self.assertEqual(self.take(limiter, NOW + 5, 50), 0)
        self.assertEqual(self.take(limiter, NOW + 6, 50), 1)
        self.assertEqual(self.take(limiter, NOW + 36, 50), 5)
        self.assertEqual(self.take(limiter, NOW + 1000, 50), 10)

    def test_exactly_the_limit_whatever_it_is(self) -> None:
        for limit in (1, 3, 7, 60, 999, 20_000):
            for period in (0.1, 60.0, 86400.0):
                limiter = Limiter("x", Rate(limit=limit, period=period))
                self.assertEqual(self.take(limiter, NOW, limit + 50), limit, (limit, period))

    def test_what_is_refused_does_not_count(self) -> None:
        limiter = Limiter("x", Rate(limit=1, period=60.0))
        self.assertEqual(sum(self.take(limiter, NOW + second, 10) for second in range(600)), 10)

    def test_the_wait_is_until_one_more_is_taken(self) -> None:
        limiter = Limiter("x", Rate(limit=2, period=60.0))
        self.take(limiter, NOW, 2)
        self.assertAlmostEqual(limiter.wait("k", NOW), 30.0, 3)
        self.assertAlmostEqual(limiter.wait("k", NOW + 20), 10.0, 3)

    def test_keys_do_not_touch_each_other(self) -> None:
        limiter = Limiter("x", Rate(limit=2))
        self.take(limiter, NOW, 5, "a")
        self.assertEqual(self.take(limiter, NOW, 5, "b"), 2)

    def test_a_factor_multiplies_the_limit(self) -> None:
        limiter = Limiter("x", Rate(limit=10, period=60.0))
        self.assertEqual(self.take(limiter, NOW, 100, factor=4.0), 40)
        self.assertEqual(self.take(limiter, NOW + 6, 100, factor=4.0), 4)

    def test_a_clock_that_is_set_back_locks_nobody_out(self) -> None:
        limiter = Limiter("x", Rate(limit=10, period=60.0))
        self.take(limiter, NOW, 10)
        self.assertEqual(self.take(limiter, NOW - 3600, 50), 10)

    def test_memory_is_bounded(self) -> None:
        limiter = Limiter("x", Rate(limit=10), capacity=100)
        for number in range(1000):
            limiter.count(str(number), NOW)
        self.assertEqual(len(limiter), 100)

    def test_the_busy_are_remembered_when_a_table_is_full(self) -> None:
        limiter = Limiter("x", Rate(limit=10), capacity=100)
        self.take(limiter, NOW, 10, "busy")
        for number in range(1000):
            limiter.count(str(number), NOW)
            if number % 50 == 0:
                limiter.count("busy", NOW)
        self.assertEqual(self.take(limiter, NOW, 10, "busy"), 0)

    def test_idle_keys_vanish(self) -> None:
        limiter = Limiter("x", Rate(limit=10, period=60.0))
        for number in range(100):
            limiter.count(str(number), NOW)
        for number in range(100):
            limiter.count("one", NOW + 3600 + number)
        self.assertEqual(len(limiter), 1)


class RateTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.rates = Rates({})

    def ask(self, counts: Counts, subject: Subject, times: int = 1, *, own: bool = False) -> Exceeded | None:
        """Ask so often; give the last answer."""
        limiters = self.rates.of(subject.client.service, counts)
        for _ in range(times):
            found = exceeded(limiters, subject, NOW, own=own, factor=1.0)
        return found

    def test_defaults_hold_until_a_section_replaces_them(self) -> None:
        self.assertIsNone(self.ask("connections", Subject(client()), 60))
        found = self.ask("connections", Subject(client()))
        assert found is not None
        self.assertEqual((found.name, found.key, found.limit), ("connections", "192.0.2.1", 60))
        self.rates = Rates({"connections": Rate("connections", "address", 2)})
        self.assertIsNone(self.ask("connections", Subject(client()), 2))
        self.assertIsNotNone(self.ask("connections", Subject(client())))

    def test_a_limit_of_0_switches_a_default_off(self) -> None:
        self.rates = Rates({"connections": Rate(limit=0)})
        self.assertEqual(self.rates.of("mx", "connections"), ())

    def test_listeners(self) -> None:
        self.assertIsNone(self.ask("messages", Subject(client(service="submission")), 1000))
        self.assertIsNotNone(self.ask("messages", Subject(client()), 1000))

    def test_own_networks_are_exempt_as_hosts_only(self) -> None:
        self.rates = Rates({"all": Rate("messages", "all", 5)})
        self.assertIsNone(self.ask("connections", Subject(client()), 1000, own=True))
        found = self.ask("messages", Subject(client()), 6, own=True)
        assert found is not None
        self.assertEqual(found.name, "all")

    def test_each_key(self) -> None:
        whole = Subject(
            client("2001:db8:0:1::5", "alice@ours.example", "submission"),
            Mailbox("Alice", "bücher.example"),
            Mailbox("Bob", "there.example"),
        )
        for key, expected in {
            "address": "2001:db8:0:1::/64",
            "network": "2001:db8::/56",
            "user": "alice@ours.example",
            "sender": "alice@xn--bcher-kva.example",
            "sender_domain": "xn--bcher-kva.example",
            "recipient": "bob@there.example",
            "recipient_domain": "there.example",
            "all": "all",
        }.items():
            self.assertEqual(Limiter("x", Rate("recipients", key, 1)).key_of(whole), expected)  # type: ignore[arg-type]

    def test_what_is_not_known_is_not_counted(self) -> None:
        for key in ("user", "sender", "sender_domain", "recipient"):
            limiter = Limiter("x", Rate("recipients", key, 1))  # type: ignore[arg-type]
            self.assertEqual(limiter.key_of(Subject(client())), "", key)

    def test_one_class_of_users_gets_its_own(self) -> None:
        self.rates = Rates(
            {
                "user_recipients": Rate("recipients", "user", 3, listeners=("submission",)),
                "bulk": Rate("recipients", "user", 8, only=("news@ours.example", "*@apps.ours.example")),
                "free": Rate("recipients", "user", 0, only=("robot@ours.example",)),
            }
        )
        taken = {}
        for user in ("alice", "news", "robot"):
            subject = Subject(client(identity=f"{user}@ours.example", service="submission"))
            taken[user] = sum(self.ask("recipients", subject) is None for _ in range(50))
        self.assertEqual(taken, {"alice": 3, "news": 8, "robot": 50})

    def test_networks_in_only(self) -> None:
        self.rates = Rates({"partner": Rate("connections", "address", 2, only=("198.51.100.0/24", "2001:db8::/32"))})
        for address in ("198.51.100.7", "2001:db8::7"):
            found = self.ask("connections", Subject(client(address)), 3)
            assert found is not None
            self.assertEqual(found.name, "partner")
        self.assertIsNone(self.ask("connections", Subject(client("192.0.2.1")), 3))

    def test_what_one_rate_refuses_no_other_counts(self) -> None:
        self.rates = Rates(
            {"wide": Rate("recipients", "all", 10), "narrow": Rate("recipients", "recipient", 1), "recipients": Rate()}
        )
        self.ask("recipients", Subject(client(), None, Mailbox("a", "x.example")), 50)
        for name in "bcdefghij":
            self.assertIsNone(self.ask("recipients", Subject(client(), None, Mailbox(name, "x.example"))))
        found = self.ask("recipients", Subject(client(), None, Mailbox("k", "x.example")))
        assert found is not None
        self.assertEqual(found.name, "wide")


class OnceTests(SynchronousTestCase):
    def test_once_in_a_period(self) -> None:
        once = Once()
        told = [second for second in range(200) if once.first("x", NOW + second, 60.0)]
        self.assertEqual(told, [0, 60, 120, 180])

    def test_memory_is_bounded(self) -> None:
        once = Once(capacity=10)
        for number in range(100):
            once.first(number, NOW, 60.0)
        self.assertEqual(len(once), 10)


class WordTests(SynchronousTestCase):
    def test_durations(self) -> None:
        for seconds, words in (
            (0.2, "1 second"),
            (30.1, "31 seconds"),
            (60.0, "60 seconds"),
            (600.0, "10 minutes"),
            (7100, "119 minutes"),
            (86400.0, "24 hours"),
        ):
            self.assertEqual(duration(seconds), words)

    def test_patterns(self) -> None:
        for text, value, fits in (
            ("*@example.org", "a@example.org", True),
            ("*@example.org", "a@example.org.evil.example", False),
            ("news-*@example.org", "news-7@Example.org", True),
            ("a.c@example.org", "abc@example.org", False),
            ("*", "anything", True),
        ):
            self.assertEqual(bool(pattern([text]).fullmatch(value)), fits, (text, value))

"""Passwords against the users file."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from argon2 import PasswordHasher
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import LogLevel, capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from mailgw.mail.reply import TemporaryFailure
from mailgw.reception.credentials import MAX_PASSWORD, UserFile, hash_password

# Hashes as the gateway makes them take 27 ms each: most tests have cheaper ones.
CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


class CountingThreads:
    """Runs work in place, or keeps it until it is told to; counts the password checks."""

    def __init__(self) -> None:
        self.checks: list[str] = []
        self.held: list[Deferred[None]] | None = None

    async def run(self, work: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if work.__name__ == "_matches":
            self.checks.append(args[0])
            if self.held is not None:
                gate: Deferred[None] = Deferred()
                self.held.append(gate)
                await gate
        return work(*args, **kwargs)


class CredentialsTest(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1_000_000)
        self.threads = CountingThreads()
        self.path = Path(self.mktemp()).absolute()
        self.alice = CHEAP.hash("alice's")
        self.write(f"Alice@example.org:{self.alice}\nbob@example.org:{CHEAP.hash('bob')}\nlist@example.org:!\n")
        self.users = self.user_file()

    def user_file(self, **settings: Any) -> UserFile:
        return UserFile(str(self.path), self.threads, self.clock, **settings)

    def write(self, text: str) -> None:
        # Replaced, as `mailgw user` does it: the inode changes even where the time does not.
        temporary = self.path.with_suffix(".new")
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, self.path)

    def start(self, username: str, password: str) -> Deferred[str | None]:
        return Deferred.fromCoroutine(self.users.verify(username, password))

    def verify(self, username: str, password: str) -> str | None:
        return self.successResultOf(self.start(username, password))


class VerifyTests(CredentialsTest):
    def test_the_right_password(self) -> None:
        for username in ("Alice@example.org", "alice@EXAMPLE.org"):
            self.assertEqual(self.verify(username, "alice's"), "alice@example.org", username)

    def test_everything_else(self) -> None:
        for username, password in (
            ("alice@example.org", "alice"),
            ("alice@example.org", ""),
            ("alice@example.org", "alice's\0"),
            ("alice@example.org", "bob"),
            ("alice", "alice's"),
            ("", ""),
            ("alice+x@example.org", "alice's"),
            ("alice@elsewhere.example", "alice's"),
            ("list@example.org", ""),
            ("list@example.org", "!"),
            ("a b@@", "x"),
            ("alice@example.org\n", "alice's"),
            ("\udcff@example.org", "x"),
            ("alice@example.org", "\udcff"),
        ):
            self.assertIsNone(self.verify(username, password), (username, password))

    def test_the_hash_of_new_passwords(self) -> None:
        encoded = hash_password("caf\u00e9")
        self.assertTrue(encoded.startswith("$argon2id$v=19$m=19456,t=2,p=1$"))
        self.write(f"alice@example.org:{encoded}\n")
        # However a client composes the characters (RFC 8265 4.2.2).
        self.assertEqual(self.verify("alice@example.org", "cafe\u0301"), "alice@example.org")

    def test_a_password_beyond_all_measure(self) -> None:
        self.write(f"alice@example.org:{CHEAP.hash('x' * MAX_PASSWORD)}\n")
        self.assertEqual(self.verify("alice@example.org", "x" * MAX_PASSWORD), "alice@example.org")
        self.assertIsNone(self.verify("alice@example.org", "x" * (MAX_PASSWORD + 1)))

    def test_who_is_unknown_costs_the_same(self) -> None:
        for username in ("nobody@example.org", "nonsense", "list@example.org"):
            self.threads.checks.clear()
            # bob's password: the stand-in's hash must not let it in.
            self.assertIsNone(self.verify(username, "bob"))
            self.assertEqual(len(self.threads.checks), 1)
            self.assertIn("$m=8,t=1,p=1$", self.threads.checks[0])

    def test_without_any_user_a_password_is_checked_too(self) -> None:
        self.write("# nobody\n")
        self.assertIsNone(self.verify("nobody@example.org", "x"))
        self.assertIn("$m=19456,t=2,p=1$", self.threads.checks[0])

    def test_no_secret_is_logged(self) -> None:
        with capturedLogs() as events:
            self.verify("alice@example.org", "alice's")
            self.verify("alice@example.org", "wrong-one")
        for event in events:
            self.assertNotIn("alice's", repr(event))
            self.assertNotIn("wrong-one", repr(event))
            self.assertNotIn(self.alice, repr(event))


class CacheTests(CredentialsTest):
    def test_a_success_is_kept_for_a_while(self) -> None:
        self.users = self.user_file(cache_time=300.0)
        for _ in range(3):
            self.assertEqual(self.verify("alice@example.org", "alice's"), "alice@example.org")
        self.assertEqual(len(self.threads.checks), 1)
        self.clock.advance(299)
        self.verify("alice@example.org", "alice's")
        self.assertEqual(len(self.threads.checks), 1)
        self.clock.advance(1)
        self.verify("alice@example.org", "alice's")
        self.assertEqual(len(self.threads.checks), 2)

    def test_a_failure_is_not(self) -> None:
        self.verify("alice@example.org", "x")
        self.verify("alice@example.org", "x")
        self.assertEqual(len(self.threads.checks), 2)

    def test_it_is_for_that_password_and_user_only(self) -> None:
        self.verify("alice@example.org", "alice's")
        self.assertIsNone(self.verify("alice@example.org", "alice"))
        self.assertIsNone(self.verify("bob@example.org", "alice's"))
        self.assertIsNone(self.verify("nobody@example.org", "alice's"))

    def test_a_new_password_ends_it(self) -> None:
        self.verify("alice@example.org", "alice's")
        self.write(f"alice@example.org:{CHEAP.hash('new')}\n")
        self.clock.advance(1)
        self.assertIsNone(self.verify("alice@example.org", "alice's"))
        self.assertEqual(self.verify("alice@example.org", "new"), "alice@example.org")

    def test_it_is_bounded(self) -> None:
        self.users = self.user_file(cache_size=1)
        self.verify("alice@example.org", "alice's")
        self.verify("bob@example.org", "bob")
        self.verify("bob@example.org", "bob")
        self.assertEqual(len(self.threads.checks), 2)
        self.verify("alice@example.org", "alice's")
        self.assertEqual(len(self.threads.checks), 3)


class ReloadTests(CredentialsTest):
    def test_a_change_is_seen_within_a_second(self) -> None:
        self.assertIsNone(self.verify("carol@example.org", "c"))
        self.write(f"carol@example.org:{CHEAP.hash('c')}\n")
        self.assertIsNone(self.verify("carol@example.org", "c"))
        self.clock.advance(1)
        self.assertEqual(self.verify("carol@example.org", "c"), "carol@example.org")
        self.assertIsNone(self.verify("alice@example.org", "alice's"))

    def test_a_broken_file_changes_nothing_and_is_logged_once(self) -> None:
        self.verify("alice@example.org", "alice's")
        self.write("nonsense\n")
        with capturedLogs() as events:
            for _ in range(3):
                self.clock.advance(1)
                self.assertEqual(self.verify("alice@example.org", "alice's"), "alice@example.org")
        (event,) = [event for event in events if event["log_level"] == LogLevel.error]
        self.assertEqual(event["event"], "users_refused")
        self.assertIn(f"{self.path}:1", event["problem"])

    def test_a_missing_file_changes_nothing(self) -> None:
        self.verify("alice@example.org", "alice's")
        self.path.unlink()
        self.clock.advance(1)
        self.assertEqual(self.verify("alice@example.org", "alice's"), "alice@example.org")

    def test_a_file_that_never_was_there_is_a_temporary_failure(self) -> None:
        self.path.unlink()
        for _ in range(2):
            failure = self.failureResultOf(self.start("alice@example.org", "alice's"), TemporaryFailure)
            self.assertIn(str(self.path), failure.value.cause)
        self.write(f"alice@example.org:{self.alice}\n")
        self.assertEqual(self.verify("alice@example.org", "alice's"), "alice@example.org")

    def test_hashes_of_other_costs_are_noted_once(self) -> None:
        with capturedLogs() as events:
            self.verify("alice@example.org", "alice's")
            self.clock.advance(1000)
            self.verify("alice@example.org", "alice's")
        noted = [event for event in events if event.get("event") == "password_needs_rehash"]
        self.assertEqual([event["identity"] for event in noted], ["alice@example.org"])


class ConcurrencyTests(CredentialsTest):
    def test_at_most_so_many_at_once(self) -> None:
        self.users = self.user_file(concurrency=2)
        self.threads.held = held = []
        results = [self.start("alice@example.org", f"wrong {n}") for n in range(5)]
        self.assertEqual(len(held), 2)
        held[0].callback(None)
        self.assertEqual(len(held), 3)
        for n in range(1, 5):
            held[n].callback(None)
        self.assertEqual([self.successResultOf(result) for result in results], [None] * 5)

    def test_beyond_a_number_nobody_waits(self) -> None:
        self.users = self.user_file(concurrency=1, waiting=2)
        self.threads.held = held = []
        results = [self.start("alice@example.org", f"wrong {n}") for n in range(4)]
        self.failureResultOf(results[3], TemporaryFailure)
        for n in range(3):
            held[n].callback(None)
        self.assertEqual([self.successResultOf(result) for result in results[:3]], [None] * 3)

    def test_a_session_that_ends_while_it_waits_leaves_its_place(self) -> None:
        self.users = self.user_file(concurrency=1)
        self.threads.held = held = []
        first, second, third = (self.start("alice@example.org", f"wrong {n}") for n in range(3))
        second.cancel()
        self.failureResultOf(second)
        held[0].callback(None)
        held[1].callback(None)
        self.assertIsNone(self.successResultOf(first))
        self.assertIsNone(self.successResultOf(third))

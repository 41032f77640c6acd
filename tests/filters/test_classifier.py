"""The filter `classifier`: evidence with its strength, and silence where it does not know."""

from __future__ import annotations

from pathlib import Path

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from mailgw.classifier.store import Learner, weights_path
from mailgw.filters.anatomy import Anatomies
from mailgw.filters.classifier import HAM, SPAM, Classifier, ClassifierSettings
from mailgw.mail.evidence import Evidence
from mailgw.mail.message import FileContent, Message, head_of
from mailgw.operation.threads import ThreadsInline
from tests.classifier.support import message, sample
from tests.filters.support import make_transaction


def crlf(data: bytes) -> bytes:
    return data.replace(b"\n", b"\r\n")


class ClassifierTests(SynchronousTestCase):
    LEARNED = 60

    def setUp(self) -> None:
        above = Path(self.mktemp()).absolute()
        above.mkdir()
        self.directory = above / "classifier"
        self.clock = Clock()
        self.filter = self.make(minimum=50)

    def make(self, minimum: int) -> Classifier:
        anatomies = Anatomies(ThreadsInline())
        return Classifier(ClassifierSettings(minimum=minimum), anatomies, self.directory, self.clock)

    def learn(self, count: int = LEARNED) -> None:
        with Learner(self.directory) as learner:
            for number in range(count):
                for spam in (True, False):
                    learner.learn(sample(number, spam=spam), spam=spam, source="command", now=float(number))
            learner.commit()
        self.clock.advance(2)

    def check(self, data: bytes, **changes: object) -> tuple[Evidence, ...]:
        transaction = make_transaction(crlf(data), **changes)
        return self.successResultOf(Deferred.fromCoroutine(self.filter.check(transaction)))

    def test_it_states_what_a_message_is_like_and_why(self) -> None:
        self.learn()
        (spam,) = self.check(message(1000, spam=True))
        self.assertEqual(spam.symbol, SPAM)
        self.assertRegex(spam.detail, r"^9\d\.\d % spam after 120 messages, by words such as [a-z]+, [a-z]+")
        self.assertGreater(spam.strength, 0.4)
        (ham,) = self.check(message(1000, spam=False))
        self.assertEqual(ham.symbol, HAM)
        self.assertRegex(ham.detail, r"^\d\.\d % spam after 120 messages, by words such as ")
        self.assertGreater(ham.strength, 0.4)

    def test_strength_is_never_above_one(self) -> None:
        self.learn(200)
        for number in range(500, 520):
            for spam in (True, False):
                for evidence in self.check(message(number, spam=spam)):
                    self.assertLessEqual(evidence.strength, 1.0)

    def test_a_message_unlike_all_that_was_learned_gets_no_opinion(self) -> None:
        self.learn()
        self.assertEqual(self.check(b"Q: z\n\nqwq zxz jkj\n"), ())

    def test_it_says_nothing_before_it_has_learned_enough_of_both(self) -> None:
        self.assertEqual(self.check(message(1000, spam=True)), ())
        self.learn()
        self.filter = self.make(minimum=61)
        self.assertEqual(self.check(message(1000, spam=True)), ())

    def test_it_speaks_as_soon_as_another_process_has_taught_it(self) -> None:
        self.assertEqual(self.check(message(1000, spam=True)), ())
        self.learn()
        self.assertEqual(len(self.check(message(1000, spam=True))), 1)

    def test_nothing_is_said_of_our_own_users_mail(self) -> None:
        self.learn()
        self.assertEqual(self.check(message(1000, spam=True), identity="bob@example.org"), ())

    def test_a_message_in_a_file_is_judged_like_one_in_memory(self) -> None:
        self.learn()
        data = crlf(message(1000, spam=True))
        path = self.directory / "message"
        path.write_bytes(data)
        in_file = Message(FileContent(str(path), len(data)), head_of(data))
        transaction = make_transaction(message=in_file)
        found = self.successResultOf(Deferred.fromCoroutine(self.filter.check(transaction)))
        self.assertEqual(found, self.check(message(1000, spam=True)))

    def test_a_broken_file_is_said_once_and_stops_no_mail(self) -> None:
        self.directory.mkdir()
        weights_path(self.directory).write_bytes(b"broken")
        events: list[object] = []
        observer = lambda event: events.append(event.get("event"))  # noqa: E731
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)
        for _ in range(3):
            self.assertEqual(self.check(message(1, spam=True)), ())
            self.clock.advance(2)
        self.assertEqual(events, ["classifier_unusable"])

"""Training in the gateway: from folders and from verdicts, by one process at a time."""

from __future__ import annotations

from pathlib import Path

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from mailgw.classifier import training
from mailgw.classifier.store import Learner, read_status
from mailgw.classifier.training import MAX_OFFERED, Training
from mailgw.filters.sampling import read_sample
from mailgw.operation.threads import ThreadsInline
from tests.classifier.support import message, sample
from tests.classifier.test_folders import FoldersTest, delivered


class TrainingTests(FoldersTest):
    def setUp(self) -> None:
        super().setUp()
        self.patch(training, "_be_idle", lambda: None)  # here it would be the tests' own thread
        above = Path(self.mktemp()).absolute()
        above.mkdir()
        self.directory = above / "classifier"
        self.clock = Clock()
        # The folders' times are those of the machine.
        self.clock.advance((above.stat().st_mtime) + 60)
        self.training = self.make()

    def make(self) -> Training:
        return Training(self.directory, self.folders, read_sample, ThreadsInline(), self.clock, 600.0)

    def round(self) -> dict[tuple[str, bool], int]:
        self.successResultOf(Deferred.fromCoroutine(self.training.round()))
        return dict(read_status(self.directory).counts)

    def test_both_directions(self) -> None:
        self.put("", delivered(1, spam=False, flagged=True), name="1")
        self.put(".Spam", delivered(2, spam=True, flagged=False), name="2")
        self.put("", delivered(3, spam=False, flagged=False), name="3")
        self.put(".Spam", delivered(4, spam=True, flagged=True), name="4")
        self.assertEqual(self.round(), {("moved", False): 1, ("moved", True): 1})
        self.assertEqual(self.round(), {("moved", False): 1, ("moved", True): 1})

    def test_moved_back_corrects(self) -> None:
        path = self.put(".Spam", delivered(1, spam=False, flagged=False))
        self.assertEqual(self.round(), {("moved", True): 1})
        inbox = self.put("", b"", name="other")
        inbox.unlink()
        path.rename(inbox.with_name(path.name))
        self.assertEqual(self.round(), {("moved", False): 1})

    def test_moved_to_the_trash_is_not_ham_and_what_was_learned_stays(self) -> None:
        path = self.put(".Spam", delivered(1, spam=True, flagged=False))
        self.round()
        trash = self.put(".Trash", b"", name="other")
        path.rename(trash.with_name(path.name))
        self.assertEqual(self.round(), {("moved", True): 1})

    def test_what_a_user_moves_is_the_message_that_was_judged(self) -> None:
        """So that a verdict's lesson is corrected, not doubled."""
        judged = read_sample(message(1, spam=False))
        self.training.offer(judged, spam=True, reference="T1")
        self.assertEqual(self.round(), {("verdict", True): 1})
        self.put("", delivered(1, spam=False, flagged=True))
        self.assertEqual(self.round(), {("moved", False): 1})

    def test_a_round_is_bounded_and_the_next_goes_on(self) -> None:
        self.patch(training, "MAX_MOVED", 3)
        for number in range(5):
            self.put(".Spam", delivered(number, spam=True, flagged=False), name=str(number))
        self.assertEqual(self.round(), {("moved", True): 3})
        self.assertEqual(self.round(), {("moved", True): 5})

    def test_verdicts_teach_at_most_twice_as_much_of_one_kind(self) -> None:
        for number in range(300):
            self.training.offer(sample(number, spam=True), spam=True, reference=f"T{number}")
        self.assertEqual(self.round(), {("verdict", True): 101})

    def test_what_waits_is_bounded(self) -> None:
        for number in range(MAX_OFFERED + 10):
            self.training.offer(sample(1, spam=True), spam=True, reference=f"T{number}")
        self.assertEqual(len(self.training._offered), MAX_OFFERED)

    def test_while_another_process_learns_it_waits_for_the_next_round(self) -> None:
        self.training.offer(sample(1, spam=True), spam=True, reference="T1")
        with Learner(self.directory):
            self.successResultOf(Deferred.fromCoroutine(self.training.round()))
        self.assertEqual(self.round(), {("verdict", True): 1})

    def test_rounds_come_at_intervals_until_it_stops(self) -> None:
        self.training.start()
        self.put(".Spam", delivered(1, spam=True, flagged=False))
        self.clock.advance(599)
        self.assertIsNone(read_status(self.directory).trained)
        self.clock.advance(1)
        self.assertEqual(read_status(self.directory).counts, {("moved", True): 1})
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.successResultOf(Deferred.fromCoroutine(self.training.stop()))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_trouble_is_logged_and_the_next_round_comes(self) -> None:
        self.directory.write_bytes(b"a file, where a folder should be")
        self.training.start()
        self.clock.advance(600)
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.successResultOf(Deferred.fromCoroutine(self.training.stop()))

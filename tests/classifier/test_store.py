"""The files of the classifier: exact to undo, one learner at a time, and never between two moments."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from twisted.trial.unittest import SynchronousTestCase

from mailgw.classifier import store, weights
from mailgw.classifier.learning import LONG_RUN
from mailgw.classifier.store import Busy, Learner, read_status, weights_path
from mailgw.classifier.weights import ModelUnusable, Reader, Trained
from tests.classifier.support import sample

ROOT = Path(__file__).parents[2]

# Learns without end, and says after each commit how many it has.
LEARNING = """
import sys
from pathlib import Path
from mailgw.classifier.store import Learner
from tests.classifier.support import sample
with Learner(Path(sys.argv[1])) as learner:
    number = int(sys.argv[2])
    while True:
        for _ in range(20):
            learner.learn(sample(number, spam=number % 3 == 0), spam=number % 3 == 0, source="command", now=number)
            number += 1
        learner.commit()
        print(number, flush=True)
"""


class StoreTest(SynchronousTestCase):
    def setUp(self) -> None:
        above = Path(self.mktemp()).absolute()
        above.mkdir()
        self.directory = above / "classifier"

    def learn(self, numbers: range, *, spam: bool) -> None:
        with Learner(self.directory) as learner:
            for number in numbers:
                learner.learn(sample(number, spam=spam), spam=spam, source="command", now=float(number))
            learner.commit()

    def trained(self) -> Trained:
        return weights.read(weights_path(self.directory))

    def cells(self) -> np.ndarray:
        return self.trained().model.cells.copy()


class LearnerTests(StoreTest):
    def test_what_was_committed_is_there_for_the_next(self) -> None:
        self.learn(range(10), spam=True)
        self.learn(range(10, 25), spam=False)
        trained = self.trained()
        self.assertEqual((trained.model.spam, trained.model.ham, trained.generation), (10, 15, 2))
        self.assertEqual((trained.since, trained.until), (0.0, 24.0))
        self.assertGreater(trained.model.read(sample(99, spam=True)).logit, 0.0)
        self.assertLess(trained.model.read(sample(99, spam=False)).logit, 0.0)

    def test_what_was_not_committed_is_not_kept(self) -> None:
        self.learn(range(10), spam=True)
        before = self.cells()
        with Learner(self.directory) as learner:
            learner.learn(sample(11, spam=False), spam=False, source="command", now=1.0)
        with Learner(self.directory) as learner:
            self.assertEqual((learner.spam, learner.ham), (10, 0))
        np.testing.assert_array_equal(before, self.cells())

    def test_a_message_is_learned_once(self) -> None:
        with Learner(self.directory) as learner:
            what = sample(1, spam=True)
            self.assertEqual(learner.learn(what, spam=True, source="command", now=1.0), "learned")
            self.assertEqual(learner.learn(what, spam=True, source="moved", now=2.0), "known")
            self.assertEqual((learner.spam, learner.changed), (1, 1))

    def test_the_other_label_corrects(self) -> None:
        with Learner(self.directory) as learner:
            what = sample(1, spam=True)
            learner.learn(what, spam=False, source="command", now=1.0, reference="T1")
            self.assertEqual(learner.learn(what, spam=True, source="moved", now=2.0, reference="T1"), "corrected")
            self.assertEqual((learner.spam, learner.ham), (1, 0))
            self.assertIs(learner.label("T1"), True)
            self.assertIsNone(learner.label("T2"))
            self.assertIsNone(learner.label(""))

    def test_a_verdict_does_not_correct_a_person(self) -> None:
        with Learner(self.directory) as learner:
            what = sample(1, spam=True)
            learner.learn(what, spam=False, source="moved", now=1.0)
            self.assertEqual(learner.learn(what, spam=True, source="verdict", now=2.0), "known")
            self.assertEqual((learner.spam, learner.ham), (0, 1))

    def test_forgotten_to_the_last_bit_though_it_was_rehearsed(self) -> None:
        """Whatever happened since: all forgotten in any order leaves nothing, over several processes' time."""
        self.learn(range(30), spam=True)
        self.learn(range(30, 90), spam=False)
        self.assertTrue(self.cells().any())
        everything = [(n, True) for n in range(30)] + [(n, False) for n in range(30, 90)]
        random.Random(1).shuffle(everything)
        for part in (everything[:40], everything[40:]):
            with Learner(self.directory) as learner:
                for number, spam in part:
                    self.assertTrue(learner.forget(sample(number, spam=spam)))
                    self.assertFalse(learner.forget(sample(number, spam=spam)))
                learner.commit()
        self.assertFalse(self.cells().any())
        self.assertEqual((self.trained().model.spam, self.trained().model.ham), (0, 0))
        connection = sqlite3.connect(self.directory / "learned.sqlite")
        self.assertEqual(connection.execute("SELECT count(*) FROM kept").fetchone(), (0,))
        connection.close()

    def test_one_learner_at_a_time(self) -> None:
        with Learner(self.directory):
            error = self.assertRaises(Busy, Learner, self.directory)
            self.assertIn("another process is learning", str(error))
        with Learner(self.directory):
            pass

    def test_calibration_comes_from_scores_before_learning(self) -> None:
        with Learner(self.directory) as learner:
            for number in range(100):
                for spam in (True, False):
                    learner.learn(sample(number, spam=spam), spam=spam, source="command", now=float(number))
            learner.commit()
        trained = self.trained()
        for number in range(300, 320):
            self.assertGreater(
                trained.calibration.probability(trained.model.read(sample(number, spam=True)).logit), 0.7
            )
            self.assertLess(trained.calibration.probability(trained.model.read(sample(number, spam=False)).logit), 0.3)

    def test_scores_within_a_long_run_of_one_kind_do_not_count(self) -> None:
        """Anything is known as spam after a thousand messages of spam: that is no measure."""
        self.learn(range(100), spam=True)
        self.learn(range(100), spam=False)
        status = read_status(self.directory)
        self.assertEqual([of for _, of in status.errors.values()], [LONG_RUN, LONG_RUN])

    def test_status(self) -> None:
        self.assertIsNone(read_status(self.directory).trained)
        self.learn(range(10), spam=True)
        with Learner(self.directory) as learner:
            learner.learn(sample(5, spam=False), spam=False, source="moved", now=5.0)
            learner.commit()
        status = read_status(self.directory)
        self.assertEqual(status.counts, {("command", True): 10, ("moved", False): 1})
        self.assertEqual(status.errors[True][1], 10)


class TroubleTests(StoreTest):
    def test_a_full_disk_keeps_what_was_there(self) -> None:
        self.learn(range(5), spam=True)
        before = self.cells()

        def full(path: Path, trained: Trained) -> None:
            path.write_bytes(b"a part")
            raise OSError(28, "No space left on device")

        with Learner(self.directory) as learner:
            learner.learn(sample(9, spam=True), spam=True, source="command", now=1.0)
            self.patch(store.weights, "write", full)
            self.assertRaises(OSError, learner.commit)
        self.assertEqual(sorted(os.listdir(self.directory)), ["learned.sqlite", "lock", "weights"])
        with Learner(self.directory) as learner:
            self.assertEqual(learner.spam, 5)
        np.testing.assert_array_equal(before, self.cells())

    def test_killed_before_the_rename_the_next_learner_does_it(self) -> None:
        self.learn(range(5), spam=True)

        def killed(directory: Path) -> None:
            raise KeyboardInterrupt

        rename = store._rename
        with Learner(self.directory) as learner:
            learner.learn(sample(9, spam=True), spam=True, source="command", now=1.0)
            self.patch(store, "_rename", killed)
            self.assertRaises(KeyboardInterrupt, learner.commit)
        self.assertEqual(self.trained().model.spam, 5)
        self.patch(store, "_rename", rename)
        with Learner(self.directory) as learner:
            self.assertEqual(learner.spam, 6)
        self.assertEqual(self.trained().model.spam, 6)

    def test_files_of_different_moments_are_refused(self) -> None:
        self.learn(range(5), spam=True)
        old = weights_path(self.directory).read_bytes()
        self.learn(range(5, 9), spam=True)
        self.learn(range(9, 12), spam=True)
        weights_path(self.directory).write_bytes(old)
        error = self.assertRaises(ModelUnusable, Learner, self.directory)
        self.assertIn("do not belong together: bring both back from one backup", str(error))

    def test_a_file_that_is_none_or_is_cut(self) -> None:
        self.learn(range(1), spam=True)
        path = weights_path(self.directory)
        data = path.read_bytes()
        for wrong, text in (
            (b"", "is no file of the classifier's"),
            (b"x" * 9000, "is no file"),
            (data[:-8], "octets"),
        ):
            path.write_bytes(wrong)
            error = self.assertRaises(ModelUnusable, weights.read, path)
            self.assertIn(text, str(error))
        path.write_bytes(data.replace(b'"features": 1', b'"features": 0', 1))
        self.assertIn("reads other features", str(self.assertRaises(ModelUnusable, weights.read, path)))


class ReaderTests(StoreTest):
    def test_a_reader_sees_each_commit_within_its_interval(self) -> None:
        reader = Reader(weights_path(self.directory), interval=1.0)
        self.assertIsNone(reader.current(0.0))
        self.learn(range(3), spam=True)
        self.assertIsNone(reader.current(0.5))
        first = reader.current(1.5)
        assert first is not None
        self.assertEqual(first.model.spam, 3)
        self.learn(range(3, 7), spam=True)
        second = reader.current(3.0)
        assert second is not None
        self.assertEqual(second.model.spam, 7)
        self.assertEqual(first.model.spam, 3)  # who judges at the moment goes on with what it has

    def test_a_broken_file_is_said_once_in_an_interval(self) -> None:
        self.directory.mkdir()
        weights_path(self.directory).write_bytes(b"broken")
        reader = Reader(weights_path(self.directory), interval=1.0)
        self.assertRaises(ModelUnusable, reader.current, 0.0)
        self.assertIsNone(reader.current(0.5))
        self.assertRaises(ModelUnusable, reader.current, 1.5)


class KillTests(StoreTest):
    """kill -9 of a process that learns."""

    def start(self, number: int) -> subprocess.Popen[str]:
        child = subprocess.Popen(
            [sys.executable, "-c", LEARNING, str(self.directory), str(number)],
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        self.addCleanup(child.wait)
        self.addCleanup(child.kill)
        return child

    def test_what_was_committed_survives_and_is_consistent_and_readers_always_see_a_whole_model(self) -> None:
        chance = random.Random(7)
        number = 0
        seen = set()
        for _ in range(4):
            child = self.start(number)
            assert child.stdout is not None
            committed = int(child.stdout.readline())
            until = time.monotonic() + chance.random() * 0.5
            while time.monotonic() < until:
                seen.add(self.assert_whole(self.trained()))
            child.send_signal(signal.SIGKILL)
            rest = child.stdout.read().split()
            committed = int(rest[-1]) if rest else committed
            child.wait()
            with Learner(self.directory) as learner:
                learned = learner.spam + learner.ham
            # A commit may have been finished and not yet told.
            self.assertIn(learned, (committed, committed + 20))
            self.assertEqual(self.assert_whole(self.trained()), learned)
            number = learned
        self.assert_all_can_be_forgotten(number)
        self.assertGreater(len(seen), 1)

    def assert_whole(self, trained: Trained) -> int:
        learned = trained.model.spam + trained.model.ham
        self.assertEqual(learned % 20, 0)
        self.assertEqual(trained.until, learned - 1)
        return learned

    def assert_all_can_be_forgotten(self, count: int) -> None:
        """The ledger belongs to the weights: what it says was learned, taken away, leaves nothing."""
        with Learner(self.directory) as learner:
            for number in range(count):
                self.assertTrue(learner.forget(sample(number, spam=number % 3 == 0)), number)
            learner.commit()
        self.assertFalse(self.cells().any())


class OwnerTests(StoreTest):
    if os.geteuid() != 0:
        skip = "only root makes files for others"

    def test_what_root_teaches_the_gateways_user_can_read_and_teach_on(self) -> None:
        os.chown(self.directory.parent, 12345, 12346)
        self.learn(range(3), spam=True)
        self.learn(range(3, 6), spam=True)
        owners = {(os.stat(path).st_uid, os.stat(path).st_gid) for path in (self.directory, *self.directory.iterdir())}
        self.assertEqual(owners, {(12345, 12346)})
        self.assertEqual({path.stat().st_mode & 0o077 for path in (self.directory,)}, {0})

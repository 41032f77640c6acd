"""The measurement of the classifier: its figures are right, and its command does what it says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
from twisted.trial.unittest import SynchronousTestCase

from tests.bench.roc import curve, figures
from tests.bench.spam import Feedback, read_index
from tests.classifier.support import message


class FiguresTests(SynchronousTestCase):
    def test_a_perfect_and_a_useless_filter(self) -> None:
        spam = np.array([True, True, False, False])
        perfect = figures(np.array([2.0, 1.0, -1.0, -2.0]), spam)
        self.assertEqual((perfect.roca, perfect.ham_misclassified, perfect.spam_misclassified), (0.0, 0, 0))
        self.assertEqual(figures(np.zeros(4), spam).roca, 50.0)
        self.assertEqual(figures(np.array([-2.0, -1.0, 1.0, 2.0]), spam).roca, 100.0)

    def test_one_pair_of_six_the_wrong_way_round(self) -> None:
        found = figures(np.array([3.0, 0.5, 1.0, -1.0, -2.0]), np.array([True, True, False, False, False]))
        self.assertAlmostEqual(found.roca, 100 / 6)
        self.assertEqual((found.ham_misclassified, found.spam_misclassified), (1, 0))

    def test_spam_missed_where_one_ham_in_a_thousand_may_be_misclassified(self) -> None:
        hams = np.arange(2000.0)  # two may be above the threshold: 1999 and 1998
        spams = np.array([1996.5, 1997.5, 1998.5, 3000.0])
        found = figures(np.append(hams, spams), np.append(np.zeros(2000, bool), np.ones(4, bool)))
        self.assertEqual(found.spam_missed, 25.0)

    def test_the_curve_has_a_point_for_each_score(self) -> None:
        misclassified, missed = curve(np.array([3.0, 1.0, 1.0, 0.0]), np.array([True, True, False, False]))
        self.assertEqual(misclassified.tolist(), [0.0, 0.5, 1.0])
        self.assertEqual(missed.tolist(), [0.5, 0.0, 0.0])


class CommandTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.directory = Path(self.mktemp()).absolute()
        self.directory.mkdir()
        lines = []
        for number in range(60):
            for label in ("spam", "ham"):
                name = f"{label} {number}.eml"
                (self.directory / name).write_bytes(message(number, spam=label == "spam"))
                lines.append(f"{label}\t{name}\n")
        self.index = self.directory / "index"
        self.index.write_text("".join(lines))

    def run_bench(self, *arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "tests.bench.spam", str(self.index), *arguments],
            cwd=Path(__file__).parents[2],
            capture_output=True,
            text=True,
            check=False,
        )
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def line(self, printed: str) -> list[str]:
        (line,) = (line for line in printed.splitlines() if line.startswith("│ mailgw "))
        return [cell.strip() for cell in line.strip("│").split("│")]

    def test_figures_and_picture(self) -> None:
        picture = self.directory / "roc.png"
        line = self.line(self.run_bench("--png", str(picture)))
        self.assertLess(float(line[1]), 5.0)
        self.assertRegex(line[2], r"^[0-9] of 60$")
        self.assertTrue(picture.read_bytes().startswith(b"\x89PNG\r\n"))

    def test_judging_after_learning_another_index(self) -> None:
        line = self.line(self.run_bench("--train", str(self.index)))
        self.assertEqual(line[1:4], ["0.0000", "0 of 60", "0 of 60"])

    def test_feedback_that_never_comes(self) -> None:
        for feedback in ("delayed:1000", "partial:0"):
            self.assertEqual(self.line(self.run_bench("--feedback", feedback))[1], "50.0000")

    def test_feedback(self) -> None:
        self.assertEqual(Feedback.parse("full"), Feedback())
        self.assertEqual(Feedback.parse("delayed:500"), Feedback(delay=500))
        self.assertEqual(Feedback.parse("partial:0.1"), Feedback(share=0.1))

    def test_an_index_with_a_wrong_line_is_refused_with_its_number(self) -> None:
        for line, text in (("eggs\tx", "line 121"), ("ham\tnot there", "there is no file")):
            wrong = self.directory / "wrong"
            wrong.write_text(self.index.read_text() + line + "\n")
            error = self.assertRaises(SystemExit, read_index, wrong)
            self.assertIn(text, str(error))

"""How well the classifier tells spam from ham: python -m tests.bench.spam INDEX

INDEX has a line for each message, in order of delivery: `spam` or `ham`, a tab, a path relative to the index's folder.
Each message is scored, then learned, as TREC's spam track did it; with --feedback delayed:N it is learned N messages
later, with partial:P only that share of them is ever learned. With --train OTHER the classifier learns OTHER first (in
full) and judges INDEX without learning from it, unless --online says so. It is the product's own code, but for the
files that hold what it learned.
"""

from __future__ import annotations

import argparse
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from attrs import frozen
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from mailgw.classifier.learning import InMemory, Learning
from mailgw.classifier.model import VIEWS, Model
from mailgw.classifier.sample import Sample
from mailgw.filters.sampling import read_sample
from tests.bench.roc import Figures, Labels, Scores, draw, figures


@frozen
class Entry:
    spam: bool
    path: Path


class Judge(Protocol):
    """A filter that is measured. `seconds` is the CPU time that it took."""

    name: str
    threshold: float
    seconds: float

    def score(self, entry: Entry) -> float: ...
    def learn(self, entry: Entry) -> None: ...


class Mailgw:
    """The classifier, as in the gateway; and the scores of each view, which cost nothing more."""

    name = "mailgw"
    threshold = 0.0

    def __init__(self) -> None:
        self._model = Model.empty()
        self._learning = Learning(self._model, InMemory())
        self._last: tuple[Entry, Sample] | None = None
        self.views: list[tuple[float, ...]] = []
        self.seconds = 0.0
        self.reading_seconds = 0.0

    def score(self, entry: Entry) -> float:
        sample = self._sample(entry)
        start = time.process_time()
        reading = self._model.read(sample)
        self.seconds += time.process_time() - start
        self.views.append(reading.logits)
        self._reading = reading
        return reading.logit

    def learn(self, entry: Entry) -> None:
        again = self._last is None or self._last[0] is not entry
        sample = self._sample(entry)
        start = time.process_time()
        if again:  # it was judged a while ago
            self._reading = self._model.read(sample)
        self._learning.learn(sample.key, self._reading, spam=entry.spam)
        self.seconds += time.process_time() - start

    def _sample(self, entry: Entry) -> Sample:
        if self._last is None or self._last[0] is not entry:
            data = entry.path.read_bytes()
            start = time.process_time()
            self._last = (entry, read_sample(data))
            self.reading_seconds += time.process_time() - start
        return self._last[1]


class Bogofilter:
    """The program of that name, with its defaults and a word list of its own."""

    name = "bogofilter"
    threshold = 0.99

    def __init__(self, directory: str) -> None:
        self._command = ["bogofilter", "-C", "-d", directory]
        self.seconds = 0.0
        self._run("-n", stdin=b"")  # makes the word list

    def score(self, entry: Entry) -> float:
        return float(self._run("-TT", "-I", str(entry.path)))

    def learn(self, entry: Entry) -> None:
        self._run("-s" if entry.spam else "-n", "-I", str(entry.path))

    def _run(self, *arguments: str, stdin: bytes | None = None) -> bytes:
        start = time.perf_counter()
        done = subprocess.run([*self._command, *arguments], input=stdin, stdout=subprocess.PIPE, check=False)
        self.seconds += time.perf_counter() - start
        if done.returncode > 2:  # 0 to 2: spam, ham, unsure
            raise SystemExit(f"bogofilter {' '.join(arguments)} failed with status {done.returncode}")
        return done.stdout


@frozen
class Feedback:
    """When a message is learned: `delay` messages after it was judged, and only a `share` of them."""

    delay: int = 0
    share: float = 1.0

    @classmethod
    def parse(cls, text: str) -> Feedback:
        kind, _, number = text.partition(":")
        try:
            if kind == "full" and not number:
                return cls()
            if kind == "delayed" and int(number) >= 0:
                return cls(delay=int(number))
            if kind == "partial" and 0 <= float(number) <= 1:
                return cls(share=float(number))
        except ValueError:
            pass
        raise argparse.ArgumentTypeError(f"{text!r}: say full, delayed:N (messages) or partial:P (0.0 to 1.0)")


Track = Callable[[Sequence[Entry], str], Iterator[Entry]]


def run(judge: Judge, entries: Sequence[Entry], feedback: Feedback | None, track: Track) -> Scores:
    """Judge every entry in turn, learning as `feedback` says; None: nothing."""
    waiting: deque[Entry] = deque()
    chance = random.Random(1)
    scores = []
    for entry in track(entries, f"{judge.name}: judging"):
        scores.append(judge.score(entry))
        if feedback is None or (feedback.share < 1 and chance.random() >= feedback.share):
            continue
        waiting.append(entry)
        if len(waiting) > feedback.delay:
            judge.learn(waiting.popleft())
    return np.array(scores)


def train(judge: Judge, entries: Sequence[Entry], track: Track) -> None:
    for entry in track(entries, f"{judge.name}: learning"):
        judge.score(entry)
        judge.learn(entry)


def read_index(path: Path) -> list[Entry]:
    """Read an index. A space does for the tab. Raises SystemExit for a line that is none."""
    entries = []
    for number, line in enumerate(path.read_text(errors="surrogateescape").splitlines(), 1):
        if not line.strip():
            continue
        label, _, name = line.partition("\t") if "\t" in line else line.partition(" ")
        if label.lower() not in ("spam", "ham") or not name.strip():
            raise SystemExit(f"{path}, line {number}: this is not `spam` or `ham`, a tab and a path: {line[:80]!r}")
        entry = Entry(label.lower() == "spam", path.parent / name.strip())
        if not entry.path.is_file():
            raise SystemExit(f"{path}, line {number}: there is no file {entry.path}")
        entries.append(entry)
    if not {True, False} <= {entry.spam for entry in entries}:
        raise SystemExit(f"{path}: spam and ham are both needed")
    return entries


def main() -> None:
    arguments = _arguments()
    entries = read_index(arguments.index)
    training = read_index(arguments.train) if arguments.train else []
    spam = np.array([entry.spam for entry in entries])
    feedback = arguments.feedback if arguments.online or (arguments.online is None and not training) else None
    table = Table(
        "", "1-ROCA %", "ham wrong", "spam wrong", "spam missed at 0.1 % ham", "messages/s", "ms CPU a message"
    )
    curves: dict[str, tuple[Scores, Labels]] = {}
    with tempfile.TemporaryDirectory() as directory, _progress() as track:
        judges: list[Judge] = [Mailgw()]
        if arguments.peers:
            judges += _peers(directory)
        for judge in judges:
            train(judge, training, track)
            if isinstance(judge, Mailgw):
                judge.views.clear()
            before = judge.seconds
            started = time.perf_counter()
            scores = run(judge, entries, feedback, track)
            elapsed = time.perf_counter() - started
            curves[judge.name] = (scores, spam)
            _row(table, judge.name, figures(scores, spam, judge.threshold), elapsed, judge.seconds - before)
            if isinstance(judge, Mailgw):
                views = np.array(judge.views)
                for n, name in enumerate(VIEWS):
                    _row(table, f"  {name} alone", figures(views[:, n], spam), None, None)
                reading = 1000 * judge.reading_seconds / (len(entries) + len(training))
    console = Console(width=None if sys.stdout.isatty() else 140)
    console.print(table)
    size = sum(entry.path.stat().st_size for entry in entries) / len(entries)
    console.print(
        f"{len(entries)} messages of {size / 1024:.1f} KB, {spam.sum()} spam. Of mailgw the CPU time is that of"
        f" scoring{' and learning' if feedback else ''};\nreading the message before that (header, MIME, HTML), which"
        f" the gateway does once for all filters, took {reading:.2f} ms more."
    )
    if arguments.png:
        draw(curves, f"{arguments.index.parent.name}/{arguments.index.name}, {_condition(arguments)}", arguments.png)
        console.print(f"the curve is in {arguments.png}")


def _row(table: Table, name: str, found: Figures, elapsed: float | None, seconds: float | None) -> None:
    messages = found.ham + found.spam
    table.add_row(
        name,
        f"{found.roca:.4f}",
        f"{found.ham_misclassified} of {found.ham}",
        f"{found.spam_misclassified} of {found.spam}",
        f"{found.spam_missed:.2f} %",
        f"{messages / elapsed:.0f}" if elapsed else "",
        f"{1000 * seconds / messages:.3f}" if seconds else "",
    )


def _peers(directory: str) -> list[Judge]:
    if shutil.which("bogofilter") is None:
        print("bogofilter is not installed: mailgw is measured alone", file=sys.stderr)
        return []
    return [Bogofilter(directory)]


def _condition(arguments: argparse.Namespace) -> str:
    trained = f"trained on {arguments.train.parent.name}/{arguments.train.name}" if arguments.train else "online"
    return f"{trained}, {arguments.feedback_text} feedback" if not arguments.train or arguments.online else trained


class _progress:
    """A progress bar on the terminal, if it is one."""

    def __enter__(self) -> Track:
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        self._progress.start()
        return lambda entries, text: iter(self._progress.track(entries, description=text))

    def __exit__(self, *_: object) -> None:
        self._progress.stop()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.spam", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("index", type=Path, metavar="INDEX", help="what is judged")
    parser.add_argument("--train", type=Path, metavar="INDEX", help="what is learned before")
    parser.add_argument("--feedback", default="full", metavar="full|delayed:N|partial:P", help="default: full")
    parser.add_argument(
        "--online",
        action=argparse.BooleanOptionalAction,
        help="learn from INDEX while judging it (default without --train)",
    )
    parser.add_argument("--png", type=Path, metavar="FILE", help="draw the ROC curve")
    parser.add_argument("--peers", action="store_true", help="bogofilter too, where it is installed")
    arguments = parser.parse_args()
    arguments.feedback_text = arguments.feedback
    try:
        arguments.feedback = Feedback.parse(arguments.feedback)
    except argparse.ArgumentTypeError as error:
        parser.error(str(error))
    return arguments


if __name__ == "__main__":
    main()

"""Training: the gateway's own learning, in a thread of the lowest priority, a little at a time."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

from attrs import frozen
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from mailgw.classifier.folders import Folders, find_filed
from mailgw.classifier.sample import Sample
from mailgw.classifier.store import Busy, Learner
from mailgw.classifier.weights import ModelUnusable
from mailgw.operation.threads import Threads

MAX_OFFERED = 500
"""Messages of verdicts that wait to be learned; more are not learned."""
MAX_MOVED = 1000
"""Messages that are learned from folders in one round; the next goes on."""
# Verdicts may teach so many more of one kind than of the other: the people's mail is to decide.
_AHEAD, _AHEAD_FACTOR = 100, 2
_FIRST_LOOK = 7 * 86400.0
# After each message it lets go of the interpreter, so that the reactor never waits for more than one.
_PAUSE = 0.001
_MARK = "looked"


@frozen
class Offered:
    sample: Sample
    spam: bool
    reference: str


class Training:
    """Learns what was offered and what users moved, every `interval` seconds. Several processes may do so: one does."""

    log: ClassVar[Logger] = Logger()

    def __init__(
        self,
        directory: Path,
        folders: Folders | None,
        read: Callable[[bytes], Sample],
        threads: Threads,
        clock: Any,
        interval: float,
    ) -> None:
        """`folders` None: nothing is learned from them. `read` makes the sample of a file's octets."""
        self._directory = directory
        self._folders = folders
        self._read = read
        self._threads = threads
        self._clock = clock
        self._interval = interval
        self._offered: deque[Offered] = deque()
        self._call: IDelayedCall | None = None
        self._running: Deferred[None] | None = None
        self._stopping = False

    def start(self) -> None:
        self._call = self._clock.callLater(self._interval, self._begin)

    async def stop(self) -> None:
        """End the round that runs, after the message that it is at; what is only offered is not learned."""
        self._stopping = True
        if self._call is not None and self._call.active():
            self._call.cancel()
        if self._running is not None:
            await self._running

    def offer(self, sample: Sample, *, spam: bool, reference: str) -> None:
        """Take a message that a verdict is sure of."""
        if len(self._offered) < MAX_OFFERED:
            self._offered.append(Offered(sample, spam, reference))

    def _begin(self) -> None:
        self._running = Deferred.fromCoroutine(self.round())
        self._running.addBoth(self._ended)

    def _ended(self, result: Any) -> None:
        self._running = None
        if not self._stopping:
            self.start()

    async def round(self) -> None:
        """Learn once. Raises nothing."""
        offered = list(self._offered)
        self._offered.clear()
        if not offered and self._folders is None:
            return
        try:
            counts = await self._threads.run(self._learn, offered, self._clock.seconds())
        except Busy:
            self._offered.extendleft(reversed(offered))  # another process is at it: the next round
        except (ModelUnusable, OSError) as error:
            self.log.warn("the classifier cannot learn: {reason}", event="training_failed", reason=str(error))
        except Exception:
            self.log.failure("the classifier's training failed", event="training_failed")
        else:
            if any(counts):
                self.log.info(
                    "learned {moved} messages that users moved, {verdicts} by verdict",
                    event="trained",
                    moved=counts[0],
                    verdicts=counts[1],
                )

    def _learn(self, offered: list[Offered], now: float) -> tuple[int, int]:
        """Runs in the thread. Gives how many were learned or corrected: moved ones, and those of verdicts."""
        _be_idle()
        with Learner(self._directory) as learner:
            verdicts = sum(self._learn_offered(learner, one, now) for one in offered)
            moved = self._learn_moved(learner, now) if self._folders else 0
            learner.commit()
        return moved, verdicts

    def _learn_offered(self, learner: Learner, one: Offered, now: float) -> bool:
        own, other = (learner.spam, learner.ham) if one.spam else (learner.ham, learner.spam)
        if self._stopping or own > _AHEAD + _AHEAD_FACTOR * other:
            return False
        time.sleep(_PAUSE)
        return learner.learn(one.sample, spam=one.spam, source="verdict", now=now, reference=one.reference) != "known"

    def _learn_moved(self, learner: Learner, now: float) -> int:
        assert self._folders is not None
        since = float(learner.mark(_MARK) or now - _FIRST_LOOK)
        learned = 0
        for filed in find_filed(self._folders, since):
            if self._stopping or learned >= MAX_MOVED:
                return learned  # from the same time on in the next round
            time.sleep(_PAUSE)
            before = learner.label(filed.reference)
            # Where it was put says nothing; where it was moved back to says that the first move was wrong.
            if filed.now_spam == (filed.was_spam if before is None else before):
                continue
            try:
                sample = self._read(filed.read())
            except OSError:
                continue
            outcome = learner.learn(sample, spam=filed.now_spam, source="moved", now=now, reference=filed.reference)
            learned += outcome != "known"
        learner.set_mark(_MARK, repr(now))
        return learned


def _be_idle() -> None:
    """Give this thread, not the process, the lowest priority. Only Linux has that."""
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 19)

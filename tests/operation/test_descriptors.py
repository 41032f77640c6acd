"""The limit of file descriptors is raised at the start."""

from __future__ import annotations

import resource
from typing import Any

from twisted.logger import globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from mailgw.config.schema import Limits, Queue, Settings
from mailgw.operation.descriptors import Descriptors


class DescriptorTests(SynchronousTestCase):
    def start(self, needed: int, soft: int, hard: int) -> tuple[list[tuple[int, int]], list[dict[str, Any]]]:
        """Start with such limits; give what was set, and what was logged."""
        limits: list[tuple[int, int]] = []
        events: list[dict[str, Any]] = []
        self.patch(resource, "getrlimit", lambda _: (soft, hard))
        self.patch(resource, "setrlimit", lambda _, value: limits.append(value))
        globalLogPublisher.addObserver(events.append)
        try:
            Descriptors(needed).start()
        finally:
            globalLogPublisher.removeObserver(events.append)
        return limits, events

    def test_what_is_there_suffices(self) -> None:
        self.assertEqual(self.start(1000, 1024, 4096), ([], []))
        self.assertEqual(self.start(1000, resource.RLIM_INFINITY, resource.RLIM_INFINITY), ([], []))

    def test_it_is_raised(self) -> None:
        self.assertEqual(self.start(3000, 1024, 4096), ([(3000, 4096)], []))
        self.assertEqual(self.start(3000, 1024, resource.RLIM_INFINITY), ([(3000, resource.RLIM_INFINITY)], []))

    def test_too_few_are_told(self) -> None:
        limits, events = self.start(12_000, 1024, 4096)
        self.assertEqual(limits, [(4096, 4096)])
        self.assertEqual([(e["event"], e["needed"], e["allowed"]) for e in events], [("few_descriptors", 12_000, 4096)])

    def test_what_is_needed(self) -> None:
        settings = Settings(limits=Limits(connections=5000), queue=Queue(concurrency=100))
        self.assertGreater(Descriptors.of(settings).needed, 10_000)

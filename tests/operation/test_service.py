"""The service: it starts its parts in order and stops them in reverse."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from twisted.application.service import Application, IProcess
from twisted.internet.defer import Deferred
from twisted.logger import ILogObserver
from twisted.trial.unittest import SynchronousTestCase

from mailgw.operation.service import GatewayService, Part, RunAs, StartError, run_as


class FakeReactor:
    """Remembers that it was told to stop."""

    def __init__(self) -> None:
        self.stopped = False
        self.triggers: list[Any] = []

    def addSystemEventTrigger(self, phase: str, event: str, call: Any) -> None:
        self.triggers.append((phase, event, call))

    def callWhenRunning(self, call: Any) -> None:
        call()

    def stop(self) -> None:
        self.stopped = True


class ServiceTests(SynchronousTestCase):
    def service(self, parts: list[Part], announce: Callable[[], None] | None = None) -> GatewayService:
        self.reactor = FakeReactor()
        self.steps: list[str] = []

        async def sessions_stop() -> None:
            self.steps.append("sessions stopped")

        return GatewayService(
            self.reactor, [], parts, sessions_stop, RunAs(7, 8), lambda event: None, announce=announce
        )

    def part(self, name: str, waits: Deferred[None] | None = None) -> Part:
        async def start() -> None:
            self.steps.append(f"{name} starts")
            if waits is not None:
                await waits

        return Part(name, start, lambda: self.steps.append(f"{name} stopped"))

    def test_parts_start_in_order_and_stop_in_reverse_behind_the_sessions(self) -> None:
        opened: Deferred[None] = Deferred()
        service = self.service([self.part("queue", opened), self.part("scheduler")])
        service.startService()
        self.assertEqual(self.steps, ["queue starts"])
        opened.callback(None)
        self.successResultOf(service.stopService())
        self.assertEqual(
            self.steps,
            ["queue starts", "scheduler starts", "sessions stopped", "scheduler stopped", "queue stopped"],
        )

    def test_a_part_that_does_not_stop_well_does_not_keep_the_others(self) -> None:
        def fails() -> None:
            raise ValueError("ours")

        service = self.service([self.part("queue"), Part("relay", lambda: None, fails)])
        service.startService()
        self.successResultOf(service.stopService())
        self.assertIn("queue stopped", self.steps)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_a_part_that_cannot_start_ends_the_process(self) -> None:
        failed: Deferred[None] = Deferred()
        service = self.service([self.part("queue", failed), self.part("scheduler")])
        service.startService()
        failed.errback(StartError("in use"))
        self.assertTrue(self.reactor.stopped)
        self.assertNotIn("scheduler starts", self.steps)
        self.flushLoggedErrors(StartError)

    def test_a_start_that_cannot_be_announced_does_not_keep_the_parts_from_stopping(self) -> None:
        """Workers whose supervisor was killed while they started hung in their end: their threads went on."""

        def announce() -> None:
            raise BrokenPipeError(32, "nobody listens")

        service = self.service([self.part("queue")], announce)
        service.startService()
        self.successResultOf(service.stopService())
        self.assertEqual(self.steps, ["queue starts", "sessions stopped", "queue stopped"])
        self.assertEqual(len(self.flushLoggedErrors(BrokenPipeError)), 1)

    def test_twistd_is_told_whom_to_run_as_and_how_to_log(self) -> None:
        application = Application("mailgw")
        service = self.service([])
        service.setServiceParent(application)
        process = IProcess(application)
        self.assertEqual((process.uid, process.gid), (7, 8))
        self.assertIsNotNone(application.getComponent(ILogObserver))


class RunAsTests(SynchronousTestCase):
    if os.geteuid() != 0:
        skip = "only root changes to another user"

    def test_a_user_with_its_group_or_another(self) -> None:
        self.assertEqual(run_as("root", ""), RunAs(0, 0))
        self.assertEqual(run_as("root", "root"), RunAs(0, 0))
        self.assertEqual(run_as("", ""), RunAs())

    def test_names_that_nobody_has(self) -> None:
        self.assertIn("user", str(self.assertRaises(StartError, run_as, "no-such-user", "")))
        self.assertIn("group", str(self.assertRaises(StartError, run_as, "root", "no-such-group")))

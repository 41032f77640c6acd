"""Recipients of routed domains from a command's output."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from twisted.internet import reactor as installed_reactor
from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessDone, ProcessTerminated
from twisted.internet.task import Clock, deferLater
from twisted.logger import capturedLogs
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

from mailgw.mail.address import Mailbox
from mailgw.operation.threads import ThreadsInline
from mailgw.routing.interface import Routed, Unknown
from mailgw.routing.listing import FIRST_RETRY, TIME_LIMIT, RecipientCommands, check_programs, make_lists
from mailgw.routing.load import load_router
from mailgw.routing.router import DirectoryRouter
from tests.config.files import BASE
from tests.routing.files import RoutingTest

LISTED = """
[domains."listed.example"]
deliver = "route:store"
recipients_command = ["/bin/sh", "-c", "true"]

[routes.store]
hosts = ["store.example:2525"]
"""


class Processes(Clock):
    """A reactor whose programs do what the test says, in the order of their start."""

    def __init__(self) -> None:
        super().__init__()
        self.commands: list[list[str]] = []
        self.running: Any = None
        self.signals: list[str] = []

    def spawnProcess(self, protocol: Any, executable: str, args: list[str], env: object = None) -> None:
        self.commands.append(args)
        self.running = protocol
        protocol.makeConnection(self)

    def closeStdin(self) -> None:
        pass

    def loseConnection(self) -> None:
        pass

    def signalProcess(self, name: str) -> None:
        self.signals.append(name)
        self.end(failed=True)

    def end(self, output: str = "", *, failed: bool = False) -> None:
        running, self.running = self.running, None
        running.outReceived(output.encode())
        running.processEnded(Failure(ProcessTerminated(1) if failed else ProcessDone(0)))


class RecipientCommandTests(RoutingTest):
    def setUp(self) -> None:
        super().setUp()
        self.reactor = Processes()

    def begin(self, more: str = LISTED, aliases: str = "") -> DirectoryRouter:
        router = self.router(aliases, more=more)
        settings = self.settings(BASE + more)
        self.lists = make_lists(settings)
        self.commands = RecipientCommands(settings, self.lists, self.reactor, ThreadsInline())
        self.commands.start()
        router = load_router(settings, "mailgw.toml", self.lists)
        return router

    def found(self, router: DirectoryRouter, address: str) -> str:
        """`unknown`, `undecided`, or where it leads."""
        found = router.resolve(Mailbox.parse(address))
        if isinstance(found, Unknown):
            return "unknown"
        return found.undecided or ", ".join(str(target.destination) for target in found.targets)

    def test_known_and_unknown(self) -> None:
        router = self.begin()
        self.assertEqual(self.reactor.commands, [["/bin/sh", "-c", "true"]])
        self.reactor.end("# people\nJoe@listed.example\njane\n")
        for address in ("joe@listed.example", "JANE@listed.example", "joe+x@listed.example"):
            self.assertEqual(self.found(router, address), "relay:route:store", address)
        self.assertEqual(self.found(router, "jim@listed.example"), "unknown")

    def test_nobody_is_refused_before_the_first_list(self) -> None:
        router = self.begin(aliases="sales@listed.example: alice@example.org\n")
        self.assertEqual(self.found(router, "jim@listed.example"), "list")
        self.assertEqual(self.found(router, "sales@listed.example"), "maildir:alice@example.org")
        self.assertEqual(self.found(router, "postmaster@listed.example"), "relay:route:store")
        self.reactor.end(failed=True)
        self.assertEqual(self.found(router, "jim@listed.example"), "list")
        # A report to somebody there can go nevertheless.
        routed = router.resolve(Mailbox.parse("jim@listed.example"))
        assert isinstance(routed, Routed)
        self.assertEqual(str(routed.targets[0].destination), "relay:route:store")

    def test_the_first_list_is_tried_for_soon_again(self) -> None:
        router = self.begin()
        self.reactor.end(failed=True)
        self.reactor.advance(FIRST_RETRY)
        self.reactor.end("joe\n")
        self.assertEqual(self.found(router, "jim@listed.example"), "unknown")

    def test_a_changed_list(self) -> None:
        router = self.begin()
        self.reactor.end("joe\n")
        self.reactor.advance(299)
        self.assertEqual(len(self.reactor.commands), 1)
        self.reactor.advance(1)
        self.reactor.end("jim\n")
        self.assertEqual(self.found(router, "jim@listed.example"), "relay:route:store")
        self.assertEqual(self.found(router, "joe@listed.example"), "unknown")

    def test_the_interval(self) -> None:
        self.begin(LISTED.replace("\n[routes", "recipients_interval = 60\n[routes"))
        self.reactor.end("joe\n")
        self.reactor.advance(60)
        self.assertEqual(len(self.reactor.commands), 2)

    def test_the_last_good_list_stays(self) -> None:
        outputs = {
            "nothing": ("", False),
            "no address": ("joe\n<html>Service unavailable</html>\n", False),
            "another domain": ("joe@example.org\n", False),
            "a failure": ("jim\n", True),
        }
        router = self.begin()
        self.reactor.end("joe\n")
        for name, (output, failed) in outputs.items():
            with self.subTest(name), capturedLogs() as events:
                self.reactor.advance(300)
                self.reactor.end(output, failed=failed)
                self.assertEqual(self.found(router, "joe@listed.example"), "relay:route:store")
                self.assertEqual(self.found(router, "jim@listed.example"), "unknown")
                (event,) = [event for event in events if event.get("event") == "recipients_failed"]
                self.assertEqual(event["consequence"], "its last list stays")

    def test_a_program_that_hangs_is_killed_and_started_again(self) -> None:
        router = self.begin()
        self.reactor.end("joe\n")
        self.reactor.advance(300)
        self.reactor.advance(TIME_LIMIT)
        self.assertEqual(self.reactor.signals, ["KILL"])
        self.assertEqual(self.found(router, "joe@listed.example"), "relay:route:store")
        self.reactor.advance(300)
        self.assertEqual(len(self.reactor.commands), 3)

    def test_aliases_lead_into_the_domain_whoever_is_listed(self) -> None:
        router = self.begin(aliases="joe@example.org: gone@listed.example\n")
        self.reactor.end("jane\n")
        self.assertEqual(self.found(router, "joe@example.org"), "relay:route:store")

    def test_the_catch_all_gets_who_is_not_listed(self) -> None:
        more = LISTED.replace("\n[routes", 'catch_all = "bob@example.org"\n[routes')
        router = self.begin(more)
        self.assertEqual(self.found(router, "jim@listed.example"), "list")
        self.reactor.end("joe\n")
        self.assertEqual(self.found(router, "jim@listed.example"), "maildir:bob@example.org")

    def test_stop(self) -> None:
        self.begin()
        self.successResultOf(Deferred.fromCoroutine(self.commands.stop()))
        self.assertEqual(self.reactor.signals, ["KILL"])
        self.assertEqual(self.reactor.getDelayedCalls(), [])


class CheckTests(RoutingTest):
    def problems(self, program: str) -> list[str]:
        settings = self.settings(BASE + LISTED.replace("/bin/sh", program))
        return [f"{error.key}: {error.message}" for error in check_programs(settings, "mailgw.toml")]

    def test_programs_are_there_and_executable(self) -> None:
        self.assertEqual(self.problems("/bin/sh"), [])
        self.assertEqual(self.problems("sh"), [])
        ran = self.folder / "ran"
        script = self.write("script", f"#!/bin/sh\ntouch {ran}\n")
        (problem,) = self.problems(str(script))
        self.assertIn('domains."listed.example".recipients_command', problem)
        self.assertIn("not executable", problem)
        script.chmod(0o755)
        self.assertEqual(self.problems(str(script)), [])
        self.assertFalse(ran.exists())
        self.assertIn("there is no program", self.problems("/nonexistent/list")[0])
        self.assertIn("there is no program", self.problems("no-such-program-here")[0])
        self.assertIn("absolute", self.problems("bin/list")[0])


class RealProgramTests(TestCase):
    """One run with a real program and the real reactor."""

    timeout = 30

    async def test_a_list(self) -> None:
        reactor: Any = installed_reactor
        helper = RecipientCommandTests()
        helper.folder = Path(self.mktemp()).absolute()
        helper.folder.mkdir()
        more = LISTED.replace('"/bin/sh", "-c", "true"', f'"{sys.executable}", "-c", "print(\'joe\')"')
        settings = helper.settings(BASE + more)
        lists = make_lists(settings)
        commands = RecipientCommands(settings, lists, reactor, ThreadsInline())
        commands.start()
        self.addCleanup(lambda: Deferred.fromCoroutine(commands.stop()))
        for _ in range(1000):
            if lists["listed.example"].names is not None:
                break
            await deferLater(reactor, 0.01)
        self.assertEqual(lists["listed.example"].names, {"joe"})

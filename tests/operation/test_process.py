"""Running programs of others: real ones, with bounds on time and output."""

from __future__ import annotations

import sys
from typing import Any

from twisted.internet import reactor as installed_reactor
from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import TestCase

from mailgw.operation.process import ProgramError, run_program

reactor: Any = installed_reactor


class ProgramTests(TestCase):
    timeout = 30

    async def python(self, code: str, *arguments: str, limit: float = 20.0, most: int = 100_000) -> bytes:
        command = (sys.executable, "-c", code, *arguments)
        return await run_program(reactor, command, limit=limit, max_output=most)

    async def problem(self, code: str, **bounds: Any) -> str:
        try:
            await self.python(code, **bounds)
        except ProgramError as error:
            return str(error)
        raise AssertionError("it worked")

    async def test_output(self) -> None:
        self.assertEqual(await self.python("print('a@example.org')"), b"a@example.org\n")

    async def test_arguments_come_as_they_are(self) -> None:
        code = "import sys; print(sys.argv[1], sys.stdin.read())"
        self.assertEqual(await self.python(code, "$(id); `id` *"), b"$(id); `id` * \n")

    async def test_a_failure_with_what_it_said(self) -> None:
        problem = await self.problem("import sys; print('a'); sys.exit('no directory today')")
        self.assertIn("exit code 1", problem)
        self.assertIn("no directory today", problem)

    async def test_too_slow(self) -> None:
        self.assertEqual(await self.problem("import time; time.sleep(60)", limit=0.3), "it took longer than 0.3 s")

    async def test_a_grandchild_that_holds_the_pipes(self) -> None:
        code = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import time; time.sleep(5)'])"
        self.assertIn("longer", await self.problem(code, limit=1.0))

    async def test_too_much_output(self) -> None:
        problem = await self.problem("while True: print('x' * 1000)", most=50_000)
        self.assertEqual(problem, "it wrote more than 50000 octets")

    async def test_not_there(self) -> None:
        with self.assertRaises(ProgramError):
            await run_program(reactor, ("/nonexistent/program",), limit=10, max_output=100)

    async def test_given_up(self) -> None:
        run = Deferred.fromCoroutine(self.python("import time; time.sleep(60)"))
        run.cancel()
        with self.assertRaises((ProgramError, CancelledError)):
            await run

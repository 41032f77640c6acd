"""kill -9 at any moment: what was said to be put is there, what was said to be settled is gone."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

from twisted.internet import reactor
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from mailgw.queue.sqlite import SqliteStore

ROOT = Path(__file__).parents[2]
ROUNDS = 10


class KillTests(TestCase):
    timeout = 120

    async def test_nothing_that_was_put_is_lost(self) -> None:
        directory = Path(self.mktemp())
        put: dict[str, int] = {}
        settled: set[str] = set()
        for number in range(ROUNDS):
            for line in await deferToThread(self.run_and_kill, directory, number):
                if line[0] == "put":
                    put[line[1]] = int(line[2])
                else:
                    settled.add(line[1])
            await self.check(directory, put, settled)
        self.assertGreater(len(put), 10 * ROUNDS)
        self.assertGreater(len(settled), ROUNDS)

    def run_and_kill(self, directory: Path, number: int) -> list[list[str]]:
        """Give the lines that were whole when the process was killed."""
        command = [sys.executable, "-m", "tests.queue.putting", str(directory.absolute()), str(number)]
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE)
        assert process.stdout is not None
        try:
            first = process.stdout.readline()
            time.sleep(random.uniform(0.0, 0.3))
        finally:
            process.kill()
        output = first + process.stdout.read()
        process.stdout.close()
        process.wait()
        return [line.decode().split() for line in output.split(b"\n")[:-1]]

    async def check(self, directory: Path, put: dict[str, int], settled: set[str]) -> None:
        store = SqliteStore(directory, reactor, inline_size=10_000, minimum_free=0, clock=reactor)
        await store.open()
        try:
            for message_id, size in put.items():
                found = await store.message(message_id)
                if message_id in settled:
                    self.assertIsNone(found, f"{message_id} was settled and is back")
                elif found is not None:
                    with found.message.content.open() as file:
                        self.assertEqual(len(file.read()), size)
                else:
                    # It may have been settled without a word: then it is the last of its putter that should go.
                    self.assertEqual(int(message_id[-10:]) % 3, 0, f"{message_id} was put and is lost")
            listed = {entry.message.id for entry in await store.entries(100_000)}
            files = {path.name for path in (directory / "content").iterdir()}
            self.assertLessEqual(files, listed, "orphans are removed at open")
        finally:
            await store.close()

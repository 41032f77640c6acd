"""Thread pools of our own."""

from __future__ import annotations

import threading

from twisted.internet import reactor
from twisted.trial.unittest import TestCase

from mailgw.operation.threads import Pool, ThreadsInline


class PoolTests(TestCase):
    async def test_work_runs_elsewhere_and_its_result_comes_back(self) -> None:
        pool = Pool(reactor, "test", 1)  # type: ignore[arg-type]
        pool.start()
        self.addCleanup(pool.stop)
        self.assertNotEqual(await pool.run(threading.get_ident), threading.get_ident())
        with self.assertRaises(ValueError):
            await pool.run(int, "no number")

    async def test_inline_runs_in_place(self) -> None:
        self.assertEqual(await ThreadsInline().run(threading.get_ident), threading.get_ident())

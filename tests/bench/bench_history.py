"""What the history costs a message: CPU of both threads, beside a verdict that it keeps.

python -m tests.bench.bench_history [MESSAGES]
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from attrs import evolve
from twisted.internet import reactor
from twisted.internet.defer import Deferred

from mailgw.config.schema import History
from mailgw.history.recorder import Recorder
from mailgw.history.tables import FILE, MIGRATIONS
from mailgw.mail.evidence import AuthResult, Evidence
from mailgw.mail.reply import Reply
from mailgw.state.database import Database
from mailgw.verdict.judgement import Judged
from mailgw.verdict.policy import Policy, decide
from tests.filters.support import make_transaction
from tests.queue.items import entry

AUTH = [
    AuthResult(m, "pass", ((f"{m}.of", "mail.sender.example"),), "as the domain says") for m in ("spf", "dkim", "dmarc")
]
EVIDENCE = [Evidence(f"SYMBOL_{n}", f"what was seen by the check of number {n}", source="filter") for n in range(15)]


async def measure(count: int) -> None:
    policy = Policy({piece.symbol: 0.3 for piece in EVIDENCE})
    base = make_transaction()
    base = evolve(base, auth=AUTH, evidence=EVIDENCE)
    judged = Judged(decide(EVIDENCE, policy, outbound=False), (0,), policy)
    queued = entry()
    reply = Reply(250, "2.0.0", ("OK: queued",))
    with tempfile.TemporaryDirectory() as folder:
        database = Database(Path(folder) / FILE, MIGRATIONS, reactor)
        await database.open()
        recorder = Recorder(database, History(), reactor)  # type: ignore[arg-type]
        before, here = time.process_time(), time.thread_time()
        for number in range(count):
            name = f"01AB{number:012}"
            recorder.record(evolve(base, id=name), [(judged, name)], reply)
            recorder.fate(evolve(queued.message, id=name), queued.deliveries[0], "delivered", detail="250 2.0.0 OK")
        mine = time.thread_time() - here
        await recorder.write()
        await database.close()
        total = time.process_time() - before
        size = sum(path.stat().st_size for path in Path(folder).iterdir())
    print(f"{count} messages of {len(EVIDENCE)} symbols: {total / count * 1000:.3f} ms CPU a message,")
    print(f"{mine / count * 1000:.3f} of it in the reactor; {size / count:.0f} octets on disk")


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 5000

    def run() -> None:
        done = Deferred.fromCoroutine(measure(count))
        done.addErrback(lambda failure: failure.printTraceback())
        done.addBoth(lambda _: reactor.stop())  # type: ignore[attr-defined]

    reactor.callWhenRunning(run)  # type: ignore[attr-defined]
    reactor.run()  # type: ignore[attr-defined]


if __name__ == "__main__":
    main()

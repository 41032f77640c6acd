"""What other engines cost: python -m tests.bench.bench_engines [--count 200]

Starts clamd, Rspamd and spamd, each where it is installed, with private configurations and without network, and asks
them about the same message of about 5 KB through the filters, one after another. Prints for each the CPU a message of
the gateway's side (`ours`) and of the engine's processes (`its`), in milliseconds, and the time of a message. The line
`mailgw` is all filters that are on as shipped. Rspamd's time holds its waits for DNS, which nobody answers.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet import reactor as installed_reactor
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from mailgw.config.schema import FilterFile, Settings
from mailgw.filters import catalogue
from mailgw.filters.runner import FilterRunner
from mailgw.operation.threads import ThreadsInline
from tests.bench.accounting import Tree
from tests.bench.bench_filters import ALTERNATIVE, RULES
from tests.clamav import Clamd
from tests.fakes import FakeResolver
from tests.filters.support import make_transaction
from tests.integration.peers import free_port
from tests.programs import Program, absent
from tests.rspamd import Rspamd
from tests.spamd import Spamd

reactor: Any = installed_reactor
ENGINES: tuple[tuple[str, str, Callable[[Path, int], Program]], ...] = (
    ("clamav", "clamd", Clamd),
    ("rspamd", "rspamd", Rspamd),
    ("spamassassin", "spamd", Spamd),
)


def make(sections: dict[str, Any], wanted: Callable[[str], bool]) -> FilterRunner:
    read = catalogue.read(FilterFile(filters=sections), "filters.toml", str(RULES))
    made = read.make(Settings(hostname="mail.example.org"), reactor, ThreadsInline(), FakeResolver())
    return FilterRunner([f for f in made if wanted(f.name)], reactor)


async def measure(name: str, runner: FilterRunner, count: int, pid: int = 0) -> None:
    tree = Tree(pid)
    for number in range(count + 10):
        if number == 10:  # the first ones load what is loaded late
            ours, its, begun = time.process_time(), tree.cpu_seconds() if pid else 0.0, time.monotonic()
        transaction = make_transaction(ALTERNATIVE)
        await runner.run(transaction)
        failed = [e.detail for e in transaction.evidence if e.symbol in ("FILTER_ERROR", "FILTER_TIMEOUT")]
        assert not failed, failed
    took = (time.monotonic() - begun) / count
    spent = (time.process_time() - ours) / count
    theirs = (tree.cpu_seconds() - its) / count if pid else 0.0
    print(
        f"  {name:<14}{spent * 1000:8.3f} ms ours{theirs * 1000:10.3f} ms its{took * 1000:10.2f} ms in all", flush=True
    )


async def run(count: int) -> None:
    print(f"text and HTML, {len(ALTERNATIVE)} octets, {count} times")
    await measure("mailgw", make({}, lambda name: True), count)
    for name, program, start in ENGINES:
        missing = absent(program)
        if missing:
            print(f"  {name:<14}{missing}")
            continue
        folder = Path(tempfile.mkdtemp(prefix="mailgw-bench-"))
        os.chmod(folder, 0o755)
        port = free_port()
        engine = start(folder, port)
        try:
            engine.start()
            section = {name: {"enabled": True, "addresses": [f"127.0.0.1:{port}"]}}
            await measure(name, make(section, lambda found, name=name: found == name), count, engine.pid)  # type: ignore[misc]
        finally:
            engine.stop()
            shutil.rmtree(folder, ignore_errors=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=200)
    count = parser.parse_args().count
    failures: list[Failure] = []

    def begin() -> None:
        done = Deferred.fromCoroutine(run(count))
        done.addErrback(failures.append)
        done.addBoth(lambda _: reactor.stop())

    reactor.callWhenRunning(begin)
    reactor.run()
    for failure in failures:
        failure.raiseException()


if __name__ == "__main__":
    main()

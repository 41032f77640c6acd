"""CPU time of the filters, the policy and the explanation: python -m tests.bench.bench_filters

Prints milliseconds of CPU for one message of about 5 KB, in this process: medians of several rounds. `all` is what a
message pays; the line of each filter holds the cost of the runner and of the header index too.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from twisted.internet.task import Clock

from mailgw.config.schema import FilterFile, Settings
from mailgw.filters import catalogue
from mailgw.filters.base import Filter
from mailgw.filters.runner import FilterRunner
from mailgw.filters.waiting import Finished, start
from mailgw.mail.evidence import Evidence
from mailgw.mail.transaction import Transaction
from mailgw.operation.threads import ThreadsInline
from mailgw.verdict.explain import explain, to_text
from mailgw.verdict.policy import Policy, decide
from tests.fakes import FakeResolver
from tests.filters.support import NOW, make_transaction

ROUNDS = 7
TIMES = 200
RULES = Path(__file__).parent.parent.parent / "etc" / "rules.toml"

HEADER = (
    b"Received: from a.example ([192.0.2.7])\r\n by mail.example.net with ESMTPS id 1;\r\n"
    b" Mon, 02 Nov 2026 09:58:01 +0000\r\n"
    b"From: Ann Lee <ann@example.net>\r\nTo: bob@example.org\r\nSubject: =?utf-8?q?Lunch_am_n=C3=A4chsten_Tag?=\r\n"
    b"Date: Mon, 02 Nov 2026 09:58:00 +0100\r\nMessage-ID: <a1@example.net>\r\nMIME-Version: 1.0\r\n"
    + b"".join(b"X-Field-%d: some words that nobody reads\r\n" % n for n in range(8))
)
LINE = b"Words of a message that somebody wrote to somebody, and that a reader reads.\r\n"
HTML_LINE = b'<p>Words <b>of</b> a message; see <a href=3D"https://www.example.net/page">this</a> page.</p>\r\n'
PLAIN = HEADER + b"\r\n" + LINE * 56
ALTERNATIVE = b"".join((
    HEADER,
    b"Content-Type: multipart/alternative; boundary=b\r\n\r\n",
    b"--b\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n",
    LINE * 28,
    b"--b\r\nContent-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n",
    HTML_LINE * 23,
    b"--b--\r\n",
))  # fmt: skip


def measure(name: str, work: Callable[[], object]) -> None:
    work()
    rounds = []
    for _ in range(ROUNDS):
        before = time.process_time()
        for _ in range(TIMES):
            work()
        rounds.append((time.process_time() - before) / TIMES)
    print(f"  {name:<32} {statistics.median(rounds) * 1000:7.3f} ms")


def run(runner: FilterRunner, data: bytes) -> Transaction:
    transaction = make_transaction(data)
    assert isinstance(start(runner.run(transaction)), Finished)
    return transaction


def measure_filters(filters: Sequence[Filter], clock: Clock) -> None:
    for title, data in (("plain text", PLAIN), ("text and HTML", ALTERNATIVE)):
        print(f"{title}, {len(data)} octets")
        for name, some in (("no filter", ()), *((f.name, (f,)) for f in filters), ("all", filters)):
            runner = FilterRunner(some, clock)
            measure(name, lambda runner=runner, data=data: run(runner, data))  # type: ignore[misc]  # bound now
        assert not run(FilterRunner(filters, clock), data).evidence


def main() -> None:
    clock = Clock()
    clock.advance(NOW)
    read = catalogue.read(FilterFile(), "filters.toml", str(RULES))
    filters = read.make(Settings(), clock, ThreadsInline(), FakeResolver())
    measure_filters(filters, clock)
    print("verdict, 6 pieces of evidence")
    policy = Policy(read.weights)
    evidence = [Evidence(symbol, "something was seen", source="filter") for symbol in list(read.weights)[:6]]
    verdict = decide(evidence, policy, outbound=False, reference="T1")
    measure("decide", lambda: decide(evidence, policy, outbound=False, reference="T1"))
    measure("explain, as text", lambda: to_text([explain(verdict, policy, outbound=False)], [()]))


if __name__ == "__main__":
    main()

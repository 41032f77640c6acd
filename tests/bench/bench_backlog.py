"""Measures what a long queue costs: start, memory, the rate of new mail, and the time of the queue commands.

`python -m tests.bench.bench_backlog --help`. The queue is filled first: a million messages take 9 GB below
`--directory` and three minutes or so. Then a gateway with it and one with an empty queue take load in turns, and the
commands run beside the first of them.
"""

from __future__ import annotations

import argparse
import os
import shutil
import smtplib
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from multiprocessing import Process
from pathlib import Path
from typing import Any

from attrs import frozen
from twisted.internet.defer import Deferred
from twisted.internet.task import react

from mailgw.queue.listing import Listing
from tests.bench.accounting import Tree
from tests.bench.addresses import RECIPIENT, SENDER
from tests.bench.backlog import DEAD, LARGE, RARE_SENDER, fill, recipient, zone
from tests.bench.bench_gateway import Dns, Load, RunError, generate, sinking
from tests.bench.certificate import make_certificate
from tests.bench.peers import ROOT, Gateway, PeerError, free_port

_SETTLE = 0.5
_IDLE = 10.0
_START_LIMIT = 300.0
# A command that takes longer than so many seconds has new mail beside it.
_LONG = 3.0


class GatewayWithQueue(Gateway):
    """A gateway whose queue stands elsewhere while it does not run."""

    start_limit = _START_LIMIT

    def __init__(self, directory: Path, sink_port: int, dns_port: int, queue: Path) -> None:
        super().__init__(directory, sink_port, dns_port, make_certificate("gw.test"))
        self._queue = queue

    def prepare(self) -> None:
        super().prepare()
        nobody = free_port()
        text = self.configuration.read_text().replace("[relay]\n", f"[relay]\nport = {nobody}\n")
        self.configuration.write_text(f'{text}\n[routes.dead]\nhosts = ["127.0.0.1:{nobody}"]\ntls = "none"\n')
        if self._queue.exists():
            self._queue.rename(self._place)

    def stop(self) -> None:
        super().stop()
        if self._place.exists():
            self._place.rename(self._queue)

    @property
    def _place(self) -> Path:
        return self.directory / "state" / "queue"


@frozen
class Turn:
    """Seconds until it greets; MiB of its largest process then and under load; CPU seconds of an idle second;
    accepted a second, and CPU milliseconds a message."""

    start: float
    memory: float
    loaded: float
    idle: float
    accepted: float
    cpu: float


def main() -> int:
    options = _options()
    folder = Path(tempfile.mkdtemp(prefix="bench-backlog-", dir=options.directory))
    queue = options.queue or folder / "backlog"
    turns: dict[str, list[Turn]] = {"an empty queue": [], f"{options.messages:,} messages": []}
    try:
        if not queue.exists():
            _fill(queue, options)
        with Dns(zone()) as dns_port:
            for number in range(options.turns):
                for name, its_queue in zip(turns, (folder / "empty", queue), strict=True):
                    last = its_queue is queue and number == options.turns - 1
                    peer = GatewayWithQueue(folder / f"gateway-{number}", free_port(), dns_port, its_queue)
                    turns[name].append(_turn(peer, options, commands=last and not options.load_only))
                    print(f"{name}: {turns[name][-1]}", flush=True)
                    shutil.rmtree(folder / "empty", ignore_errors=True)
    except (PeerError, RunError) as error:
        print(error, file=sys.stderr)
        return 1
    finally:
        shutil.rmtree(folder)
    _report(turns)
    return 0


def _fill(queue: Path, options: argparse.Namespace) -> None:
    """In a process of its own, which has the reactor."""
    process = Process(target=_run_fill, args=(queue, options.messages, options.size))
    process.start()
    process.join()
    if process.exitcode:
        raise RunError("the queue could not be filled")


def _run_fill(queue: Path, messages: int, size: int) -> None:
    react(lambda reactor: Deferred.fromCoroutine(fill(reactor, queue, messages, size)))


def _turn(peer: GatewayWithQueue, options: argparse.Namespace, *, commands: bool) -> Turn:
    load = Load(options.load, options.size, 20, many=True)
    with sinking(peer.sink_port, load) as sink:
        try:
            started = time.perf_counter()
            tree = peer.start()
            started = time.perf_counter() - started
            memory = tree.memory().largest
            time.sleep(2.0)  # what follows a start
            idle = _cpu(tree, _IDLE)
            before, begun = tree.cpu_seconds(), time.perf_counter()
            generate(peer.port, load)
            accepted = time.perf_counter() - begun
            sink.wait(120.0)
            time.sleep(_SETTLE)
            cpu = tree.cpu_seconds() - before
            loaded = tree.memory().largest
            if commands:
                _time_commands(peer)
                loaded = max(loaded, tree.memory().largest)
        finally:
            peer.stop()
            shutil.rmtree(peer.directory, ignore_errors=True)
    return Turn(started, memory, loaded, idle, load.messages / accepted, cpu / load.messages * 1000)


def _cpu(tree: Tree, seconds: float) -> float:
    before = tree.cpu_seconds()
    time.sleep(seconds)
    return (tree.cpu_seconds() - before) / seconds


def _time_commands(peer: GatewayWithQueue) -> None:
    with Listing(peer.directory / "state" / "queue") as listing:
        (first,) = listing.entries(1)
    user = str(recipient(4711))
    print(f"\n{'command':<60}{'seconds':>10}{'MiB':>8}")
    for arguments in (
        ("list",),
        ("list", "--destination", str(LARGE)),
        ("list", "--destination", str(DEAD)),
        ("list", "--site", LARGE.target.removeprefix("mx:")),
        ("list", "--sender", RARE_SENDER),
        ("list", "--recipient", user),
        ("list", "--reason", "421 4.7.0"),
        ("list", "--since", "1h"),
        ("list", "--summary"),
        ("show", first.message.id),
        ("hold", "--sender", RARE_SENDER, "--dry-run"),
        ("flush", "--destination", str(LARGE), "--dry-run"),
        ("delete", "--all", "--dry-run"),
        ("hold", "--destination", "relay:mx:site1.test"),
        ("release", "--destination", "*site1.test"),
        ("flush", "--destination", str(LARGE)),
        ("delete", "--destination", str(LARGE), "--yes"),
    ):
        seconds, memory, words = _run(peer, ["queue", *arguments])
        print(f"{'queue ' + ' '.join(arguments):<60}{seconds:>10.2f}{memory:>8.0f}  {words}", flush=True)


def _run(peer: GatewayWithQueue, arguments: Sequence[str]) -> tuple[float, float, str]:
    """Give its seconds, its largest memory in MiB, and its last line; for a long one how long new mail waited too."""
    begun = time.perf_counter()
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "mailgw.commands.main", *arguments],
            stdout=output,
            stderr=output,
            env={**os.environ, "PYTHONPATH": str(ROOT), "MAILGW_CONFIG": str(peer.configuration)},
        )
        waits = []
        while True:
            ended, _, usage = os.wait4(process.pid, os.WNOHANG)
            if ended:
                break
            if time.perf_counter() - begun < _LONG:
                time.sleep(0.01)
            else:
                waits.append(_send(peer.port))
        process.returncode = 0
        seconds = time.perf_counter() - begun
        output.seek(0)
        lines = output.read().decode().strip().splitlines()
    words = lines[-1] if lines else ""
    if waits:
        words += f"; {len(waits)} new messages meanwhile, each accepted within {max(waits):.2f} s"
    return seconds, usage.ru_maxrss / 1024, words


def _send(port: int) -> float:
    """Send a message; give the seconds that took."""
    begun = time.perf_counter()
    with smtplib.SMTP("127.0.0.1", port, "load.test") as client:
        client.sendmail(SENDER, [RECIPIENT], b"Subject: beside\r\n\r\nbody\r\n")
    return time.perf_counter() - begun


def _report(turns: dict[str, list[Turn]]) -> None:
    print(f"\n{'':<20}{'start s':>9}{'MiB':>7}{'loaded':>8}{'idle CPU':>10}{'accepted/s':>12}{'CPU ms':>8}")
    rates = []
    for name, results in turns.items():
        median: Any = {key: statistics.median(getattr(turn, key) for turn in results) for key in Turn.__slots__[:6]}
        rates.append(median["accepted"])
        print(
            f"{name:<20}{median['start']:>9.1f}{median['memory']:>7.0f}{median['loaded']:>8.0f}"
            f"{median['idle']:>10.1%}{median['accepted']:>12.0f}{median['cpu']:>8.2f}"
        )
    print(f"accept rate with the backlog: {rates[1] / rates[0]:.2f} of the empty queue's")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench_backlog", description=__doc__)
    parser.add_argument("--messages", type=int, default=1_000_000, help="messages in the queue (%(default)s)")
    parser.add_argument("--size", type=int, default=5120, help="octets a message (%(default)s)")
    parser.add_argument("--load", type=int, default=3000, help="messages of new mail in a turn (%(default)s)")
    parser.add_argument("--turns", type=int, default=3, help="turns of each (%(default)s)")
    parser.add_argument("--load-only", action="store_true", help="leave the commands out")
    parser.add_argument("--directory", help="where queues stand while it runs (default: /tmp)")
    parser.add_argument("--queue", type=Path, help="a queue that is filled when it is not there, and kept")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())

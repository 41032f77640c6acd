"""Measures the gateway as a whole: messages accepted and relayed a second, and CPU a message, beside Postfix.

`python -m tests.bench.bench_gateway --help`; README.md tells more.
"""

from __future__ import annotations

import argparse
import multiprocessing
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path

from attrs import frozen

from mailgw.develop.dnsserver import Zone
from tests.bench.addresses import RECIPIENT, SENDER
from tests.bench.certificate import make_certificate
from tests.bench.peers import ROOT, Gateway, GatewayUnjudged, Peer, PeerError, Postfix, free_port

_LIMIT = 120.0
_SETTLE = 0.5


@frozen
class Load:
    """What the generator does: `many` keeps its connections, else each message has one of its own."""

    messages: int
    size: int
    senders: int
    many: bool
    starttls: bool = False


@frozen
class Result:
    """One run: messages a second, milliseconds of CPU a message of all the peer's processes, MiB of memory."""

    accepted: float
    relayed: float
    cpu: float
    memory: float
    largest: float


class RunError(Exception):
    """A run did not come to its end."""


def main(arguments: Sequence[str] | None = None) -> int:
    options = _options(arguments)
    missing = [program for program in ("smtp-source", "smtp-sink") if not shutil.which(program)]
    if missing:
        print(f"{' and '.join(missing)} not installed: apt-get install postfix has them", file=sys.stderr)
        return 2
    Gateway.workers = options.workers
    kinds: list[type[Peer]] = [GatewayUnjudged] if options.unjudged else [Gateway, GatewayUnjudged]
    if reason := Postfix.absent():
        print(f"without Postfix: {reason}")
    else:
        kinds.append(Postfix)
    loads = {
        "one message a connection": Load(options.messages, options.size, options.senders, many=False),
        "many messages a connection": Load(options.messages, options.size, options.senders, many=True),
    }
    if options.large:
        loads = {"100 KB, many messages a connection": Load(options.messages // 3, 102400, options.senders, many=True)}
    if options.starttls:
        messages = options.messages // 3
        loads = {
            "STARTTLS, a connection each": Load(messages, options.size, options.senders, many=False, starttls=True)
        }
    print(
        f"{options.workers} workers, {options.messages} messages of {options.size} octets, "
        f"{options.senders} senders, {options.runs} runs in turns"
    )
    failed: set[type[Peer]] = set()
    certificate = make_certificate("gw.test")
    with Dns({}) as dns_port, tempfile.TemporaryDirectory(prefix="bench-", dir=options.directory) as directory:
        Path(directory).chmod(0o755)  # Postfix's processes are not root
        for title, load in loads.items():
            results: dict[str, list[Result]] = {kind.name: [] for kind in kinds}
            for turn in range(options.runs):
                for kind in kinds:
                    if kind in failed:
                        continue
                    try:
                        place = Path(directory) / f"{kind.name}-{turn}"
                        results[kind.name].append(run(kind, load, place, dns_port, certificate))
                    except (PeerError, RunError, subprocess.TimeoutExpired) as error:
                        print(f"{kind.name} is left out: {error}", file=sys.stderr)
                        failed.add(kind)
            print(report(title, results), flush=True)
    return 1 if failed else 0


def run(kind: type[Peer], load: Load, directory: Path, dns_port: int, certificate: tuple[bytes, bytes]) -> Result:
    """Start a fresh peer, send it the load, and wait until the sink has all. Raises RunError, PeerError."""
    sink_port = free_port()
    peer = kind(directory, sink_port, dns_port, certificate)
    with sinking(sink_port, load) as receiving:
        try:
            tree = peer.start()
            before, start = tree.cpu_seconds(), time.perf_counter()
            generate(peer.port, load)
            accepted = time.perf_counter() - start
            try:
                receiving.wait(_LIMIT)
            except subprocess.TimeoutExpired:
                raise RunError(f"the sink did not get all messages within {_LIMIT:.0f} s") from None
            relayed = time.perf_counter() - start
            time.sleep(_SETTLE)  # what is left to do after the last message belongs to it
            cpu = tree.cpu_seconds() - before
            memory = tree.memory()
        finally:
            peer.stop()
            shutil.rmtree(directory, ignore_errors=True)
    return Result(
        load.messages / accepted, load.messages / relayed, cpu / load.messages * 1000, memory.pss, memory.largest
    )


def report(title: str, results: Mapping[str, Sequence[Result]]) -> str:
    """A table of medians with lowest and highest, and of the ratios to Postfix."""
    heads = f"{'accepted a second':>24}{'relayed a second':>24}{'CPU ms a message':>24}{'MiB (largest)':>20}"
    lines = [f"\n{title}", f"  {'':<18}{heads}"]
    medians = {}
    for name, runs in results.items():
        if not runs:
            continue
        columns = [[run.accepted for run in runs], [run.relayed for run in runs], [run.cpu for run in runs]]
        medians[name] = [statistics.median(column) for column in columns]
        cells = [
            f"{statistics.median(column):.{digits}f} ({min(column):.{digits}f}-{max(column):.{digits}f})"
            for column, digits in zip(columns, (0, 0, 2), strict=True)
        ]
        memory = f"{max(run.memory for run in runs):.0f} ({max(run.largest for run in runs):.0f})"
        lines.append(f"  {name:<18}" + "".join(f"{cell:>24}" for cell in cells) + f"{memory:>20}")
    if base := medians.get(Postfix.name):
        for name, values in medians.items():
            if name != Postfix.name:
                ratios = [f"{value / reference:.2f} x" for value, reference in zip(values, base, strict=True)]
                lines.append(
                    f"  {name + '/' + Postfix.name:<26}"
                    + "".join(f"{ratio:>{w}}" for ratio, w in zip(ratios, (16, 24, 24), strict=True))
                )
    return "\n".join(lines)


@contextmanager
def sinking(port: int, load: Load) -> Iterator[subprocess.Popen[bytes]]:
    """Run a sink, which ends by itself when it has had the load."""
    sink = ["smtp-sink", "-m", "500", "-M", str(load.messages), f"127.0.0.1:{port}", "1000"]
    if Postfix.absent() == "":
        sink[1:1] = ["-u", "nobody"]  # it refuses to stay root
    with subprocess.Popen(sink, stdout=subprocess.DEVNULL) as receiving:
        try:
            yield receiving
        finally:
            if receiving.poll() is None:
                receiving.terminate()


def generate(port: int, load: Load) -> None:
    """Send the load. Raises RunError."""
    if load.starttls:
        numbers = (str(number) for number in (port, load.messages, load.senders, load.size))
        command = [sys.executable, "-m", "tests.bench.starttls_source", *numbers]
        _run(command)
        return
    command = ["smtp-source", "-s", str(load.senders), "-l", str(load.size), "-m", str(load.messages)]
    command += ["-f", SENDER, "-t", RECIPIENT, *(["-d"] if load.many else []), f"127.0.0.1:{port}"]
    _run(command)


def _run(command: Sequence[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=_LIMIT, check=False, cwd=ROOT)
    if done.returncode:
        raise RunError(f"{' '.join(command[:3])}: {(done.stderr or done.stdout)[-300:]}")


class Dns:
    """A DNS server in a child process: the load's domain has SPF for loopback, and loopback has a name."""

    def __init__(self, zone: Zone) -> None:
        """`zone` is what it knows besides."""
        self._zone = zone

    def __enter__(self) -> int:
        ours, its = multiprocessing.Pipe()
        self._process = multiprocessing.Process(target=_serve_dns, args=(its, self._zone), daemon=True)
        self._process.start()
        port: int = ours.recv()
        return port

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.join()


def _serve_dns(ready: Connection, more: Zone) -> None:
    from twisted.internet import reactor

    from mailgw.develop.dnsserver import DnsServer, World

    domain = SENDER.rpartition("@")[2]
    zone: Zone = {
        **more,
        domain: {"TXT": ["v=spf1 ip4:127.0.0.1 -all"], "MX": [f"10 {domain}."], "A": ["127.0.0.1"]},
        "1.0.0.127.in-addr.arpa": {"PTR": [f"{domain}."]},
    }
    ready.send(DnsServer(reactor, World(zone)).start())
    reactor.run()


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench_gateway", description=__doc__)
    parser.add_argument("--messages", type=int, default=3000, help="messages in a run (%(default)s)")
    parser.add_argument("--size", type=int, default=5120, help="octets a message (%(default)s)")
    parser.add_argument("--senders", type=int, default=20, help="senders at the same time (%(default)s)")
    parser.add_argument("--workers", type=int, default=1, help="workers of the gateway (%(default)s)")
    parser.add_argument("--unjudged", action="store_true", help="leave the gateway with its checks out")
    parser.add_argument("--large", action="store_true", help="messages of 100 KB, a third of the number")
    parser.add_argument("--starttls", action="store_true", help="each connection under TLS, a third of the number")
    parser.add_argument("--runs", type=int, default=3, help="runs of each, in turns (%(default)s)")
    parser.add_argument("--directory", help="where queues stand while it runs; on the disk to measure (default: /tmp)")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())

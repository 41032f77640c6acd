"""Measure the relay: messages a second and CPU a message, to a sink on loopback.

    python tests/bench/bench_relay.py [--messages N] [--concurrency N] [--size OCTETS] [--sink FILE]

The sink is smtpsink.py, looked for in ../shared/tools beside the project. No queue is in the measure: the agent's
`deliver` is called with that many at the same time, as the scheduler does, over connections that are kept.
"""

from __future__ import annotations

import argparse
import json
import random
import socket
import subprocess
import sys
import time
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(PROJECT))

from twisted.internet import reactor  # noqa: E402
from twisted.internet.defer import Deferred, gatherResults  # noqa: E402

from mailgw.config import schema  # noqa: E402
from mailgw.delivery.relay import RelayAgent  # noqa: E402
from mailgw.delivery.sessions import Sessions  # noqa: E402
from mailgw.operation.threads import ThreadsInline  # noqa: E402
from mailgw.queue.item import Delivered  # noqa: E402
from tests.delivery.peers import deliveries, queued  # noqa: E402
from tests.fakes import FakeResolver  # noqa: E402


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(port: int) -> None:
    for _ in range(100):
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.05)
    sys.exit("the sink does not start")


async def run(agent: RelayAgent, messages: int, concurrency: int, content: bytes) -> int:
    left = iter(range(messages))
    message, to = queued(content), deliveries("route:sink")
    done = 0

    async def sender() -> None:
        nonlocal done
        for _ in left:
            (outcome,) = await agent.deliver(message, to)
            done += isinstance(outcome, Delivered)

    await gatherResults([Deferred.fromCoroutine(sender()) for _ in range(concurrency)])
    return done


async def measure(options: argparse.Namespace, port: int) -> dict[str, float]:
    routes = {"sink": schema.Route(hosts=(f"127.0.0.1:{port}",), tls="none")}
    settings = schema.Relay(max_messages=options.messages)
    agent = RelayAgent(
        Sessions(
            reactor,
            FakeResolver(),
            settings,
            routes,
            "gw.example.org",
            ThreadsInline(),
            random.Random(1),  # type: ignore[arg-type]
        ),
        ThreadsInline(),
    )
    line = b"The quick brown fox jumps over the lazy dog, and a dot stands below.\r\n"
    content = b"Subject: bench\r\nFrom: <a@example.org>\r\n\r\n" + line * (options.size // len(line))
    await run(agent, 200, options.concurrency, content)
    wall, cpu = time.perf_counter(), time.process_time()
    done = await run(agent, options.messages, options.concurrency, content)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    await agent.close()
    return {
        "delivered": done,
        "messages_a_second": round(done / wall, 1),
        "cpu_ms_a_message": round(1000 * cpu / max(done, 1), 4),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=5000)
    parser.add_argument("--concurrency", type=int, default=10)
    parser.add_argument("--size", type=int, default=5000)
    parser.add_argument("--sink", type=Path, default=PROJECT.parent / "shared/tools/smtpsink.py")
    options = parser.parse_args()
    if not options.sink.exists():
        sys.exit(f"skipped: there is no {options.sink}; name a sink with --sink")
    port = free_port()
    sink = subprocess.Popen([sys.executable, str(options.sink), str(port)], stdout=subprocess.DEVNULL)
    try:
        wait_for(port)
        measuring = Deferred.fromCoroutine(measure(options, port))
        measuring.addCallbacks(lambda figures: print(json.dumps(figures)), lambda failure: failure.printTraceback())
        measuring.addBoth(lambda _: reactor.callLater(0, reactor.stop))  # type: ignore[attr-defined]
        reactor.run()  # type: ignore[attr-defined]
    finally:
        sink.terminate()
        sink.wait()


if __name__ == "__main__":
    main()

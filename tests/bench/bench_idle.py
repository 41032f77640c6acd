"""Measures the memory of many sessions: idle ones, and ones in the middle of large messages.

`python -m tests.bench.bench_idle`: 5,000 idle connections, then 200 messages of 25 MB that are all under way at the
same time (5 GB on the disk below `--directory` while it runs). All on loopback; a minute or two.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.bench.crowd import Crowd, CrowdError, CrowdGateway, allow_descriptors, descriptors, resident
from tests.bench.peers import RECIPIENT, PeerError, free_port

_MB = 1_000_000
_BLOCK = (b"x" * 76 + b"\r\n") * 800
_SETTLE = 1.0


class Gateway(CrowdGateway):
    limits = {"connections": 20_000}


def main(arguments: Sequence[str] | None = None) -> int:
    options = _options(arguments)
    try:
        allow_descriptors(2 * max(options.idle, options.messages) + 1000)
        with tempfile.TemporaryDirectory(prefix="bench-", dir=options.directory) as directory:
            gateway = Gateway(Path(directory) / "gateway", free_port(), free_port())
            gateway.start()
            try:
                _warm_up(gateway)
                _idle(gateway, options.idle)
                _large(gateway, options.messages, options.size * _MB)
            finally:
                gateway.stop()
    except (CrowdError, PeerError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _warm_up(gateway: Gateway) -> None:
    """What the first sessions make stays: it is no cost of a session."""
    with Crowd(gateway.port) as crowd:
        crowd.connect(200)
        crowd.say(b"EHLO client.test\r\n", b"250")
    _until_closed(gateway)


def _idle(gateway: Gateway, number: int) -> None:
    before = resident(gateway.pid)
    with Crowd(gateway.port) as crowd:
        crowd.connect(number)
        greeted = resident(gateway.pid)
        crowd.say(b"EHLO client.test\r\n", b"250")
        after = resident(gateway.pid)
    _until_closed(gateway)
    print(
        f"{number} idle connections: {before / _MB:.1f} MB before, {after / _MB:.1f} MB with them; a connection "
        f"{(greeted - before) / number / 1024:.1f} KiB, after EHLO {(after - before) / number / 1024:.1f} KiB",
        flush=True,
    )


def _large(gateway: Gateway, number: int, size: int) -> None:
    before = resident(gateway.pid)
    with Crowd(gateway.port, 600.0) as crowd:
        crowd.connect(number)
        crowd.say(b"EHLO client.test\r\n", b"250")
        crowd.say(b"MAIL FROM:<sender@load.test>\r\n", b"250")
        crowd.say(f"RCPT TO:<{RECIPIENT}>\r\n".encode(), b"250")
        crowd.say(b"DATA\r\n", b"354")
        crowd.pour(b"Subject: large\r\n\r\n", 1)
        start = time.monotonic()
        most = before
        blocks = size // len(_BLOCK)
        step = max(1, blocks // 20)
        for sent in range(0, blocks, step):
            crowd.pour(_BLOCK, min(step, blocks - sent))
            most = max(most, resident(gateway.pid))
        time.sleep(_SETTLE)
        held = resident(gateway.pid)
        took = time.monotonic() - start
    print(
        f"{number} messages of {size / _MB:.0f} MB at once: {before / _MB:.1f} MB before, {most / _MB:.1f} MB at most, "
        f"{held / _MB:.1f} MB when all but their ends have come; a message {(most - before) / number / 1024:.0f} KiB; "
        f"{took:.0f} s"
    )
    _until_closed(gateway)


def _until_closed(gateway: Gateway) -> None:
    """Wait until the gateway has closed what the crowd has left."""
    for _ in range(300):
        if descriptors(gateway.pid) < 100:
            return
        time.sleep(0.1)
    raise CrowdError("the gateway keeps connections that the clients have closed")


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench_idle", description=__doc__)
    parser.add_argument("--idle", type=int, default=5000, help="idle connections (%(default)s)")
    parser.add_argument("--messages", type=int, default=200, help="messages under way at the same time (%(default)s)")
    parser.add_argument("--size", type=int, default=25, help="MB of each (%(default)s)")
    parser.add_argument("--directory", help="where the queue stands while it runs (default: the temporary folder)")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())

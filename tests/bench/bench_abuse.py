"""Measures what abuse costs the others: a well-behaved client's time to 250, alone and beside each attack.

`python -m tests.bench.bench_abuse`: a slowloris of 2,000 connections from a hundred addresses, a flood of
connections from one address, and a flood of wrong passwords from forty addresses, against a gateway with the limits and
rates as shipped (but with no networks of its own). All on loopback; about a minute.
"""

from __future__ import annotations

import argparse
import datetime
import smtplib
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from mailgw.develop.certificate import make_certificate
from mailgw.reception.credentials import hash_password
from tests.bench.attackers import Attack, flood, slowloris, unverified, wrong_passwords
from tests.bench.crowd import CrowdError, CrowdGateway, allow_descriptors
from tests.bench.peers import RECIPIENT, SENDER, PeerError, free_port

_MESSAGE = b"Subject: well-behaved\r\n\r\n" + (b"x" * 70 + b"\r\n") * 70
_PASSWORD = "a password for the benchmark"
_USER = "alice@dest.test"
_GOAL = 1.0


class Gateway(CrowdGateway):
    top = "own_networks = []"

    def prepare(self) -> None:
        self.submissions = free_port()
        self.sections = f"""
[listeners.submissions]
addresses = ["127.0.0.1:{self.submissions}"]
kind = "submission"
tls = "implicit"

[tls]
certificate_file = "certificate.pem"
key_file = "key.pem"
"""
        super().prepare()
        etc = self.directory / "etc"
        certificate, key = make_certificate(["gw.test", "127.0.0.1"], datetime.datetime.now(datetime.UTC))
        (etc / "certificate.pem").write_bytes(certificate)
        (etc / "key.pem").write_bytes(key)
        (etc / "users").write_text(f"{_USER}:{hash_password(_PASSWORD)}\n")


def send(port: int, source: str) -> float:
    """Send a message to the mx listener; give the seconds from the connection to the 250. Raises OSError (an
    SMTPException is one) when it is not taken."""
    start = time.perf_counter()
    with smtplib.SMTP("127.0.0.1", port, "client.test", 30.0, (source, 0)) as client:
        client.sendmail(SENDER, [RECIPIENT], _MESSAGE)
        return time.perf_counter() - start


def submit(port: int, source: str) -> float:
    """The same with TLS and a password, to the submission listener."""
    start = time.perf_counter()
    with smtplib.SMTP_SSL(
        "127.0.0.1", port, "client.test", timeout=30.0, source_address=(source, 0), context=unverified()
    ) as client:
        client.login(_USER, _PASSWORD)
        client.sendmail(_USER, [RECIPIENT], _MESSAGE)
        return time.perf_counter() - start


def measure(client: Callable[[int, str], float], port: int, source: str, times: int) -> tuple[list[float], int]:
    """Let the client come so often; give its times, and how often it was refused."""
    taken = []
    refused = 0
    for _ in range(times):
        try:
            taken.append(client(port, source))
        except OSError as error:
            print(f"  refused: {error}", file=sys.stderr)
            refused += 1
        time.sleep(0.1)
    return taken, refused


def main(arguments: Sequence[str] | None = None) -> int:
    options = _options(arguments)
    failed = 0
    try:
        allow_descriptors(options.slowloris + 4000)
        with tempfile.TemporaryDirectory(prefix="bench-", dir=options.directory) as directory:
            for number, title in enumerate(_SCENES):
                gateway = Gateway(Path(directory) / str(number), free_port(), free_port())
                gateway.start()
                try:
                    failed += _scene(gateway, title, options)
                finally:
                    gateway.stop()
    except (CrowdError, PeerError) as error:
        print(error, file=sys.stderr)
        return 1
    return 1 if failed else 0


_SCENES = ("slowloris", "connections from one address", "wrong passwords")
# Seconds that an attack has before the client comes: until it is at its worst.
_LEADS = {"slowloris": 5.0, "connections from one address": 2.0, "wrong passwords": 0.5}


def _scene(gateway: Gateway, title: str, options: argparse.Namespace) -> int:
    """Measure alone, then beside the attack; print both. Gives how many goals were missed."""
    clients: dict[str, tuple[Callable[[int, str], float], int]] = {
        "mx": (send, gateway.port),
        "submission": (submit, gateway.submissions),
    }
    attack = {
        "slowloris": Attack(slowloris, gateway.port, options.slowloris),
        "connections from one address": Attack(flood, gateway.port, "127.3.3.3"),
        "wrong passwords": Attack(wrong_passwords, gateway.submissions, 40),
    }[title]
    alone = {name: measure(client, port, "127.9.1.9", options.times)[0] for name, (client, port) in clients.items()}
    beside = {}
    with attack:
        time.sleep(_LEADS[title])
        for name, (client, port) in clients.items():
            beside[name] = measure(client, port, "127.9.2.9", options.times)
    print(f"{title}: {', '.join(f'{what} {count}' for what, count in sorted(attack.counts.items()))}")
    missed = 0
    for name, (times, refused) in beside.items():
        if not times or not alone[name]:
            print(f"  {name}: refused {refused} of {options.times} times")
            missed += 1
            continue
        before, median = statistics.median(alone[name]), statistics.median(times)
        missed += refused > 0 or max(times) >= _GOAL
        print(
            f"  {name:<12} time to 250: alone {before * 1000:.0f} ms, beside it {median * 1000:.0f} ms "
            f"({max(times) * 1000:.0f} at most), {median / before:.1f} x; refused {refused} of {options.times}",
            flush=True,
        )
    return missed


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench_abuse", description=__doc__)
    parser.add_argument("--slowloris", type=int, default=2000, help="connections of the slowloris (%(default)s)")
    parser.add_argument("--times", type=int, default=20, help="messages of the well-behaved client (%(default)s)")
    parser.add_argument("--directory", help="where queues stand while it runs (default: the temporary folder)")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())

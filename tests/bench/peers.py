"""Mail servers to measure, each with a private configuration on loopback: the gateway and Postfix."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from pathlib import Path

from tests import postfix
from tests.bench.accounting import Tree

ROOT = Path(__file__).resolve().parent.parent.parent
_START_LIMIT = 30.0
_STOP_LIMIT = 20.0


class PeerError(Exception):
    """A peer did not start; the message holds what it wrote."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Peer(ABC):
    """A server that takes mail on `port` and relays it to the sink's port. One start, one stop."""

    name: str
    start_limit = _START_LIMIT
    """Seconds."""

    def __init__(self, directory: Path, sink_port: int, dns_port: int, certificate: tuple[bytes, bytes]) -> None:
        """`certificate` and its key, in PEM, are the same for all."""
        self.directory = directory
        self.sink_port = sink_port
        self.dns_port = dns_port
        self.certificate = certificate
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def prepare(self) -> None:
        """Write the configuration below the directory, which is empty."""

    @abstractmethod
    def command(self) -> list[str]:
        """The command that runs it in the foreground."""

    def start(self) -> Tree:
        """Start it and wait for its greeting; give its processes. Raises PeerError."""
        self.directory.mkdir(mode=0o755)
        for name, text in zip(("certificate.pem", "key.pem"), self.certificate, strict=True):
            (self.directory / name).write_bytes(text)
        self.prepare()
        log = self.directory / "output.log"
        with open(log, "wb") as output:
            self._process = subprocess.Popen(
                self.command(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=self.directory,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                start_new_session=True,
            )
        deadline = time.monotonic() + self.start_limit
        while time.monotonic() < deadline and self._process.poll() is None:
            if self._greets():
                return Tree(self._process.pid)
            time.sleep(0.1)
        self.stop()
        raise PeerError(f"{self.name} did not start:\n{log.read_text(errors='replace')[-3000:]}")

    def stop(self) -> None:
        """End it and remove its files."""
        process, self._process = self._process, None
        if process is not None:
            process.terminate()
            try:
                process.wait(_STOP_LIMIT)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def _greets(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=2.0) as connection:
                return connection.recv(3) == b"220"
        except OSError:
            return False


class Gateway(Peer):
    """mailgw from this checkout, with its filters and weights as shipped, SPF and DKIM on."""

    name = "mailgw"
    twistd: tuple[str, ...] = ("-c", "from twisted.scripts.twistd import run; run()")

    workers = 1

    @property
    def configuration(self) -> Path:
        return self.directory / "etc" / "mailgw.toml"

    def prepare(self) -> None:
        etc = self.directory / "etc"
        etc.mkdir()
        for name in ("filters.toml", "rules.toml"):
            shutil.copy(ROOT / "etc" / name, etc)
        self.configuration.write_text(f"""
hostname = "gw.test"
state_directory = "{self.directory}/state"
user = ""
workers = {self.workers}

[domains."dest.test"]
deliver = "route:sink"

[listeners.mx]
addresses = ["127.0.0.1:{self.port}"]
kind = "mx"

[tls]
certificate_file = "{self.directory}/certificate.pem"
key_file = "{self.directory}/key.pem"

[routes.sink]
hosts = ["127.0.0.1:{self.sink_port}"]
tls = "none"

[dns]
servers = ["127.0.0.1:{self.dns_port}"]

[limits]
transactions = 1000000          # the generator never ends a session by itself

[relay]
max_messages = 1000000          # as Postfix, which reuses a connection by time

[log]
file = "{self.directory}/mailgw.log"
""")
        for name in ("users", "aliases"):
            (etc / name).touch()
        (self.directory / "state").mkdir()

    def _greets(self) -> bool:
        # One of several workers may greet before the others are there: the supervisor's line comes when all are.
        log = self.directory / "mailgw.log"
        return log.exists() and "listening on" in log.read_text(errors="replace") and super()._greets()

    def command(self) -> list[str]:
        return [sys.executable, *self.twistd, "-n", "--pidfile=", "mailgw", "--config", str(self.configuration)]


class GatewayUnjudged(Gateway):
    """The same without any check: queue and relay alone."""

    name = "mailgw-unjudged"
    twistd = ("-m", "tests.bench.unjudged")


class Postfix(Peer):
    """The installed Postfix with its defaults, relaying for loopback. Its master wants to be started by root."""

    name = "postfix"

    @staticmethod
    def absent() -> str:
        """Why it cannot be measured here; empty when it can."""
        return postfix.absent()

    def prepare(self) -> None:
        settings = {
            "myhostname": "gw.test",
            "relayhost": f"[127.0.0.1]:{self.sink_port}",
            "smtpd_tls_security_level": "may",
            "smtpd_tls_cert_file": f"{self.directory}/certificate.pem",
            "smtpd_tls_key_file": f"{self.directory}/key.pem",
        }
        postfix.write_configuration(self.directory, self.port, settings)

    def command(self) -> list[str]:
        return ["postfix", "-c", str(self.directory / "etc"), "start-fg"]

    def stop(self) -> None:
        subprocess.run(
            ["postfix", "-c", str(self.directory / "etc"), "stop"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=60,
            check=False,
        )
        super().stop()

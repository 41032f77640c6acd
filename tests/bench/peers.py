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

from tests.bench.accounting import Tree

ROOT = Path(__file__).resolve().parent.parent.parent
RECIPIENT = "rcpt@dest.test"
SENDER = "sender@load.test"
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

    def __init__(self, directory: Path, sink_port: int, dns_port: int) -> None:
        self.directory = directory
        self.sink_port = sink_port
        self.dns_port = dns_port
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
        deadline = time.monotonic() + _START_LIMIT
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

    def prepare(self) -> None:
        etc = self.directory / "etc"
        etc.mkdir()
        for name in ("filters.toml", "rules.toml"):
            shutil.copy(ROOT / "etc" / name, etc)
        (etc / "mailgw.toml").write_text(f"""
hostname = "gw.test"
state_directory = "{self.directory}/state"
user = ""

[domains."dest.test"]
deliver = "route:sink"

[listeners.mx]
addresses = ["127.0.0.1:{self.port}"]
kind = "mx"
tls = "none"

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

    def command(self) -> list[str]:
        config = str(self.directory / "etc" / "mailgw.toml")
        return [sys.executable, *self.twistd, "-n", "--pidfile=", "mailgw", "--config", config]


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
        if not shutil.which("postfix"):
            return "postfix is not installed"
        return "" if os.geteuid() == 0 else "postfix has to be started by root"

    def prepare(self) -> None:
        etc, spool, data = (self.directory / name for name in ("etc", "spool", "data"))
        for folder in (etc, spool, data):
            folder.mkdir()
        shutil.chown(data, "postfix", "postfix")
        (etc / "main.cf").write_text(f"""
compatibility_level = 3.6
queue_directory = {spool}
data_directory = {data}
daemon_directory = {_postconf("daemon_directory")}
shlib_directory = {_postconf("shlib_directory")}
command_directory = {_postconf("command_directory")}
myhostname = gw.test
mydestination =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
relayhost = [127.0.0.1]:{self.sink_port}
smtp_dns_support_level = disabled
alias_maps =
alias_database =
maillog_file = {self.directory}/mail.log
maillog_file_prefixes = {self.directory}
""")
        # service type private unprivileged chroot wakeup maxproc command
        (etc / "master.cf").write_text(f"""
127.0.0.1:{self.port} inet n - n - - smtpd
postlog unix-dgram n - n - 1 postlogd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
proxywrite unix - - n - 1 proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
""")

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


def _postconf(name: str) -> str:
    return subprocess.run(["postconf", "-d", "-h", name], capture_output=True, text=True, check=True).stdout.strip()

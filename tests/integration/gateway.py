"""A real gateway in a process of its own, for integration tests: twistd, its configuration, its log."""

from __future__ import annotations

import datetime
import json
import os
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from twisted.internet import reactor as installed_reactor
from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessExitedAlready
from twisted.internet.protocol import ProcessProtocol
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

import mailgw
from mailgw.develop.certificate import make_certificate
from mailgw.reception.credentials import hash_password

reactor: Any = installed_reactor
ROOT = Path(mailgw.__file__).parent.parent
PASSWORD = "a password for tests"
START_LIMIT = 30.0

CONFIG = """
hostname = "mail.example.test"
state_directory = "{state}"
user = ""

[domains."example.test"]

[listeners.mx]
addresses = ["127.0.0.1:{mx}"]
kind = "mx"
tls = "starttls"
{mx_more}

[listeners.submissions]
addresses = ["127.0.0.1:{submissions}"]
kind = "submission"
tls = "implicit"

[listeners.submission]
addresses = ["127.0.0.1:{submission}"]
kind = "submission"
tls = "starttls"

[tls]
certificate_file = "certificate.pem"
key_file = "key.pem"

[maildir]
root = "{mail}"

[dns]
servers = ["127.0.0.1:{dns}"]
timeout = {dns_timeout}

# Whose messages our users send in many tests.
[submission.send_as."*"]
addresses = ["sender.test"]

[relay]
default = "{relay}"
port = {relay_port}

[log]
format = "json"
level = "{level}"
{more}
"""


class _Process(ProcessProtocol):
    """Collects what the gateway writes, line by line."""

    def __init__(self, on_line: Callable[[str], None]) -> None:
        self.ended: Deferred[int] = Deferred()
        self.output = ""
        self._on_line = on_line
        self._rest = ""

    def outReceived(self, data: bytes) -> None:
        text = data.decode(errors="replace")
        self.output += text
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            self._on_line(line)

    errReceived = outReceived

    def processEnded(self, reason: Failure) -> None:
        self.ended.callback(reason.value.exitCode if reason.value.exitCode is not None else -reason.value.signal)


class Gateway:
    """One gateway below `directory`. `settings` fill in CONFIG; `events` is its log, parsed."""

    program = "from twisted.scripts.twistd import run; run()"

    def __init__(self, directory: str, **settings: Any) -> None:
        self.directory = Path(directory).absolute()
        self.etc = self.directory / "etc"
        self.mail = self.directory / "mail"
        self.state = self.directory / "state"
        self.settings = {
            "state": self.state,
            "mail": self.mail,
            "mx": 0,
            "submissions": 0,
            "submission": 0,
            "dns": 9,
            "dns_timeout": 2,
            "relay": "mx",
            "relay_port": 25,
            "level": "debug",
            "mx_more": "",
            "more": "",
            **settings,
        }
        self.events: list[dict[str, Any]] = []
        self.ports: dict[str, int] = {}
        self._process: _Process | None = None
        self._transport: Any = None
        self._waiting: list[tuple[Callable[[dict[str, Any]], bool], Deferred[dict[str, Any]]]] = []

    def write_configuration(self, files: Mapping[str, str] = {}) -> None:
        """Write etc/, with alice and bob; `files` add to it or replace what stands there."""
        self.etc.mkdir(parents=True, exist_ok=True)
        self.state.mkdir(exist_ok=True)
        self.mail.mkdir(exist_ok=True)
        hashed = hash_password(PASSWORD)
        certificate, key = make_certificate(["mail.example.test", "127.0.0.1"], datetime.datetime.now(datetime.UTC))
        content = {
            "mailgw.toml": CONFIG.format(**self.settings),
            "filters.toml": "[greylisting]\nenabled = false\n",
            "rules.toml": "",
            "aliases": "",
            "users": f"alice@example.test:{hashed}\nbob@example.test:{hashed}\n",
            "certificate.pem": certificate.decode(),
            "key.pem": key.decode(),
            **files,
        }
        for name, text in content.items():
            (self.etc / name).write_text(text)

    async def start(self) -> None:
        """Start twistd and wait until it listens. Raises AssertionError with its output when it ends instead."""
        self.spawn()
        assert self._process is not None
        process = self._process
        listening = (self.etc / "mailgw.toml").read_text().count("[listeners.")
        for _ in range(int(START_LIMIT / 0.05)):
            if len(self.ports) == listening:
                return
            if process.ended.called:
                raise AssertionError(f"the gateway ended at its start:\n{process.output}")
            await deferLater(reactor, 0.05)
        raise AssertionError(f"the gateway does not listen:\n{process.output}")

    def spawn(self) -> None:
        self.ports.clear()
        self._process = _Process(self._line)
        arguments = [sys.executable, "-c", self.program, "-n"]
        arguments += ["--pidfile", str(self.directory / "pid"), "mailgw", "--config", str(self.etc / "mailgw.toml")]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        self._transport = reactor.spawnProcess(
            self._process, sys.executable, arguments, env=environment, path=str(self.directory)
        )

    @property
    def pid(self) -> int:
        number: int = self._transport.pid
        return number

    @property
    def rss(self) -> int:
        """Its resident memory, in octets."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    async def ended(self) -> tuple[int, str]:
        """Wait for the process to end; give its exit status (negative: the signal) and all that it wrote."""
        assert self._process is not None
        done: Deferred[int] = Deferred()
        self._process.ended.addBoth(lambda status: (done.callback(status), status)[1])
        return await done, self._process.output

    async def stop(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        """End it with a signal and wait."""
        try:
            self._transport.signalProcess(number)
        except ProcessExitedAlready:
            pass
        return await self.ended()

    async def kill(self) -> None:
        await self.stop(signal.SIGKILL)

    @property
    def output(self) -> str:
        return self._process.output if self._process is not None else ""

    async def wait_for(self, limit: float = 20.0, **fields: Any) -> dict[str, Any]:
        """Wait for an event of the log with these fields, past ones included."""

        def matches(event: dict[str, Any]) -> bool:
            return all(event.get(key) == value for key, value in fields.items())

        for event in self.events:
            if matches(event):
                return event
        found: Deferred[dict[str, Any]] = Deferred()
        self._waiting.append((matches, found))
        found.addTimeout(limit, reactor)
        try:
            return await found
        except Exception:
            raise AssertionError(f"no event {fields} in {limit} s; the log:\n{self.output}") from None

    def folder(self, user: str, folder: str = "") -> list[bytes]:
        """The messages in a folder (`""`: the inbox, `.Spam`), by name."""
        new = self.mail / "example.test" / user / folder / "new"
        return [path.read_bytes() for path in sorted(new.iterdir())] if new.is_dir() else []

    def _line(self, line: str) -> None:
        try:
            event = json.loads(line)
        except ValueError:
            return
        self.events.append(event)
        if event.get("event") == "listening":
            self.ports[event["listener"]] = event["port"]
        for waiting in tuple(self._waiting):
            matches, found = waiting
            if matches(event):
                self._waiting.remove(waiting)
                if not found.called:
                    found.callback(event)

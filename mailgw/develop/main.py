"""A gateway to try: `python -m mailgw.develop DIRECTORY` prepares it, starts it, and says what to do with it."""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import socket
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType

import attrs

import mailgw
from mailgw.develop.guide import guide
from mailgw.develop.setup import Layout, Ports, prepare

_START_LIMIT = 30.0
_STOP_LIMIT = 20.0


class CannotStart(Exception):
    """The message is the one line that the user gets."""


class Stopped(BaseException):
    """SIGINT, SIGTERM or SIGHUP has come."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until a signal or until the gateway ends; give the exit status."""
    options = _options(arguments)
    layout = Layout(options.directory)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _stop)
    try:
        check_ports(options.ports)
        password = prepare(layout, options.ports, options.etc, time.time())
        with _running(_world_command(layout, options.ports), stdin=subprocess.PIPE, stdout=subprocess.PIPE) as world:
            assert world.stdout is not None
            if world.stdout.readline() != b"ready\n":
                raise CannotStart("the DNS server and the sink did not start; what they said stands above")
            with _running(_gateway_command(layout)) as gateway:
                _await_greeting(gateway, options.ports.mx)
                print(guide(layout, options.ports, password), flush=True)
                return _first_end(gateway, world)
    except CannotStart as error:
        print(f"mailgw.develop: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"mailgw.develop: {error.filename or layout.root}: {error.strerror}", file=sys.stderr)
        return 1
    except Stopped:
        return 0


def check_ports(ports: Ports) -> None:
    """Raise CannotStart when one of the ports is in use."""
    busy = []
    for name, port in attrs.asdict(ports).items():
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM) if name == "dns" else (socket.SOCK_STREAM,):
            if reason := _busy(port, kind):
                busy.append(f"{port} ({name}: {reason})")
                break
    if busy:
        raise CannotStart(
            f"cannot listen on 127.0.0.1 port {', '.join(busy)}; is another gateway running? "
            "Other ports: --ports MX,IMPLICIT,SUBMISSION,SINK,DNS, or make PORTS=MX,... run"
        )


def _busy(port: int, kind: socket.SocketKind) -> str:
    """Say why a port cannot be had; empty when it can."""
    with socket.socket(type=kind) as probe:
        if kind is socket.SOCK_STREAM:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the servers do
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            return error.strerror or "in use"
    return ""


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="mailgw.develop", description=__doc__)
    parser.add_argument("directory", type=Path, help="where everything stands; made when missing")
    parser.add_argument("--etc", type=Path, default=Path("etc"), help="folder with filters.toml and rules.toml to copy")
    parser.add_argument(
        "--ports", type=_ports, default=Ports(), metavar="MX,IMPLICIT,SUBMISSION,SINK,DNS", help="ports on 127.0.0.1"
    )
    return parser.parse_args(arguments)


def _ports(text: str) -> Ports:
    numbers = [int(part) for part in text.split(",")]
    if len(numbers) != len(attrs.fields(Ports)) or not all(0 < number < 65536 for number in numbers):
        raise ValueError
    return Ports(*numbers)


def _world_command(layout: Layout, ports: Ports) -> list[str]:
    return [sys.executable, "-m", "mailgw.develop.world", str(layout.root), str(ports.dns), str(ports.sink)]


def _gateway_command(layout: Layout) -> list[str]:
    # No pidfile: one left behind by a crash would name some other process by now, and twistd would refuse to start.
    twistd = [sys.executable, "-c", "from twisted.scripts.twistd import run; run()"]
    return [*twistd, "-n", "--pidfile=", "mailgw", "--config", str(layout.configuration)]


@contextlib.contextmanager
def _running(
    command: Sequence[str], *, stdin: int | None = None, stdout: int | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A child that ends with the block, by SIGTERM, or SIGKILL when it takes longer than 20 seconds."""
    # A session of its own keeps the terminal's Ctrl-C from the child: we end the children in order.
    child = subprocess.Popen(command, stdin=stdin, stdout=stdout, env=_environment(), start_new_session=True)
    try:
        yield child
    finally:
        _end(child)


def _environment() -> dict[str, str]:
    """The children see the same mailgw as we do: the installed one or the one of a checkout."""
    environment = {**os.environ, "PYTHONSAFEPATH": "1"}
    home = Path(mailgw.__path__[0]).parent
    if home != Path(sysconfig.get_path("purelib")):
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, (str(home), os.environ.get("PYTHONPATH"))))
    return environment


def _end(child: subprocess.Popen[bytes]) -> None:
    child.terminate()
    try:
        child.wait(_STOP_LIMIT)
    except (subprocess.TimeoutExpired, Stopped):
        child.kill()
        child.wait()
    for pipe in (child.stdin, child.stdout):
        if pipe is not None:
            pipe.close()


def _await_greeting(gateway: subprocess.Popen[bytes], port: int) -> None:
    """Wait until the gateway greets. Raises CannotStart when it ends or stays silent."""
    deadline = time.monotonic() + _START_LIMIT
    while time.monotonic() < deadline:
        if gateway.poll() is not None:
            raise CannotStart("the gateway did not start; what it said stands above")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1.0) as connection:
            if connection.recv(4) == b"220 ":
                connection.sendall(b"QUIT\r\n")
                return
        time.sleep(0.1)
    raise CannotStart(f"the gateway did not greet on port {port} within {_START_LIMIT:.0f} seconds")


def _first_end(gateway: subprocess.Popen[bytes], world: subprocess.Popen[bytes]) -> int:
    """Wait for either to end; give the status of the gateway."""
    while world.poll() is None:
        try:
            return gateway.wait(1.0)
        except subprocess.TimeoutExpired:
            continue
    raise CannotStart("the DNS server and the sink have ended; what they said stands above")


def _stop(number: int, frame: FrameType | None) -> None:
    raise Stopped

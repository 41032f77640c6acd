"""The gateway to try, as a user starts it."""

from __future__ import annotations

import os
import signal
import smtplib
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

import mailgw
from mailgw.develop.main import CannotStart, check_ports
from mailgw.develop.messages import ALICE, OUTSIDER, SENDER
from mailgw.develop.setup import Layout, Ports, prepare
from mailgw.queue.listing import Listing

ROOT = Path(mailgw.__file__).parent.parent
LIMIT = 30.0
# A start or an end takes about two seconds; on a busy machine some more.
QUICKLY = 10.0


def free_ports() -> Ports:
    probes = [socket.socket() for _ in range(5)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    numbers = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return Ports(*numbers)


class PortTest(SynchronousTestCase):
    def test_busy_port_is_named(self) -> None:
        ports = free_ports()
        with socket.socket() as holder:
            holder.bind(("127.0.0.1", ports.submission))
            holder.listen()
            error = self.assertRaises(CannotStart, check_ports, ports)
        self.assertIn(f"{ports.submission} (submission: Address already in use)", str(error))
        self.assertNotIn("\n", str(error))
        check_ports(ports)

    def test_dns_wants_udp_too(self) -> None:
        ports = free_ports()
        with socket.socket(type=socket.SOCK_DGRAM) as holder:
            holder.bind(("127.0.0.1", ports.dns))
            error = self.assertRaises(CannotStart, check_ports, ports)
        self.assertIn(f"{ports.dns} (dns: Address already in use)", str(error))


class RunTest(SynchronousTestCase):
    """A run with the three messages that the guide offers; a second run; Ctrl-C."""

    def start(self, layout: Layout, ports: Ports) -> subprocess.Popen[bytes]:
        numbers = f"{ports.mx},{ports.implicit},{ports.submission},{ports.sink},{ports.dns}"
        output = open(f"{layout.root}.log", "wb")  # noqa: SIM115 - closed by the clean-up
        self.addCleanup(output.close)
        process = subprocess.Popen(
            [sys.executable, "-m", "mailgw.develop", str(layout.root), "--etc", str(ROOT / "etc"), "--ports", numbers],
            stdout=output,
            stderr=output,
            start_new_session=True,  # as a terminal starts it: in a process group of its own
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        self.addCleanup(self.end, process)
        self.wait_for(lambda: b"Ctrl-C" in self.output(layout) or process.poll() is not None, layout)
        self.assertIsNone(process.poll(), self.output(layout).decode())
        return process

    def end(self, process: subprocess.Popen[bytes]) -> int:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        return process.wait(LIMIT)

    def output(self, layout: Layout) -> bytes:
        return Path(f"{layout.root}.log").read_bytes()

    def wait_for(self, condition: Callable[[], bool], layout: Layout) -> None:
        deadline = time.monotonic() + LIMIT
        while not condition():
            self.assertLess(time.monotonic(), deadline, self.output(layout).decode())
            time.sleep(0.05)

    def test_three_messages(self) -> None:
        layout, ports = Layout(Path(self.mktemp()).absolute()), free_ports()
        process = self.start(layout, ports)
        password = layout.password.read_text().strip()
        self.assertIn(password, self.output(layout).decode())
        with smtplib.SMTP("127.0.0.1", ports.mx, timeout=LIMIT) as smtp:
            for name in ("good.eml", "gtube.eml"):
                smtp.sendmail(SENDER, [ALICE], (layout.messages / name).read_bytes())
        self.submit(layout, ports, password, OUTSIDER)
        alice = layout.mail / "example.test" / "alice"
        folders = (alice / "new", alice / ".Spam" / "new", layout.sink)
        self.wait_for(lambda: all(folder.is_dir() and any(folder.glob("[!.]*")) for folder in folders), layout)
        inbox, spam, sink = (next(folder.glob("[!.]*")).read_text() for folder in folders)
        self.assertIn("Subject: Good news", inbox)
        self.assertIn("spf=pass", inbox)
        self.assertIn("dkim=pass", inbox)
        self.assertIn("GTUBE-STANDARD", spam)
        self.assertIn(f"X-Envelope-To: <{OUTSIDER}>", sink)
        self.assertEqual(self.end(process), 0, self.output(layout).decode())
        self.assertNotIn("Traceback", self.output(layout).decode())

    def test_a_second_run_keeps_what_is_there(self) -> None:
        layout, ports = Layout(Path(self.mktemp()).absolute()), free_ports()
        self.close_the_way_out(layout, ports)
        first = self.start(layout, ports)
        password = layout.password.read_text()
        self.submit(layout, ports, password.strip(), OUTSIDER, ALICE)
        inbox = layout.mail / "example.test" / "alice" / "new"
        self.wait_for(lambda: inbox.is_dir() and any(inbox.iterdir()), layout)
        mail = {path.name: path.read_bytes() for path in inbox.iterdir()}
        self.wait_for(lambda: self.queue(layout) == [OUTSIDER], layout)
        self.assertEqual(self.end(first), 0, self.output(layout).decode())

        before = time.monotonic()
        second = self.start(layout, ports)
        self.assertLess(time.monotonic() - before, QUICKLY)
        self.assertEqual(layout.password.read_text(), password)
        self.assertEqual({path.name: path.read_bytes() for path in inbox.iterdir()}, mail)
        self.assertEqual(self.queue(layout), [OUTSIDER])
        self.submit(layout, ports, password.strip(), ALICE)
        self.wait_for(lambda: len(list(inbox.iterdir())) == 2, layout)
        second.send_signal(signal.SIGTERM)
        self.assertEqual(second.wait(LIMIT), 0)
        check_ports(ports)

    def test_ctrl_c_ends_every_process(self) -> None:
        if not os.path.exists(f"/proc/self/task/{os.getpid()}/children"):
            self.skipTest("there is no /proc that tells the children of a process")
        layout, ports = Layout(Path(self.mktemp()).absolute()), free_ports()
        process = self.start(layout, ports)
        children = [int(pid) for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]
        self.assertEqual(len(children), 2, "the gateway, and the world around it")
        # A client that is connected holds nothing up.
        with socket.create_connection(("127.0.0.1", ports.mx), timeout=LIMIT) as client:
            self.assertEqual(client.recv(4), b"220 ")
            before = time.monotonic()
            os.killpg(process.pid, signal.SIGINT)
            self.assertEqual(process.wait(LIMIT), 0, self.output(layout).decode())
            self.assertLess(time.monotonic() - before, QUICKLY)
        self.assertEqual([pid for pid in children if os.path.exists(f"/proc/{pid}")], [])
        check_ports(ports)
        self.assertNotIn("Traceback", self.output(layout).decode())

    def close_the_way_out(self, layout: Layout, ports: Ports) -> None:
        """Let mail to the outside go to a port where nobody is: what a user changes in the configuration stays."""
        prepare(layout, ports, ROOT / "etc", time.time())
        text = layout.configuration.read_text()
        closed = text.replace(f'hosts = ["127.0.0.1:{ports.sink}"]', f'hosts = ["127.0.0.1:{free_ports().sink}"]')
        self.assertNotEqual(closed, text)
        layout.configuration.write_text(closed)

    def submit(self, layout: Layout, ports: Ports, password: str, *recipients: str) -> None:
        context = ssl.create_default_context(cafile=str(layout.certificate))
        with smtplib.SMTP_SSL("localhost", ports.implicit, timeout=LIMIT, context=context) as smtp:
            smtp.login(ALICE, password)
            smtp.sendmail(ALICE, recipients, (layout.messages / "outside.eml").read_bytes())

    def queue(self, layout: Layout) -> list[str]:
        """The recipients of what waits."""
        with Listing(layout.state / "queue") as listing:
            entries = list(listing.entries(10))
        return [str(delivery.recipient.forward_path) for entry in entries for delivery in entry.deliveries]

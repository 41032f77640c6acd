"""A daemon that cannot have its port: whoever started it waited for ever, and heard nothing."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

from twisted.trial.unittest import TestCase

from tests.integration.gateway import ROOT, Gateway


class DaemonStartTests(TestCase):
    timeout = 60

    def test_a_busy_port_ends_the_start_of_a_daemon(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as holder:
            port = holder.getsockname()[1]
            log = os.path.abspath(self.mktemp())
            gateway = Gateway(self.mktemp(), level="info", mx=port, more=f'file = "{log}"')
            gateway.write_configuration()
            pidfile = gateway.directory / "pid"
            twistd = [sys.executable, "-c", "from twisted.scripts.twistd import run; run()", "--pidfile", str(pidfile)]
            started = subprocess.run(
                [*twistd, "mailgw", "--config", str(gateway.etc / "mailgw.toml")],
                cwd=gateway.directory,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                capture_output=True,
                timeout=30,
            )
        self.assertEqual(started.returncode, 1)
        self.assertIn(b"cannot listen on 127.0.0.1 port", started.stderr)
        self.assertFalse(pidfile.exists())
        with open(log) as file:
            self.assertIn(f"cannot listen on 127.0.0.1 port {port} ([listeners.mx] addresses)", file.read())

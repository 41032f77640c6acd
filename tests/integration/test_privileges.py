"""Started as root: it binds a port that only root may have, and then is somebody else."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import sys
import tempfile
from pathlib import Path

from mailgw.develop.sink import Manners
from mailgw.mail.reply import Reply
from tests.integration.gateway import ROOT, Gateway
from tests.integration.world import GatewayTestCase, in_thread, send

USER = "nobody"
# Over inline_size: its content is a file of the queue while it waits.
LARGE = b"From: a@sender.test\r\nSubject: x\r\n\r\n" + (b"x" * 70 + b"\r\n") * 3000


def privileged_port() -> int | None:
    """A port below 1024 that is free, or None."""
    for port in range(1023, 600, -1):
        try:
            with socket.create_server(("127.0.0.1", port)):
                return port
        except OSError:
            continue
    return None


def readable_by_all(path: Path) -> bool:
    """Whether every user can come to it."""
    return all(parent.stat().st_mode & 0o001 for parent in (path, *path.parents))


class PrivilegeTests(GatewayTestCase):
    async def start_as_root(self, workers: int = 1) -> Gateway:
        if os.geteuid() != 0:
            self.skipTest("only root can bind a port below 1024 and change to another user")
        try:
            self.user = pwd.getpwnam(USER)
        except KeyError:
            self.skipTest(f"there is no user {USER!r} here")
        if not readable_by_all(ROOT):
            self.skipTest(f"the user {USER!r} cannot read the checkout")
        port = privileged_port()
        if port is None:
            self.skipTest("no port below 1024 is free")
        await self.make_world()
        # Not below trial's folder, which may be private to root.
        directory = Path(tempfile.mkdtemp(prefix="mailgw-user-"))
        self.addCleanup(shutil.rmtree, directory)
        gateway = self.gateway = Gateway(str(directory), dns=self.dns_port, relay_port=self.sink_port, mx=port)
        gateway.write_configuration()
        configuration = gateway.etc / "mailgw.toml"
        configuration.write_text(
            configuration.read_text().replace('user = ""', f'user = "{USER}"\nworkers = {workers}')
        )
        (gateway.etc / "key.pem").chmod(0o600)
        for folder in (directory, gateway.state, gateway.mail):
            os.chown(folder, self.user.pw_uid, self.user.pw_gid)
        self.addCleanup(self.coroutine, gateway.kill)
        await gateway.start()
        self.assertEqual(gateway.ports["mx"], port)
        return gateway

    async def test_it_is_the_user_with_nothing_left_of_root(self) -> None:
        gateway = await self.start_as_root()
        text = Path(f"/proc/{gateway.pid}/status").read_text()
        status = dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)
        self.assertEqual(status["Uid"].split(), [str(self.user.pw_uid)] * 4)
        self.assertEqual(status["Gid"].split(), [str(self.user.pw_gid)] * 4)
        groups = os.getgrouplist(USER, self.user.pw_gid)
        self.assertLessEqual({int(group) for group in status["Groups"].split()}, set(groups))
        self.assertEqual(int(status["CapEff"], 16), 0)

    async def test_workers_are_the_user_and_have_the_key_that_only_root_may_read(self) -> None:
        if not readable_by_all(Path(sys.executable).resolve()):
            self.skipTest(f"the user {USER!r} cannot run this Python")
        gateway = await self.start_as_root(workers=2)
        pids = [event["pid"] for event in gateway.events if event.get("event") == "worker_started"]
        self.assertEqual(len(pids), 2)
        for pid in (gateway.pid, *pids):
            text = Path(f"/proc/{pid}/status").read_text()
            self.assertIn("\t".join(["Uid:", *[str(self.user.pw_uid)] * 4]), text)
        for number in range(4):
            await in_thread(
                lambda: send(gateway.ports["submission"], "alice@example.test", ["bob@example.test"], LARGE, tls=True)
            )
            await self.until(lambda number=number: len(gateway.folder("bob")) == number + 1)

    async def test_what_it_writes_is_the_users(self) -> None:
        gateway = await self.start_as_root()
        self.sink.manners = Manners(replies={"rcpt": Reply.of(450, "4.2.0", "later")})
        await in_thread(send, gateway.ports["mx"], "a@sender.test", ["alice@example.test"], LARGE)
        await self.until(lambda: len(gateway.folder("alice")) == 1)
        await in_thread(
            lambda: send(gateway.ports["submission"], "alice@example.test", ["d@outside.test"], LARGE, tls=True)
        )
        await gateway.wait_for(event="delayed")
        self.assertEqual(len(list((gateway.state / "queue" / "content").iterdir())), 1)
        written = [path for folder in (gateway.state, gateway.mail) for path in folder.rglob("*")]
        self.assertGreater(len(written), 5)
        for path in written:
            found = path.stat()
            self.assertEqual((found.st_uid, found.st_gid), (self.user.pw_uid, self.user.pw_gid), path)
        for path in (*gateway.state.iterdir(), *gateway.mail.iterdir()):
            self.assertFalse(path.stat().st_mode & 0o077, f"{path} is open to others")

"""Several workers: each takes mail, a dead one comes back and loses nothing, fewer of them empty the queues of all."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

from mailgw.operation.workers import queue_directories
from mailgw.queue.listing import Listing
from tests.integration.gateway import Gateway
from tests.integration.mailgw_command import run_mailgw
from tests.integration.peers import free_port
from tests.integration.world import GatewayTestCase, in_thread, send

MESSAGE = b"From: a@sender.test\r\nSubject: x\r\n\r\nbody\r\n"


class WorkersTests(GatewayTestCase):
    async def start_workers(self, number: int, **settings: Any) -> Gateway:
        await self.make_world()
        settings = {"dns": self.dns_port, "relay_port": self.sink_port, "level": "info", **settings}
        gateway = self.gateway = Gateway(self.mktemp(), **settings)
        gateway.write_configuration()
        self.set_workers(number)
        self.addCleanup(self.coroutine, gateway.kill)
        await gateway.start()
        return gateway

    def set_workers(self, number: int) -> None:
        path = self.gateway.etc / "mailgw.toml"
        lines = [line for line in path.read_text().splitlines() if not line.startswith("workers")]
        path.write_text(f"workers = {number}\n" + "\n".join(lines))

    def pids(self) -> dict[int, int]:
        """The processes of the workers, by number; of each the last that was started."""
        events = [event for event in self.gateway.events if event.get("event") == "worker_started"]
        return {event["worker"]: event["pid"] for event in events}

    async def submit(self, count: int) -> None:
        """Send messages, over a connection each."""
        for _ in range(count):
            await in_thread(send, self.gateway.ports["mx"], "a@sender.test", ["alice@example.test"], MESSAGE)

    def accepted_by(self) -> set[int]:
        return {event["worker"] for event in self.gateway.events if event.get("event") == "accepted"}

    def queued(self) -> int:
        total = 0
        for directory in queue_directories(str(self.gateway.state)):
            with Listing(directory) as listing:
                total += listing.size().messages
        return total

    async def test_all_take_mail_and_their_lines_say_who(self) -> None:
        gateway = await self.start_workers(2)
        self.assertEqual(sorted(self.pids()), [0, 1])
        self.assertNotIn(gateway.pid, self.pids().values())
        await self.until_both_took_mail()
        await self.until(lambda: self.queued() == 0)
        accepted = [event for event in gateway.events if event.get("event") == "accepted"]
        await self.until(lambda: len(gateway.folder("alice")) == len(accepted))
        self.assertEqual([path.name for path in queue_directories(str(gateway.state))], ["queue", "queue-1"])
        await gateway.stop()
        lines = await in_thread(run_mailgw, gateway, "trace", "--json", "--limit", "1000")
        kept = {
            found["id"]: [fate["event"] for fate in found["fates"]] for found in map(json.loads, lines.splitlines())
        }
        self.assertEqual(kept, {event["transaction"]: ["delivered"] for event in accepted}, "one history for all")

    async def until_both_took_mail(self) -> None:
        # The kernel deals connections out by a hash: of 60, all to one has a chance of 2 ** -59.
        for _ in range(60):
            await self.submit(1)
            if self.accepted_by() == {0, 1}:
                return
        self.fail(f"only {self.accepted_by()} took mail")

    async def test_sighup_reaches_all(self) -> None:
        gateway = await self.start_workers(2)
        os.kill(gateway.pid, signal.SIGHUP)
        for number in range(2):
            await gateway.wait_for(event="reloaded", worker=number)

    async def test_sigterm_ends_all(self) -> None:
        gateway = await self.start_workers(2)
        pids = self.pids()
        status, _ = await gateway.stop()
        self.assertEqual(status, -signal.SIGTERM)
        for pid in pids.values():
            self.assertFalse(Path(f"/proc/{pid}").exists())

    async def test_workers_end_when_their_supervisor_is_killed(self) -> None:
        gateway = await self.start_workers(2)
        pids = self.pids()
        await gateway.kill()
        await self.until(lambda: not any(Path(f"/proc/{pid}/exe").exists() for pid in pids.values()))
        gateway.events.clear()
        await gateway.start()  # the ports and the queues are free

    async def test_a_killed_worker_comes_back_with_its_queue(self) -> None:
        gateway = await self.start_workers(2, relay_port=free_port(), more="[queue]\nretry = [1.0]")
        await self.until_both_took_mail()
        before = self.pids()
        taken = len(gateway.folder("alice"))
        os.kill(before[1], signal.SIGKILL)
        ended = await gateway.wait_for(event="worker_ended", worker=1)
        self.assertEqual(ended["status"], "signal 9")
        # Connections that the kernel dealt to the dead one wait for its successor: none is refused.
        await self.submit(20)
        await self.until(lambda: self.pids()[1] != before[1])
        self.assertEqual(self.pids()[0], before[0])
        await self.until(lambda: len(gateway.folder("alice")) >= taken + 20)

    async def test_nothing_is_lost_when_a_worker_is_killed_and_none_comes_twice_later(self) -> None:
        gateway = await self.start_workers(2)
        for round_ in range(2):
            await self.submit(15)
            os.kill(self.pids()[round_], signal.SIGKILL)
        await self.submit(10)
        accepted = {event["transaction"] for event in gateway.events if event.get("event") == "accepted"}
        self.assertEqual(len(accepted), 40)
        await self.until(lambda: self.queued() == 0)

        def delivered() -> set[str]:
            new = gateway.mail / "example.test" / "alice" / "new"
            return {path.name.split(".")[1].partition("_")[0] for path in new.iterdir()}

        await self.until(lambda: delivered() >= accepted)

    async def test_fewer_workers_empty_the_queues_of_all(self) -> None:
        gateway = await self.start_workers(3, more="[queue]\nretry = [1.0]")
        maildir = gateway.mail
        os.rename(maildir, str(maildir) + ".away")
        maildir.write_text("not a folder")  # nothing can be delivered: all waits
        for _ in range(60):
            await self.submit(1)
            if self.accepted_by() == {0, 1, 2}:
                break
        accepted = len([event for event in gateway.events if event.get("event") == "accepted"])
        await gateway.stop()
        self.assertEqual(self.queued(), accepted)
        maildir.unlink()
        os.rename(str(maildir) + ".away", maildir)
        self.set_workers(1)
        gateway.events.clear()
        await gateway.start()
        await self.until(lambda: self.queued() == 0, limit=30.0)
        self.assertEqual(len(gateway.folder("alice")), accepted)

    async def test_a_busy_port_is_one_line(self) -> None:
        first = await self.start_workers(2)
        second = Gateway(self.mktemp(), dns=self.dns_port, mx=first.ports["mx"])
        second.write_configuration()
        path = second.etc / "mailgw.toml"
        path.write_text("workers = 2\n" + path.read_text())
        self.addCleanup(self.coroutine, second.kill)
        second.spawn()
        status, output = await second.ended()
        self.assertEqual(status, 1)
        self.assertIn(f"cannot listen on 127.0.0.1 port {first.ports['mx']} ([listeners.mx] addresses)", output)

    async def test_a_second_gateway_on_the_same_state_is_refused(self) -> None:
        first = await self.start_workers(2)
        second = Gateway(self.mktemp(), dns=self.dns_port, state=first.state)
        second.write_configuration()
        path = second.etc / "mailgw.toml"
        path.write_text("workers = 2\n" + path.read_text())
        self.addCleanup(self.coroutine, second.kill)
        second.spawn()
        status, output = await second.ended()
        self.assertEqual(status, 1)
        self.assertIn("is in use by another process", output)

"""What workers share and what each has; and how their supervisor starts dead ones again."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessDone, ProcessTerminated
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from mailgw.config.schema import Settings, SiteRule
from mailgw.operation.ports import Binding, StartError, listen, listen_for
from mailgw.operation.supervisor import Inherited, Supervisor
from mailgw.operation.workers import Place, count, left_over, queue_directories, queue_directory, share


class PlaceTests(SynchronousTestCase):
    def test_it_survives_the_command_line(self) -> None:
        place = Place(1, 3, {"mx 127.0.0.1 25": 7}, {"/etc/key.pem": 8}, 9)
        self.assertEqual(Place.from_text(place.to_text()), place)

    def test_alone_it_is_the_first_of_one(self) -> None:
        self.assertEqual((Place().number, Place().workers, Place().supervised), (0, 1, False))

    def test_a_file_that_was_opened_for_it_is_read_again_and_again(self) -> None:
        path = Path(self.mktemp())
        path.write_text("secret")
        descriptor = Inherited(str(path)).open()
        self.addCleanup(os.close, descriptor)
        place = Place(files={"/only/for/root": descriptor})
        for _ in range(2):
            self.assertEqual(place.read("/only/for/root"), b"secret")
        self.assertEqual(place.read(str(path)), b"secret")

    def test_a_port_that_the_supervisor_does_not_know(self) -> None:
        place = Place(0, 2, {}, {}, 9)
        error = self.assertRaises(StartError, place.listen, Binding("mx", "127.0.0.1", 25, None))
        self.assertIn("restart the whole gateway", str(error))


class AnnounceTests(SynchronousTestCase):
    def test_a_supervisor_that_is_gone(self) -> None:
        reading, writing = os.pipe()
        self.addCleanup(os.close, writing)
        os.close(reading)
        Place(ready=writing).announce()


class ShareTests(SynchronousTestCase):
    def test_limits_are_parted_and_rounded_up(self) -> None:
        settings = Settings()
        part = share(settings, 3)
        self.assertEqual(settings.limits.connections_per_address, 20)
        self.assertEqual(part.limits.connections_per_address, 7)
        self.assertEqual(part.queue.site_concurrency, 4)
        self.assertEqual(part.limits.message_size, settings.limits.message_size)
        self.assertTrue(part.rates)
        self.assertTrue(all(rate.limit >= 0 for rate in part.rates.values()))

    def test_what_a_site_may_have_is_parted_too(self) -> None:
        rule = SiteRule(concurrency=5, messages=100, retry=(60.0,), lifetime=3600.0)
        part = share(Settings(sites={"*": rule}), 2).sites["*"]
        self.assertEqual((part.concurrency, part.messages, part.period), (3, 50, 60.0))
        self.assertEqual((part.retry, part.lifetime), ((60.0,), 3600.0))
        unlimited = share(Settings(sites={"*": SiteRule()}), 2).sites["*"]
        self.assertEqual((unlimited.concurrency, unlimited.messages), (0, 0))

    def test_who_is_alone_has_all(self) -> None:
        settings = Settings()
        self.assertIs(share(settings, 1), settings)

    def test_auto_is_one_for_each_core(self) -> None:
        self.assertEqual(count("auto"), len(os.sched_getaffinity(0)))
        self.assertEqual(count(3), 3)


class QueueDirectoryTests(SynchronousTestCase):
    def test_the_first_stands_where_it_stands_without_workers(self) -> None:
        self.assertEqual(queue_directory("/state", 0), Path("/state/queue"))
        self.assertEqual(queue_directory("/state", 2), Path("/state/queue-2"))

    def test_each_queue_is_somebodys_and_nobody_elses(self) -> None:
        state = self.mktemp()
        for name in ("queue", "queue-1", "queue-2", "queue-10", "queue-x", "queue-0", "history.db"):
            os.makedirs(os.path.join(state, name))
        names = [path.name for path in queue_directories(state)]
        self.assertEqual(names, ["queue", "queue-1", "queue-2", "queue-10"])
        for workers in (1, 2, 3, 4, 11):
            held = []
            for number in range(workers):
                held.append(queue_directory(state, number).name)
                held += [path.name for path in left_over(state, Place(number, workers))]
            self.assertEqual(len(held), len(set(held)), workers)
            self.assertLessEqual(set(names), set(held), workers)

    def test_before_the_first_start_there_is_none(self) -> None:
        self.assertEqual(queue_directories(self.mktemp()), [])


class ListenTests(SynchronousTestCase):
    def binding(self, port: int = 0) -> Binding:
        return Binding("mx", "127.0.0.1", port, None)

    def test_a_socket_for_each_worker_on_one_port(self) -> None:
        sockets = listen_for(self.binding(), 3)
        for each in sockets:
            self.addCleanup(each.close)
        self.assertEqual(len({each.getsockname()[1] for each in sockets}), 1)
        self.assertEqual(len({each.fileno() for each in sockets}), 3)

    def test_the_port_of_another_gateway_with_workers_is_busy(self) -> None:
        sockets = listen_for(self.binding(), 2)
        for each in sockets:
            self.addCleanup(each.close)
        port = sockets[0].getsockname()[1]
        for attempt in (lambda: listen(self.binding(port)), lambda: listen_for(self.binding(port), 2)):
            error = self.assertRaises(StartError, attempt)
            self.assertIn(f"cannot listen on 127.0.0.1 port {port}", str(error))


class Transport:
    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.signals: list[str] = []

    def signalProcess(self, name: str) -> None:
        self.signals.append(name)


class Reactor(Clock):
    """Starts no process."""

    def __init__(self) -> None:
        super().__init__()
        self.spawned: list[tuple[Any, Mapping[int, Any]]] = []

    def spawnProcess(
        self, worker: Any, executable: str, arguments: Sequence[str], environment: Any, childFDs: Mapping[int, Any]
    ) -> None:
        worker.transport = Transport(len(self.spawned))
        self.spawned.append((worker, childFDs))

    def ready(self, number: int) -> None:
        worker, descriptors = self.spawned[number]
        (channel,) = [child for child, what in descriptors.items() if what == "r"]
        worker.childDataReceived(channel, b"ready\n")

    def end(self, number: int, status: int = 1) -> None:
        error = ProcessTerminated(status) if status else ProcessDone(0)
        self.spawned[number][0].processEnded(Failure(error))


class SupervisorTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.addCleanup(signal.signal, signal.SIGHUP, signal.getsignal(signal.SIGHUP))
        self.reactor = Reactor()
        self.supervisor = Supervisor(self.reactor, 2, [], lambda place: ["python", place.to_text()], 10.0)

    def started(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self.supervisor.start())

    def test_it_is_started_when_all_are(self) -> None:
        started = self.started()
        self.reactor.ready(1)
        self.assertNoResult(started)
        self.reactor.ready(0)
        self.successResultOf(started)

    def test_a_worker_that_cannot_start_ends_the_start(self) -> None:
        started = self.started()
        self.reactor.ready(0)
        self.reactor.end(1)
        self.assertIn("worker 1 did not start (exit status 1)", str(self.failureResultOf(started, StartError).value))

    def test_the_pauses_before_another_start_double_up_to_a_minute(self) -> None:
        started = self.started()
        self.reactor.ready(0)
        self.reactor.ready(1)
        self.successResultOf(started)
        for pause in (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0):
            number = len(self.reactor.spawned) - 1
            self.reactor.end(number)
            self.reactor.advance(pause - 0.01)
            self.assertEqual(len(self.reactor.spawned), number + 1)
            self.reactor.advance(0.01)
            self.assertEqual(len(self.reactor.spawned), number + 2)
            self.reactor.ready(number + 1)

    def test_who_has_lived_long_starts_again_at_once(self) -> None:
        started = self.started()
        self.reactor.ready(0)
        self.reactor.ready(1)
        self.successResultOf(started)
        for _ in range(3):
            number = len(self.reactor.spawned) - 1
            self.reactor.advance(3600.0)
            self.reactor.end(number)
            self.reactor.advance(1.0)
            self.assertEqual(len(self.reactor.spawned), number + 2)

    def test_stopping_signals_all_kills_the_slow_and_waits_for_them(self) -> None:
        started = self.started()
        self.reactor.ready(0)
        self.reactor.ready(1)
        self.successResultOf(started)
        stopped = Deferred.fromCoroutine(self.supervisor.stop())
        self.reactor.end(0, status=0)
        slow = self.reactor.spawned[1][0].transport
        self.assertEqual(slow.signals, ["TERM"])
        self.reactor.advance(10.0)
        self.assertEqual(slow.signals, ["TERM", "KILL"])
        self.assertNoResult(stopped)
        self.reactor.end(1)
        self.successResultOf(stopped)
        self.reactor.advance(1000.0)
        self.assertEqual(len(self.reactor.spawned), 2, "nobody is started again")

    def test_a_reload_goes_to_those_that_listen_and_opens_the_log_anew(self) -> None:
        path = Path(self.mktemp())
        supervisor = Supervisor(
            self.reactor, 2, [Inherited(str(path), append=True)], lambda place: [place.to_text()], 1.0
        )
        Deferred.fromCoroutine(supervisor.start())
        self.reactor.ready(0)
        path.unlink()
        supervisor.reload()
        self.assertTrue(path.exists())
        self.assertEqual([worker.transport.signals for worker, _ in self.reactor.spawned], [["HUP"], []])

    def test_a_port_has_a_socket_for_each(self) -> None:
        self.supervisor.listen(Binding("mx", "127.0.0.1", 0, None))
        self.started()
        inherited = [
            next(child for child, what in descriptors.items() if child == what and child > 2)
            for _, descriptors in self.reactor.spawned
        ]
        self.assertEqual(len(set(inherited)), 2)
        names = [socket.socket(fileno=os.dup(descriptor)).getsockname() for descriptor in inherited]
        self.assertEqual(names[0], names[1])

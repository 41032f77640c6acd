"""The scheduler with a clock, a store in memory and agents that do what the test says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from attrs import evolve
from twisted.internet.defer import Deferred

from mailgw.queue.item import Delayed, Delivered, Delivery, Destination
from mailgw.queue.store import QueueSize, Settlement
from tests.queue.items import RELAY, entry
from tests.queue.scheduling import DOWN, LATER, NEVER, OTHER, SchedulerCase, number


class OrderTests(SchedulerCase):
    def test_backlog_is_delivered_at_start_earliest_first(self) -> None:
        self.put(entry(number(1), due=30.0), entry(number(2), due=10.0), entry(number(3), due=20.0))
        self.scheduler.start()
        self.assertEqual([message_id for message_id, _ in self.agent.attempts], [number(2), number(3), number(1)])
        self.assertEqual(self.size(), QueueSize(0, 0))

    def test_what_is_offered_goes_at_once_and_is_not_read_again(self) -> None:
        self.scheduler.start()
        self.store.message = None  # type: ignore[assignment,method-assign]  # a read would fail the attempt
        put = entry()
        self.offer(put)
        self.assertEqual(self.agent.attempts, [(put.message.id, (0,))])
        self.assertIs(self.agent.messages[0], put.message)
        self.assertEqual(self.size(), QueueSize(0, 0))

    def test_what_is_offered_before_the_start_waits_for_it(self) -> None:
        self.offer(entry())
        self.assertEqual(self.agent.attempts, [])
        self.scheduler.start()
        self.assertEqual(len(self.agent.attempts), 1)

    def test_what_is_due_later_goes_then(self) -> None:
        self.scheduler.start()
        self.offer(entry(due=1060.0))
        self.clock.advance(59.0)
        self.assertEqual(self.agent.attempts, [])
        self.clock.advance(1.0)
        self.assertEqual(len(self.agent.attempts), 1)

    def test_one_attempt_for_the_recipients_of_one_destination(self) -> None:
        self.scheduler.start()
        self.offer(entry(destinations=(RELAY, OTHER, RELAY, RELAY)))
        self.assertEqual(self.agent.attempts, [(number(1), (0, 2, 3)), (number(1), (1,))])

    def test_at_start_too_and_no_more_than_the_agent_takes(self) -> None:
        self.agent.max_recipients = 2
        self.agent.answer = lambda delivery: None
        self.make_scheduler(site_concurrency=1)
        self.put(entry(number(0)), entry(number(1), (RELAY,) * 5))
        self.scheduler.start()
        while self.agent.under_way:
            self.agent.end()
        self.assertEqual(
            self.agent.attempts, [(number(0), (0,)), (number(1), (0, 1)), (number(1), (2, 3)), (number(1), (4,))]
        )

    def test_sites_take_turns(self) -> None:
        self.make_scheduler(concurrency=5, site_concurrency=1)
        self.agent.answer = lambda delivery: None
        self.put(*(entry(number(n), (RELAY,), due=float(n)) for n in range(4)))
        self.put(*(entry(number(n), (OTHER,), due=float(n)) for n in range(4, 8)))
        self.scheduler.start()
        while self.agent.under_way:
            self.agent.end()
        order = [message_id for message_id, _ in self.agent.attempts]
        self.assertEqual(order, [number(n) for n in (0, 4, 1, 5, 2, 6, 3, 7)])

    def test_put_without_an_offer_is_found(self) -> None:
        self.scheduler.start()
        self.put(entry(due=900.0))
        self.clock.advance(301.0)
        self.assertEqual(len(self.agent.attempts), 1)


class ConcurrencyTests(SchedulerCase):
    def setUp(self) -> None:
        super().setUp()
        self.agent.answer = lambda delivery: None

    def test_to_one_site(self) -> None:
        self.make_scheduler(site_concurrency=3)
        self.scheduler.start()
        self.offer(*(entry(number(n)) for n in range(10)))
        self.assertEqual(len(self.agent.under_way), 3)
        self.agent.end(count=2)
        self.assertEqual(len(self.agent.under_way), 3)
        self.assertEqual(len(self.agent.attempts), 5)

    def test_domains_of_one_site_share_it(self) -> None:
        self.make_scheduler(site_concurrency=3)
        self.agent.sites = {RELAY.target: "mx.provider.example", OTHER.target: "mx.provider.example"}
        self.scheduler.start()
        self.offer(*(entry(number(n), (RELAY if n % 2 else OTHER,)) for n in range(10)))
        self.assertEqual(len(self.agent.under_way), 3)

    def test_all_sites_together(self) -> None:
        self.make_scheduler(concurrency=7)
        self.scheduler.start()
        self.offer(*(entry(number(n), (Destination("relay", f"mx:{n}.example"),)) for n in range(20)))
        self.assertEqual(len(self.agent.under_way), 7)

    def test_slow_sites_leave_attempts_for_others(self) -> None:
        self.make_scheduler(concurrency=20)
        self.scheduler.start()
        slow = [Destination("relay", f"mx:slow{n}.example") for n in range(6)]
        self.offer(*(entry(number(n), (slow[n % 6],)) for n in range(600)))
        self.assertLess(len(self.agent.under_way), 20)
        self.offer(entry(number(999), (OTHER,)))
        self.assertIn((number(999), 0), self.agent.under_way)

    def test_never_twice_at_the_same_time(self) -> None:
        self.scheduler.start()
        put = entry()
        self.offer(put)
        self.scheduler.offer(put)
        self.clock.pump([100.0] * 20)
        self.assertEqual(len(self.agent.attempts), 1)

    def test_what_was_settled_while_the_store_was_asked_is_not_attempted_again(self) -> None:
        """The answer of the store is older than the settlement."""
        answers: list[Deferred[None]] = []
        due = self.store.due

        async def slow_due(*args: Any, **kwargs: Any) -> Any:
            found = await due(*args, **kwargs)
            answers.append(Deferred())
            await answers[-1]
            return found

        self.store.due = slow_due  # type: ignore[method-assign]
        self.agent.answer = lambda delivery: Delivered("there")
        put = entry()
        self.put(put)
        self.scheduler.start()
        self.scheduler.offer(put)
        self.assertEqual(self.size(), QueueSize(0, 0))
        answers[0].callback(None)
        self.assertEqual(len(self.agent.attempts), 1)


class BacklogTests(SchedulerCase):
    def test_many_thousands_go_through_a_small_window(self) -> None:
        self.make_scheduler(window=20)
        self.agent.answer = lambda delivery: None
        sites = [Destination("relay", f"mx:{n}.example") for n in range(7)]
        self.put(*(entry(number(n), (sites[n % 7],), due=float(n % 100)) for n in range(3000)))
        self.scheduler.start()
        most = 0
        while self.agent.under_way:
            most = max(most, len(self.scheduler._window.ids))
            self.agent.end(count=5)
        self.assertEqual(self.size(), QueueSize(0, 0))
        self.assertEqual(len(self.agent.attempts), 3000)
        self.assertLessEqual(most, 20)

    def test_window_of_one(self) -> None:
        self.make_scheduler(window=1, concurrency=1)
        self.put(*(entry(number(n), (RELAY, OTHER)) for n in range(20)))
        self.scheduler.start()
        self.assertEqual(self.size(), QueueSize(0, 0))

    def test_a_slow_site_with_a_long_backlog_starves_nobody(self) -> None:
        self.make_scheduler(window=200)
        self.agent.answer = lambda delivery: None if delivery.destination == RELAY else Delivered("there")
        self.put(*(entry(number(n), due=1.0) for n in range(10000)))
        behind = [entry(number(n), (OTHER,), due=2.0) for n in range(10000, 10050)]
        self.put(*behind)
        self.scheduler.start()
        delivered = {message_id for message_id, _ in self.agent.attempts}
        self.assertTrue(delivered.issuperset(one.message.id for one in behind), "what stood behind it in the store")
        fresh = entry(number(20000), (OTHER,), due=1000.0)
        self.offer(fresh)
        self.assertIn(fresh.message.id, {message_id for message_id, _ in self.agent.attempts})
        while self.agent.under_way:
            self.agent.end(count=10)
        self.assertEqual(self.size(), QueueSize(0, 0))
        self.assertEqual(len(self.agent.attempts), 10051)

    def test_many_slow_sites_leave_room_in_the_window(self) -> None:
        self.make_scheduler(window=200, concurrency=1000)
        slow = [Destination("relay", f"mx:slow{n}.example") for n in range(20)]
        self.agent.answer = lambda delivery: Delivered("there") if delivery.destination == OTHER else None
        self.scheduler.start()
        self.offer(*(entry(number(n), (slow[n % 20],)) for n in range(1000)))
        self.offer(entry(number(2000), (OTHER,)))
        self.assertEqual(self.agent.attempts[-1][0], number(2000))

    def test_a_store_that_cannot_be_read_is_asked_again(self) -> None:
        self.put(entry(number(1)), entry(number(2)))
        self.store.broken = "the disk is gone"
        self.scheduler.start()
        self.assertEqual(self.agent.attempts, [])
        self.store.broken = ""
        self.clock.advance(10.0)
        self.assertEqual(len(self.agent.attempts), 2)

    def test_a_message_that_cannot_be_read_is_tried_again(self) -> None:
        self.agent.answer = lambda delivery: None
        self.make_scheduler(site_concurrency=1)
        self.put(entry(number(1)), entry(number(2)))
        self.scheduler.start()
        self.store.broken = "the disk is gone"
        self.agent.end()
        self.store.broken = ""
        self.clock.pump([1.0] * 12)
        self.assertEqual([message_id for message_id, _ in self.agent.attempts], [number(1), number(2)])

    def test_a_message_that_was_removed_is_forgotten(self) -> None:
        self.agent.answer = lambda delivery: None
        self.make_scheduler(site_concurrency=1)
        self.put(entry(number(1)), entry(number(2)), entry(number(3)))
        self.scheduler.start()
        self.successResultOf(Deferred.fromCoroutine(self.store.settle([Settlement((number(2), 0))])))
        self.agent.end()
        self.assertEqual([message_id for message_id, _ in self.agent.attempts], [number(1), number(3)])

    def test_an_answer_that_is_older_than_a_change_is_not_taken(self) -> None:
        """What was read before somebody changed the store came into memory after it."""
        put = entry()
        self.put(put)
        held: list[Deferred[None]] = []
        due = self.store.due

        async def late(*args: Any, **kwargs: Any) -> Sequence[Delivery]:
            answer = await due(*args, **kwargs)
            held.append(Deferred())
            await held[-1]
            return answer

        self.store.due = late  # type: ignore[method-assign]
        ways: list[Destination] = []
        self.agent.answer = lambda delivery: ways.append(delivery.destination) or Delivered("there")  # type: ignore
        asked: list[Destination] = []
        site = self.agent.site

        async def ask(destination: Destination) -> str:
            asked.append(destination)
            return await site(destination)

        self.agent.site = ask  # type: ignore[method-assign]
        self.scheduler.start()
        rerouted = evolve(put.deliveries[0], destination=OTHER)
        self.successResultOf(Deferred.fromCoroutine(self.store.settle([Settlement(rerouted.id, rerouted)])))
        self.scheduler.look_again()
        held[0].callback(None)
        held[1].callback(None)
        self.assertEqual((set(asked), ways), ({OTHER}, [OTHER]))


class RetryTests(SchedulerCase):
    def test_schedule_then_its_last_step_again(self) -> None:
        self.make_scheduler(retry=(10.0, 20.0, 40.0))
        self.agent.answer = lambda delivery: LATER
        self.scheduler.start()
        self.offer(entry())
        times = []
        for _ in range(200):
            if len(self.agent.attempts) > len(times):
                times.append(self.clock.seconds())
            self.clock.advance(1.0)
        self.assertEqual(times, [1000.0, 1010.0, 1030.0, 1070.0, 1110.0, 1150.0, 1190.0])

    def test_what_the_remote_said_stays_with_the_delivery(self) -> None:
        self.agent.answer = lambda delivery: LATER
        self.scheduler.start()
        self.offer(entry())
        (delivery,) = self.deliveries()
        self.assertEqual((delivery.attempts, delivery.due), (1, 1300.0))
        self.assertEqual(delivery.last, "greylisted: mx.example.org said: 450 4.2.0 come back")

    def test_jitter_spreads_tries(self) -> None:
        self.make_scheduler(jitter=0.1)
        self.agent.answer = lambda delivery: LATER
        self.scheduler.start()
        self.offer(*(entry(number(n), (Destination("relay", f"mx:{n}.example"),)) for n in range(8)))
        dues = {delivery.due for delivery in self.deliveries()}
        self.assertEqual(len(dues), 8)
        self.assertTrue(all(1270.0 <= due <= 1330.0 for due in dues), dues)

    def test_attempts_limit(self) -> None:
        self.make_scheduler(retry=(10.0,), attempts=3)
        self.agent.answer = lambda delivery: LATER if delivery.destination == RELAY else Delivered("there")
        self.scheduler.start()
        self.offer(entry())
        self.clock.pump([10.0] * 5)
        self.assertEqual([message_id for message_id, _ in self.agent.attempts], [number(1)] * 3 + ["REPORT0000000001"])
        ((_, ((_, failed),)),) = self.reporter.told
        self.assertEqual(failed.reason, "given up after 3 tries; the last one: greylisted")
        self.assertEqual(failed.reply, LATER.reply)

    def test_lifetime_ends_with_a_last_try_and_a_report(self) -> None:
        self.make_scheduler(retry=(600.0,))
        self.agent.answer = lambda delivery: LATER if delivery.destination == RELAY else Delivered("there")
        self.scheduler.start()
        self.offer(entry(due=1000.0, expires=2000.0))
        times = []
        for _ in range(30):
            if len(self.agent.attempts) > len(times):
                times.append(self.clock.seconds())
            self.clock.advance(100.0)
        self.assertEqual(times, [1000.0, 1600.0, 2000.0, 2100.0])  # the last two: the delivery, its report
        ((_, ((_, failed),)),) = self.reporter.told
        self.assertEqual(failed.status, "4.4.7")
        self.assertEqual(failed.reason, "it could not be delivered within 17 minutes; the last try: greylisted")
        self.assertEqual(self.size(), QueueSize(0, 0))

    def test_null_reverse_path_has_its_own_lifetime(self) -> None:
        self.make_scheduler(retry=(600.0,), report_lifetime=500.0)
        self.agent.answer = lambda delivery: LATER
        self.scheduler.start()
        self.offer(entry(due=1000.0, expires=9000.0, reverse_path=None))
        self.clock.advance(500.0)
        self.assertEqual(len(self.reporter.told), 1)
        self.assertEqual(self.size(), QueueSize(0, 0))

    def test_what_is_long_expired_is_tried_once_after_a_long_outage(self) -> None:
        self.scheduler.start()
        self.offer(entry(due=0.0, expires=10.0))
        self.assertEqual(len(self.agent.attempts), 1)
        self.assertEqual(self.reporter.told, [])

    def test_a_restart_goes_on_with_the_schedule(self) -> None:
        self.agent.answer = lambda delivery: LATER
        self.scheduler.start()
        self.offer(entry())
        self.successResultOf(self.stop())
        self.clock.advance(1000.0)
        self.make_scheduler().start()
        (delivery,) = self.deliveries()
        self.assertEqual((delivery.attempts, delivery.due), (2, 2600.0))


class SiteTroubleTests(SchedulerCase):
    def setUp(self) -> None:
        super().setUp()
        self.agent.answer = lambda delivery: DOWN if delivery.destination == RELAY else Delivered("there")

    def test_one_failure_holds_back_all_mail_for_the_site(self) -> None:
        self.scheduler.start()
        self.offer(*(entry(number(n)) for n in range(50)))
        self.assertEqual(len(self.agent.attempts), 1)
        self.assertEqual(self.scheduler._window.ids, frozenset())
        self.offer(entry(number(99), (OTHER,)))
        self.assertEqual(self.agent.attempts[-1][0], number(99))

    def test_then_one_try_and_all_go_when_it_is_back(self) -> None:
        self.scheduler.start()
        self.offer(*(entry(number(n)) for n in range(50)))
        self.clock.advance(299.0)
        self.assertEqual(len(self.agent.attempts), 1)
        self.clock.advance(1.0)
        self.assertEqual(len(self.agent.attempts), 2)
        self.agent.answer = lambda delivery: Delivered("there")
        self.clock.advance(599.0)
        self.assertEqual(len(self.agent.attempts), 2)
        self.clock.advance(1.0)
        self.assertEqual(self.size(), QueueSize(0, 0))

    def test_attempts_grow_again_after_trouble(self) -> None:
        self.scheduler.start()
        self.offer(*(entry(number(n)) for n in range(50)))
        self.agent.answer = lambda delivery: None
        self.clock.advance(300.0)
        growth = []
        for _ in range(6):
            growth.append(len(self.agent.under_way))
            self.agent.end(count=growth[-1])
        self.assertEqual(growth, [1, 2, 4, 8, 10, 10])

    def test_attempts_under_way_count_as_one_failure(self) -> None:
        self.agent.answer = lambda delivery: None
        self.scheduler.start()
        self.offer(*(entry(number(n)) for n in range(10)))
        self.agent.end(DOWN, count=10)
        self.agent.answer = lambda delivery: DOWN
        self.clock.advance(300.0)  # not 14400
        self.assertEqual(len(self.agent.attempts), 11)

    def test_a_success_ends_the_pause(self) -> None:
        self.agent.answer = lambda delivery: None
        self.scheduler.start()
        self.offer(*(entry(number(n)) for n in range(20)))
        self.agent.end(DOWN)
        self.assertEqual(len(self.agent.attempts), 10)
        self.agent.end(Delivered("there"))
        self.assertEqual(len(self.agent.attempts), 10)  # nine are under way, two are allowed for now
        self.agent.end(Delivered("there"), count=9)
        self.assertGreater(len(self.agent.attempts), 11)

    def test_mail_for_a_dead_site_runs_out_of_time(self) -> None:
        """Only one delivery at a time is tried there, yet all are told of in time."""
        self.make_scheduler(retry=(600.0,))
        self.scheduler.start()
        self.offer(*(entry(number(n), due=1000.0, expires=5000.0) for n in range(30)))
        self.clock.pump([100.0] * 50)
        self.assertEqual(self.size(), QueueSize(0, 0))
        self.assertEqual(len(self.reporter.told), 30)
        self.assertTrue(all(failed.status == "4.4.7" for _, ((_, failed),) in self.reporter.told))
        self.assertLess(len([1 for message_id, _ in self.agent.attempts if "REPORT" not in message_id]), 20)


class DelayReportTests(SchedulerCase):
    """The sender hears once for each time that is set, and how things are then."""

    def setUp(self) -> None:
        super().setUp()
        self.make_scheduler((3600.0, 7200.0), retry=(1000.0,))
        self.scheduler.start()

    def late(self) -> list[tuple[str, str]]:
        return [(message_id, outcome.status) for message_id, ((_, outcome),) in self.reporter.told]

    def test_at_each_time(self) -> None:
        self.agent.answer = lambda delivery: (
            Delivered("there") if "REPORT" in delivery.message_id else Delayed("4.2.2", "full")
        )
        self.offer(entry(due=1000.0, expires=20000.0))
        for seconds, reports in ((3599.0, 0), (1.0, 1), (3599.0, 1), (1.0, 2), (10000.0, 2)):
            self.clock.pump([seconds])
            self.assertEqual(self.late(), [(number(1), "4.2.2")] * reports)

    def test_not_of_what_is_delivered_before(self) -> None:
        self.agent.answer = lambda delivery: Delivered("there") if self.clock.seconds() > 3000 else LATER
        self.offer(entry(due=1000.0, expires=20000.0))
        self.clock.pump([100.0] * 100)
        self.assertEqual((self.late(), self.size()), ([], QueueSize(0, 0)))

    def test_after_a_stop_over_the_time(self) -> None:
        self.agent.answer = lambda delivery: LATER
        self.offer(entry(due=1000.0, expires=20000.0))
        self.successResultOf(self.stop())
        self.clock.advance(3700.0)
        self.make_scheduler((3600.0,), retry=(1000.0,)).start()
        self.assertEqual(len(self.late()), 1)

    def test_all_mail_for_a_dead_site(self) -> None:
        """Only one delivery at a time is tried there, yet all senders hear of it, once each."""
        self.agent.answer = lambda delivery: Delivered("there") if "REPORT" in delivery.message_id else DOWN
        self.offer(*(entry(number(n), due=1000.0, expires=90000.0) for n in range(30)))
        self.clock.pump([100.0] * 70)
        self.assertEqual(sorted(self.late()), sorted((number(n), "4.4.1") for n in range(30)))
        tried = [message_id for message_id, _ in self.agent.attempts if "REPORT" not in message_id]
        self.assertLess(len(tried), 20)


class SettlementTests(SchedulerCase):
    def test_failures_of_one_attempt_give_one_report_that_goes_out(self) -> None:
        self.agent.answer = lambda delivery: (
            NEVER if delivery.message_id == number(1) and delivery.number != 1 else Delivered("there")
        )
        self.scheduler.start()
        self.offer(entry(destinations=(RELAY, RELAY, RELAY)))
        self.assertEqual(self.reporter.told, [(number(1), [(0, NEVER), (2, NEVER)])])
        self.assertEqual(self.agent.attempts, [(number(1), (0, 1, 2)), ("REPORT0000000001", (0,))])
        self.assertEqual(self.size(), QueueSize(0, 0))

    def test_no_report_for_the_null_reverse_path(self) -> None:
        self.agent.answer = lambda delivery: NEVER
        self.scheduler.start()
        self.offer(entry(reverse_path=None))
        self.assertEqual(self.size(), QueueSize(0, 0))
        self.assertEqual(len(self.agent.attempts), 1)

    def test_report_and_settlement_in_one_call(self) -> None:
        calls = []
        settle = self.store.settle

        async def noted_settle(settlements: Any, reports: Any = ()) -> None:
            calls.append(([s.id for s in settlements], [report.message.id for report in reports]))
            await settle(settlements, reports)

        self.store.settle = noted_settle  # type: ignore[method-assign]
        self.agent.answer = lambda delivery: NEVER if delivery.destination == RELAY else None
        self.scheduler.start()
        self.offer(entry())
        self.assertEqual(calls, [([(number(1), 0)], ["REPORT0000000001"])])

    def test_an_agent_that_raises_delays_the_delivery_and_is_logged(self) -> None:
        self.agent.answer = lambda delivery: ZeroDivisionError("a bug")
        self.scheduler.start()
        self.offer(entry())
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        (delivery,) = self.deliveries()
        self.assertEqual((delivery.attempts, delivery.due), (1, 1300.0))
        self.assertTrue(delivery.last.startswith("4.3.0 "), delivery.last)

    def test_an_agent_that_answers_for_too_few_delays_all(self) -> None:
        async def deliver(*args: Any) -> Any:
            return [Delivered("there")]

        self.agent.deliver = deliver  # type: ignore[method-assign]
        self.put(entry(destinations=(RELAY, RELAY)))
        self.scheduler.start()
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        self.assertEqual(self.size(), QueueSize(1, 2))

    def test_a_destination_without_an_agent_waits(self) -> None:
        self.scheduler.start()
        self.offer(entry(destinations=(Destination("pigeon", "loft"),)))
        (delivery,) = self.deliveries()
        self.assertEqual(delivery.last, "4.3.5 no delivery agent is named 'pigeon'")

    def test_a_success_is_reported_to_who_asked_for_it(self) -> None:
        """In the same settlement, and only where no next hop will report it."""
        asked = frozenset({"SUCCESS"})
        for notify, action, told in ((asked, "relayed", 1), (asked, "", 0), (frozenset(), "relayed", 0)):
            with self.subTest(notify=notify, action=action):
                self.setUp()
                there = Delivered("there", action=action)
                self.agent.answer = lambda delivery, there=there: there  # type: ignore[misc]
                one = entry(number(1))
                (delivery,) = one.deliveries
                wanted = evolve(delivery, recipient=evolve(delivery.recipient, notify=notify))
                self.scheduler.start()
                self.offer(evolve(one, deliveries=(wanted,)))
                self.assertEqual(len(self.reporter.told), told)
                self.assertEqual(len(self.agent.attempts), 1 + told)  # the report goes out too

    def test_a_reporter_that_raises_does_not_deliver_twice(self) -> None:
        self.reporter.broken = True
        self.agent.answer = lambda delivery: Delivered("there", action="relayed") if delivery.number == 0 else NEVER
        two = entry(number(1), (RELAY, RELAY))
        deliveries = tuple(
            evolve(delivery, recipient=evolve(delivery.recipient, notify=frozenset({"SUCCESS", "FAILURE"})))
            for delivery in two.deliveries
        )
        self.scheduler.start()
        self.offer(evolve(two, deliveries=deliveries))
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.assertEqual([delivery.number for delivery in self.deliveries()], [1])

    def test_a_reporter_that_raises_keeps_the_failed_delivery(self) -> None:
        self.reporter.broken = True
        self.agent.answer = lambda delivery: NEVER if delivery.destination == RELAY else Delivered("there")
        self.scheduler.start()
        self.offer(entry(destinations=(RELAY, OTHER)))
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.assertEqual([delivery.number for delivery in self.deliveries()], [0])
        self.reporter.broken = False
        self.clock.advance(300.0)
        self.assertEqual(self.size(), QueueSize(0, 0))

    def test_a_settlement_that_fails_is_written_later_and_nothing_is_delivered_again(self) -> None:
        self.scheduler.start()
        put = entry()
        self.put(put)
        self.agent.answer = lambda delivery: None
        self.scheduler.offer(put)
        self.store.broken = "database or disk is full"
        self.agent.end()
        self.clock.pump([10.0] * 60)
        self.assertEqual(len(self.agent.attempts), 1)
        self.store.broken = ""
        self.clock.pump([10.0] * 10)
        self.assertEqual(len(self.agent.attempts), 1)
        self.assertEqual(self.size(), QueueSize(0, 0))

    def test_a_retry_that_is_due_when_it_is_written_at_last_goes_then(self) -> None:
        self.scheduler.start()
        self.agent.answer = lambda delivery: None
        self.offer(entry())
        self.store.broken = "database or disk is full"
        self.agent.end(LATER)
        self.clock.pump([10.0] * 60)
        self.store.broken = ""
        self.clock.pump([10.0] * 10)
        self.assertEqual(len(self.agent.attempts), 2)

    def test_a_site_goes_on_while_a_settlement_waits(self) -> None:
        self.make_scheduler(site_concurrency=1)
        self.agent.answer = lambda delivery: None
        self.scheduler.start()
        self.offer(entry(number(1)), entry(number(2)))
        self.store.broken = "database or disk is full"
        self.agent.end()
        self.assertEqual(list(self.agent.under_way), [(number(2), 0)])


class StopTests(SchedulerCase):
    def setUp(self) -> None:
        super().setUp()
        self.agent.answer = lambda delivery: None
        self.make_scheduler(site_concurrency=1)
        self.scheduler.start()
        self.offer(entry(number(1)), entry(number(2)))

    def test_waits_for_what_is_under_way_and_begins_nothing(self) -> None:
        stopped = self.stop()
        self.assertNoResult(stopped)
        self.agent.end()
        self.successResultOf(stopped)
        self.assertEqual([delivery.message_id for delivery in self.deliveries()], [number(2)])
        self.assertEqual(len(self.agent.attempts), 1)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_no_longer_than_the_grace(self) -> None:
        stopped = self.stop(5.0)
        self.clock.advance(5.0)
        self.successResultOf(stopped)
        self.assertEqual(self.agent.under_way, {})
        self.assertEqual(self.size(), QueueSize(2, 2))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_with_nothing_under_way(self) -> None:
        self.agent.end()
        self.agent.end()
        self.successResultOf(self.stop())
        self.offer(entry(number(3)))
        self.assertEqual(len(self.agent.attempts), 2)

    def test_while_a_settlement_waits(self) -> None:
        self.store.broken = "database or disk is full"
        self.agent.end()
        stopped = self.stop(5.0)
        self.clock.advance(5.0)
        self.agent.end()
        self.successResultOf(stopped)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_site_in_trouble(self) -> None:
        self.agent.end(evolve(DOWN))
        self.successResultOf(self.stop())
        self.assertEqual(self.clock.getDelayedCalls(), [])

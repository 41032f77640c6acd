"""`mailgw queue reroute --to rules`: what waits goes as the configuration has it now."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import click
from attrs import evolve

from mailgw.commands.configuration import ConfigurationRefused, config_path, read_settings
from mailgw.commands.output import printable, progress
from mailgw.commands.queues import open_queues
from mailgw.config.errors import ConfigurationErrors
from mailgw.queue.item import Delivery, DeliveryId, Destination
from mailgw.queue.selection import Selection
from mailgw.queue.store import Entry
from mailgw.queue.surgery import Surgery
from mailgw.routing.interface import Origin, Routed
from mailgw.routing.load import load_router
from mailgw.routing.router import DirectoryRouter
from mailgw.routing.routes import FORWARD, RELAY

_SHOWN = 20
Move = tuple[Delivery, Destination]


def reroute_by_rules(selection: Selection, now: float, *, dry_run: bool) -> None:
    """Send the selected deliveries, at `now`, where new ones of the same sender, user and recipient would go."""
    settings = read_settings()
    try:
        router = load_router(settings, str(config_path()))
    except ConfigurationErrors as errors:
        raise ConfigurationRefused(errors.errors) from None
    with open_queues(Surgery) as queues:
        count = sum(queue.select(selection).deliveries for queue in queues)
        moved = 0
        with progress("looking at the queue" if dry_run else "changing the queue", count) as advance:
            for queue in queues:
                moves = _moves(queue, router, advance)
                moved += _show(moves, _SHOWN - moved) if dry_run else _move(queue, moves, now)
    if dry_run and moved > _SHOWN:
        click.echo(f"and {moved - _SHOWN} deliveries more")
    click.echo(f"{moved} of {count} deliveries {'would ' if dry_run else ''}go another way")


def _moves(queue: Surgery, router: DirectoryRouter, advance: Callable[[int], None]) -> Iterator[Move]:
    """Give the selected deliveries that would go another way now, each with that way."""
    for entry in queue.entries():
        for delivery in entry.deliveries:
            destination = _now(router, entry, delivery)
            if destination != delivery.destination:
                yield delivery, destination
        advance(len(entry.deliveries))


def _move(queue: Surgery, moves: Iterator[Move], now: float) -> int:
    """Change them; give their number."""
    # Those of a page, which is read before it is changed.
    ahead: dict[DeliveryId, Destination] = {}

    def read() -> Iterator[Delivery]:
        for delivery, destination in moves:
            ahead[delivery.id] = destination
            yield delivery

    def change(delivery: Delivery) -> Delivery:
        return evolve(delivery, destination=ahead.pop(delivery.id), due=now)

    return queue.change(read(), change)


def _show(moves: Iterator[Move], most: int) -> int:
    """Print the first of them; give their number."""
    number = 0
    for number, (delivery, destination) in enumerate(moves, 1):
        if number <= most:
            way = f"by {delivery.destination}, now by {destination}"
            click.echo(printable(f"{delivery.message_id} to {delivery.recipient.forward_path} {way}"))
    return number


def _now(router: DirectoryRouter, entry: Entry, delivery: Delivery) -> Destination:
    """Where it would go if it came now. What leads nowhere, or to a folder, stays as it is."""
    origin = Origin(entry.message.envelope.reverse_path, entry.message.identity)
    mailbox, before = delivery.recipient.forward_path, delivery.destination
    if before.agent == FORWARD:
        return before if router.is_ours(mailbox.domain) else router.forward(mailbox, origin).destination
    routed = router.resolve(mailbox, origin)
    if not isinstance(routed, Routed) or len(routed.targets) != 1:
        return before
    (target,) = routed.targets
    return target.destination if target.mailbox == mailbox and target.destination.agent == RELAY else before

"""`mailgw dkim`: the keys that sign our mail."""

from __future__ import annotations

import grp
import os
import pwd
import random
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import click

from mailgw.commands.configuration import ConfigurationRefused, config_option, read_settings
from mailgw.commands.output import moment
from mailgw.commands.running import run_in_reactor
from mailgw.config.errors import ConfigurationErrors
from mailgw.config.schema import Settings
from mailgw.delivery.dkim.domains import our_domains
from mailgw.delivery.dkim.keys import StoredKey, read_keys
from mailgw.delivery.dkim.publication import Publication, look_up, zone_line
from mailgw.delivery.dkim.rotation import KINDS, KeyFolder, Kind, Owner, Step, next_step
from mailgw.mail.address import AddressError, ascii_domain, parse_domain

T = TypeVar("T")


@click.group()
def dkim() -> None:
    """Make, publish, check and change the keys of our DKIM signatures."""


@dkim.command("new-key")
@config_option
@click.argument("domain")
@click.option("--algorithm", type=click.Choice(KINDS), multiple=True, help="By default both.")
def new_key(domain: str, algorithm: tuple[Kind, ...]) -> None:
    """Make the first keys of DOMAIN; the gateway signs with them within seconds."""
    settings = read_settings()
    name = _our_domain(settings, domain)
    there = {stored.algorithm.partition("-")[0] for stored in _keys(settings, name)}
    kinds = [kind for kind in KINDS if kind in (algorithm or KINDS) and kind not in there]
    if not kinds:
        raise click.ClickException(f"{name} has keys already; `mailgw dkim rotate {name}` changes them")
    made = _folder(settings, name, lambda folder: folder.make(kinds, "active", time.time()))
    for stored in made:
        click.echo(f"made {stored.path}", err=True)
    _print_records(made)
    click.echo(
        "\nPublish this in DNS now: until it is there, receivers find no key and take the mail for unsigned.\n"
        f"Then: mailgw dkim check {name}"
    )


@dkim.command("show-dns")
@config_option
@click.argument("domain", required=False)
def show_dns(domain: str | None) -> None:
    """Print the TXT records that have to stand in DNS, of DOMAIN or of all."""
    settings = read_settings()
    keys = _some_keys(settings, domain)
    _print_records(keys)


@dkim.command("check")
@config_option
@click.argument("domain", required=False)
def check_published(domain: str | None) -> None:
    """Ask DNS for the keys, of DOMAIN or of all, and compare them with the files.

    Ends with 1 when a key that signs, or has to be verified still, is not published as it should be.
    """
    settings = read_settings()
    found = _published(settings, _some_keys(settings, domain))
    for publication in found:
        click.echo(_line(publication))
    bad = [publication for publication in found if publication.status != "published"]
    waiting = {p.stored.domain for p in found if p.stored.state == "pending"}
    for name in sorted(waiting - {p.stored.domain for p in bad if p.stored.state == "pending"}):
        click.echo(f"{name}: the next keys are published; `mailgw dkim rotate {name}` takes them into use")
    if [publication for publication in bad if publication.stored.state != "pending"]:
        click.echo("`mailgw dkim show-dns` prints what has to be published", err=True)
        raise SystemExit(1)


@dkim.command()
@config_option
@click.argument("domain")
@click.option("--finish", is_flag=True, help="Take the next keys into use without asking DNS whether they are there.")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
def rotate(domain: str, finish: bool, dry_run: bool) -> None:
    """Do the next step of changing the keys of DOMAIN, and say what comes after it.

    First the next keys are made; once they are published they sign, and a week later the old ones are removed.
    """
    settings = read_settings()
    name = _our_domain(settings, domain)
    keys = _keys(settings, name)
    if not keys:
        raise click.ClickException(f"{name} has no keys; `mailgw dkim new-key {name}` makes the first ones")
    now = time.time()
    step = next_step(keys, now)
    if finish and step.action != "finish":
        raise click.ClickException(f"{name} has no next keys; `mailgw dkim rotate {name}` makes them")
    if step.action == "wait":
        click.echo(
            f"{name}: nothing to do. Leave the records of {_names(step.keys)} in DNS until {moment(step.until)} UTC, "
            "then run this again."
        )
        return
    if step.action == "finish" and not finish:
        _refuse_unpublished(settings, name, step)
    if dry_run:
        click.echo(f"{name}: would {_DOES[step.action].format(_names(step.keys))}")
        return
    _do(settings, name, step, keys, now)


_DOES = {
    "begin": "make the next keys, beside {}",
    "finish": "sign with {} from now on, and no more with the keys of before",
    "clean": "remove the files of {}, which nobody needs any more",
}


def _do(settings: Settings, name: str, step: Step, keys: Sequence[StoredKey], now: float) -> None:
    again = f"mailgw dkim rotate {name}"
    if step.action == "begin":
        kinds = [kind for kind in KINDS if any(stored.algorithm.startswith(kind) for stored in keys)]
        made = _folder(settings, name, lambda folder: folder.make(kinds, "pending", now))
        _print_records(made)
        click.echo(
            f"\nMade {_names(made)}; they do not sign yet. Publish this in DNS beside what is there, and then: {again}"
        )
    elif step.action == "finish":
        _folder(settings, name, lambda folder: folder.finish(keys, now))
        click.echo(f"{name}: {_names(step.keys)} sign from now on.")
        old = tuple(stored for stored in keys if stored.state == "active")
        if old:
            click.echo(f"Leave the records of {_names(old)} in DNS for 7 days more, and then: {again}")
    else:
        _folder(settings, name, lambda folder: folder.remove(step.keys, now))
        click.echo(f"{name}: removed {_names(step.keys)}. Remove their records from DNS:")
        for stored in step.keys:
            click.echo(f"  {stored.name}")


def _refuse_unpublished(settings: Settings, name: str, step: Step) -> None:
    bad = [found for found in _published(settings, step.keys) if found.status != "published"]
    if bad:
        lines = "\n".join(_line(found) for found in bad)
        raise click.ClickException(
            f"the next keys are not published yet, and nothing was changed:\n{lines}\n"
            f"`mailgw dkim show-dns {name}` prints what to publish; with --finish DNS is not asked"
        )


def _published(settings: Settings, keys: Sequence[StoredKey]) -> tuple[Publication, ...]:
    """Ask DNS as the gateway would."""
    found: list[Publication] = []

    async def ask(reactor: Any) -> None:
        # It brings the codec of DNS: other commands need not wait for that.
        from mailgw.dns.resolver import DnsResolver

        resolver = DnsResolver(reactor, settings.dns, random.SystemRandom())
        found.extend(await look_up(keys, resolver))
        await resolver.stop()

    run_in_reactor(ask)
    return tuple(found)


def _line(found: Publication) -> str:
    stored = found.stored
    text = f": {found.text}" if found.text else ""
    return f"{stored.name} ({stored.algorithm}, {stored.state}): {found.status}{text}"


def _print_records(keys: Iterable[StoredKey]) -> None:
    for number, stored in enumerate(keys):
        if number:
            click.echo()
        click.echo(f"; {stored.domain}: {stored.algorithm}, {stored.state}\n{zone_line(stored)}")
        click.echo(f"; in a form:\n;   name  {stored.name}\n;   type  TXT\n;   text  {stored.record}")


def _names(keys: Sequence[StoredKey]) -> str:
    return " and ".join(stored.selector for stored in keys)


def _our_domain(settings: Settings, text: str) -> str:
    try:
        name = ascii_domain(parse_domain(text))
    except AddressError as error:
        raise click.ClickException(f'"{text}" is not a domain: {error}') from None
    if name not in our_domains(settings):
        ours = ", ".join(settings.domains) or "none"
        raise click.ClickException(f"{text} is not one of [domains] in mailgw.toml; these are: {ours}")
    return name


def _some_keys(settings: Settings, domain: str | None) -> tuple[StoredKey, ...]:
    keys = _keys(settings, None if domain is None else _our_domain(settings, domain))
    if not keys:
        which = domain or next(iter(settings.domains), "DOMAIN")
        raise click.ClickException(f"there are no keys; `mailgw dkim new-key {which}` makes them")
    return keys


def _keys(settings: Settings, domain: str | None) -> tuple[StoredKey, ...]:
    try:
        keys = read_keys(settings.signing.keys_directory)
    except ConfigurationErrors as errors:
        raise ConfigurationRefused(errors.errors) from None
    return tuple(stored for stored in keys if domain in (None, stored.domain))


def _folder(settings: Settings, domain: str, work: Callable[[KeyFolder], T]) -> T:
    """Work on the folder of a domain's keys, as whom the gateway runs; what cannot be written ends the command."""
    directory = settings.signing.keys_directory
    try:
        return work(KeyFolder(directory, domain, _owner(settings)))
    except ConfigurationErrors as errors:
        raise ConfigurationRefused(errors.errors) from None
    except OSError as error:
        raise click.ClickException(f"cannot write {error.filename or directory}: {error.strerror}") from None


def _owner(settings: Settings) -> Owner:
    """The user and group that the gateway runs as: only root can give files away."""
    if os.geteuid() != 0 or not settings.user:
        return (-1, -1)
    try:
        user = pwd.getpwnam(settings.user)
        return user.pw_uid, grp.getgrnam(settings.group).gr_gid if settings.group else user.pw_gid
    except KeyError:
        name = settings.group if settings.group else settings.user
        click.echo(f"warning: there is no user or group {name!r} here yet, so what is written stays root's", err=True)
        return (-1, -1)

"""`mailgw user`: who has a mailbox and may submit mail."""

from __future__ import annotations

import grp
import json
import pwd
import secrets
import sys

import click
from rich.table import Table

from mailgw.commands.configuration import ConfigurationRefused, config_option, read_settings
from mailgw.commands.output import console
from mailgw.config.errors import ConfigurationErrors
from mailgw.config.schema import Settings
from mailgw.mail.address import AddressError, Mailbox, ascii_domain
from mailgw.reception.credentials import MAX_PASSWORD, hash_password
from mailgw.routing.recipients import mailbox_key
from mailgw.routing.users import NO_PASSWORD, User, read_users, remove_user, set_user


@click.group()
def user() -> None:
    """Add, list and remove users."""


def _password_options(command: click.decorators.FC) -> click.decorators.FC:
    for option in (
        click.option("--no-password", "how", flag_value="none", help="A mailbox that nobody submits mail as."),
        click.option("--generate", "how", flag_value="generate", help="Make a password and print it."),
        click.option("--password-stdin", "how", flag_value="stdin", help="Read the password's line from the input."),
    ):
        command = option(command)
    return command


@user.command()
@config_option
@click.argument("address")
@_password_options
def add(address: str, how: str | None) -> None:
    """Add a user. The password is asked for, twice."""
    settings = read_settings()
    mailbox = _our_mailbox(settings, address)
    if _find(_users(settings, may_be_missing=True), mailbox):
        raise click.ClickException(f"{mailbox} is there already; `mailgw user password {mailbox}` changes the password")
    _set(settings, mailbox, how)
    click.echo(f"added {mailbox}", err=True)


@user.command()
@config_option
@click.argument("address")
@_password_options
def password(address: str, how: str | None) -> None:
    """Give a user a new password."""
    settings = read_settings()
    mailbox = _our_mailbox(settings, address)
    known = _find(_users(settings), mailbox)
    if not known:
        raise click.ClickException(f"there is no user {mailbox}")
    _set(settings, known.mailbox, how)
    click.echo(f"changed the password of {known.mailbox}", err=True)


@user.command()
@config_option
@click.argument("address")
def remove(address: str) -> None:
    """Remove a user. Mail that is in the folders stays there."""
    settings = read_settings()
    # Not checked to be ours: a user of a domain that is gone must be removable.
    mailbox = _mailbox(address)
    path = settings.routing.users_file
    try:
        removed = remove_user(path, mailbox)
    except OSError as error:
        raise _not_written(path, error) from None
    if not removed:
        raise click.ClickException(f"there is no user {mailbox}")
    click.echo(f"removed {mailbox}", err=True)


@user.command("list")
@config_option
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def list_users(as_json: bool) -> None:
    """List the users."""
    settings = read_settings()
    rows = [
        {
            "address": str(known.mailbox),
            "mail": settings.domains[name].deliver if (name := _domain(settings, known.mailbox)) else None,
            "password": known.password_hash != NO_PASSWORD,
        }
        for known in _users(settings)
    ]
    if as_json:
        for row in rows:
            click.echo(json.dumps(row))
        return
    table = Table("address", "mail goes to", "may submit mail")
    for row in rows:
        table.add_row(str(row["address"]), str(row["mail"] or "not our domain"), "yes" if row["password"] else "no")
    console().print(table)


def _users(settings: Settings, *, may_be_missing: bool = False) -> tuple[User, ...]:
    try:
        return read_users(settings.routing.users_file)
    except ConfigurationErrors as errors:
        if may_be_missing and not _exists(settings.routing.users_file):
            return ()
        raise ConfigurationRefused(errors.errors) from None


def _exists(path: str) -> bool:
    try:
        with open(path, "rb"):
            return True
    except FileNotFoundError:
        return False
    except OSError:
        return True


def _mailbox(address: str) -> Mailbox:
    try:
        return Mailbox.parse(address)
    except AddressError as error:
        raise click.ClickException(f'"{address}" is not an address: {error}') from None


def _our_mailbox(settings: Settings, address: str) -> Mailbox:
    mailbox = _mailbox(address)
    if _domain(settings, mailbox) is None:
        ours = ", ".join(settings.domains) or "none"
        raise click.ClickException(f"{mailbox.domain} is not one of [domains] in mailgw.toml; these are: {ours}")
    return mailbox


def _domain(settings: Settings, mailbox: Mailbox) -> str | None:
    return next((name for name in settings.domains if ascii_domain(name) == mailbox.ascii_domain), None)


def _find(users: tuple[User, ...], mailbox: Mailbox) -> User | None:
    key = mailbox_key(mailbox)
    return next((known for known in users if known.key == key), None)


def _set(settings: Settings, mailbox: Mailbox, how: str | None) -> None:
    path = settings.routing.users_file
    text = _password(how)
    try:
        set_user(path, mailbox, NO_PASSWORD if text is None else hash_password(text), _group(settings))
    except OSError as error:
        raise _not_written(path, error) from None
    if how == "generate":
        click.echo(text)


def _password(how: str | None) -> str | None:
    if how == "none":
        return None
    if how == "generate":
        return secrets.token_urlsafe(15)
    if how == "stdin":
        text = sys.stdin.readline().rstrip("\r\n")
    else:
        text = click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    if not text:
        raise click.ClickException("the password is empty")
    if len(text.encode()) > MAX_PASSWORD:
        raise click.ClickException(f"the password is longer than {MAX_PASSWORD} octets")
    return text


def _group(settings: Settings) -> int | None:
    """Give the group that the gateway runs as, for a new file; None where there is no such group yet."""
    try:
        if settings.group:
            return grp.getgrnam(settings.group).gr_gid
        return pwd.getpwnam(settings.user).pw_gid
    except KeyError:
        return None


def _not_written(path: str, error: OSError) -> click.ClickException:
    return click.ClickException(f"cannot write {path}: {error.strerror}")

"""The files of routing into a router: users, aliases, recipients of routed domains."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping

from attrs import evolve

from mailgw.config.errors import ConfigError, ConfigurationErrors
from mailgw.config.schema import Settings
from mailgw.config.text import number_lines, quote_key, read_text
from mailgw.mail.address import Mailbox, ascii_domain
from mailgw.routing.aliases import Alias, parse_aliases
from mailgw.routing.expansion import Expansion, find_postmaster
from mailgw.routing.interface import Target
from mailgw.routing.recipients import Key, OurDomain, RecipientList, Recipients, read_recipients
from mailgw.routing.router import DirectoryRouter
from mailgw.routing.routes import FORWARD, domain_destination, mailbox_target, outside_target
from mailgw.routing.rules import Way, WaysOut
from mailgw.routing.srs import srs_domain
from mailgw.routing.users import User, read_users


def load_router(
    settings: Settings, file: str, lists: Mapping[str, RecipientList] = {}, ways: WaysOut | None = None
) -> DirectoryRouter:
    """Read the users, aliases and recipients files and build the router.

    `settings` are checked ones (config.load). `file` is the path of mailgw.toml, for errors about its keys. `lists`
    are those of recipients_command, by the domain's name in mailgw.toml; they may still be empty and change later. So
    may `ways`, which are those of `settings` where none are given.
    Raises ConfigurationErrors with everything that is wrong.
    """
    errors: list[ConfigError] = []
    users: tuple[User, ...] = ()
    aliases: Mapping[Key, Alias] = {}
    domains: dict[str, OurDomain] = {}
    try:
        users = read_users(settings.routing.users_file)
    except ConfigurationErrors as found:
        errors += _named_by(found, file, "routing.users_file")
    try:
        text = read_text(settings.routing.aliases_file)
        only_domain = next(iter(settings.domains)) if len(settings.domains) == 1 else ""
        aliases, wrong = parse_aliases(text, settings.routing.aliases_file, only_domain)
        errors += wrong
    except ConfigurationErrors as found:
        errors += _named_by(found, file, "routing.aliases_file")
    for name, domain in settings.domains.items():
        recipients: Container[str] | None = None
        if domain.recipients_command:
            recipients = lists.get(name, RecipientList())
        if domain.recipients_file:
            try:
                recipients = read_recipients(domain.recipients_file, ascii_domain(name))
            except ConfigurationErrors as found:
                errors += _named_by(found, file, f"domains.{quote_key(name)}.recipients_file")
        domains[name] = OurDomain(ascii_domain(name), domain_destination(domain), recipients, domain.call_ahead)
    if errors:
        # What refers to a line that is wrong would be reported as unknown: first things first.
        raise ConfigurationErrors(number_lines(errors))
    return _build(settings, file, domains, users, aliases, ways or WaysOut(settings))


def _build(
    settings: Settings,
    file: str,
    domains: Mapping[str, OurDomain],
    users: Iterable[User],
    aliases: Mapping[Key, Alias],
    ways: WaysOut,
) -> DirectoryRouter:
    """Build the router; `domains` are by their names in mailgw.toml."""
    by_name = {domain.name: domain for domain in domains.values()}
    errors = _not_ours(settings, by_name, users, aliases)
    mailboxes = {
        user.key: mailbox_target(user.mailbox)
        for user in users
        if user.key[1] in by_name and not by_name[user.key[1]].destination
    }
    recipients = Recipients(mailboxes, aliases, settings.routing.separators)
    catch_alls = {
        domains[name].name: Mailbox.parse(domain.catch_all)
        for name, domain in settings.domains.items()
        if domain.catch_all
    }
    substitutes = {d.name: find_postmaster(d, recipients, domains.values()) for d in domains.values()}
    postmasters = {name: mailbox for name, mailbox in substitutes.items() if mailbox is not None}
    settled = {domain.name: _settled(domain) for domain in domains.values()}
    expansion = Expansion(
        recipients,
        aliases,
        lambda mailbox: settled.get(mailbox.ascii_domain),
        lambda mailbox: outside_target(mailbox, Way("mx"), FORWARD),  # the router chooses
        catch_alls,
        postmasters,
    )
    expanded, wrong = expansion.expand_aliases(settings.routing.aliases_file)
    errors += wrong
    catch_all_targets: dict[str, tuple[Target, ...]] = {}
    postmaster_targets: dict[str, tuple[Target, ...]] = {}
    for name, domain in domains.items():
        section = f"domains.{quote_key(name)}"
        if domain.name in catch_alls:
            found = expansion.expand(catch_alls[domain.name])
            if isinstance(found, tuple):
                catch_all_targets[domain.name] = found
            elif found:
                errors.append(ConfigError(file, f"{section}.catch_all", found))
        elif domain.name in postmasters:
            found = expansion.expand(postmasters[domain.name])
            if isinstance(found, tuple):
                postmaster_targets[domain.name] = found
        else:
            errors.append(ConfigError(file, section, _NO_POSTMASTER.format(name)))
    if errors:
        raise ConfigurationErrors(number_lines(errors))
    targets = expanded, catch_all_targets, postmaster_targets
    return DirectoryRouter(by_name, recipients, *targets, ways, srs_domain(settings))


def _settled(domain: OurDomain) -> OurDomain:
    """The domain as aliases see it: what a command lists may change at any time, so no alias to it is wrong."""
    return evolve(domain, recipients=None) if isinstance(domain.recipients, RecipientList) else domain


def _named_by(found: ConfigurationErrors, file: str, key: str) -> list[ConfigError]:
    """Say which key names a file that cannot be read; what is wrong within a file stays as it is."""
    return [
        error if error.line or error.key else ConfigError(file, key, f"{error.file}: {error.message}")
        for error in found.errors
    ]


_NO_POSTMASTER = (
    "nobody reads mail for postmaster@{0} (RFC 5321 4.5.1); add a user with `mailgw user add`, "
    "or the alias `postmaster@{0}: ADDRESS`"
)


def _not_ours(
    settings: Settings, domains: Mapping[str, OurDomain], users: Iterable[User], aliases: Mapping[Key, Alias]
) -> list[ConfigError]:
    lines = [(settings.routing.users_file, user.mailbox, user.line) for user in users]
    lines += [(settings.routing.aliases_file, alias.mailbox, alias.line) for alias in aliases.values()]
    return [
        ConfigError(file, str(mailbox), f"{mailbox.domain} is not one of [domains] in mailgw.toml", line)
        for file, mailbox, line in lines
        if mailbox.ascii_domain not in domains
    ]

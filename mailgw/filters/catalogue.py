"""The catalogue: which filters there are, and how each is made from filters.toml."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from difflib import get_close_matches
from typing import Any

from attrs import frozen
from twisted.internet.interfaces import IReactorTime

from mailgw.config.check import check_bounds
from mailgw.config.errors import ConfigError, ConfigurationErrors
from mailgw.config.schema import DEFAULT_COMBINATIONS, Combination, FilterFile, Settings
from mailgw.config.structure import structure_leniently
from mailgw.config.text import number_lines, quote_key
from mailgw.dns.interface import Resolver
from mailgw.filters import runner
from mailgw.filters.anatomy import Anatomies
from mailgw.filters.appearance import Appearance
from mailgw.filters.attachments import Attachments, AttachmentsSettings
from mailgw.filters.base import Filter, FilterSettings
from mailgw.filters.clamav import Clamav, ClamavSettings
from mailgw.filters.classifier import Classifier, ClassifierSettings, directory_of
from mailgw.filters.combinations import find_faults
from mailgw.filters.connection import Connection
from mailgw.filters.correspondence import Correspondence, NoCorrespondence
from mailgw.filters.correspondents import Correspondents, CorrespondentsSettings
from mailgw.filters.dns_lists import DnsLists, DnsListsSettings
from mailgw.filters.foreign import KEY, Foreign, find_foreign
from mailgw.filters.gtube import Gtube
from mailgw.filters.header_sanity import HeaderSanity, HeaderSanitySettings
from mailgw.filters.impersonation import Impersonation, ImpersonationSettings
from mailgw.filters.milter import Milter, MilterSettings
from mailgw.filters.mime_sanity import MimeSanity
from mailgw.filters.phishing import Phishing, PhishingSettings
from mailgw.filters.rspamd import Rspamd, RspamdSettings
from mailgw.filters.rules import RuleSet, load_rules
from mailgw.filters.sender_lists import load_sender_lists
from mailgw.filters.senders import Senders, SendersSettings
from mailgw.filters.site_rules import SiteRules
from mailgw.filters.spamassassin import Spamassassin, SpamassassinSettings
from mailgw.operation.threads import Threads


@frozen
class Services:
    """What a filter may ask for in its constructor. A filter that needs more (a store) adds it here."""

    clock: IReactorTime
    reactor: Any
    """For connections to other programs. Time is the clock's."""
    threads: Threads
    resolver: Resolver
    rules: RuleSet
    settings: Settings
    """Of the whole gateway: our names, domains and networks."""
    anatomies: Anatomies
    correspondence: Correspondence


@frozen
class Entry:
    """A filter of the catalogue: its class, the class of its section [filters.NAME], and how it is made."""

    filter: type[Filter]
    settings: type[FilterSettings]
    make: Callable[[Any, Services], Filter]

    @property
    def name(self) -> str:
        return self.filter.name


FILTERS: tuple[Entry, ...] = (
    Entry(HeaderSanity, HeaderSanitySettings, lambda settings, s: HeaderSanity(settings, s.clock)),
    Entry(MimeSanity, FilterSettings, lambda settings, s: MimeSanity(settings, s.anatomies)),
    Entry(Connection, FilterSettings, lambda settings, s: Connection(settings)),
    Entry(Attachments, AttachmentsSettings, lambda settings, s: Attachments(settings, s.anatomies)),
    Entry(Phishing, PhishingSettings, lambda settings, s: Phishing(settings, s.anatomies, s.settings.domains)),
    Entry(Impersonation, ImpersonationSettings, lambda settings, s: Impersonation(settings, s.settings.domains)),
    Entry(Appearance, FilterSettings, lambda settings, s: Appearance(settings, s.anatomies)),
    Entry(
        DnsLists,
        DnsListsSettings,
        lambda settings, s: DnsLists(
            settings, s.resolver, s.clock, s.anatomies, s.settings.own_networks, s.settings.domains
        ),
    ),
    Entry(
        Correspondents,
        CorrespondentsSettings,
        lambda settings, s: Correspondents(settings, s.correspondence, s.clock),
    ),
    Entry(SiteRules, FilterSettings, lambda settings, s: SiteRules(settings, s.rules, s.anatomies)),
    Entry(
        Senders,
        SendersSettings,
        lambda settings, s: Senders(settings, os.path.dirname(s.settings.filters_file), s.clock, s.threads),
    ),
    Entry(Gtube, FilterSettings, lambda settings, s: Gtube(settings, s.threads)),
    Entry(
        Classifier,
        ClassifierSettings,
        lambda settings, s: Classifier(settings, s.anatomies, directory_of(s.settings.state_directory), s.clock),
    ),
    Entry(Clamav, ClamavSettings, lambda settings, s: Clamav(settings, s.reactor, s.threads)),
    Entry(Rspamd, RspamdSettings, lambda settings, s: Rspamd(settings, s.reactor, s.threads, s.settings.hostname)),
    Entry(
        Spamassassin,
        SpamassassinSettings,
        lambda settings, s: Spamassassin(settings, s.reactor, s.threads, s.settings.hostname),
    ),
    Entry(Milter, MilterSettings, lambda settings, s: Milter(settings, s.reactor, s.threads, s.settings.hostname)),
)

ENGINES: frozenset[type[Filter]] = frozenset({Clamav, Rspamd, Spamassassin, Milter, DnsLists})
"""Those that ask other programs, or lists that others keep."""


@frozen
class Catalogue:
    """What filters.toml and rules.toml say of the filters, checked."""

    entries: tuple[Entry, ...]
    """Of every filter, those of other packages behind ours."""
    sections: Mapping[str, FilterSettings]
    """Of every filter, by its name."""
    rules: RuleSet
    weights: Mapping[str, float]
    """Of every symbol that filters, rules and combinations may state."""
    combinations: Mapping[str, Combination]
    """By symbol, those that are enabled; their symbols are ones that somebody states."""

    def make(
        self,
        settings: Settings,
        reactor: Any,
        threads: Threads,
        resolver: Resolver,
        correspondence: Correspondence | None = None,
        *,
        offline: bool = False,
    ) -> tuple[Filter, ...]:
        """Make the filters that are enabled, `offline` without those that ask others; without `correspondence`
        nobody is known. Raises ConfigurationErrors for one of another package that cannot be."""
        known = correspondence or NoCorrespondence()
        services = Services(reactor, reactor, threads, resolver, self.rules, settings, Anatomies(threads), known)
        enabled = [entry for entry in self.entries if self.sections[entry.name].enabled]
        if offline:
            enabled = [entry for entry in enabled if entry.filter not in ENGINES]
        return tuple([entry.make(self.sections[entry.name], services) for entry in enabled])


def read(
    filter_file: FilterFile, filters_path: str, rules_path: str, *, others: Mapping[str, float] | None = None
) -> Catalogue:
    """Read the sections of the filters, and the weights of all symbols that filters and rules may state.

    `filters_path` is where `filter_file` was read from, for errors; `rules_path` is read (an empty one means no
    rules). Weights of [scores] go before those of rules.toml and the filters' own. `others` are symbols that do not
    come from filters, with their weights: when it is given, they are in the weights too, and a symbol in [scores] or
    [rules] that nobody states is an error. Raises ConfigurationErrors with everything that is wrong in both files.
    """
    errors: list[ConfigError] = []
    defaults = {**(others or {}), **runner.SYMBOLS}
    entries = _find_entries(filter_file, filters_path, others or {}, errors)
    for entry in entries:
        defaults |= entry.filter.symbols
    wrong: list[ConfigError] = []
    sections = _read_sections(entries, filter_file, filters_path, wrong)
    if not wrong:  # what is wrong names no symbol for sure
        for section in sections.values():
            defaults |= section.more_symbols()
    rules = RuleSet()
    if rules_path:
        try:
            rules = load_rules(rules_path, taken=(*defaults, *DEFAULT_COMBINATIONS))
        except ConfigurationErrors as found:
            errors += found.errors
    errors += wrong
    senders = sections.get("senders")
    if isinstance(senders, SendersSettings) and senders.enabled and senders.file:
        try:
            load_sender_lists(os.path.join(os.path.dirname(filters_path), senders.file))
        except ConfigurationErrors as found:
            errors += found.errors
    stated = defaults.keys() | rules.scores.keys()
    combinations = {name: c for name, c in {**DEFAULT_COMBINATIONS, **filter_file.combinations}.items() if c.enabled}
    errors += number_lines(
        ConfigError(filters_path, f"combinations.{quote_key(name)}{key}", message)
        for name, combination in filter_file.combinations.items()
        for key, message in find_faults(name, combination, stated)
    )
    if others is not None and not errors:  # with rules that cannot be read, their symbols are not known
        known = stated | combinations.keys()
        errors += number_lines(_unknown_symbols(filter_file, filters_path, known))
    if errors:
        raise ConfigurationErrors(errors)
    scores = {name: combination.score for name, combination in combinations.items()}
    weights = {**defaults, **rules.scores, **scores, **filter_file.scores}
    return Catalogue(entries, sections, rules, weights, combinations)


def _find_entries(
    filter_file: FilterFile, path: str, others: Mapping[str, float], errors: list[ConfigError]
) -> tuple[Entry, ...]:
    """Give our filters, and those of other packages that filters.toml names; append what is wrong to `errors`."""
    taken = {symbol: entry.name for entry in FILTERS for symbol in entry.filter.symbols}
    taken |= dict.fromkeys((*others, *runner.SYMBOLS), "mailgw")
    found, wrong = find_foreign(filter_file.filters, path, taken)
    errors += wrong
    ours = {entry.name for entry in FILTERS}
    for name in ours & found.keys():
        key = f"filters.{quote_key(name)}.{KEY}"
        errors += number_lines([ConfigError(path, key, f"{name} is a filter of mailgw's; take another name")])
    return (*FILTERS, *(_make_entry(f, name, path) for name, f in found.items() if name not in ours))


def _make_entry(found: Foreign, name: str, path: str) -> Entry:
    def make(settings: Any, services: Services) -> Filter:
        try:
            made: Filter = found.filter(settings, services)
        except Exception as error:  # of its constructor
            text = f"it cannot be made: {type(error).__name__}: {error}"
            raise ConfigurationErrors(number_lines([ConfigError(path, f"filters.{quote_key(name)}", text)])) from error
        return made

    return Entry(found.filter, found.settings, make)


def _read_sections(
    entries: Sequence[Entry], filter_file: FilterFile, path: str, errors: list[ConfigError]
) -> dict[str, FilterSettings]:
    """Make the settings of every filter from its section, or from nothing; append what is wrong to `errors`."""
    names = [entry.name for entry in entries]
    # One that names a class which cannot be had is an error already.
    unknown = sorted(name for name in set(filter_file.filters) - set(names) if KEY not in filter_file.filters[name])
    errors += number_lines(
        ConfigError(path, f"filters.{quote_key(name)}", f"there is no such filter{_hint(name, names)}")
        for name in unknown
    )
    sections: dict[str, FilterSettings] = {}
    for entry in entries:
        prefix = f"filters.{quote_key(entry.name)}"
        section = {key: value for key, value in filter_file.filters.get(entry.name, {}).items() if key != KEY}
        value, found = structure_leniently(entry.settings, section, path, prefix)
        if value is not None:
            wrong = [*check_bounds(value, f"{prefix}."), *((f"{prefix}.{key}", text) for key, text in value.findings())]
            found += number_lines(ConfigError(path, key, text) for key, text in wrong)
            sections[entry.name] = value
        errors += found
    return sections


def _unknown_symbols(filter_file: FilterFile, path: str, known: Set[str]) -> Iterator[ConfigError]:
    sections: list[tuple[str, Mapping[str, Any]]] = [("scores", filter_file.scores), ("rules", filter_file.rules)]
    for part in ("recipients", "users"):
        for name, override in getattr(filter_file, part).items():
            prefix = f"{part}.{quote_key(name)}"
            sections += [(f"{prefix}.scores", override.scores), (f"{prefix}.rules", override.rules)]
    for section, symbols in sections:
        for symbol in symbols:
            if symbol not in known:
                hint = _hint(symbol, sorted(known))
                yield ConfigError(path, f"{section}.{quote_key(symbol)}", f"nothing states this symbol{hint}")
    for name, combination in filter_file.combinations.items():
        for key in ("all", "any", "none"):
            for number, symbol in enumerate(getattr(combination, key)):
                if symbol not in known:
                    place = f"combinations.{quote_key(name)}.{key}[{number}]"
                    yield ConfigError(path, place, f"nothing states {symbol}{_hint(symbol, sorted(known))}")


def _hint(name: str, known: list[str]) -> str:
    near = get_close_matches(name, known, n=1)
    return f'; did you mean "{near[0]}"?' if near else f"; there are: {', '.join(known)}" if len(known) < 20 else ""

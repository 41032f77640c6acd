"""Everything that stands in etc/, read and checked: for the service and for the command line alike."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from attrs import frozen
from twisted.internet.interfaces import IReactorTime

from mailgw.config.errors import ConfigError, ConfigurationErrors
from mailgw.config.load import load_filter_file, load_settings
from mailgw.config.schema import FilterFile, Settings
from mailgw.delivery.localend import check_sources
from mailgw.delivery.wording import Wording, load_wording
from mailgw.filters.catalogue import Catalogue
from mailgw.filters.catalogue import read as read_catalogue
from mailgw.operation.threads import Threads
from mailgw.routing.current import CurrentRouter, routing_files
from mailgw.routing.listing import check_programs, make_lists
from mailgw.routing.load import load_router
from mailgw.routing.recipients import RecipientList
from mailgw.routing.rules import WaysOut
from mailgw.senderauth import authenticator
from mailgw.verdict import policy

SYMBOLS = {**authenticator.SYMBOLS, **policy.SYMBOLS}
"""What is stated by others than filters, with its default weights."""


@frozen
class Etc:
    """Everything that stands in etc/, checked."""

    path: Path
    settings: Settings
    filter_file: FilterFile
    catalogue: Catalogue
    wording: Wording
    router: CurrentRouter
    lists: Mapping[str, RecipientList]
    """Of domains with a recipients_command; empty until RecipientCommands fills them."""
    ways: WaysOut
    """Those that `router` sends by."""


def load(path: str | os.PathLike[str], clock: IReactorTime, threads: Threads) -> Etc:
    """Read mailgw.toml and every file that it names. Files that may change while it runs are read in `threads`.

    Raises ConfigurationErrors with all that is wrong in any of the files, but for what can't be looked for before
    mailgw.toml itself is right.
    """
    main = Path(path).absolute()
    settings = load_settings(main)
    errors: list[ConfigError] = []
    filter_file = FilterFile()
    catalogue: Catalogue | None = None
    wording: Wording | None = None
    router: CurrentRouter | None = None
    lists = make_lists(settings)
    ways = WaysOut(settings)
    errors += check_programs(settings, str(main))
    errors += check_sources(settings, str(main))
    try:
        filter_file = load_filter_file(settings.filters_file)
        catalogue = read_catalogue(filter_file, settings.filters_file, settings.rules_file, others=SYMBOLS)
    except ConfigurationErrors as found:
        errors += found.errors
    try:
        wording = load_wording(settings.reports.language, settings.reports.wording_file)
    except ConfigurationErrors as found:
        errors += found.errors
    try:
        router = CurrentRouter(
            routing_files(settings), lambda: load_router(settings, str(main), lists, ways), clock, threads
        )
    except ConfigurationErrors as found:
        errors += found.errors
    if errors or router is None or catalogue is None or wording is None:
        raise ConfigurationErrors(errors)
    return Etc(main, settings, filter_file, catalogue, wording, router, lists, ways)

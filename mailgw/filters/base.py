"""What a filter is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar, Literal, Protocol

from attrs import field, frozen

from mailgw.mail.evidence import Evidence
from mailgw.mail.reply import TemporaryFailure
from mailgw.mail.transaction import Transaction


@frozen
class FilterSettings:
    """The settings that every filter's section [filters.NAME] has; a filter's own settings class derives from it."""

    enabled: bool = field(default=True, metadata={"doc": "Whether the filter runs."})
    time_limit: float = field(default=5.0, metadata={"doc": "Seconds until it is given up."})
    on_error: Literal["ignore", "defer"] = field(
        default="ignore",
        metadata={"doc": "When it fails or takes too long: `ignore` goes on without it, `defer` answers 451."},
    )

    def findings(self) -> Iterator[tuple[str, str]]:
        """Give what is wrong that types and bounds cannot say: the key within the section, and what about it."""
        return iter(())

    def more_symbols(self) -> Mapping[str, float]:
        """Give the symbols that these settings name, with their weights, beside the filter's own."""
        return {}


class Undecided(TemporaryFailure):
    """Raised by a filter that must not be left out for this message, whatever its `on_error` says: it is deferred.

    `evidence` is what the filter has found nevertheless.
    """

    def __init__(self, cause: str, evidence: Iterable[Evidence] = ()) -> None:
        super().__init__(cause)
        self.evidence = tuple(evidence)


class Filter(Protocol):
    """One filter. Its constructor takes its settings, and the interfaces that it needs (resolver, clock, ...)."""

    name: ClassVar[str]
    """Its section in filters.toml, and the `source` of its evidence."""
    symbols: ClassVar[Mapping[str, float]]
    """Every symbol that it may state, with the weight that it has when etc does not say otherwise."""
    settings: Any
    """An instance of the filter's settings class, a FilterSettings."""

    async def check(self, transaction: Transaction) -> Iterable[Evidence]:
        """Look at the transaction (its message is there) and state what is seen."""
        ...

"""What [sites] says of a site: the first section that names it."""

from __future__ import annotations

from collections.abc import Mapping

from mailgw.config.schema import SiteRule

_NONE = SiteRule()


class SiteRules:
    """Finds the rule of a site by its name: `mx:` and its hosts, or `route:NAME` (see `DeliveryAgent.site`)."""

    def __init__(self, rules: Mapping[str, SiteRule]) -> None:
        """`rules` are by MX host, `*.DOMAIN` for all hosts below it, `route:NAME`, or `*`."""
        self._rules = [(pattern.lower(), rule) for pattern, rule in rules.items()]

    def of(self, site: str) -> SiteRule:
        """Give the rule, or one that says nothing. Any of the hosts counts."""
        name = site.partition(";")[0].lower()  # behind it stands how the hosts are spoken to
        kind, _, hosts = name.partition(":")
        if kind not in ("mx", "route"):
            return _NONE  # folders here
        names = hosts.split(",") if kind == "mx" else [name]
        return next((rule for pattern, rule in self._rules if any(_fits(pattern, one) for one in names)), _NONE)


def _fits(pattern: str, name: str) -> bool:
    return pattern in ("*", name) or (pattern.startswith("*.") and name.endswith(pattern[1:]))

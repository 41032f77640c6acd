"""What several commands take."""

from __future__ import annotations

import ipaddress
from typing import Any

import click


class IpAddress(click.ParamType[str]):
    """An IP address, in the form in which the gateway knows its clients."""

    name = "address"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            address = ipaddress.ip_address(str(value))
        except ValueError:
            self.fail(f"{value!r} is not an IP address", param, ctx)
        return str(getattr(address, "ipv4_mapped", None) or address)

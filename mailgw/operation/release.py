"""Which mailgw this is."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version


def release() -> str:
    """Give the version that is installed."""
    try:
        return version("mailgw")
    except PackageNotFoundError:
        return "not installed"

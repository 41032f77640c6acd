"""Where the suites of others stand, and what they have in common."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

SUITES = Path(os.environ.get("MAILGW_SUITES", Path(__file__).parents[2] / ".." / "shared" / "suites"))

try:
    import yaml
except ImportError:
    yaml = None  # type: ignore[assignment]  # the tests are skipped then


def scenarios(path: Path) -> Iterator[dict[str, Any]]:
    """Give the documents of a suite in YAML: each has `description`, `tests` (name -> case) and its DNS."""
    with path.open(encoding="utf-8") as file:
        yield from (scenario for scenario in yaml.safe_load_all(file) if scenario)


def skip_reason(pattern: str) -> str | None:
    """Say why a suite cannot be run; None when it can."""
    if pattern.endswith(".yml") and yaml is None:
        return "PyYAML is not installed"
    return None if any(SUITES.glob(pattern)) else f"there is no {pattern} in {SUITES}"

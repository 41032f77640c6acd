"""`mailgw` as a program, with the configuration of a gateway."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.integration.gateway import ROOT, Gateway


def run_mailgw(gateway: Gateway, *arguments: str, code: int = 0) -> str:
    """Run it; give what it wrote, standard error behind standard output. Raises AssertionError on another exit code."""
    configuration = str(gateway.etc / "mailgw.toml")
    result = subprocess.run(
        [sys.executable, "-m", "mailgw.commands.main", "--config", configuration, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    output = result.stdout + result.stderr
    if result.returncode != code:
        raise AssertionError(f"mailgw {' '.join(arguments)} ended with {result.returncode}:\n{output}")
    return output

"""Runs trial on the checkout and ends with a line that counts: `python tests/run.py [trial's options] [tests]`.

The tests and the programs that they start import mailgw from the checkout, whatever is installed: what is tested is
what is there to read. The exit status is trial's.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FLAGS = ("-b", "-W", "error::DeprecationWarning")
_SUMMARY = re.compile(r"^(?:PASSED|FAILED)(?: \(([^()]*)\))?$", re.MULTILINE)
_TAIL = 64 * 1024


def main(arguments: Sequence[str]) -> int:
    """Run trial, pass its output on, and give its exit status."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, *FLAGS, "-m", "twisted.trial", *(arguments or ["tests"])]
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as trial:
        assert trial.stdout is not None
        tail = b""
        while piece := os.read(trial.stdout.fileno(), _TAIL):
            sys.stdout.buffer.write(piece)
            sys.stdout.buffer.flush()
            tail = (tail + piece)[-_TAIL:]
        status = trial.wait()
    passed, failed, skipped = count(tail.decode(errors="replace"), status)
    print(f"\n{passed} passed, {failed} failed, {skipped} skipped", flush=True)
    return status if status >= 0 else 128 - status


def count(output: str, status: int) -> tuple[int, int, int]:
    """Read trial's last summary: passed, failed, skipped. A run that broke off counts as a failure."""
    summaries = _SUMMARY.findall(output)
    counts: dict[str, int] = {}
    if summaries:
        for item in filter(None, summaries[-1].split(", ")):
            name, _, number = item.partition("=")
            counts[name] = int(number)
    passed = counts.get("successes", 0) + counts.get("expectedFailures", 0)
    failed = sum(counts.get(name, 0) for name in ("failures", "errors", "unexpectedSuccesses"))
    if status and not failed:
        failed = 1
    return passed, failed, counts.get("skips", 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

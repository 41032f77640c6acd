"""Programs that tests start for themselves, and how they know that one listens."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

_START_LIMIT = 60.0


def absent(*names: str) -> str:
    """Why the programs cannot be started here; empty when they can."""
    missing = [name for name in names if not shutil.which(name)]
    return f"not installed: {', '.join(missing)}" if missing else ""


class Program:
    """One in the foreground, with what it writes in `log`. It listens on `listens`: a path, or a port of loopback."""

    def __init__(self, arguments: Sequence[str], listens: Path | int, log: Path) -> None:
        self._arguments = arguments
        self._listens = listens
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Returns when it listens. Raises AssertionError with what it wrote when it ends instead, or never does."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._arguments, stdout=log, stderr=log, start_new_session=True)
        end = time.monotonic() + _START_LIMIT
        while not _connects(self._listens):
            if self._process.poll() is not None or time.monotonic() > end:
                self.stop()
                raise AssertionError(f"{self._arguments[0]} does not listen:\n{self._log.read_text(errors='replace')}")
            time.sleep(0.05)

    def stop(self) -> None:
        """End it and its children, and wait."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            pass
        self._kill_group(process.pid)
        process.wait()

    def kill(self) -> None:
        """As in a crash."""
        process, self._process = self._process, None
        if process is not None:
            self._kill_group(process.pid)
            process.wait()

    def suspend(self) -> None:
        """Let it listen and never answer."""
        os.killpg(self.pid, 19)

    def resume(self) -> None:
        os.killpg(self.pid, 18)

    @staticmethod
    def _kill_group(pid: int) -> None:
        try:
            os.killpg(pid, 9)  # the session that was made for it
        except ProcessLookupError:
            pass


def _connects(where: Path | int) -> bool:
    family, address = (
        (socket.AF_UNIX, str(where)) if isinstance(where, Path) else (socket.AF_INET, ("127.0.0.1", where))
    )
    with socket.socket(family) as probe:
        return probe.connect_ex(address) == 0  # type: ignore[arg-type]

"""The CPU time and the memory of a process with all its descendants, from /proc."""

from __future__ import annotations

import os
from pathlib import Path

from attrs import frozen

_TICK = os.sysconf("SC_CLK_TCK")


@frozen
class Memory:
    """In MiB. `pss` counts what processes share once; `largest` is the resident memory of the largest one."""

    pss: float
    largest: float


class Tree:
    """A process and its descendants. Children that have ended count, once their parent has waited for them."""

    def __init__(self, root: int) -> None:
        self._root = root

    def cpu_seconds(self) -> float:
        """User and system time so far."""
        statistics = _read_all()
        seconds = 0.0
        for pid in self._pids(statistics):
            if pid in statistics:
                seconds += _own_seconds(pid, statistics[pid]) + _seconds(statistics[pid][13:15])
        return seconds

    def memory(self) -> Memory:
        """What they take now."""
        pss = largest = 0
        for pid in self._pids(_read_all()):
            try:
                lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
            except OSError:
                continue  # it has ended meanwhile
            sizes = {line.split()[0]: int(line.split()[1]) for line in lines[1:]}
            pss += sizes.get("Pss:", 0)
            largest = max(largest, sizes.get("Rss:", 0))
        return Memory(pss / 1024, largest / 1024)

    def _pids(self, statistics: dict[int, list[str]]) -> list[int]:
        children: dict[int, list[int]] = {}
        for pid, fields in statistics.items():
            children.setdefault(int(fields[1]), []).append(pid)
        found = []
        todo = [self._root]
        while todo:
            pid = todo.pop()
            todo += children.get(pid, [])
            found.append(pid)
        return found


def _own_seconds(pid: int, fields: list[str]) -> float:
    """The time of one process. Its stat file cuts to whole ticks, which loses a quarter of what Postfix's sixty
    processes use; schedstat is exact, but holds only the threads that live."""
    nanoseconds = 0
    try:
        for thread in Path(f"/proc/{pid}/task").iterdir():
            nanoseconds += int((thread / "schedstat").read_text().split()[0])
    except OSError:
        pass  # it has ended meanwhile, or the kernel has no schedstat
    return max(nanoseconds / 1e9, _seconds(fields[11:13]))


def _seconds(ticks: list[str]) -> float:
    return sum(map(int, ticks)) / _TICK


def _read_all() -> dict[int, list[str]]:
    """Map each process to the fields of its stat file from the third on (proc(5): utime, stime, cutime and cstime
    are the fields 14 to 17)."""
    found = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                text = (folder / "stat").read_text()
            except OSError:
                continue  # it has ended meanwhile
            found[int(folder.name)] = text.rpartition(")")[2].split()  # the second field, a name, may hold spaces
    return found

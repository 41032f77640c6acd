"""What a disk may hold after a power cut, from what a process has asked of it, as strace(1) saw that.

A disk promises what was synced, and nothing more (Pillai et al., "All File Systems Are Not Created Equal", OSDI 2014):
of the writes that were not, each may be there, or not, or some of its sectors; and so may a name that was made or
removed since its directory was synced. `read_trace` gives the calls in their order, `Disk` is brought to any point in
it, and `Disk.cut` makes one of the states in which that point may leave the files.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Literal

from attrs import Factory, define, frozen

SYSCALLS = (
    "openat,close,write,pwrite64,writev,sendto,sendmsg,fsync,fdatasync,ftruncate,unlink,link,linkat,rename,renameat"
)
_SECTOR = 512
_CALL = re.compile(r"(\d+) +(\w+)\((.*)", re.DOTALL)
_RESUMED = re.compile(r"(\d+) +<\.\.\. (\w+) resumed>(.*)")
_RESULT = re.compile(r"\) += (-?\d+)")
_TEXT = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')


@frozen
class Write:
    path: str
    offset: int
    data: bytes


@frozen
class Truncate:
    path: str
    size: int


@frozen
class Name:
    """A name is made, or removed. `of` is the file's other name; without one, what is made is a new file."""

    path: str
    made: bool
    of: str = ""


@frozen
class Sync:
    """Of a file or a directory. What is asked for after the beginning need not be held at the end."""

    path: str
    caller: str
    step: Literal["begin", "end"]


@frozen
class Said:
    """Something left the process by a socket or a pipe."""

    data: bytes


Event = Write | Truncate | Name | Sync | Said


def command(trace: Path, *program: str) -> list[str]:
    """The command that runs a program and writes its trace. The program keeps the process id."""
    options = [
        "-D",
        "-f",
        "-qq",
        "--seccomp-bpf",
        "-xx",
        "-s",
        "1000000",
        "-e",
        f"trace={SYSCALLS}",
        "-e",
        "signal=none",
    ]
    return ["strace", *options, "-o", str(trace), *program]


def read_trace(trace: Path, directory: Path) -> Iterator[Event]:
    """Give what was asked of the files in a directory and below it, and what was said, in their order."""
    reader = _Reader(str(directory))
    with trace.open(encoding="ascii") as lines:
        for line in lines:
            yield from reader.line(line)


class _Reader:
    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._paths: dict[int, str] = {}
        self._positions: dict[int, int] = {}
        self._unfinished: dict[str, tuple[str, str]] = {}
        self._there: set[str] = set()

    def line(self, line: str) -> Iterator[Event]:
        """Writes count from when they are asked for, and so does what is said; the others when they have succeeded."""
        if resumed := _RESUMED.match(line):
            pid, name, rest = resumed.groups()
            if pid in self._unfinished:
                name, arguments = self._unfinished.pop(pid)
                yield from self._end(pid, name, arguments, rest)
        elif call := _CALL.match(line):
            pid, name, arguments = call.groups()
            if arguments.rstrip().endswith("<unfinished ...>"):
                self._unfinished[pid] = (name, arguments)
                yield from self._begin(pid, name, arguments)
            else:
                yield from self._begin(pid, name, arguments)
                yield from self._end(pid, name, arguments, arguments)

    def _begin(self, pid: str, name: str, arguments: str) -> Iterator[Event]:
        if name in ("openat", "unlink", "link", "linkat", "rename", "renameat"):
            return
        number = int(re.split(r"[,) ]", arguments, maxsplit=1)[0])
        path = self._paths.get(number)
        if name == "close":
            self._paths.pop(number, None)
        elif path is None:
            if name in ("write", "writev", "sendto", "sendmsg"):
                yield Said(b"".join(bytes.fromhex(text.replace("\\x", "")) for text in _TEXT.findall(arguments)))
        elif name == "pwrite64":
            yield Write(
                path, int(arguments.rsplit('"', 1)[1].split(", ")[2].split(")")[0].split(" ")[0]), _data(arguments)
            )
        elif name == "write":
            data = _data(arguments)
            yield Write(path, self._positions[number], data)
            self._positions[number] += len(data)
        elif name == "ftruncate":
            yield Truncate(path, int(re.split(r"[,) ]+", arguments)[1]))
        elif name in ("fsync", "fdatasync"):
            yield Sync(path, pid, "begin")
        else:
            raise ValueError(f"{name} is not known to write files: {arguments[:200]}")

    def _end(self, pid: str, name: str, arguments: str, rest: str) -> Iterator[Event]:
        result = _RESULT.search(rest)
        if result is None or (number := int(result[1])) < 0:
            return
        if name == "openat":
            path = _data(arguments).decode()
            if not (path == self._directory or path.startswith(self._directory + "/")):
                self._paths.pop(number, None)
                return
            self._paths[number] = path
            self._positions[number] = 0
            if "O_CREAT" in arguments and path not in self._there:
                self._there.add(path)
                yield Name(path, made=True)
        elif name == "unlink":
            path = _data(arguments).decode()
            if path in self._there:
                self._there.discard(path)
                yield Name(path, made=False)
        elif name in ("fsync", "fdatasync"):
            path = self._paths.get(int(arguments.split(")")[0].split(" ")[0]))
            if path is not None:
                yield Sync(path, pid, "end")
        elif name == "link" and self._directory in (text := _texts(arguments))[1]:
            self._there.add(text[1])
            yield Name(text[1], made=True, of=text[0])
        elif name.startswith(("linkat", "rename")) and self._directory in "".join(_texts(arguments)):
            raise ValueError(f"{name} in the queue: this model does not know it yet")


def _texts(arguments: str) -> list[str]:
    return [bytes.fromhex(text.replace("\\x", "")).decode() for text in _TEXT.findall(arguments)]


def _data(arguments: str) -> bytes:
    text = _TEXT.search(arguments)
    if text is None:
        raise ValueError(f"no text in {arguments[:200]}")
    return bytes.fromhex(text[1].replace("\\x", ""))


@define
class _File:
    """What is held for sure, and what was asked for since."""

    held: bytearray = Factory(bytearray)
    asked: list[Write | Truncate] = Factory(list)


class Disk:
    """The files of a directory, at some point of a trace."""

    def __init__(self, directory: Path) -> None:
        self._directory = str(directory)
        self._files: dict[str, _File] = {}
        self._names: set[str] = set()
        self._asked: dict[str, list[Name]] = {}
        self._held: dict[int, int] = {}
        """How many of the changes asked of a file or directory are held for sure, by the id of what is asked of it."""
        self._begun: dict[str, int] = {}
        """By caller: how many are to be, when its sync ends."""

    def apply(self, event: Event) -> None:
        match event:
            case Write() | Truncate():
                self._files[event.path].asked.append(event)
            case Name():
                if event.made:
                    self._files[event.path] = self._files[event.of] if event.of else _File()
                self._asked.setdefault(str(Path(event.path).parent), []).append(event)
            case Sync(step="begin"):
                pending = self._pending(event.path)
                self._begun[event.caller] = self._held.get(id(pending), 0) + len(pending)
            case Sync():
                pending = self._pending(event.path)
                begun, held = self._begun.pop(event.caller), self._held.get(id(pending), 0)
                self._held[id(pending)] = max(begun, held)
                for _ in range(begun - held):  # another's sync may have come before
                    asked = pending.pop(0)
                    if isinstance(asked, Name):
                        _enter(self._names, asked)
                    else:
                        _change(self._files[event.path].held, asked)

    def cut(self, target: Path, random: Random) -> None:
        """Write the files below `target` as a power cut may have left them."""
        names = set(self._names)
        kept = random.choice((0.0, 0.5, 0.9, 1.0))
        for pending in self._asked.values():
            for name in pending:
                if random.random() < kept:
                    _enter(names, name)
        for path in names:
            file = self._files[path]
            data = bytearray(file.held)
            for asked in file.asked:
                if random.random() < kept:
                    _change(data, asked)
                elif isinstance(asked, Write) and random.random() < kept:
                    _tear(data, asked, random)
            copy = target / Path(path).relative_to(self._directory)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(data)

    def _pending(self, path: str) -> list[Name] | list[Write | Truncate]:
        file = self._files.get(path)
        return file.asked if file is not None else self._asked.setdefault(path, [])


def _enter(names: set[str], name: Name) -> None:
    if name.made:
        names.add(name.path)
    else:
        names.discard(name.path)


def _change(data: bytearray, asked: Write | Truncate) -> None:
    size = asked.size if isinstance(asked, Truncate) else asked.offset
    if len(data) < size:
        data += bytes(size - len(data))
    if isinstance(asked, Truncate):
        del data[size:]
    else:
        data[size : size + len(asked.data)] = asked.data


def _tear(data: bytearray, asked: Write, random: Random) -> None:
    """Some of its sectors."""
    for start in range(0, len(asked.data), _SECTOR):
        if random.random() < 0.5:
            _change(data, Write(asked.path, asked.offset + start, asked.data[start : start + _SECTOR]))

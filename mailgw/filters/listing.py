"""What is in an archive: the vocabulary of those who list archives."""

from __future__ import annotations

from attrs import frozen

MAX_MEMBERS = 1000
MAX_NAME = 255


class UnreadableError(ValueError):
    """It is not what its beginning says, or broken; the text says how."""


@frozen
class Member:
    """A file in an archive: its name, its size when unpacked and in the archive, and whether it needs a password.

    `offset` and `method` say where and how it stands in a zip; -1 elsewhere.
    """

    name: str
    size: int
    packed: int
    encrypted: bool = False
    offset: int = -1
    method: int = -1


@frozen
class Listing:
    """The members of an archive, the first MAX_MEMBERS of them.

    `encrypted` says that names cannot be read without a password. `unlisted` says why not all is listed, or is empty.
    `bomb` says what makes it one, or is empty.
    """

    kind: str
    members: tuple[Member, ...] = ()
    encrypted: bool = False
    unlisted: str = ""
    bomb: str = ""

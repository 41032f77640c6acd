"""What is wrong in a file of the configuration."""

from __future__ import annotations

from collections.abc import Iterable

from attrs import frozen


@frozen(str=False)
class ConfigError:
    """One thing that is wrong: where it stands, and what to do.

    `key` is the whole path of the key (`listeners.mx.tls`), or empty where the trouble is the file's; `line` counts
    from 1, 0 is not known.
    """

    file: str
    key: str
    message: str
    line: int = 0

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place}: {self.key}: {self.message}" if self.key else f"{place}: {self.message}"


class ConfigurationErrors(Exception):
    """Everything that is wrong in the configuration, in the order of the files."""

    def __init__(self, errors: Iterable[ConfigError]) -> None:
        self.errors = tuple(errors)
        super().__init__("\n".join(str(error) for error in self.errors))

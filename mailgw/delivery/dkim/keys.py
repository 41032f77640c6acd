"""The DKIM keys of our domains, as they stand in files.

`KEYS/DOMAIN/SELECTOR.pem` is a private key. What `mailgw dkim` makes is of mode 0600; how far a
key is in its life stands beside it (`key_states`).
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping

from attrs import frozen

from mailgw.config.errors import ConfigError, ConfigurationErrors
from mailgw.delivery.dkim.states import STATES_FILE, Standing, State, is_selector, read_standings
from mailgw.mail.address import AddressError, ascii_domain, parse_domain
from mailgw.senderauth.signing_key import KeyUnusable, SigningKey, load_private

SUFFIX = ".pem"
_MAX_KEY_FILE = 64 * 1024


@frozen
class StoredKey:
    """A key in a file, and how far it is. `since` is None for one that was put there by hand."""

    key: SigningKey
    state: State
    since: float | None
    path: str

    @property
    def domain(self) -> str:
        return self.key.domain

    @property
    def selector(self) -> str:
        return self.key.selector

    @property
    def algorithm(self) -> str:
        return self.key.algorithm

    @property
    def record(self) -> str:
        """The text that has to stand in DNS under `name`."""
        return self.key.record

    @property
    def name(self) -> str:
        return self.key.name


def read_keys(directory: str) -> tuple[StoredKey, ...]:
    """Read every key below [signing] keys_directory, by domain and selector; nothing when there is no such folder.

    Raises ConfigurationErrors with every file and line that is wrong.
    """
    keys: list[StoredKey] = []
    errors: list[ConfigError] = []
    folders: dict[str, str] = {}
    for name in _listed(directory):
        folder = os.path.join(directory, name)
        if name.startswith(".") or not os.path.isdir(folder):
            continue
        try:
            domain = ascii_domain(parse_domain(name))
        except AddressError:
            errors.append(ConfigError(folder, "", "the folder's name is not a domain"))
            continue
        if folders.setdefault(domain, folder) != folder:
            errors.append(ConfigError(folder, "", f"is for the same domain as {folders[domain]}"))
            continue
        try:
            keys += _read_domain(folder, domain)
        except ConfigurationErrors as found:
            errors += found.errors
    if errors:
        raise ConfigurationErrors(errors)
    return tuple(keys)


def key_files(directory: str) -> tuple[str, ...]:
    """Give every path whose change means that the keys have changed: folders too. Never raises."""
    paths = [directory]
    try:
        for name in _listed(directory):
            folder = os.path.join(directory, name)
            if not name.startswith(".") and os.path.isdir(folder):
                paths.append(folder)
                paths += [os.path.join(folder, file) for file in _listed(folder) if _counts(file)]
    except ConfigurationErrors:
        pass  # to read the keys will say why
    return tuple(paths)


def _listed(folder: str) -> list[str]:
    """The names in a folder, in order. Raises ConfigurationErrors when it cannot be read; none when it is not there."""
    try:
        return sorted(os.listdir(folder))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise ConfigurationErrors([ConfigError(folder, "", f"the folder cannot be read: {error.strerror}")]) from None


def _counts(file: str) -> bool:
    return file == STATES_FILE or (file.endswith(SUFFIX) and not file.startswith("."))


def _read_domain(folder: str, domain: str) -> list[StoredKey]:
    errors: list[ConfigError] = []
    keys = []
    standings: Mapping[str, Standing] = {}
    try:
        standings = read_standings(folder)
    except ConfigurationErrors as found:
        errors += found.errors
    for file in _listed(folder):
        if file == STATES_FILE or not _counts(file):
            continue
        path = os.path.join(folder, file)
        selector = file.removesuffix(SUFFIX).lower()
        try:
            if not is_selector(selector):
                raise KeyUnusable("the file's name is not a selector: letters, digits, hyphens and dots, then .pem")
            key = SigningKey(domain, selector, load_private(_read_key(path)))
        except KeyUnusable as problem:
            errors.append(ConfigError(path, "", str(problem)))
            continue
        standing = standings.get(selector)
        keys.append(StoredKey(key, _state(standing), standing.since if standing else None, path))
    if errors:
        raise ConfigurationErrors(errors)
    return keys


def _state(standing: Standing | None) -> State:
    if standing is None:
        return "active"
    # A file that should be gone, or is there again, does not sign.
    return "retiring" if standing.state == "removed" else standing.state


def _read_key(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            if stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o007:
                raise KeyUnusable("every user of this host may read the private key; chmod 600 it, or make a new one")
            return file.read(_MAX_KEY_FILE)
    except OSError as error:
        raise KeyUnusable(f"the file cannot be read: {error.strerror}") from None

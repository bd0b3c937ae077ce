"""Passwords in the keyring, and machines whose keyring is broken."""

from __future__ import annotations

from collections.abc import Iterator

import keyring
import pytest
from keyring.backend import KeyringBackend
from keyring.backends.fail import Keyring as NoKeyring
from keyring.errors import PasswordDeleteError

from pyftpdrive import passwords
from pyftpdrive.base.secret import Secret


class _InMemory(KeyringBackend):
    priority = 1  # type: ignore[assignment]

    def __init__(self) -> None:
        super().__init__()
        self.kept: dict[tuple[str, str], str] = {}

    def get_password(self, service: str, username: str) -> str | None:
        return self.kept.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.kept[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        if (service, username) not in self.kept:
            raise PasswordDeleteError("not there")
        del self.kept[service, username]


class _Broken(_InMemory):
    def get_password(self, service: str, username: str) -> str | None:
        raise RuntimeError("no D-Bus")

    def set_password(self, service: str, username: str, password: str) -> None:
        raise RuntimeError("no D-Bus")


@pytest.fixture
def backend() -> Iterator[_InMemory]:
    before = keyring.get_keyring()
    fresh = _InMemory()
    keyring.set_keyring(fresh)
    yield fresh
    keyring.set_keyring(before)


def test_a_password_is_kept_for_its_server_only(backend: _InMemory) -> None:
    passwords.store("anna", "nas", 2121, Secret("hunter2"))

    assert passwords.from_keyring("anna", "nas", 2121) == Secret("hunter2")
    assert passwords.from_keyring("anna", "nas", 21) is None
    assert passwords.from_keyring("bob", "nas", 2121) is None


def test_a_forgotten_password_is_gone(backend: _InMemory) -> None:
    passwords.store("anna", "nas", 21, Secret("hunter2"))

    passwords.forget("anna", "nas", 21)

    assert passwords.from_keyring("anna", "nas", 21) is None
    with pytest.raises(passwords.KeyringUnusable):
        passwords.forget("anna", "nas", 21)


def test_no_keyring_at_all_is_no_password(backend: _InMemory) -> None:
    keyring.set_keyring(NoKeyring())

    assert passwords.from_keyring("anna", "nas", 21) is None


def test_a_broken_keyring_is_told(backend: _InMemory) -> None:
    keyring.set_keyring(_Broken())

    with pytest.raises(passwords.KeyringUnusable, match="no D-Bus"):
        passwords.from_keyring("anna", "nas", 21)
    with pytest.raises(passwords.KeyringUnusable, match="no D-Bus"):
        passwords.store("anna", "nas", 21, Secret("x"))

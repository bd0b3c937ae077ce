"""Where a password may come from, besides flags' absence: keyring and prompt."""

from __future__ import annotations

import getpass
import logging
import sys

from pyftpdrive.base.secret import Secret

log = logging.getLogger(__name__)

SERVICE = "pyftpdrive"
VARIABLE = "PYFTPDRIVE_PASSWORD"


class KeyringUnusable(Exception):  # a condition
    """This machine has no keyring that could be used."""


def account(username: str, host: str, port: int) -> str:
    """How the keyring calls a login."""
    return f"{username}@{host}:{port}"


def from_keyring(username: str, host: str, port: int) -> Secret | None:
    """The stored password; None when there is none or no keyring."""
    try:
        import keyring  # slow to import, and broken backends raise here

        found = keyring.get_password(SERVICE, account(username, host, port))
    except Exception as error:  # noqa: BLE001  # backends raise whatever they like
        log.info("the keyring can't be used: %s", type(error).__name__)
        return None
    return Secret(found) if found else None


def store(username: str, host: str, port: int, password: Secret) -> None:
    """Put a password into the keyring.

    Raises:
        KeyringUnusable: there is none.
    """
    try:
        import keyring

        keyring.set_password(SERVICE, account(username, host, port), password.reveal())
    except Exception as error:
        raise KeyringUnusable(str(error)) from error


def forget(username: str, host: str, port: int) -> None:
    """Remove a password from the keyring.

    Raises:
        KeyringUnusable: there is none, or it does not hold that password.
    """
    try:
        import keyring

        keyring.delete_password(SERVICE, account(username, host, port))
    except Exception as error:
        raise KeyringUnusable(str(error)) from error


def ask(username: str, host: str) -> Secret | None:
    """Prompt for it; None without a terminal."""
    if not sys.stdin or not sys.stdin.isatty():
        return None
    return Secret(getpass.getpass(f"Password of {username}@{host}: "))

"""Where a password may come from, besides flags' absence: keyring and prompt."""

from __future__ import annotations

import getpass
import sys

from pyftpdrive.base.secret import Secret

SERVICE = "pyftpdrive"
VARIABLE = "PYFTPDRIVE_PASSWORD"


class KeyringUnusable(Exception):  # a condition
    """This machine has no keyring that could be used."""


def account(username: str, host: str, port: int) -> str:
    """How the keyring calls a login."""
    return f"{username}@{host}:{port}"


def from_keyring(username: str, host: str, port: int) -> Secret | None:
    """The stored password; None when there is none, or no keyring on this machine.

    Raises:
        KeyringUnusable: there is a keyring, and it is broken or locked.
    """
    try:
        import keyring  # slow to import, and broken backends raise here
        from keyring.errors import NoKeyringError

        try:
            found = keyring.get_password(SERVICE, account(username, host, port))
        except NoKeyringError:
            return None
    except Exception as error:  # backends raise whatever they like
        raise KeyringUnusable(f"{type(error).__name__}: {error}") from error
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

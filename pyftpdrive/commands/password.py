"""`pyftpdrive password`."""

from __future__ import annotations

import click

from pyftpdrive import passwords
from pyftpdrive.commands.common import Exit, fail


@click.group()
def password() -> None:
    """Keep a password in the keyring."""


@password.command("set")
@click.argument("host")
@click.option("--username", required=True)
@click.option("--port", default=21, type=click.IntRange(1, 65535))
def password_set(host: str, username: str, port: int) -> None:
    """Ask for the password and keep it."""
    secret = passwords.ask(username, host)
    if secret is None:
        fail(Exit.USAGE, "a terminal is needed to type the password")
    try:
        passwords.store(username, host, port, secret)
    except passwords.KeyringUnusable as error:
        fail(Exit.USAGE, f"this machine has no usable keyring: {error}. Use {passwords.VARIABLE}")
    click.echo(f"kept the password of {passwords.account(username, host, port)}")


@password.command("forget")
@click.argument("host")
@click.option("--username", required=True)
@click.option("--port", default=21, type=click.IntRange(1, 65535))
def password_forget(host: str, username: str, port: int) -> None:
    """Remove the password."""
    try:
        passwords.forget(username, host, port)
    except passwords.KeyringUnusable as error:
        fail(Exit.USAGE, f"nothing to forget: {error}")
    click.echo(f"forgot the password of {passwords.account(username, host, port)}")

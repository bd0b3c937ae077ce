"""What of a name servers are known to change."""

from __future__ import annotations

import pytest

from pyftpdrive.base.paths import join, parent, remote_path
from pyftpdrive.spool.names import oddities


@pytest.mark.parametrize(
    ("name", "odd"),
    [
        ("plain.txt", ""),
        (" leading", ""),
        ("two  blanks", ""),
        ("name ", " "),
        ("name. .", ". ."),
        ("...", "..."),
        ('a "b"', '"'),
        ("a\tb ", "\t "),
        ("x" + " " * 100, " " * 16),
    ],
)
def test_oddities_are_what_servers_change(name: str, odd: str) -> None:
    assert oddities(remote_path(f"/d/{name}")) == odd


@pytest.mark.parametrize("name", ["name ", "n.", 'a"b', "a\tb ", "a" + "\x01\x02\x03" * 9])
def test_a_name_that_ends_in_the_oddities_has_the_same_ones(name: str) -> None:
    path = remote_path(f"/{name}")

    assert oddities(join(parent(path), f".pyftpdrive-0123.part{oddities(path)}")) == oddities(path)

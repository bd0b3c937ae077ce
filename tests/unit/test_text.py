"""Text of others: nothing in it reaches a terminal or tells a secret."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyftpdrive.base.errors import RemoteError
from pyftpdrive.base.secret import Secret
from pyftpdrive.base.text import SHOWN_CHARACTERS_MAX, shown


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain ümläut", "plain ümläut"),
        ("two\r\nlines", "two  lines"),
        ("\x1b[31mred\x07", "\\x1b[31mred\\x07"),
        ("right\u202eleft", "right\\u202eleft"),
        ("\x9b31m", "\\x9b31m"),
        ("\udcff", "\\udcff"),
    ],
)
def test_what_a_terminal_would_obey_is_written_out(text: str, expected: str) -> None:
    assert shown(text) == expected


@given(st.text(max_size=2000))
def test_any_text_is_one_printable_line_of_bounded_length(text: str) -> None:
    line = shown(text)

    assert line.isprintable()
    assert len(line) <= 10 * SHOWN_CHARACTERS_MAX + 2


def test_the_message_of_an_error_is_fit_to_be_shown() -> None:
    error = RemoteError("it said \x1b]0;owned\x07" + "x" * 10_000, reply="raw \x1b")

    assert str(error).isprintable()
    assert len(str(error)) < 1000
    assert error.reply == "raw \x1b"


@pytest.mark.parametrize(
    ("secret", "text", "expected"),
    [
        ("hunter2", "530 hunter2hunter2 no", "530 ****** no"),
        ("a", "PASS a: a file and a-b", "PASS ***: *** file and ***-b"),
        ("a", "banana", "banana"),
        ("", "nothing", "nothing"),
        ("(", "brackets ( too", "brackets *** too"),
    ],
)
def test_secrets_are_masked(secret: str, text: str, expected: str) -> None:
    assert Secret(secret).mask(text) == expected

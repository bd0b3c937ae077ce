"""Every option, once: section, key, type, default, limits, help.

The INI and TOML readers, the flags, the environment variables, `config.example.ini` and `--help`
are all made from this table.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, unique


@unique
class ValueType(Enum):
    """What an option's value is; the text says it to people."""

    TEXT = "a text"
    SECRET = "a password"  # noqa: S105  # a kind, not a secret
    WHOLE = "a whole number"
    NUMBER = "a number"
    TRUTH = "true or false"
    CHOICE = "one of a few words"
    OCTAL = "an octal mode such as 0644"


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One row."""

    section: str
    key: str
    type: ValueType
    default: str | int | float | bool
    help: str
    unit: str = ""
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()
    flag: str | None = None  # None: --key; '': no flag
    short_variable: str | None = None

    @property
    def name(self) -> str:
        """As people write it in messages."""
        return f"[{self.section}] {self.key}"

    @property
    def flag_name(self) -> str:
        """The command line's word for it; '' when it has none."""
        return f"--{self.key.replace('_', '-')}" if self.flag is None else self.flag

    @property
    def variables(self) -> tuple[str, ...]:
        """Environment variables, the short one first."""
        long = f"PYFTPDRIVE_{self.section}_{self.key}".upper()
        return (self.short_variable, long) if self.short_variable else (long,)

    def expectation(self) -> str:
        """What a value must be, for messages."""
        if self.type is ValueType.CHOICE:
            return "one of " + ", ".join(self.choices)
        text = self.type.value
        details = [self.unit] if self.unit else []
        if self.minimum is not None and self.maximum is not None:
            details.append(f"{self.minimum:g} to {self.maximum:g}")
        elif self.minimum is not None:
            details.append(f"{self.minimum:g} or more")
        return f"{text} ({', '.join(details)})" if details else text


def _whole(
    section: str,
    key: str,
    default: int,
    text: str,
    *,
    unit: str = "",
    minimum: float = 0,
    maximum: float | None = None,
    flag: str | None = None,
    short_variable: str | None = None,
) -> Option:
    return Option(
        section=section,
        key=key,
        type=ValueType.WHOLE,
        default=default,
        help=text,
        unit=unit,
        minimum=minimum,
        maximum=maximum,
        flag=flag,
        short_variable=short_variable,
    )


def _number(section: str, key: str, default: float, text: str, *, minimum: float = 0.0) -> Option:
    return Option(
        section=section,
        key=key,
        type=ValueType.NUMBER,
        default=default,
        help=text,
        unit="seconds",
        minimum=minimum,
        maximum=86400.0,
    )


def _text(
    section: str,
    key: str,
    text: str,
    *,
    default: str = "",
    flag: str | None = None,
    short_variable: str | None = None,
    kind: ValueType = ValueType.TEXT,
) -> Option:
    return Option(
        section=section,
        key=key,
        type=kind,
        default=default,
        help=text,
        flag=flag,
        short_variable=short_variable,
    )


def _truth(section: str, key: str, text: str, *, default: bool, flag: str | None = None) -> Option:
    return Option(
        section=section, key=key, type=ValueType.TRUTH, default=default, help=text, flag=flag
    )


def _choice(section: str, key: str, choices: tuple[str, ...], text: str) -> Option:
    return Option(
        section=section,
        key=key,
        type=ValueType.CHOICE,
        default=choices[0],
        help=text,
        choices=choices,
    )


OPTIONS: tuple[Option, ...] = (
    _text("ftp", "host", "Name or address of the FTP server.", short_variable="PYFTPDRIVE_HOST"),
    _whole(
        "ftp",
        "port",
        21,
        "Port of the FTP server (phones often use 2121).",
        minimum=1,
        maximum=65535,
        short_variable="PYFTPDRIVE_PORT",
    ),
    _text(
        "ftp", "username", "User name; empty for anonymous.", short_variable="PYFTPDRIVE_USERNAME"
    ),
    _text(
        "ftp",
        "password",
        "Password. Better: the keyring (`pyftpdrive password set`). Only in a file that nobody"
        " else can read.",
        kind=ValueType.SECRET,
        flag="",
        short_variable="PYFTPDRIVE_PASSWORD",
    ),
    _truth(
        "ftp",
        "passive_mode",
        "Data connections are opened by us; false: by the server.",
        default=True,
        flag="--passive-mode/--active-mode",
    ),
    _choice(
        "ftp",
        "tls",
        ("none", "explicit", "implicit"),
        "Encryption: none, explicit (AUTH TLS) or implicit (port 990).",
    ),
    _truth(
        "ftp",
        "tls_verify",
        "Refuse a certificate that is not trusted.",
        default=True,
        flag="--tls-verify/--no-tls-verify",
    ),
    _text("ftp", "tls_ca_file", "PEM file with the authorities to trust; empty: the system's."),
    _text("ftp", "encoding", "Encoding of file names on the server.", default="utf-8"),
    _text("ftp", "root", "Directory on the server to mount; empty: where the login lands."),
    _whole(
        "ftp",
        "max_sessions",
        8,
        "Most sessions at a time; what the server allows is learned.",
        minimum=1,
        maximum=64,
    ),
    _text(
        "mount",
        "drive",
        "Drive letter (Windows) or an empty directory.",
        short_variable="PYFTPDRIVE_DRIVE",
    ),
    _text("mount", "volume_label", "Name of the volume.", default="FTP Drive"),
    _truth(
        "mount", "read_only", "Refuse every change.", default=False, flag="--read-only/--read-write"
    ),
    _truth(
        "mount",
        "allow_other",
        "Let other users of this machine use the drive.",
        default=False,
        flag="--allow-other/--no-allow-other",
    ),
    Option(
        section="mount",
        key="file_mode",
        type=ValueType.OCTAL,
        default="0644",
        help="Permissions that files show.",
    ),
    Option(
        section="mount",
        key="directory_mode",
        type=ValueType.OCTAL,
        default="0755",
        help="Permissions that directories show.",
    ),
    _truth(
        "mount",
        "network_drive",
        "Windows: a network drive, which Explorer probes less; false: a local disk.",
        default=True,
        flag="--network-drive/--local-disk",
    ),
    _truth(
        "mount",
        "hide_dot_files",
        "Windows: names that begin with a dot are hidden.",
        default=False,
        flag="--hide-dot-files/--show-dot-files",
    ),
    _truth(
        "cache",
        "enabled",
        "Believe listings for the times below; false: always ask.",
        default=True,
        flag="--cache/--no-cache",
    ),
    _text(
        "cache",
        "directory",
        "Where file content is kept; empty: the user's cache directory.",
        flag="--cache-directory",
    ),
    _number("cache", "directory_ttl_seconds", 30.0, "How long the listing of a directory is good."),
    _number("cache", "metadata_ttl_seconds", 60.0, "How long size and time of one name are good."),
    _whole(
        "cache",
        "max_size_mb",
        4096,
        "Most file content kept on the disk.",
        unit="MiB",
        minimum=1,
        flag="--cache-max-size-mb",
    ),
    _whole(
        "cache",
        "read_ahead_mb",
        16,
        "How far to read ahead of a program.",
        unit="MiB",
        maximum=1024,
    ),
    _whole(
        "cache",
        "small_file_kb",
        256,
        "Files up to this size are fetched whole.",
        unit="KiB",
        maximum=1 << 20,
    ),
    _number("connection", "timeout_seconds", 30.0, "Longest silence of the network.", minimum=0.1),
    _number(
        "connection",
        "deadline_seconds",
        3.0,
        "Longest wait of a program for a first answer.",
        minimum=0.1,
    ),
    _whole(
        "connection",
        "retry_attempts",
        3,
        "Repetitions of a request whose session died.",
        maximum=100,
    ),
    _number(
        "connection",
        "retry_delay_seconds",
        1.0,
        "Pause before the second repetition; doubles with each.",
    ),
    _number(
        "connection",
        "keepalive_interval_seconds",
        60.0,
        "NOOP on an idle session after this; 0: never.",
    ),
    _text(
        "upload",
        "directory",
        "Where files wait for their upload; empty: the user's state directory.",
        flag="--upload-directory",
    ),
    _number(
        "upload",
        "drain_timeout_seconds",
        60.0,
        "How long unmounting waits for uploads; what is left is sent by the next mount.",
    ),
    _choice(
        "upload",
        "conflicts",
        ("hold", "copy"),
        "A file was changed on the server, too: hold yours for you to decide, or store it beside "
        "as 'name (conflict DATE)'.",
    ),
    _choice("logging", "level", ("INFO", "DEBUG", "WARNING", "ERROR"), "How much is logged."),
    _text(
        "logging",
        "file",
        "Log file; empty: pyftpdrive.log in the user's log directory.",
        flag="--log-file",
    ),
    _truth(
        "logging",
        "console",
        "Log to the console, too.",
        default=False,
        flag="--log-console/--no-log-console",
    ),
)

SECTION_HELP = {
    "ftp": "The server",
    "mount": "The drive",
    "cache": "What is remembered",
    "connection": "The network",
    "upload": "Files on their way to the server",
    "logging": "The log",
}

ALIASES = {("mount", "drive_letter"): ("mount", "drive")}
"""Keys of the specification that are called otherwise here."""


def find(section: str, key: str) -> Option | None:
    """The row of a key, also by its alias; None: there is none."""
    section, key = ALIASES.get((section, key), (section, key))
    return next((o for o in OPTIONS if o.section == section and o.key == key), None)


def _ini_value(option: Option) -> str:
    value = option.default
    return str(value).lower() if isinstance(value, bool) else f"{value}"


def _toml_value(option: Option) -> str:
    # Defaults hold no quote, backslash or control character: JSON's quoting is TOML's.
    return json.dumps(option.default)


def example_ini() -> str:
    """The text of `config.example.ini`: every option with its default."""
    return _example("ini", _ini_value)


def example_toml() -> str:
    """The text of `config.example.toml`: the same in TOML."""
    return _example("toml", _toml_value)


def _example(suffix: str, written: Callable[[Option], str]) -> str:
    lines = [
        "# Every option of pyftpdrive with its default. Copy it, keep what you change:",
        f"#   pyftpdrive mount --config config.{suffix}",
        "# Precedence: flag > environment (PYFTPDRIVE_SECTION_KEY) > this file > default.",
    ]
    for section, title in SECTION_HELP.items():
        lines += ["", f"# {title}", f"[{section}]"]
        for option in OPTIONS:
            if option.section == section:
                lines += [
                    f"# {option.help} ({option.expectation()})",
                    f"{option.key} = {written(option)}".rstrip(),
                ]
    return "\n".join(lines) + "\n"

"""Configuration: INI or TOML, environment and flags become one frozen Config.

Precedence: flag > environment > file > default. All problems are reported together, those of a file
with its line.
"""

from __future__ import annotations

import difflib
import os
import re
import shlex
import stat
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

import platformdirs

from pyftpdrive.base.errors import ConfigError
from pyftpdrive.base.secret import Secret
from pyftpdrive.options import ALIASES, OPTIONS, SECTION_HELP, Option, ValueType, find

Value = str | int | float | bool | Secret

_TRUE = {"true", "yes", "on", "1"}
_FALSE = {"false", "no", "off", "0"}
_SCHEMES = {"ftp": "none", "ftpes": "explicit", "ftps": "implicit"}
_PATHS = {("ftp", "tls_ca_file"), ("cache", "directory"), ("upload", "directory")}
_PATHS |= {("logging", "file")}  # '~' means the home directory; [mount] drive is checked elsewhere

FILE_BYTES_MAX = 1 << 20
SHOWN_MAX = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class FtpSection:
    """Section [ftp]."""

    host: str
    port: int
    username: str
    password: Secret
    passive_mode: bool
    tls: str
    tls_verify: bool
    tls_ca_file: str
    encoding: str
    root: str
    max_sessions: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MountSection:
    """Section [mount]."""

    drive: str
    volume_label: str
    read_only: bool
    allow_other: bool
    file_mode: int
    directory_mode: int
    network_drive: bool
    hide_dot_files: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheSection:
    """Section [cache]."""

    enabled: bool
    directory: str
    directory_ttl_seconds: float
    metadata_ttl_seconds: float
    max_size_mb: int
    read_ahead_mb: int
    small_file_kb: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionSection:
    """Section [connection]."""

    timeout_seconds: float
    deadline_seconds: float
    retry_attempts: int
    retry_delay_seconds: float
    keepalive_interval_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadSection:
    """Section [upload]."""

    directory: str
    drain_timeout_seconds: float
    conflicts: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggingSection:
    """Section [logging]."""

    level: str
    file: str
    console: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Everything that can be chosen, checked."""

    ftp: FtpSection
    mount: MountSection
    cache: CacheSection
    connection: ConnectionSection
    upload: UploadSection
    logging: LoggingSection


@dataclass(slots=True)
class _Gathered:
    """Values found so far, and what was wrong with others."""

    values: dict[tuple[str, str], Value] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def take(self, option: Option, raw: object, where: str) -> None:
        """Check *raw* and keep it."""
        try:
            self.values[option.section, option.key] = _convert(option, raw)
        except ValueError as error:
            shown = "the value" if option.type is ValueType.SECRET else _shown(raw)
            detail = f" ({error})" if str(error) else ""
            self.problems.append(
                f"{where}: {option.name}: {shown} is not {option.expectation()}{detail}"
            )


def load(
    file: Path | None,
    environ: Mapping[str, str],
    flags: Mapping[tuple[str, str], object],
    *,
    drive_needed: bool = True,
) -> Config:
    """The configuration from all its sources. *flags* maps (section, key) to a value.

    *drive_needed* False: for commands that use the server without mounting it.

    Raises:
        ConfigError: with every problem that was found.
    """
    gathered = _Gathered()
    for option in OPTIONS:
        gathered.take(option, option.default, "default")
    if file is not None:
        _read_file(file, gathered)
    for option in OPTIONS:
        for variable in reversed((*option.variables, *_alias_variables(option))):
            if variable in environ:
                gathered.take(option, environ[variable], f"environment variable {variable}")
    for (section, key), raw in flags.items():
        known = find(section, key)
        if known is not None and raw is not None:
            gathered.take(known, raw, known.flag_name.split("/")[0] or "command line")
    _check_together(gathered, drive_needed=drive_needed)
    if gathered.problems:
        raise ConfigError(gathered.problems)
    return _compose(gathered.values)


def _alias_variables(option: Option) -> list[str]:
    """Environment variables of the specification's keys that are called otherwise here."""
    here = (option.section, option.key)
    return [f"PYFTPDRIVE_{s}_{k}".upper() for (s, k), target in ALIASES.items() if target == here]


def _compose(values: Mapping[tuple[str, str], Value]) -> Config:
    def final(name: tuple[str, str]) -> Value:
        value = values[name]
        return os.path.expanduser(value) if name in _PATHS and isinstance(value, str) else value

    def section(name: str) -> dict[str, Value]:
        return {
            option.key: final((name, option.key)) for option in OPTIONS if option.section == name
        }

    return Config(
        ftp=FtpSection(**section("ftp")),  # type: ignore[arg-type]  # checked by the table
        mount=MountSection(**section("mount")),  # type: ignore[arg-type]
        cache=CacheSection(**section("cache")),  # type: ignore[arg-type]
        connection=ConnectionSection(**section("connection")),  # type: ignore[arg-type]
        upload=UploadSection(**section("upload")),  # type: ignore[arg-type]
        logging=LoggingSection(**section("logging")),  # type: ignore[arg-type]
    )


def _check_together(gathered: _Gathered, *, drive_needed: bool) -> None:
    values = gathered.values
    if not values["ftp", "host"]:
        gathered.problems.append(
            "no server: give --host NAME, an ftp:// address, or host under [ftp] in a config file"
        )
    if drive_needed and not values["mount", "drive"]:
        gathered.problems.append("no drive: give --drive with a drive letter or an empty directory")
    encoding = values["ftp", "encoding"]
    try:
        "".encode(str(encoding))
    except LookupError:
        gathered.problems.append(
            f"[ftp] encoding: {encoding!r} is not known; for example utf-8, cp1252, shift_jis"
        )


# -- values ------------------------------------------------------------------------------------


def _convert(option: Option, raw: object) -> Value:
    """The value of *raw*, which is text or what TOML made of it.

    Raises:
        ValueError: it is no such value; the text says more than the type does.
    """
    kind = option.type
    if kind is ValueType.TRUTH:
        return _truth(raw)
    if kind is ValueType.WHOLE:
        return int(_in_limits(option, _number(raw, whole=True)))
    if kind is ValueType.NUMBER:
        return float(_in_limits(option, _number(raw, whole=False)))
    if not isinstance(raw, str):
        raise ValueError(  # noqa: TRY004  # a wrong value, whatever its type
            "write it in quotes"
        )
    if any(character in raw for character in "\r\n\0"):
        raise ValueError("line breaks and NUL are not allowed")
    if kind is ValueType.CHOICE:
        word = next((c for c in option.choices if c.lower() == raw.strip().lower()), None)
        if word is None:
            raise ValueError
        return word
    if kind is ValueType.OCTAL:
        if not re.fullmatch(r"0?o?[0-7]{3}", raw):
            raise ValueError
        return int(raw.lower().replace("o", ""), 8)
    return Secret(raw) if kind is ValueType.SECRET else raw


def _truth(raw: object) -> bool:
    if isinstance(raw, bool):
        return raw
    word = raw.strip().lower() if isinstance(raw, str) else ""
    if word not in _TRUE | _FALSE:
        raise ValueError
    return word in _TRUE


def _shown(raw: object) -> str:
    """A wrong value for a message: short, whatever it is."""
    try:
        text = repr(raw)
    except ValueError:  # a whole number of more digits than Python writes
        return "the value"
    return text if len(text) <= SHOWN_MAX else f"{text[:SHOWN_MAX]}…"


def _number(raw: object, *, whole: bool) -> float:
    text = "" if isinstance(raw, bool) else str(raw)
    if not re.fullmatch(r"\s*[-+]?[0-9]{1,18}(\.[0-9]{0,18})?\s*", text):
        raise ValueError
    number = float(text)
    if whole and number != int(number):
        raise ValueError
    return number


def _in_limits(option: Option, number: float) -> float:
    if option.minimum is not None and number < option.minimum:
        raise ValueError("too small")
    if option.maximum is not None and number > option.maximum:
        raise ValueError("too large")
    return number


# -- files -------------------------------------------------------------------------------------


def _read_file(file: Path, gathered: _Gathered) -> None:
    try:
        with file.open("rb") as stream:
            mode = os.fstat(stream.fileno()).st_mode
            raw = stream.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        gathered.problems.append(f"{file}: can't be read: {error.strerror or error}")
        return
    if len(raw) > FILE_BYTES_MAX:
        gathered.problems.append(f"{file}: is larger than 1 MiB: not a configuration")
        return
    try:
        text = raw.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError:
        gathered.problems.append(f"{file}: is not text in UTF-8")
        return
    if file.suffix.lower() == ".toml":
        _read_toml(file, text, gathered)
    else:
        _read_ini(file, text, gathered)
    others = mode & (stat.S_IRWXG | stat.S_IRWXO)
    if sys.platform != "win32" and others and gathered.values.get(("ftp", "password")):
        gathered.problems.append(
            f"{file}: holds a password and others can read it: "
            f"chmod 600 {shlex.quote(str(file))}, or use the keyring"
        )


def _read_ini(file: Path, text: str, gathered: _Gathered) -> None:
    """Plain INI: [section], key = value. '%' and '#' inside a value mean themselves."""
    section = ""
    seen: dict[tuple[str, str], int] = {}
    # Not splitlines: it breaks lines at characters that a password may hold.
    for number, raw in enumerate(text.split("\n"), start=1):
        line, where = raw.strip(), f"{file}:{number}"
        if not line or line[0] in "#;":
            continue
        if line.startswith("["):
            name, closed, rest = line[1:].partition("]")
            section = name.strip().lower()
            if not closed or (rest.strip() and rest.strip()[0] not in "#;"):
                gathered.problems.append(f"{where}: write a section alone in its line: [ftp]")
            elif section not in SECTION_HELP:
                gathered.problems.append(
                    f"{where}: unknown section [{section}]" + _meant(section, list(SECTION_HELP))
                )
            continue
        key, separator, value = line.partition("=")
        if not separator:
            # The line isn't shown: it may be 'password: …'.
            gathered.problems.append(f"{where}: there is no '=' in it: write 'key = value'")
            continue
        _take_key(gathered, seen, section, key.strip().lower(), value.strip(), where)


def _read_toml(file: Path, text: str, gathered: _Gathered) -> None:
    try:
        data = tomllib.loads(text)
    except RecursionError:
        gathered.problems.append(f"{file}: not TOML: too many brackets inside each other")
        return
    except ValueError as error:  # also a number of more digits than Python reads
        found = re.search(r"line (\d+)", str(error))
        where = f"{file}:{found[1]}" if found else str(file)
        gathered.problems.append(f"{where}: not TOML: {error}")
        return
    seen: dict[tuple[str, str], int] = {}
    lines = _toml_lines(text)
    for section, content in data.items():
        where = f"{file}:{lines.get((section, ''), 1)}"
        if section not in SECTION_HELP:
            gathered.problems.append(
                f"{where}: unknown section [{section}]" + _meant(section, list(SECTION_HELP))
            )
        elif not isinstance(content, dict):
            gathered.problems.append(f"{where}: [{section}] is a section, not a value")
        else:
            for key, value in content.items():
                here = f"{file}:{lines.get((section, key), 1)}"
                _take_key(gathered, seen, section, key, value, here)


def _toml_lines(text: str) -> dict[tuple[str, str], int]:
    """Where sections and keys stand: tomllib doesn't tell."""
    lines: dict[tuple[str, str], int] = {}
    section = ""
    for number, line in enumerate(text.splitlines(), start=1):
        head = re.match(r"\s*\[\s*([\w-]+)\s*\]", line)
        key = re.match(r"\s*([\w-]+)\s*=", line)
        if head:
            section = head[1]
            lines.setdefault((section, ""), number)
        elif key:
            lines.setdefault((section, key[1]), number)
    return lines


def _take_key(
    gathered: _Gathered,
    seen: dict[tuple[str, str], int],
    section: str,
    key: str,
    value: object,
    where: str,
) -> None:
    if section not in SECTION_HELP:
        if not section:
            gathered.problems.append(f"{where}: {key!r} stands before any [section]")
        return  # the section itself was reported
    option = find(section, key)
    if option is None:
        known = [o.key for o in OPTIONS if o.section == section]
        gathered.problems.append(f"{where}: [{section}] has no {key!r}" + _meant(key, known))
        return
    name = (option.section, option.key)
    if name in seen:
        gathered.problems.append(f"{where}: {option.name} is given twice")
    seen[name] = 1
    gathered.take(option, value, where)


def _meant(word: str, known: list[str]) -> str:
    close = difflib.get_close_matches(word, known, n=1)
    return f": did you mean {close[0]!r}?" if close else "; known: " + ", ".join(known)


# -- addresses ---------------------------------------------------------------------------------


def from_url(url: str) -> dict[tuple[str, str], object]:
    """What an ftp://, ftpes:// or ftps:// address says, as flags.

    Raises:
        ConfigError: not such an address, or one with a password in it.
    """
    _refuse_password(url)
    refusal = (
        f"{_without_user(url)!r} is not an address like ftp://user@host:port/directory "
        "(ftp, ftps or ftpes; port 1 to 65535; IPv6 in brackets)"
    )
    try:
        parts = urlsplit(url)
        port, host = parts.port, parts.hostname
    except ValueError:  # its text may repeat a part of a password
        raise ConfigError([refusal]) from None
    if not host or parts.scheme.lower() not in _SCHEMES or port == 0 or not url.isprintable():
        raise ConfigError([refusal])
    if parts.query or parts.fragment:
        raise ConfigError(
            [f"{_without_user(url)!r}: write '?' as %3F and '#' as %23 in an address"]
        )
    implicit = parts.scheme.lower() == "ftps"
    flags: dict[tuple[str, str], object] = {
        ("ftp", "host"): unquote(host),
        ("ftp", "port"): port or (990 if implicit else 21),
    }
    if parts.scheme.lower() != "ftp":
        flags["ftp", "tls"] = _SCHEMES[parts.scheme.lower()]
    if parts.username:
        flags["ftp", "username"] = unquote(parts.username)
    if parts.path.strip("/"):
        # RFC 1738 3.2.2: relative to where the login lands; %2F begins an absolute path.
        flags["ftp", "root"] = unquote(parts.path[1:])
    return flags


def _without_user(url: str) -> str:
    scheme, mark, rest = url.partition("://")
    return f"{scheme}{mark}{rest.rpartition('@')[2]}"


def _refuse_password(url: str) -> None:
    """Looked for by hand: a broken address may hold one, too, and must not be repeated."""
    user = url.partition("://")[2].partition("/")[0].rpartition("@")[0]
    if ":" in user:
        raise ConfigError(
            [
                "a password in the address can be seen by every user of this machine: "
                "leave it out and use the keyring (pyftpdrive password set), PYFTPDRIVE_PASSWORD, "
                "a config file or the prompt"
            ]
        )


# -- places ------------------------------------------------------------------------------------


def cache_directory(config: Config) -> Path:
    """Where file content is kept."""
    return Path(
        config.cache.directory or platformdirs.user_cache_path("pyftpdrive", appauthor=False)
    )


def upload_directory(config: Config) -> Path:
    """Where files wait for their upload: not a cache, which cleaners empty."""
    return Path(config.upload.directory or usual_upload_directory())


def usual_upload_directory() -> Path:
    """`upload_directory` where nothing else was configured."""
    return platformdirs.user_state_path("pyftpdrive", appauthor=False)


def log_file(config: Config) -> Path:
    """Where the log goes."""
    if config.logging.file:
        return Path(config.logging.file)
    return platformdirs.user_log_path("pyftpdrive", appauthor=False) / "pyftpdrive.log"


def runtime_directory() -> Path:
    """Where running mounts announce themselves."""
    named = os.environ.get("PYFTPDRIVE_RUNTIME_DIR")
    return Path(named) if named else platformdirs.user_runtime_path("pyftpdrive", appauthor=False)

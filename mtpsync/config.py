"""Options: flags, then the profile of the device in `mtpsync.toml`, then defaults."""

from __future__ import annotations

import os
import tomllib
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import platformdirs

from mtpsync.errors import UsageError

PROFILE = "mtpsync.toml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """What one run was asked for; None: nobody said."""

    source: Path | None = None
    dest: str | None = None
    storage: str | None = None  # id, label, or a part of the label
    serial: str | None = None
    checksum: bool | None = None
    names: str | None = None  # a value of `names.Names`


def state_folder() -> Path:
    """Where the manifest and the log are kept."""
    named = os.environ.get("MTPSYNC_STATE")
    return Path(named) if named else Path(platformdirs.user_state_path("mtpsync", appauthor=False))


def profile_file() -> Path | None:
    """`mtpsync.toml` here, else in the user's configuration folder; None: neither."""
    folders = [Path(), Path(platformdirs.user_config_path("mtpsync", appauthor=False))]
    return next((folder / PROFILE for folder in folders if (folder / PROFILE).is_file()), None)


def read_profiles(file: Path) -> dict[str, Config]:
    """The profiles in *file* by serial number; '' is for every device.

    Raises:
        UsageError: it can't be read, or says something that makes no sense.
    """
    try:
        content = tomllib.loads(file.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"{file}: {error}") from error
    devices = content.pop("device", {})
    if not isinstance(devices, dict):
        raise UsageError(f"{file}: [device.SERIAL] is expected")
    profiles = {"": _profile(content, file, file.parent)}
    for serial, table in devices.items():
        if not isinstance(table, dict):
            raise UsageError(f"{file}: [device.{serial}] is no table")
        profiles[serial] = _profile(table, file, file.parent)
    return profiles


def _profile(table: dict[str, Any], file: Path, folder: Path) -> Config:
    kinds = {"source": str, "dest": str, "storage": str, "serial": str, "checksum": bool}
    kinds["names"] = str
    for key, value in table.items():
        if key not in kinds or not isinstance(value, kinds[key]):
            known = ", ".join(kinds)
            raise UsageError(f"{file}: {key} = {value!r} makes no sense; known: {known}")
    if "source" in table:
        table = {**table, "source": folder / Path(table["source"]).expanduser()}
    return Config(**table)


def together(first: Config, *others: Config) -> Config:
    """What *first* says, and what it leaves open from the others, in their order."""
    for other in others:
        said = {
            each.name: getattr(other, each.name)
            for each in fields(Config)
            if getattr(first, each.name) is None
        }
        first = replace(first, **said)
    return first

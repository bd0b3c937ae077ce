"""Faults as values; the package's docstring has the table of what they do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, get_args, get_type_hints

KINDS: dict[str, tuple[str, ...]] = {
    "response": ("code",),
    "io_error": (),
    "stall": (),
    "timeout": (),
    "hang": (),
    "no_device": (),
    "session_lost": (),
    "short_download": ("after_bytes",),
    "corrupt_byte": ("after_bytes",),
    "empty_list": (),
    "missing": (),
    "duplicate": (),
    "cycle": (),
    "ghost": (),
    "show_name": (),
    "show_parent": ("value",),
    "show_size": ("value",),
    "stored_as": ("as_name",),
    "store_cut": ("after_bytes",),
    "lie": (),
    "crash": (),
    "abort": (),
    "slow": ("seconds",),
    "late_cancel": (),
    "busy": (),
    "no_access": (),
    "no_storages": (),
    "storage_gone": ("value",),
}
"""Kind -> the parameters that it can't do without."""

OPERATIONS = frozenset(
    {
        *("Claim", "OpenSession", "CloseSession", "GetDeviceInfo", "GetObjectPropDesc"),
        *("GetStorageIDs", "GetStorageInfo", "GetObjectHandles", "GetNumObjects"),
        *("GetObjectInfo", "GetObjectPropValue", "GetObject", "GetPartialObject"),
        *("SendObjectInfo", "SendObject", "DeleteObject", "MoveObject", "CopyObject"),
        *("SetObjectPropValue", "CustomOperation"),
    }
)
FUNCTIONS = frozenset(
    {
        *("Open_Raw_Device", "Open_Raw_Device_Uncached", "Release_Device", "Get_Storage"),
        *("Get_Files_And_Folders", "Get_Children", "Get_Filemetadata"),
        *("Get_File_To_File", "Get_File_To_File_Descriptor", "Get_File_To_Handler"),
        *("Send_File_From_File", "Send_File_From_File_Descriptor", "Send_File_From_Handler"),
        *("Create_Folder", "Delete_Object", "Move_Object", "Copy_Object"),
        *("Set_Object_Filename", "Set_Object_String", "Set_File_Name", "Set_Folder_Name"),
    }
)
_INSIDE = frozenset(
    {"response", "io_error", "stall", "timeout", "hang", "no_device", "session_lost", "slow"}
    | {"crash", "abort", "short_download", "corrupt_byte", "store_cut", "storage_gone"}
)
_DONE_BY = {
    "Get_File_To_File": "Get_File_To_File_Descriptor",
    "Send_File_From_File": "Send_File_From_File_Descriptor",
}


class FaultError(ValueError):
    """A fault that says nothing sensible; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One thing that goes wrong.

    Raises:
        FaultError: the kind or the address is unknown, or a parameter is missing.
    """

    fault: str
    on: str
    nth: int = 1  # 0: every match
    times: int = 1  # how many matches in a row, from the nth
    name: str | None = None  # None: any
    path: str | None = None  # None: any
    chance: float = 1.0
    when: str = "before"
    after_bytes: int | None = None  # None: not inside the data
    seconds: float | None = None  # None: for good (hang), no time at all (timeout)
    code: int | None = None
    as_name: str | None = None  # None: see show_name
    as_path: str | None = None  # None: see cycle
    value: int | None = None

    def __post_init__(self) -> None:
        """Refuse what can't be meant."""
        if self.fault not in KINDS:
            known = ", ".join(sorted(KINDS))
            raise FaultError(f"there is no fault {self.fault!r}; there are: {known}")
        for name in KINDS[self.fault]:
            if getattr(self, name) is None:
                raise FaultError(f"the fault {self.fault!r} needs {name}")
        for name in self.on.split("|"):
            if name != "*" and name not in OPERATIONS and name not in FUNCTIONS:
                raise FaultError(f"on={self.on!r}: there is no operation or function {name!r}")
        if self.when not in ("before", "after"):
            raise FaultError(f"when={self.when!r}: it is before or after")
        if self.after_bytes is not None and self.fault not in _INSIDE:
            raise FaultError(f"{self.fault!r} doesn't happen inside the data")
        if self.when == "after" and self.after_bytes is not None:
            raise FaultError("when=after is after all the data: no after_bytes")
        for name in ("nth", "after_bytes", "seconds", "value"):
            number = getattr(self, name)
            if number is not None and number < 0:
                raise FaultError(f"{name}={number} is negative")
        if self.times < 1:
            raise FaultError(f"times={self.times}: at least 1")
        if not 0 <= self.chance <= 1:
            raise FaultError(f"chance={self.chance} isn't between 0 and 1")
        if self.code is not None and not 0x2002 <= self.code <= 0xFFFF:
            raise FaultError(f"code={self.code:#x} isn't a response that refuses")

    @classmethod
    def from_dict(cls, values: Mapping[str, object]) -> Fault:
        """The fault that a table (of a scenario) describes.

        Raises:
            FaultError: unknown keys, values of the wrong type, or what the class refuses.
        """
        hints = get_type_hints(cls)
        unknown = sorted(set(values) - {item.name for item in fields(cls)})
        if unknown:
            raise FaultError(f"unknown keys: {', '.join(unknown)}; known: {', '.join(hints)}")
        for name in ("fault", "on"):
            if name not in values:
                raise FaultError(f"the key {name} is missing")
        kept: dict[str, Any] = {}
        for name, value in values.items():
            allowed = get_args(hints[name]) or (hints[name],)
            if float in allowed and type(value) is int:
                value = float(value)
            if type(value) not in allowed:
                wanted = " or ".join(x.__name__ for x in allowed if x is not type(None))
                raise FaultError(f"{name}={value!r}: it is a {wanted}")
            kept[name] = value
        return cls(**kept)

    def line(self) -> str:
        """As the library reads it: words `key=value`, without blanks in them."""
        words = []
        for item in fields(self):
            value = getattr(self, item.name)
            if value is None:
                continue
            if item.name == "on":  # these two do their work in another one
                value = "|".join(_DONE_BY.get(name, name) for name in value.split("|"))
            if item.name in ("name", "path"):
                value = value.replace("\\", "\\\\").replace("[", "\\[")  # only * and ? are special
            words.append(f"{item.name}={quoted(str(value))}")
        return " ".join(words)


def quoted(text: str) -> str:
    """*text* with every octet that isn't plain ASCII as %XX."""
    plain = range(ord("!"), 0x7F)
    octets = text.encode("utf-8", "surrogateescape")
    return "".join(chr(x) if x in plain and x != ord("%") else f"%{x:02X}" for x in octets)

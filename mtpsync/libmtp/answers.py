"""What a device's answers mean: one table from the codes on libmtp's error stack to our errors."""

from __future__ import annotations

import re
from dataclasses import dataclass

from mtpsync import errors
from mtpsync.libmtp import abi

OK = 0x2001
GENERAL = 0x2002
NO_SESSION = 0x2003
CANCELLED = 0x02FB
DATA_EXPECTED = 0x02FE
RESPONSE_EXPECTED = 0x02FD

UNCERTAIN = frozenset({RESPONSE_EXPECTED, DATA_EXPECTED})
"""libmtp's answer to any refusal of a reading operation, and to a session that is out of step."""

_Kind = type[errors.MtpSyncError]

CODES: dict[int, _Kind] = {
    0x02F9: errors.DeviceLost,  # no device
    0x02FA: errors.DeviceLost,  # timeout
    CANCELLED: errors.Cancelled,
    0x02FC: errors.DeviceError,  # bad parameter
    RESPONSE_EXPECTED: errors.DeviceLost,
    DATA_EXPECTED: errors.DeviceLost,
    0x02FF: errors.DeviceLost,  # I/O
    0x2000: errors.DeviceError,
    GENERAL: errors.DeviceError,
    NO_SESSION: errors.DeviceLost,
    0x2004: errors.DeviceLost,  # invalid transaction id: out of step
    0x2005: errors.NotSupported,
    0x2006: errors.NotSupported,
    0x2007: errors.ContentChanged,  # incomplete transfer
    0x2008: errors.Missing,  # invalid storage id
    0x2009: errors.Missing,  # invalid object handle
    0x200A: errors.NotSupported,
    0x200B: errors.NotSupported,  # invalid object format
    0x200C: errors.StorageFull,
    0x200D: errors.ReadOnly,  # object write protected
    0x200E: errors.ReadOnly,  # store read only
    0x200F: errors.ReadOnly,  # access denied
    0x2010: errors.DeviceError,  # no thumbnail
    0x2011: errors.DeviceError,  # self test failed
    0x2012: errors.DeviceError,  # partial deletion
    0x2013: errors.Missing,  # store not available
    0x2014: errors.NotSupported,
    0x2015: errors.DeviceError,  # no valid object info
    0x2016: errors.DeviceError,  # invalid code format
    0x2017: errors.DeviceError,  # unknown vendor code
    0x2018: errors.DeviceError,  # capture already terminated
    0x2019: errors.DeviceBusy,
    0x201A: errors.Missing,  # invalid parent object
    0x201B: errors.DeviceError,  # invalid device property format
    0x201C: errors.DeviceError,  # invalid device property value
    0x201D: errors.DeviceError,  # invalid parameter; see NAMING
    0x201E: errors.DeviceError,  # session already opened
    0x201F: errors.Cancelled,
    0x2020: errors.NotSupported,
    0xA801: errors.NotSupported,  # invalid object property code
    0xA802: errors.DeviceError,
    0xA803: errors.DeviceError,  # invalid object property value; see NAMING
    0xA804: errors.Missing,  # invalid object reference
    0xA805: errors.NotSupported,
    0xA806: errors.DeviceError,  # invalid dataset
    0xA807: errors.NotSupported,
    0xA808: errors.NotSupported,
    0xA809: errors.TooLarge,
    0xA80A: errors.NotSupported,  # object property not supported
}
"""Codes of PTP 1.1, MTP 1.1 and libmtp's own (02xx). Any other one is a DeviceError."""

NAMING: dict[int, _Kind] = {0x201D: errors.NameRefused, 0xA803: errors.NameRefused}
"""The same, of an operation that gives a name: AOSP's answer to a name that it doesn't take."""

NUMBERS: dict[int, _Kind] = {
    abi.ERROR_NONE: errors.DeviceError,
    abi.ERROR_GENERAL: errors.DeviceError,
    abi.ERROR_PTP_LAYER: errors.DeviceError,
    abi.ERROR_USB_LAYER: errors.DeviceLost,
    abi.ERROR_MEMORY_ALLOCATION: errors.DeviceError,
    abi.ERROR_NO_DEVICE_ATTACHED: errors.DeviceLost,
    abi.ERROR_STORAGE_FULL: errors.StorageFull,
    abi.ERROR_CONNECTING: errors.DeviceLost,
    abi.ERROR_CANCELLED: errors.Cancelled,
}
"""libmtp's own numbers, for an entry without a code."""

_CODE = re.compile(r"PTP Layer error ([0-9a-fA-F]{4})")
_TEXT = re.compile(r"^Error [0-9a-fA-F]{4}: (.+)")
_TEXT_MAX = 300
_ENTRIES_MAX = 100


@dataclass(frozen=True, slots=True)
class Complaint:
    """What an error stack says."""

    number: int | None  # of libmtp; None: the stack is empty
    code: int | None  # of the device or of the PTP layer; None: there is none
    text: str

    @classmethod
    def of(cls, entries: list[tuple[int, str]]) -> Complaint:
        """The first entry that says something; 2001 is "OK" and says nothing."""
        found: Complaint | None = None
        texts = []
        for number, text in entries[:_ENTRIES_MAX]:
            match = _CODE.search(text)
            code = int(match[1], 16) if match else None
            if code == OK:
                continue
            told = _TEXT.match(text)
            texts.append(told[1] if told else text)
            # An entry with a code says more than one without, wherever it stands.
            if found is None or (found.code is None and code is not None):
                found = cls(number, code, "")
        if found is None:
            return cls(None, None, "")
        return cls(found.number, found.code, "; ".join(texts)[:_TEXT_MAX])

    @property
    def cancelled(self) -> bool:
        """Whether it is only what a handler asked for."""
        return self.number == abi.ERROR_CANCELLED or self.code == CANCELLED

    def kind(self, *, naming: bool = False) -> _Kind:
        """The class of error."""
        if self.code is not None:
            kind = NAMING.get(self.code) if naming else None
            return kind or CODES.get(self.code, errors.DeviceError)
        if "property is not settable" in self.text:  # what it says of a device without renaming
            return errors.NotSupported
        return NUMBERS.get(self.number or 0, errors.DeviceError)

    def error(self, doing: str, *, naming: bool = False) -> errors.MtpSyncError:
        """The error, said of what was *doing*: "sending 'a'"."""
        kind = self.kind(naming=naming)
        words = _WORDS.get(kind)
        detail = f"0x{self.code:04x}" if self.code is not None else "no code"
        if self.text:
            detail += f": {self.text}"
        return kind(f"{doing}: {words} ({detail})" if words else f"{doing}: {detail}")


_WORDS: dict[_Kind, str] = {
    errors.Cancelled: "stopped",
    errors.ContentChanged: "the device got only a part",
    errors.DeviceBusy: "the device is busy",
    errors.DeviceError: "the device refused",
    errors.DeviceLost: "the connection to the device broke",
    errors.Missing: "the device has no such object, folder or storage",
    errors.NameRefused: "the device does not take that name",
    errors.NotSupported: "the device can't do that",
    errors.ReadOnly: "the device does not allow it",
    errors.StorageFull: "the storage is full",
    errors.TooLarge: "the file is too large for this storage",
}

"""Names that no MTP device can take, whatever the device."""

from __future__ import annotations

UNITS_MAX = 254  # of UTF-16; libmtp sends an empty name instead of a longer one


def refusal(name: str) -> str | None:
    """Why *name* can't be sent; None: the device may be asked."""
    if name in ("", ".", ".."):
        return "the name is empty" if not name else f"{name!r} is not a name"
    if "/" in name or "\0" in name:
        return "the name holds a slash or a NUL"
    try:
        units = len(name.encode("utf-16-le")) // 2
    except UnicodeEncodeError:
        return "the name is not UTF-8"
    if units > UNITS_MAX:
        return f"the name is longer than {UNITS_MAX} UTF-16 units"
    return None

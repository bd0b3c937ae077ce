"""Security descriptors: SDDL, the self-relative bytes, access checks, inheritance as far as used.

Known: allow and deny entries, the usual aliases of rights and accounts, P, AI and AR flags. Not
known: object and conditional entries, integrity labels, auditing that does anything.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass, replace

from simulators.fake_winfsp import constants as c

SIDS = {
    "WD": "S-1-1-0",
    "CO": "S-1-3-0",
    "OW": "S-1-3-4",
    "AN": "S-1-5-7",
    "AU": "S-1-5-11",
    "IU": "S-1-5-4",
    "SY": "S-1-5-18",
    "LS": "S-1-5-19",
    "NS": "S-1-5-20",
    "BA": "S-1-5-32-544",
    "BU": "S-1-5-32-545",
    "BG": "S-1-5-32-546",
}
_ALIASES = {sid: alias for alias, sid in SIDS.items()}
USER = "S-1-5-21-1-2-3-1001"
TOKEN = frozenset({USER, SIDS["WD"], SIDS["AU"], SIDS["IU"], SIDS["BU"]})
"""Who runs the programs: an ordinary user."""

RIGHTS = {
    "FA": c.FILE_ALL_ACCESS,
    "FR": c.FILE_GENERIC_READ,
    "FW": c.FILE_GENERIC_WRITE,
    "FX": c.FILE_GENERIC_EXECUTE,
    "GA": c.GENERIC_ALL,
    "GR": c.GENERIC_READ,
    "GW": c.GENERIC_WRITE,
    "GX": c.GENERIC_EXECUTE,
    "CC": 0x01,
    "DC": 0x02,
    "LC": 0x04,
    "SW": 0x08,
    "RP": 0x10,
    "WP": 0x20,
    "DT": 0x40,
    "LO": 0x80,
    "CR": 0x100,
    "SD": c.DELETE,
    "RC": c.READ_CONTROL,
    "WD": c.WRITE_DAC,
    "WO": c.WRITE_OWNER,
}
_WHOLE = {value: name for name, value in list(RIGHTS.items())[:8]}
_ACE_FLAGS = {"OI": 1, "CI": 2, "NP": 4, "IO": 8, "ID": 0x10, "SA": 0x40, "FA": 0x80}
_TYPES = {"A": 0, "D": 1, "AU": 2}
_SELF_RELATIVE, _DACL_PRESENT, _SACL_PRESENT = 0x8000, 0x0004, 0x0010
_DACL_FLAGS = {"P": 0x1000, "AR": 0x0100, "AI": 0x0400}
_SACL_FLAGS = {"P": 0x2000, "AR": 0x0200, "AI": 0x0800}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ace:
    """One entry of a list."""

    kind: int
    flags: int
    mask: int
    sid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Descriptor:
    """A security descriptor; None: that part isn't there (no DACL: everybody may)."""

    owner: str | None = None
    group: str | None = None
    dacl: tuple[Ace, ...] | None = None
    sacl: tuple[Ace, ...] | None = None
    control: int = 0


# -- SDDL -----------------------------------------------------------------------------------------


def parse_sddl(text: str) -> Descriptor:
    """Read SDDL.

    Raises:
        ValueError: it isn't any, or has what isn't modelled.
    """
    parts = re.split(r"([OGDS]):", text)
    if parts[0]:
        raise ValueError(f"not SDDL: {text}")
    found = Descriptor()
    for part, content in zip(parts[1::2], parts[2::2], strict=True):
        if part == "O":
            found = replace(found, owner=_sid(content))
        elif part == "G":
            found = replace(found, group=_sid(content))
        elif part == "D":
            aces, control = _acl(content, _DACL_FLAGS)
            found = replace(found, dacl=aces, control=found.control | control)
        else:
            aces, control = _acl(content, _SACL_FLAGS)
            found = replace(found, sacl=aces, control=found.control | control)
    return found


def format_sddl(found: Descriptor) -> str:
    """Write SDDL, with aliases where there are any."""
    text = ""
    if found.owner:
        text += f"O:{_ALIASES.get(found.owner, found.owner)}"
    if found.group:
        text += f"G:{_ALIASES.get(found.group, found.group)}"
    for letter, aces, flags in (("D", found.dacl, _DACL_FLAGS), ("S", found.sacl, _SACL_FLAGS)):
        if aces is not None:
            said = "".join(name for name, bit in flags.items() if found.control & bit)
            text += f"{letter}:{said}" + "".join(map(_format_ace, aces))
    return text


def _sid(text: str) -> str:
    if text in SIDS:
        return SIDS[text]
    if re.fullmatch(r"S-1-\d+(-\d+)+", text):
        return text
    raise ValueError(f"no such account: {text}")


def _acl(text: str, flags: dict[str, int]) -> tuple[tuple[Ace, ...], int]:
    match = re.fullmatch(r"((?:P|AR|AI)*)((?:\([^()]*\))*)", text)
    if match is None:
        raise ValueError(f"not a list of entries: {text}")
    control = sum(flags[name] for name in re.findall("P|AR|AI", match[1]))
    return tuple(_ace(one) for one in re.findall(r"\(([^()]*)\)", match[2])), control


def _ace(text: str) -> Ace:
    try:
        kind, flags, rights, _, _, sid = text.split(";")
        bits = sum(_ACE_FLAGS[name] for name in re.findall("..", flags))
        if rights.lower().startswith("0x"):
            mask = int(rights, 16)
        else:
            mask = 0
            for name in re.findall("..", rights):
                mask |= RIGHTS[name]
        return Ace(kind=_TYPES[kind], flags=bits, mask=mask, sid=_sid(sid))
    except (KeyError, ValueError) as exc:
        raise ValueError(f"not an entry: ({text})") from exc


def _format_ace(ace: Ace) -> str:
    kind = next(name for name, number in _TYPES.items() if number == ace.kind)
    flags = "".join(name for name, bit in _ACE_FLAGS.items() if ace.flags & bit)
    return f"({kind};{flags};{_rights(ace.mask)};;;{_ALIASES.get(ace.sid, ace.sid)})"


def _rights(mask: int) -> str:
    if mask in _WHOLE:
        return _WHOLE[mask]
    named = [(name, bit) for name, bit in RIGHTS.items() if bit & mask and not bit & (bit - 1)]
    if sum(bit for _, bit in named) == mask:
        return "".join(name for name, _ in named)
    return f"0x{mask:x}"


# -- bytes ----------------------------------------------------------------------------------------


def pack(found: Descriptor) -> bytes:
    """The self-relative form."""
    control = found.control | _SELF_RELATIVE
    body = b""
    offsets = []
    for part in (
        _pack_sid(found.owner),
        _pack_sid(found.group),
        _pack_acl(found.sacl),
        _pack_acl(found.dacl),
    ):
        offsets.append(20 + len(body) if part else 0)
        body += part
    control |= _SACL_PRESENT if found.sacl is not None else 0
    control |= _DACL_PRESENT if found.dacl is not None else 0
    return struct.pack("<BBHIIII", 1, 0, control, *offsets) + body


def unpack(data: bytes) -> Descriptor:
    """Read the self-relative form.

    Raises:
        ValueError: it isn't one.
    """
    try:
        revision, _, control, owner, group, sacl, dacl = struct.unpack_from("<BBHIIII", data)
        if revision != 1 or not control & _SELF_RELATIVE:
            raise ValueError("not a self-relative security descriptor")
        flags = sum(_DACL_FLAGS.values()) | sum(_SACL_FLAGS.values())
        return Descriptor(
            owner=_unpack_sid(data, owner)[0] if owner else None,
            group=_unpack_sid(data, group)[0] if group else None,
            sacl=_unpack_acl(data, sacl)[0] if sacl else None,
            dacl=_unpack_acl(data, dacl)[0] if dacl else None,
            control=control & flags,
        )
    except (struct.error, IndexError) as exc:
        raise ValueError("a security descriptor ends too early") from exc


def length(data: bytes) -> int:
    """How many bytes of *data* the descriptor at its start has."""
    _, _, _, owner, group, sacl, dacl = struct.unpack_from("<BBHIIII", data)
    ends = [20]
    ends += [_unpack_sid(data, at)[1] for at in (owner, group) if at]
    ends += [_unpack_acl(data, at)[1] for at in (sacl, dacl) if at]
    return max(ends)


def _pack_sid(sid: str | None) -> bytes:
    if sid is None:
        return b""
    authority, *rest = map(int, sid.split("-")[2:])
    return (
        struct.pack("<BB", 1, len(rest))
        + authority.to_bytes(6)
        + struct.pack(f"<{len(rest)}I", *rest)
    )


def _unpack_sid(data: bytes, at: int) -> tuple[str, int]:
    count = data[at + 1]
    authority = int.from_bytes(data[at + 2 : at + 8])
    rest = struct.unpack_from(f"<{count}I", data, at + 8)
    return "-".join(map(str, ("S", 1, authority, *rest))), at + 8 + 4 * count


def _pack_acl(aces: tuple[Ace, ...] | None) -> bytes:
    if aces is None:
        return b""
    body = b""
    for ace in aces:
        sid = _pack_sid(ace.sid)
        body += struct.pack("<BBHI", ace.kind, ace.flags, 8 + len(sid), ace.mask) + sid
    return struct.pack("<BBHHH", 2, 0, 8 + len(body), len(aces), 0) + body


def _unpack_acl(data: bytes, at: int) -> tuple[tuple[Ace, ...], int]:
    _, _, size, count, _ = struct.unpack_from("<BBHHH", data, at)
    aces, place = [], at + 8
    for _ in range(count):
        kind, flags, size_of_ace, mask = struct.unpack_from("<BBHI", data, place)
        aces.append(Ace(kind=kind, flags=flags, mask=mask, sid=_unpack_sid(data, place + 8)[0]))
        place += size_of_ace
    return tuple(aces), at + size


# -- use ------------------------------------------------------------------------------------------


def with_specific_rights(found: Descriptor) -> Descriptor:
    """Generic rights in its lists become those of files, as when it is put on a file."""

    def mapped(aces: tuple[Ace, ...] | None) -> tuple[Ace, ...] | None:
        if aces is None:
            return None
        return tuple(replace(ace, mask=c.map_generic(ace.mask)) for ace in aces)

    return replace(found, dacl=mapped(found.dacl), sacl=mapped(found.sacl))


def for_new_file(asked: Descriptor | None, parent: Descriptor | None) -> Descriptor:
    """What a new file gets: what was *asked*, the rest from its *parent* and the user."""
    base = asked or Descriptor()
    if base.dacl is None and parent is not None:
        base = replace(base, dacl=parent.dacl)
    owned = replace(base, owner=base.owner or USER, group=base.group or SIDS["BU"])
    return with_specific_rights(owned)


def modified(found: Descriptor, information: int, change: Descriptor) -> Descriptor:
    """*found* with the parts that *information* names taken from *change*."""
    change = with_specific_rights(change)
    if information & c.OWNER_SECURITY_INFORMATION:
        found = replace(found, owner=change.owner)
    if information & c.GROUP_SECURITY_INFORMATION:
        found = replace(found, group=change.group)
    if information & c.DACL_SECURITY_INFORMATION:
        flags = sum(_DACL_FLAGS.values())
        control = (found.control & ~flags) | (change.control & flags)
        found = replace(found, dacl=change.dacl, control=control)
    return found


def selected(found: Descriptor, information: int) -> Descriptor:
    """Only the parts that *information* names."""
    keep = 0
    keep |= sum(_DACL_FLAGS.values()) if information & c.DACL_SECURITY_INFORMATION else 0
    keep |= sum(_SACL_FLAGS.values()) if information & c.SACL_SECURITY_INFORMATION else 0
    return Descriptor(
        owner=found.owner if information & c.OWNER_SECURITY_INFORMATION else None,
        group=found.group if information & c.GROUP_SECURITY_INFORMATION else None,
        dacl=found.dacl if information & c.DACL_SECURITY_INFORMATION else None,
        sacl=found.sacl if information & c.SACL_SECURITY_INFORMATION else None,
        control=found.control & keep,
    )


def allowed(found: Descriptor, asked: int) -> int:
    """Which bits of *asked* (specific ones) the ordinary user gets."""
    if found.dacl is None:
        return asked
    granted = denied = 0
    if found.owner in TOKEN:
        granted |= c.READ_CONTROL | c.WRITE_DAC
    for ace in found.dacl:
        if ace.sid not in TOKEN or ace.flags & _ACE_FLAGS["IO"]:
            continue
        mask = c.map_generic(ace.mask)
        if ace.kind == _TYPES["A"]:
            granted |= mask & ~denied
        elif ace.kind == _TYPES["D"]:
            denied |= mask & ~granted
    return granted & asked

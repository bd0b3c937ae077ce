"""What devices do differently: each rule by itself, and devices as sets of rules."""

from __future__ import annotations

from dataclasses import dataclass, field

GIB = 1 << 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Storage:
    """A storage of a device; its files are a directory."""

    description: str = "Internal shared storage"
    volume: str = ""
    id: int = 0  # 0: 0x10001, 0x20001, … in their order
    capacity: int = 64 * GIB
    free: int = 32 * GIB  # at the start; files that lie there already don't count
    file_max: int = 0  # announced sizes above it: a809; 0: no limit
    type: int = 3  # fixed RAM
    filesystem: int = 2  # generic hierarchical
    access: int = 0  # not 0: read only (200e)
    fat: bool = False  # refuses "*:<>?\| and names that end in a dot or a blank
    trims: bool = False  # cuts dots and blanks off the end instead
    folds: bool = False  # the disk folds case, the device's table doesn't: two names, one file
    discards: bool = False  # keeps sizes of what is sent, not bytes: for very large files


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """The rules of a device. Times are real ones; 0 switches a rule off."""

    vendor: str = "Google Inc"
    product: str = "Nexus/Pixel (MTP)"
    vendor_id: int = 0x18D1
    product_id: int = 0x4EE2
    flags: int = 0x1000_0000
    manufacturer: str = "Google"
    model: str = "Pixel 7"
    friendly: str = "Fake phone"
    version: str = "1.0"
    bus: int = 1
    battery: int = 80  # 0: it doesn't say
    listed: bool = True  # libmtp knows its numbers
    android: bool = True
    fresh_size: bool = True  # asked again each time (listed Android); else remembered by libmtp
    bitsize: int = 64
    overwrite: str = "refuse"  # 2002; replace, vanish (both are gone), rename (.dup0), twins
    folder_delete: str = "recursive"  # refused (2002), partial (2012: the files are gone)
    mtime_settable: bool = False
    move: bool = True
    copy: bool = True
    partial: bool = True
    rename: bool = True
    zero_lists_all: bool = True  # parent 0: everything below, not the root
    strict_roots: bool = True  # send: only 0xffffffff is the root; move: only 0
    moves_on_close: bool = False  # it comes back under another address after a release
    first_handle: int = 1
    root_parent: str = "zero"  # what children of the root report: zero, all_ones, storage
    keeps_partial: bool = False  # half a file stays under its name
    full_cuts: bool = False  # a full store cuts the file and answers success
    redirects: bool = True  # sending mp3 and jpg with parent 0 goes to /Music, /Pictures
    index_listings: int = 0  # listings from which a new object is missing
    index_empty: bool = False  # it isn't missing, its size is 0
    utc_offset: int | None = None  # seconds; None: the device has the host's zone
    latency_us: int = 0  # each transaction
    bytes_per_s: int = 0
    reset_ms: int = 0  # opening after a process that was killed
    undrained_ms: int = 0  # sending while an event waits to be read
    event_wait_ms: int = 0  # Read_Event gives up after it
    storages: tuple[Storage, ...] = field(default=(Storage(),))


_ANDROID = Profile()
_PLAYER = Profile(
    vendor="SanDisk",
    product="Sansa Clip+",
    vendor_id=0x0781,
    product_id=0x74D0,
    flags=0,
    manufacturer="SanDisk",
    model="Sansa Clip+",
    friendly="Fake player",
    android=False,
    fresh_size=False,
    mtime_settable=True,
    zero_lists_all=False,
    strict_roots=False,
    redirects=False,
)
_CARD = Storage(
    description="SD card",
    volume="CARD",
    file_max=0xFFFF_FFFE,
    type=4,  # removable RAM
    fat=True,
    folds=True,
)


def _with(profile: Profile, **changes: object) -> Profile:
    values = {name: getattr(profile, name) for name in Profile.__dataclass_fields__}
    return Profile(**{**values, **changes})


PROFILES: dict[str, Profile] = {
    "android": _ANDROID,
    "android_proplist": _with(_ANDROID, product_id=0x4EE1, fresh_size=False),
    "android_unlisted": _with(
        _ANDROID, vendor_id=0x4242, product_id=0x0001, listed=False, flags=0, fresh_size=False
    ),
    "android_card": _with(_ANDROID, storages=(Storage(), _CARD)),
    "samsung": _with(
        _ANDROID,
        vendor="Samsung",
        product="Galaxy models (MTP)",
        vendor_id=0x04E8,
        product_id=0x6860,
        manufacturer="samsung",
        model="SM-G991B",
        overwrite="rename",
    ),
    "player": _PLAYER,
    "old_player": _with(_PLAYER, bitsize=32, partial=False, move=False, copy=False),
    "garmin": _with(
        _PLAYER,
        vendor="Garmin",
        product="Forerunner 945",
        vendor_id=0x091E,
        product_id=0x4C05,
        manufacturer="Garmin",
        model="Forerunner 945",
        friendly="Fake watch",
        overwrite="vanish",
        mtime_settable=False,
        partial=False,
        rename=False,
        move=False,
        copy=False,
        root_parent="all_ones",
        storages=(Storage(description="Primary", capacity=16 * GIB, free=8 * GIB),),
    ),
    "kindle": _with(
        _PLAYER,
        vendor="Amazon",
        product="Kindle",
        vendor_id=0x1949,
        product_id=0x9981,
        manufacturer="Amazon",
        model="Kindle",
        friendly="Fake reader",
        overwrite="vanish",
        mtime_settable=False,
        zero_lists_all=True,
        root_parent="storage",
        first_handle=0x10001,  # the number of its storage, too
        folder_delete="refused",
        storages=(Storage(description="Internal Storage", capacity=16 * GIB, free=8 * GIB),),
    ),
    "umtp": _with(
        _PLAYER,
        vendor="Linux Foundation",
        product="uMTP Responder",
        vendor_id=0x1D6B,
        product_id=0x0100,
        manufacturer="Viveris Technologies",
        model="The Viveris Product !",
        friendly="Fake responder",
        overwrite="replace",
        mtime_settable=False,
        move=False,
        copy=False,
        keeps_partial=True,
        full_cuts=True,
    ),
}

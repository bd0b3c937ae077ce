"""Listing a directory: which command, exact times, links, and nothing lost on the way.

- Always CWD first, then MLSD or LIST without an argument: swiftp joins absolute arguments to
  the working directory, many servers read '-x' as options and '[x]' as a pattern. CWD costs no
  round trip where pipelining is proven (it travels with EPSV). It is sent also when we were
  there already: Unix servers hold the directory itself, so after somebody renamed it they would
  list it under the wrong name.
- LIST shows minutes, in the server's local time. MDTM of every file, in one flight, gives exact
  UTC times, and the two together the server's clock offset.
- Plain LIST comes first. `LIST -a` is used only after it was seen to show what LIST hides
  (vsftpd hides '.git'); elsewhere '-a' is taken for a name and the directory looks empty.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from pyftpdrive.base.errors import (
    PermissionRefused,
    ProtocolViolation,
    PyftpdriveError,
    RemoteError,
    RemoteUnavailable,
)
from pyftpdrive.base.model import Kind, RemoteEntry
from pyftpdrive.base.paths import RemotePath, join
from pyftpdrive.ftp.channel import command_line
from pyftpdrive.ftp.data import open_data
from pyftpdrive.ftp.listing import Listing, parse_list, parse_mlsd
from pyftpdrive.ftp.profile import Proof
from pyftpdrive.ftp.replies import Reply, parse_mdtm, parse_size, remote_error
from pyftpdrive.ftp.session import UNKNOWN_COMMAND, Session, raw_octets
from pyftpdrive.ftp.transfers import Transfer, TransferRefused

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

LISTING_BYTES_MAX = 256 * 1024 * 1024  # a million long lines; more is an attack
LISTING_LINES_MAX = 2_000_000
ACTIVITY_LINES = 50_000  # take a fraction of a second to parse
LISTING_S_MAX = 600.0  # one that trickles on for longer never ends
RECEIVE_BYTES = 256 * 1024
LINKS_MAX = 64  # probed in one listing; the others stay links
SIZES_MAX = 1000  # asked for by SIZE, where the listing tells no size in octets
RESCUED_MAX = 64  # names probed because no one understood their line
SINGLE_TIMES_MAX = 100  # MDTM one by one, where flights don't work; the rest keeps LIST's times
_MINUTE_NS = 60 * 10**9
_QUARTER_S = 900
_OFFSET_MAX_S = 14 * 3600
_EMPTY_HINT = re.compile(r"no (?:such )?files?\b|not found|\bempty\b", re.IGNORECASE)
_FAILED_HINT = re.compile(r"\bfail|denied|can't open|cannot open", re.IGNORECASE)


class NotEntered(PyftpdriveError):
    """CWD was refused; whoever asked finds out why."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.text)
        self.answer = reply


def list_directory(session: Session, path: RemotePath) -> Listing:
    """What is in *path*, with exact times and links resolved where the server lets us.

    Raises:
        NotEntered: CWD was refused.
        PermissionRefused: it may be entered but not listed.
        RemoteUnavailable: the session or the transfer died.
    Source: RFC 3659 7 (MLSD), RFC 959 4.1.3 (LIST).
    """
    listing = None
    if session.profile.mlsd is not Proof.NO:
        listing = _by_facts(session, path)
    if listing is None:
        listing = _by_lines(session, path)
    if any(entry.size_bytes is None and entry.kind is Kind.FILE for entry in listing.entries):
        listing = replace(listing, entries=_with_sizes(session, path, listing.entries))
    if listing.unparsed:
        listing = _rescue(session, path, listing)
    listing = replace(listing, refused=tuple(n for n in listing.refused if n not in (".", "..")))
    if any(entry.kind is Kind.LINK for entry in listing.entries):
        listing = replace(listing, entries=_resolve_links(session, path, listing.entries))
    return listing


# -- fetching ---------------------------------------------------------------------------------


def _fetch(
    session: Session, path: RemotePath | None, verb: str, argument: bytes | None = None
) -> tuple[Reply, bytes]:
    """The final reply and all octets of one listing; *path* None: the server is there already."""
    first = command_line("CWD", session.wire(path)) if path is not None else None
    entered, data = open_data(session, first)
    if entered is not None:
        if not entered.is_positive:
            raise NotEntered(entered)
        session.cwd = path
    transfer = Transfer(session, data, receiving=True)
    transfer.start(command_line(verb, argument))
    content = bytearray()
    buffer = memoryview(block := bytearray(RECEIVE_BYTES))
    lines, until = 0, session.clock.monotonic() + LISTING_S_MAX
    while count := transfer.receive_into(buffer):
        content += buffer[:count]
        lines += block.count(b"\n", 0, count)
        if (
            len(content) > LISTING_BYTES_MAX
            or lines > LISTING_LINES_MAX
            or session.clock.monotonic() > until
        ):
            transfer.abort()
            raise ProtocolViolation(f"{session.server} sends a listing without end")
    reply = transfer.final_reply()
    if not reply.is_positive:
        raise TransferRefused(reply)
    if not content and _FAILED_HINT.search(reply.text):
        # vsftpd says 226, "Transfer done (but failed to open directory)."
        raise PermissionRefused(f"the directory can't be listed: {reply.text}", reply=reply.text)
    return reply, bytes(content)


def _split(content: bytes) -> list[bytes]:
    return [line.rstrip(b"\r") for line in content.split(b"\n") if line.strip(b"\r")]


def _told(session: Session, lines: list[bytes]) -> Iterator[bytes]:
    """*lines*; while they are being parsed, whoever waits hears that it goes on."""
    for at, line in enumerate(lines):
        if at % ACTIVITY_LINES == 0:
            session.note_activity()
        yield line


def _refusal(reply: Reply, verb: str) -> RemoteError | None:
    """The error for a refused listing of a directory that could be entered; None: it is empty."""
    if reply.code in (450, 550) and _EMPTY_HINT.search(reply.text):
        return None
    if reply.code == 550:
        return PermissionRefused(f"the directory can't be listed: {reply.text}", reply=reply.text)
    return remote_error(reply, action=verb)


_EMPTY = Listing(entries=(), unparsed=(), refused=())


def _by_facts(session: Session, path: RemotePath) -> Listing | None:
    """MLSD; None when this server has none."""
    try:
        _, content = _fetch(session, path, "MLSD")
    except TransferRefused as exc:
        if exc.reply.code in UNKNOWN_COMMAND:
            session.profile.deny("mlsd")
            return None
        if exc.reply.code == 501:
            return None
        error = _refusal(exc.reply, "MLSD")
        if error is not None:
            raise error from exc
        return _EMPTY
    session.profile.confirm("mlsd")
    return parse_mlsd(_told(session, _split(content)), session.codec)


def _by_lines(session: Session, path: RemotePath) -> Listing:
    """LIST, its hidden entries, MDTM for every file."""
    lines = _list_lines(session, path)
    listing = _parse(session, lines)
    times = _exact_times(session, path, listing.entries)
    offset_s = _clock_offset(session, listing.entries, times)
    if offset_s is not None and offset_s != session.profile.clock_offset_s:
        session.profile.clock_offset_s = offset_s
        listing = _parse(session, lines)
    if times:
        listing = replace(
            listing,
            entries=tuple(
                replace(entry, modified_ns=times[entry.name]) if entry.name in times else entry
                for entry in listing.entries
            ),
        )
    return listing


def _parse(session: Session, lines: list[bytes]) -> Listing:
    return parse_list(
        _told(session, lines),
        session.codec,
        now_ns=session.clock.now_ns(),
        clock_offset_s=session.profile.clock_offset_s or 0,
    )


def _list_lines(session: Session, path: RemotePath) -> list[bytes]:
    profile = session.profile
    if profile.list_all is Proof.YES:
        return _list_once(session, path, b"-a")
    lines = _list_once(session, path, None)
    if profile.list_all is Proof.NO:
        return lines
    everything = _list_once(session, None, b"-a", probing=True)
    shown = {entry.name for entry in _parse(session, lines).entries}
    shown_all = {entry.name for entry in _parse(session, everything).entries}
    has_dots = any(line.endswith((b" .", b" ..")) for line in everything)
    if shown_all >= shown and (has_dots or len(shown_all) > len(shown)):
        profile.confirm("list_all")
        return everything
    if shown:
        profile.deny("list_all")
    return lines


def _list_once(
    session: Session, path: RemotePath | None, argument: bytes | None, *, probing: bool = False
) -> list[bytes]:
    try:
        _, content = _fetch(session, path, "LIST", argument)
    except TransferRefused as exc:
        error = None if probing else _refusal(exc.reply, "LIST")
        if error is not None:
            raise error from exc
        return []
    except PermissionRefused:
        if probing:
            return []
        raise
    return _split(content)


# -- exact times ------------------------------------------------------------------------------


def _exact_times(
    session: Session, path: RemotePath, entries: Sequence[RemoteEntry]
) -> dict[str, int]:
    """When each file changed (ns UTC), by MDTM, as far as the server knows it."""
    profile = session.profile
    files = [entry.name for entry in entries if entry.kind is Kind.FILE]
    if not files or profile.mdtm is Proof.NO:
        return {}
    times: dict[str, int] = {}
    if profile.mdtm is Proof.UNKNOWN:
        (reply,) = session.flight([_mdtm(session, path, files[0])])
        if reply.code in UNKNOWN_COMMAND:
            profile.deny("mdtm")
            return {}
        if reply.code == 213:
            profile.confirm("mdtm")
            _take_time(times, files[0], reply)
        files = files[1:]
    if profile.pipelining is not Proof.YES:
        files = files[:SINGLE_TIMES_MAX]
    for name, reply in zip(
        files, guarded_flight(session, [_mdtm(session, path, name) for name in files]), strict=True
    ):
        _take_time(times, name, reply)
    return times


def _mdtm(session: Session, path: RemotePath, name: str) -> bytes:
    return command_line("MDTM", session.wire(join(path, name)))


def _take_time(times: dict[str, int], name: str, reply: Reply) -> None:
    if reply.code == 213:
        try:
            times[name] = parse_mdtm(reply.text)
        except (ProtocolViolation, ValueError):
            return


def guarded_flight(session: Session, lines: list[bytes]) -> list[Reply]:
    """The replies to *lines*, proven to be in step by a NOOP behind them.

    A reply too many or too few would give every later file its neighbour's value.

    Raises:
        RemoteUnavailable: out of step; the session is closed and flights are off for this server.
    """
    if not lines:
        return []
    if len(lines) == 1 or session.profile.pipelining is not Proof.YES:
        return session.flight(lines)
    *replies, last = session.flight([*lines, command_line("NOOP")])
    if last.code == 213 or not (last.is_positive or last.code in UNKNOWN_COMMAND):
        session.profile.deny("pipelining")
        session.close()
        raise RemoteUnavailable(f"{session.server} mixes up its replies; one by one from now on")
    return replies


def _clock_offset(
    session: Session, entries: Sequence[RemoteEntry], times: dict[str, int]
) -> int | None:
    """LIST's clock minus UTC, in seconds; None when no file shows it.

    A line with hours and minutes is the exact time cut to the minute, plus a multiple of 15
    minutes. Lines at midnight are mostly dates without a time: they count only without others.
    """
    known_s = session.profile.clock_offset_s or 0
    votes: Counter[int] = Counter()
    midnight_votes: Counter[int] = Counter()
    for entry in entries:
        if entry.modified_ns is None or entry.name not in times:
            continue
        shown_s = entry.modified_ns // 10**9 + known_s
        exact_s = times[entry.name] // _MINUTE_NS * 60
        offset_s = shown_s // 60 * 60 - exact_s
        if offset_s % _QUARTER_S == 0 and abs(offset_s) <= _OFFSET_MAX_S:
            (votes if shown_s % 86400 else midnight_votes)[offset_s] += 1
    best = votes.most_common(1) or (
        midnight_votes.most_common(1) if session.profile.clock_offset_s is None else []
    )
    return best[0][0] if best else None


# -- links and lines that no one understood -----------------------------------------------------


def _resolve_links(
    session: Session, path: RemotePath, entries: Sequence[RemoteEntry]
) -> tuple[RemoteEntry, ...]:
    """Links as what they point to: CWD works on directories, SIZE on files, neither on loops."""
    names = [entry.name for entry in entries if entry.kind is Kind.LINK][:LINKS_MAX]
    found = probe_names(session, path, names)
    return tuple(
        replace(
            entry,
            kind=found[entry.name].kind,
            size_bytes=found[entry.name].size_bytes,
            modified_ns=found[entry.name].modified_ns or entry.modified_ns,
        )
        if entry.kind is Kind.LINK and entry.name in found
        else entry
        for entry in entries
    )


def probe_names(session: Session, path: RemotePath, names: Sequence[str]) -> dict[str, RemoteEntry]:
    """What each of *names* in *path* is, by CWD, SIZE and MDTM; those that are nothing lack."""
    found: dict[str, RemoteEntry] = {}
    wires = {name: session.wire(join(path, name)) for name in names}
    replies = guarded_flight(session, [command_line("CWD", wires[name]) for name in names])
    for name, reply in zip(names, replies, strict=True):
        if reply.is_positive:
            session.cwd = join(path, name)
            found[name] = RemoteEntry(name=name, kind=Kind.DIRECTORY)
    others = [name for name in names if name not in found]
    lines = [command_line(verb, wires[name]) for name in others for verb in ("SIZE", "MDTM")]
    replies = guarded_flight(session, lines)
    for name, size, mdtm in zip(others, replies[::2], replies[1::2], strict=True):
        if size.code != 213 and mdtm.code != 213:
            continue
        found[name] = entry_of(name, size, mdtm)
        if found[name].size_bytes is not None:
            session.profile.confirm("size")
    return found


def _with_sizes(
    session: Session, path: RemotePath, entries: Sequence[RemoteEntry]
) -> tuple[RemoteEntry, ...]:
    """*entries* with the sizes that the listing did not tell, as far as SIZE does (VMS, z/OS)."""
    names = [e.name for e in entries if e.size_bytes is None and e.kind is Kind.FILE]
    most = SIZES_MAX if session.profile.pipelining is Proof.YES else SINGLE_TIMES_MAX
    lines = [command_line("SIZE", session.wire(join(path, name))) for name in names[:most]]
    found = dict(zip(names, guarded_flight(session, lines), strict=False))
    return tuple(
        replace(entry, size_bytes=_size(found[entry.name]))
        if entry.name in found and entry.kind is Kind.FILE
        else entry
        for entry in entries
    )


def entry_of(name: str, size: Reply, mdtm: Reply) -> RemoteEntry:
    """The file that answered SIZE and MDTM so; one of them may have been refused."""
    times: dict[str, int] = {}
    _take_time(times, name, mdtm)
    return RemoteEntry(
        name=name, kind=Kind.FILE, size_bytes=_size(size), modified_ns=times.get(name)
    )


def _size(reply: Reply) -> int | None:
    if reply.code != 213:
        return None
    try:
        return parse_size(reply.text)
    except (ProtocolViolation, ValueError):
        return None


def _rescue(session: Session, path: RemotePath, listing: Listing) -> Listing:
    """Entries for lines that the parser does not know: NLST gives the names, probes the rest."""
    try:
        _, content = _fetch(session, None, "NLST")
    except (TransferRefused, PermissionRefused):
        return listing
    known = {entry.name for entry in listing.entries}
    strange = [(line, raw_octets(line)) for line in listing.unparsed[:RESCUED_MAX]]
    wanted: dict[str, str] = {}
    for octets in _split(content):
        if len(wanted) >= RESCUED_MAX:
            break
        name = session.codec.decode(octets).rstrip("/").rpartition("/")[2]
        if name in ("", ".", "..") or name in known or "\0" in name:
            continue
        for line, shown in strange:
            if octets.rpartition(b"/")[2] in shown:
                wanted[name] = line
    names = list(wanted)
    found = probe_names(session, path, names)
    rescued = tuple(found.get(name) or RemoteEntry(name=name, kind=Kind.FILE) for name in names)
    understood = {wanted[name] for name in names}
    return replace(
        listing,
        entries=listing.entries + rescued,
        unparsed=tuple(line for line in listing.unparsed if line not in understood),
    )

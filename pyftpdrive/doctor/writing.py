"""The checks that try: inside the scratch directory only, except for making it."""

from __future__ import annotations

import hashlib
import io
import re
import threading
import unicodedata

from pyftpdrive.base.errors import (
    AlreadyExists,
    InvalidName,
    NoSpace,
    NotFound,
    PermissionRefused,
    RemoteError,
    RemoteUnavailable,
    ServerError,
)
from pyftpdrive.base.model import RemoteEntry
from pyftpdrive.base.paths import RemotePath, join
from pyftpdrive.doctor.examination import Examination
from pyftpdrive.doctor.findings import Finding, Verdict
from pyftpdrive.doctor.looking import finding, reading_from_offset, reading_of_theirs
from pyftpdrive.doctor.scratch import FULL, Scratch
from pyftpdrive.ftp import probes
from pyftpdrive.ftp.profile import Proof

DATA = b"".join(hashlib.sha256(b"%d" % i).digest() for i in range(256)) + b"\r\n\n\r\0\xff\xff\x1a"
OFFSET = 5000
OLD_NS = 1_000_000_007 * 10**9  # an odd second, long ago
SKEW_S = 120
LATE_RENAME_S = 1.2  # prim-ftpd says 553 and renames a moment later (prim-ftpd#207)
SPECIAL = "name-ä漢😀"
BLANK = "name-blank "
REFUSALS = (AlreadyExists, PermissionRefused, ServerError)
_NUMBERED = re.compile(r"target ?\(\d+\)\.bin")


def _scratch(exam: Examination) -> Scratch:
    assert exam.scratch is not None  # noqa: S101  # the table says which checks need it
    return exam.scratch


def _names(exam: Examination) -> dict[str, RemoteEntry]:
    """What is in the scratch directory now."""
    return {entry.name: entry for entry in exam.client.list_dir(_scratch(exam).path).entries}


def writing(exam: Examination) -> Finding:
    """May this login write at all? Makes the scratch directory, and clears what others left."""
    if exam.options.read_only:
        return finding("writing", Verdict.UNKNOWN, "not tried: nothing is written with --read-only")
    try:
        exam.make_scratch()
    except NoSpace:
        return finding(
            "writing", Verdict.BAD, "the server is full", "Make room on the server.", allowed=None
        )
    except RemoteUnavailable:
        raise
    except RemoteError as error:
        guest = not exam.client_options.username
        remedy = (
            "Add a user with a password in the server app, and use --username."
            if guest
            else "Allow this user to write, in the server app; or mount another directory (--root)."
        )
        return finding(
            "writing",
            Verdict.BAD,
            f"this login is read-only: nothing can be saved ({exam.said(error)})",
            f"{remedy} To look only: mount with --read-only.",
            allowed=False,
        )
    left = exam.remove_left_behind()
    if left:
        return finding(
            "writing",
            Verdict.NOTICE,
            f"allowed; an earlier check left something that can't be removed: {exam.said(left[0])}",
            "Delete it by hand.",
            allowed=True,
        )
    return finding("writing", Verdict.GOOD, "allowed", allowed=True)


def storing(exam: Examination) -> Finding:
    """Do files arrive as they were sent?"""
    path = _scratch(exam).file("probe.bin")
    try:
        exam.client.write_file(path, DATA)
    except (NoSpace, *REFUSALS) as error:
        return finding(
            "storing",
            Verdict.BAD,
            f"a directory can be made, but no file stored ({exam.said(error)})",
            "Make room on the server, or allow this user to store files.",
            intact=None,
        )
    arrived = exam.client.read_file(path, 0, len(DATA) + 1)
    if arrived == DATA:
        return finding("storing", Verdict.GOOD, "a file came back as it was sent", intact=True)
    return finding(
        "storing",
        Verdict.BAD,
        f"a file of {len(DATA)} bytes came back different ({len(arrived)} bytes)",
        "Don't save anything on this server; use another server app.",
        intact=False,
    )


def reading(exam: Examination) -> Finding:
    """The probe, from its middle; without one, a file of the server's."""
    if exam.scratch is None:
        return reading_of_theirs(exam)
    path = exam.scratch.file("probe.bin")
    return reading_from_offset(exam, DATA, exam.client.read_file(path, OFFSET, len(DATA)), OFFSET)


def clock(exam: Examination) -> Finding:
    """How far the server's clock is from ours, seen on a file that was just stored."""
    path = _scratch(exam).file("probe.bin")
    exam.client.write_file(path, DATA)
    now_ns = exam.clock.now_ns()
    modified_ns = exam.client.stat(path).modified_ns
    if modified_ns is None:
        return finding("clock", Verdict.UNKNOWN, "the server tells no exact times")
    skew_s = round((modified_ns - now_ns) / 10**9)
    if abs(skew_s) <= SKEW_S:
        return finding("clock", Verdict.GOOD, "right", skew_s=skew_s)
    words = "ahead" if skew_s > 0 else "behind"
    return finding(
        "clock",
        Verdict.NOTICE,
        f"the server's clock is {abs(skew_s) / 60:,.0f} minutes {words}",
        "Set the server's date and time zone; programs that compare times get confused.",
        skew_s=skew_s,
    )


def names(exam: Examination) -> Finding:
    """Do names come back as they were given?"""
    scratch = _scratch(exam)
    try:
        exam.client.write_file(scratch.file(SPECIAL), b"x")
    except InvalidName:
        return finding(
            "names",
            Verdict.NOTICE,
            f"the encoding {exam.client_options.encoding} can't write every name",
            "Use --encoding utf-8 if the server can.",
            exact=False,
        )
    except REFUSALS as error:
        return finding(
            "names",
            Verdict.NOTICE,
            f"names like {SPECIAL!r} are refused ({exam.said(error)})",
            "Use plain names on this server.",
            exact=False,
        )
    found = next((name for name in _names(exam) if name != BLANK and name[:5] == "name-"), None)
    if found != SPECIAL:
        same = found is not None and unicodedata.normalize("NFC", found) == SPECIAL
        return finding(
            "names",
            Verdict.NOTICE if same else Verdict.BAD,
            f"{SPECIAL!r} came back as {found!r}",
            "" if same else "Try --encoding, for example cp1252 or shift_jis.",
            exact=False,
        )
    try:
        exam.client.write_file(scratch.file(BLANK), b"x")
    except REFUSALS:
        return _no_blanks()
    return (
        finding("names", Verdict.GOOD, "any script, exactly as given", exact=True)
        if BLANK in _names(exam)
        else _no_blanks()
    )


def _no_blanks() -> Finding:
    return finding(
        "names",
        Verdict.NOTICE,
        "any script; but blanks at the end of a name are lost or changed",
        "Don't end names with a blank.",
        exact=True,
        trailing_blanks=False,
    )


def resuming(exam: Examination) -> Finding:
    """Is a file kept when something is added to it? Phones say yes and cut it."""
    scratch, client, profile = _scratch(exam), exam.client, exam.profile
    appended, resumed = scratch.file("append.bin"), scratch.file("resume.bin")
    head, tail = DATA[:OFFSET], DATA[OFFSET:]
    worked: list[str] = []
    lied: list[str] = []
    client.write_file(appended, head)
    said = probes.append(client, appended, tail)
    _judge(exam, "appe", appended, said=said, worked=worked, lied=lied)
    client.write_file(resumed, head + b"?" * len(tail))
    said = probes.store_from(client, resumed, OFFSET, tail)
    exam.anew()  # a lying server may keep the offset for the next command
    _judge(exam, "rest_stor", resumed, said=said, worked=worked, lied=lied)
    facts = {
        "append": profile.appe is Proof.YES,
        "restart": profile.rest_stor is Proof.YES,
    }
    if lied:
        return finding(
            "resuming",
            Verdict.NOTICE,
            f"{' and '.join(lied)} said yes and spoiled the file; the drive does not use it",
            "A large file that grows is sent whole each time.",
            **facts,
        )
    if not worked:
        return finding(
            "resuming",
            Verdict.NOTICE,
            "the server can't add to a file (APPE, REST and STOR are refused)",
            "A large file that grows is sent whole each time.",
            **facts,
        )
    return finding("resuming", Verdict.GOOD, f"{' and '.join(worked)} keep what is there", **facts)


def _judge(
    exam: Examination,
    ability: str,
    path: RemotePath,
    *,
    said: bool,
    worked: list[str],
    lied: list[str],
) -> None:
    verb = {"appe": "APPE", "rest_stor": "REST with STOR"}[ability]
    if said and exam.client.read_file(path, 0, len(DATA) + 1) == DATA:
        exam.profile.confirm(ability)
        worked.append(verb)
    else:
        exam.profile.deny(ability)
        if said:
            lied.append(verb)


def renaming(exam: Examination) -> Finding:
    """Does a rename to a free name do what it says?"""
    scratch, client = _scratch(exam), exam.client
    client.write_file(scratch.file("source.bin"), DATA[:300])
    try:
        client.rename(scratch.file("source.bin"), scratch.file("renamed.bin"))
    except REFUSALS as error:
        exam.profile.deny("rename")
        return finding(
            "renaming",
            Verdict.NOTICE,
            f"refused ({exam.said(error)}); files are stored under their name directly",
            "While a file is saved, others may see half of it.",
            works=False,
        )
    there = _names(exam)
    if "renamed.bin" in there and "source.bin" not in there:
        exam.profile.confirm("rename")
        return finding("renaming", Verdict.GOOD, "does what it says", works=True)
    exam.profile.deny("rename")
    return finding(
        "renaming",
        Verdict.BAD,
        "the server says that it renamed, and it did not",
        "Renaming won't work in this drive. Saving does, but others may see half a file.",
        works=False,
    )


def renaming_over(exam: Examination) -> Finding:
    """What becomes of a file whose name is given to another? Editors save so."""
    scratch, client = _scratch(exam), exam.client
    source, target = scratch.file("source.bin"), scratch.file("target.bin")
    client.write_file(source, DATA[:300])
    client.write_file(target, DATA[:500])
    refused: RemoteError | None = None
    try:
        client.rename(source, target)
    except (NotFound, *REFUSALS) as error:  # NotFound: refused, and *source* is gone
        refused = error
    there = _names(exam)
    if refused is not None and "source.bin" in there:
        threading.Event().wait(LATE_RENAME_S)
        there = _names(exam)
    outcome = _outcome(exam, target, there, refused)
    if outcome == "replaces":
        exam.profile.confirm("rename_over")
        return finding("renaming_over", Verdict.GOOD, "replaces it", outcome=outcome)
    exam.profile.deny("rename_over")
    words = {
        "late": "refused, and done a moment later",
        "refuses": f"refused ({exam.said(refused)})",
        "lies": "the server says that it did, and it did not",
        "numbers": "the server keeps both and calls the new one 'name (1)'",
        "loses": "the server says that it did, and the new file is gone",
    }
    bad = outcome == "loses"
    return finding(
        "renaming_over",
        Verdict.BAD if bad else Verdict.NOTICE,
        f"{words[outcome]}; the drive guards you: it moves the old file aside first",
        "Use another server app." if bad else "",
        outcome=outcome,
    )


def _outcome(
    exam: Examination,
    target: RemotePath,
    there: dict[str, RemoteEntry],
    refused: RemoteError | None,
) -> str:
    if any(_NUMBERED.fullmatch(name) for name in there):
        return "numbers"
    if "source.bin" in there:
        return "lies" if refused is None else "refuses"
    if "target.bin" in there and exam.client.read_file(target, 0, 501) == DATA[:300]:
        return "replaces" if refused is None else "late"
    return "loses"


def setting_times(exam: Examination) -> Finding:
    """Can the time of a file be set?"""
    client, profile = exam.client, exam.profile
    path = _scratch(exam).file("probe.bin")
    if not client.set_mtime(path, OLD_NS):
        return finding(
            "setting_times",
            Verdict.NOTICE,
            "the server can't set times: a file gets the time of its upload",
            "Copies lose their old dates on this server.",
            works=False,
        )
    modified_ns = client.stat(path).modified_ns
    if modified_ns is not None and modified_ns // 10**9 == OLD_NS // 10**9:
        return finding("setting_times", Verdict.GOOD, "works", works=True)
    if profile.mfmt is Proof.YES:
        profile.deny("mfmt")
    return finding(
        "setting_times",
        Verdict.NOTICE,
        "the server says that it set the time, and it did not",
        "Copies lose their old dates on this server.",
        works=False,
    )


def case(exam: Examination) -> Finding:
    """Are 'A' and 'a' one name?"""
    scratch, client = _scratch(exam), exam.client
    client.write_file(scratch.file("Case.bin"), b"x")
    if not client.exists(scratch.file("cASE.bin")):
        exam.profile.deny("ignores_case")
        return finding("case", Verdict.GOOD, "'A' and 'a' are two names", ignored=False)
    exam.profile.confirm("ignores_case")
    return finding(
        "case",
        Verdict.NOTICE,
        "'A' and 'a' are one name on this server",
        "Files whose names differ in capitals only can't be side by side.",
        ignored=True,
    )


def checksum(exam: Examination) -> Finding:
    """Is the server's digest of a file right?"""
    path = _scratch(exam).file("probe.bin")
    said = exam.client.checksum(path)
    if said is None:
        return finding(
            "checksum", Verdict.GOOD, "none: uploads are verified by their size", command=""
        )
    way = exam.profile.checksum_way
    if said == said.same_of(io.BytesIO(DATA)):
        exam.profile.confirm("checksum")
        return finding(
            "checksum", Verdict.GOOD, f"{way} is right: uploads are verified by it", command=way
        )
    exam.profile.deny("checksum")
    return finding(
        "checksum",
        Verdict.NOTICE,
        f"{way} gives wrong digests; uploads are verified by their size",
        command="",
    )


def deleting(exam: Examination) -> Finding:
    """Is a file gone after it was deleted?"""
    path = _scratch(exam).file("probe.bin")
    try:
        exam.client.delete_file(path)
        refused = ""
    except (NotFound, *REFUSALS) as error:
        refused = str(error)
    if "probe.bin" not in _names(exam):
        return finding("deleting", Verdict.GOOD, "works", works=True)
    return finding(
        "deleting",
        Verdict.BAD,
        f"refused ({exam.said(refused)})"
        if refused
        else "the server says that it deleted, and it did not",
        "Allow this user to delete, in the server app.",
        works=False,
    )


def removing_directories(exam: Examination) -> Finding:
    """Does the server remove a directory with all that is in it?"""
    scratch, client = _scratch(exam), exam.client
    full = scratch.file(FULL)
    client.create_dir(full)
    client.write_file(join(full, "inside.bin"), b"x")
    said = probes.remove_directory_unguarded(client, full)
    if FULL not in _names(exam):
        exam.profile.confirm("rmd_recursive")
        return finding(
            "removing_directories",
            Verdict.NOTICE,
            "the server removes a directory with everything in it; the drive guards you: it looks "
            "first",
            "Be careful with other FTP programs on this server.",
            recursive=True,
        )
    exam.profile.deny("rmd_recursive")
    if said:
        return finding(
            "removing_directories",
            Verdict.NOTICE,
            "the server says that it removed a full directory, and it did not",
            recursive=False,
        )
    return finding(
        "removing_directories", Verdict.GOOD, "full directories are kept", recursive=False
    )

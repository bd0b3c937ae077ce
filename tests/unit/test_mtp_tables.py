"""mtpsync's pure parts: codes, messages, names, who holds a device, what to install."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mtpsync import errors
from mtpsync.attached import described
from mtpsync.libmtp import abi, answers, loader
from mtpsync.libmtp.answers import Complaint
from mtpsync.messages import (
    MESSAGE_MAX,
    BrokenMessage,
    Messages,
    encoded,
    failure,
    raised,
)
from mtpsync.models import ROOT, RemoteObject
from mtpsync.sent import Sent
from mtpsync.utils import holders, names
from mtpsync.worker import _reason

KINDS = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, errors.MtpSyncError)
]


# -- codes -----------------------------------------------------------------------------------------


def test_every_code_of_ptp_mtp_and_libmtp_is_in_the_table() -> None:
    every = {*range(0x2000, 0x2021), *range(0xA801, 0xA80B), *range(0x02F9, 0x0300)}
    every -= {answers.OK}

    assert set(answers.CODES) == every
    assert set(answers.NAMING) <= every


def test_every_number_of_libmtp_is_in_the_table() -> None:
    numbers = {value for name, value in vars(abi).items() if name.startswith("ERROR_")}

    assert set(answers.NUMBERS) == numbers


def test_every_error_that_an_answer_can_be_has_words() -> None:
    used = {*answers.CODES.values(), *answers.NAMING.values(), *answers.NUMBERS.values()}

    assert used == set(answers._WORDS)


STACKS: list[tuple[list[tuple[int, str]], type[errors.MtpSyncError], str]] = [
    (
        [
            (2, "PTP Layer error 200c: LIBMTP_X(): could not."),
            (2, "Error 200c: PTP Store Full"),
        ],
        errors.StorageFull,
        "doing: the storage is full (0x200c: PTP Layer error 200c: LIBMTP_X(): could not.; "
        "PTP Store Full)",
    ),
    (  # a code says more than a number, wherever it stands
        [(1, "LIBMTP_X(): Could not."), (2, "PTP Layer error 2009: x")],
        errors.Missing,
        "0x2009",
    ),
    (  # 2001 is OK, left by what went before
        [(2, "PTP Layer error 2001: x"), (2, "PTP Layer error 2019: y")],
        errors.DeviceBusy,
        "0x2019",
    ),
    ([(2, "PTP Layer error 201d: x")], errors.DeviceError, "0x201d"),
    ([(2, "PTP Layer error 02FF: x")], errors.DeviceLost, "0x02ff"),
    ([(2, "PTP Layer error b0b0: x")], errors.DeviceError, "0xb0b0"),
    ([(8, "LIBMTP_X(): Cancelled transfer.")], errors.Cancelled, "stopped"),
    ([(1, "set_object_filename():  property is not settable.")], errors.NotSupported, "can't"),
    ([(5, "no")], errors.DeviceLost, "no code: no"),
    ([(77, "what?")], errors.DeviceError, "what?"),
    ([], errors.DeviceError, "no code"),
]


@pytest.mark.parametrize(("stack", "kind", "words"), STACKS)
def test_error_stack_is_an_error(
    stack: list[tuple[int, str]], kind: type[errors.MtpSyncError], words: str
) -> None:
    error = Complaint.of(stack).error("doing")

    assert type(error) is kind
    assert words in str(error)


def test_error_stack_of_an_operation_that_gives_a_name() -> None:
    complaint = Complaint.of([(2, "PTP Layer error 201d: x")])

    assert complaint.kind(naming=True) is errors.NameRefused


def test_error_stack_without_end_or_with_long_texts_is_cut() -> None:
    complaint = Complaint.of([(1, "x" * 10_000)] * 5000)

    assert len(complaint.text) <= 300


@pytest.mark.parametrize(
    ("noise", "why"),
    [
        ("libusb_claim_interface() reports device is busy, likely in use by GVFS", "busy"),
        ("Could not open device: Access denied (insufficient permissions)", "access"),
        ("libusb: error [get_usbfs_fd] libusb couldn't open: LIBUSB_ERROR_ACCESS", "access"),
        ("LIBMTP PANIC: failed to open session on second attempt", "failed"),
        ("", "failed"),
    ],
)
def test_reason_of_a_failed_open_is_read_from_what_libmtp_prints(noise: str, why: str) -> None:
    assert _reason(noise) == why


# -- messages --------------------------------------------------------------------------------------

MESSAGES = [{"n": 1, "done": {}}, {"n": 2, "rows": [[1, "\udcff ü🎵", None]]}, {"n": 3}]


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 1000])
def test_messages_arrive_however_they_are_cut(size: int) -> None:
    octets = b"".join(map(encoded, MESSAGES)) + encoded({"tail": 1})[:-1]
    reader = Messages()

    found = [
        message
        for start in range(0, len(octets), size)
        for message in reader.feed(octets[start : start + size])
    ]

    assert found == MESSAGES


@pytest.mark.parametrize(
    "octets",
    [
        (MESSAGE_MAX + 1).to_bytes(4, "big"),
        b"\xff\xff\xff\xff",
        b"Device 0 (VID=18d1 and PID=4ee2) is a Google Inc",
        (4).to_bytes(4, "big") + b"[1]\n",
        (2).to_bytes(4, "big") + b"{]",
        (2).to_bytes(4, "big") + b"\xff\xfe",
    ],
)
def test_nonsense_is_no_message(octets: bytes) -> None:
    with pytest.raises(BrokenMessage):
        list(Messages().feed(octets))


def test_message_that_is_too_long_is_not_sent() -> None:
    with pytest.raises(BrokenMessage):
        encoded({"x": "x" * MESSAGE_MAX})


@pytest.mark.parametrize("kind", KINDS)
def test_every_error_passes_through_a_message(kind: type[errors.MtpSyncError]) -> None:
    told = raised(failure(kind("text", remedy="remedy")))

    assert type(told) is kind
    assert (str(told), getattr(told, "remedy", "")) == ("text", "remedy")


def test_lost_is_told_of_a_loss_and_of_whatever_brought_one() -> None:
    assert failure(errors.DeviceLost("x"))["lost"]
    assert failure(errors.Cancelled("x"), lost=True)["lost"]
    assert not failure(errors.Cancelled("x"))["lost"]


def test_local_errors_pass_through_a_message() -> None:
    told = raised(failure(OSError(28, "No space left on device")))

    assert isinstance(told, OSError)
    assert told.errno == 28


def test_unknown_error_is_nonsense() -> None:
    with pytest.raises(BrokenMessage):
        raised({"kind": "SystemExit", "text": "x"})


# -- names -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a", "…", "a.b", ".hidden", " ", "x" * 254, "🎵" * 127, "a\\b:"])
def test_names_that_a_device_may_be_asked_for(name: str) -> None:
    assert names.refusal(name) is None


@pytest.mark.parametrize(
    "name", ["", ".", "..", "/", "a/b", "\0", "x" * 255, "🎵" * 127 + "x", "\udcff"]
)
def test_names_that_no_device_can_take(name: str) -> None:
    assert names.refusal(name)


# -- who holds it ----------------------------------------------------------------------------------


def process(proc: Path, pid: int, command: str, *descriptors: Path) -> None:
    folder = proc / str(pid) / "fd"
    folder.mkdir(parents=True)
    (proc / str(pid) / "cmdline").write_bytes(command.encode() + b"\0--arg\0" if command else b"")
    (proc / str(pid) / "comm").write_text("kernel-name\n")
    for number, target in enumerate(descriptors):
        (folder / str(number)).symlink_to(target)


@pytest.mark.skipif(os.name == "nt", reason="links")
def test_holders_are_found_through_their_descriptors(tmp_path: Path) -> None:
    node = holders.node(1, 7, tmp_path / "bus")
    other = holders.node(1, 8, tmp_path / "bus")
    process(tmp_path, 20, "/usr/libexec/gvfsd-mtp", Path("/dev/null"), node)
    process(tmp_path, 3, "", node)
    process(tmp_path, 4, "/usr/bin/adb", other)
    process(tmp_path, os.getpid(), "python", node)
    (tmp_path / "self").mkdir()

    found = holders.holders(node, tmp_path)

    assert found == (holders.Holder(3, "kernel-name"), holders.Holder(20, "gvfsd-mtp"))
    assert holders.told(found) == "kernel-name (process 3) and gvfsd-mtp (process 20)"
    assert str(node).endswith("001/007".replace("/", os.sep))


def test_nothing_is_known_of_holders_where_there_is_no_proc(tmp_path: Path) -> None:
    assert holders.holders(tmp_path / "node", tmp_path / "nowhere") == ()
    assert holders.told(()) == "another program"
    assert "gio mount" in holders.advice(())
    assert "kiod" in holders.advice(())


@pytest.mark.parametrize(
    ("program", "command"),
    [
        ("gvfsd-mtp", "gio mount --unmount-scheme=mtp"),
        ("gvfsd-gphoto2", "gio mount --unmount-scheme=gphoto2"),
        ("kiod6", "kquitapp6 kiod6"),
        ("kiod5", "kquitapp5 kiod5"),
        ("adb", "adb kill-server"),
        ("jmtpfs", "fusermount -u DIRECTORY (where it is mounted)"),
        ("photos", "close photos (process 9)"),
    ],
)
def test_each_holder_lets_go_in_its_own_way(program: str, command: str) -> None:
    assert holders.advice((holders.Holder(9, program), holders.Holder(9, program))) == command


def test_rule_for_udev_names_the_device_only() -> None:
    rule = 'SUBSYSTEM=="usb", ATTR{idVendor}=="091e", ATTR{idProduct}=="4c05"'

    assert holders.rule(0x091E, 0x4C05) == rule + ', MODE="0660", TAG+="uaccess"'
    assert holders.rule(0x091E, 0x4C05) in holders.permission(0x091E, 0x4C05)


def usb_device(root: Path, name: str, number: int, interface: str, *, may: bool) -> None:
    sysfs = root / "sys" / name
    values = {"busnum": "1", "devnum": str(number), "idVendor": "18d1", "idProduct": "4ee2"}
    (sysfs / f"{name}:1.0").mkdir(parents=True)
    for file, text in {**values, "product": name}.items():
        (sysfs / file).write_text(f"{text}\n")
    what = "bInterfaceClass" if interface == "06" else "interface"
    (sysfs / f"{name}:1.0" / what).write_text(f"{interface}\n")
    node = holders.node(1, number, root / "dev")
    node.parent.mkdir(parents=True, exist_ok=True)
    node.touch()
    node.chmod(0o600 if may else 0o000)


@pytest.mark.skipif(os.name == "nt", reason="permissions")
def test_device_that_libmtp_may_not_even_see_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usb_device(tmp_path, "phone", 1, "MTP", may=False)
    usb_device(tmp_path, "camera", 2, "06", may=False)
    usb_device(tmp_path, "keyboard", 3, "HID", may=False)
    usb_device(tmp_path, "mine", 4, "MTP", may=True)
    (tmp_path / "sys" / "usb1").mkdir()
    monkeypatch.setattr(  # root may everything
        os, "access", lambda path, _mode: bool(Path(path).stat().st_mode & 0o600)
    )

    found = holders.forbidden(tmp_path / "sys", tmp_path / "dev")

    assert found == ((0x18D1, 0x4EE2, "camera"), (0x18D1, 0x4EE2, "phone"))


def test_device_without_a_name_has_one() -> None:
    found = {
        "vendor_id": 1, "product_id": 2, "vendor": "", "product": "", "bus": 250, "number": 250,
        "serial": None, "why": "failed", "text": "PANIC",
    }  # fmt: skip

    device = described(found)

    assert device.name == "unknown device"
    assert device.why == "it does not answer (PANIC)"
    assert "plug it in again" in device.remedy


# -- the library -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("platform", "release", "command"),
    [
        ("linux", "ID=debian\n", "apt install libmtp9"),
        ("linux", 'ID=linuxmint\nID_LIKE="ubuntu debian"\n', "apt install libmtp9"),
        ("linux", "NAME=Fedora\nID=fedora\n", "dnf install libmtp"),
        ("linux", 'ID="rocky"\nID_LIKE="rhel centos fedora"\n', "dnf install libmtp"),
        ("linux", "", "brew"),
        ("darwin", "", "brew install libmtp"),
    ],
)
def test_missing_library_comes_with_the_next_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, platform: str, release: str, command: str
) -> None:
    file = tmp_path / "os-release"
    file.write_text(release)
    monkeypatch.setattr(loader, "CANDIDATES", {"linux": ("libmtp.so.none",), "darwin": ("none",)})

    with pytest.raises(errors.DeviceUnavailable, match="not installed") as missing:
        loader.load(platform, {}, file)

    assert command in missing.value.remedy


def test_windows_has_no_libmtp() -> None:
    with pytest.raises(errors.DeviceUnavailable, match="Windows"):
        loader.load("win32", {})


# -- which object it is ----------------------------------------------------------------------------


def row(number: int, name: str, size: int = 5) -> RemoteObject:
    return RemoteObject(
        id=number, parent_id=ROOT, storage_id=1, name=name, size_bytes=size, modified_s=0,
        is_folder=False,
    )  # fmt: skip


def sent(**known: object) -> Sent:
    return Sent(1, ROOT, "a", 5, (1, 2), {"id": 7, "bytes": 5, **known})


@pytest.mark.parametrize(
    ("rows", "denied", "number"),
    [
        ([row(6, "a"), row(7, "b")], False, 7),  # the number it got goes before its name
        ([row(6, "a")], False, 6),
        ([row(6, "a")], True, None),  # an older one, for all that is known
        ([row(7, "a", 3)], True, 7),
        ([], False, None),
    ],
)
def test_what_was_sent_is_found_in_its_folder(
    rows: list[RemoteObject], denied: bool, number: int | None
) -> None:
    found = sent().among(tuple(rows), denied=denied)

    assert (found and found.id) == number


@pytest.mark.parametrize(
    ("rows", "surely"),
    [
        ([row(7, "b")], True),
        ([row(7, "b"), row(6, "a")], False),  # the number may have been a guess
        ([row(7, "b"), row(6, "a", 4)], True),
        ([row(7, "b", 4)], False),
    ],
)
def test_what_has_another_name_is_removed_only_when_it_is_surely_ours(
    rows: list[RemoteObject], surely: bool
) -> None:
    assert sent().is_surely(rows[0], tuple(rows)) is surely


@pytest.mark.parametrize(
    ("known", "error", "may"),
    [
        ({}, errors.DeviceError("x"), True),
        ({}, errors.DeviceLost("x"), True),
        ({}, errors.Cancelled("x"), False),
        ({}, errors.SourceChanged("x"), False),
        ({"bytes": 4}, errors.DeviceError("x"), False),
        ({"id": 0}, errors.DeviceError("x"), False),
    ],
)
def test_refused_file_may_be_there_when_all_of_it_was_taken(
    known: dict[str, object], error: errors.MtpSyncError, may: bool
) -> None:
    assert sent(**known).may_be_there(error) is may


@pytest.mark.parametrize(
    ("seen", "told"),
    [
        ({"name": "a", "size_bytes": 5}, True),
        ({"name": "A", "size_bytes": 5}, False),
        ({"name": "a", "size_bytes": 0}, False),
        (None, False),
    ],
)
def test_device_describes_what_was_sent(seen: dict[str, object] | None, told: bool) -> None:
    assert sent(seen=seen).as_told() is told

"""Faults and profiles of the fake libmtp as values, and the document that names them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import simulators.fake_libmtp as package
from simulators.fake_libmtp import PROFILES, FakeUsb, Fault, FaultError, Profile, Storage
from simulators.fake_libmtp.faults import FUNCTIONS, KINDS, OPERATIONS, quoted

C = Path(package.__file__).parent / "c"


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"on": "SendObject", "fault": "melt"}, "there is no fault 'melt'"),
        ({"on": "STOR", "fault": "io_error"}, "no operation or function 'STOR'"),
        ({"on": "SendObject|STOR", "fault": "io_error"}, "'STOR'"),
        ({"on": "SendObject", "fault": "response"}, "needs code"),
        ({"on": "SendObject", "fault": "response", "code": 0x2001}, "0x2001"),
        ({"on": "GetObject", "fault": "short_download"}, "needs after_bytes"),
        ({"on": "GetObject", "fault": "lie", "after_bytes": 1}, "inside the data"),
        ({"on": "GetObject", "fault": "timeout", "when": "later"}, "before or after"),
        ({"on": "SendObject", "fault": "timeout", "when": "after", "after_bytes": 1}, "no after"),
        ({"on": "SendObject", "fault": "io_error", "nth": -1}, "negative"),
        ({"on": "SendObject", "fault": "io_error", "times": 0}, "at least 1"),
        ({"on": "SendObject", "fault": "io_error", "chance": 1.5}, "between 0 and 1"),
        ({"on": "SendObject", "fault": "io_error", "bytes": 1}, "unknown keys: bytes"),
        ({"on": "SendObject", "fault": "io_error", "nth": "2"}, "it is a int"),
        ({"on": "SendObject", "fault": "io_error", "nth": True}, "it is a int"),
        ({"fault": "io_error"}, "on is missing"),
    ],
)
def test_fault_that_makes_no_sense_says_why(values: dict[str, object], complaint: str) -> None:
    with pytest.raises(FaultError, match=re.escape(complaint)):
        Fault.from_dict(values)


def test_fault_is_one_line_without_blanks_in_its_values() -> None:
    fault = Fault(fault="show_name", on="GetObjectInfo", name="a [1]*", as_name="x\n%ü\udcff")

    words = dict(word.split("=", 1) for word in fault.line().split(" "))

    assert words["name"] == "a%20\\[1]*"
    assert words["as_name"] == "x%0A%25%C3%BC%FF"
    assert "path" not in words


def test_fault_on_a_function_that_another_one_does() -> None:
    fault = Fault(fault="io_error", on="Send_File_From_File|Get_File_To_File|GetObject")

    assert "on=Send_File_From_File_Descriptor|Get_File_To_File_Descriptor|GetObject" in fault.line()


def test_whole_numbers_are_seconds_too() -> None:
    assert Fault.from_dict({"on": "*", "fault": "slow", "seconds": 2}).seconds == 2.0


def test_quoted_is_ascii_without_blanks() -> None:
    assert quoted("a b%\n") == "a%20b%25%0A"


def test_kinds_are_those_of_the_library_and_of_the_document() -> None:
    source = (C / "faults.c").read_text(encoding="utf-8")
    names = re.search(r"NAMES\[\] = \{(.*?)\};", source, re.DOTALL)
    assert names
    cells = re.findall(r"^\| ([a-z_, ]+) \|", package.__doc__ or "", re.MULTILINE)
    documented = {name for cell in cells for name in cell.split(", ")} - {"fault"}

    assert set(re.findall(r'"(\w+)"', names[1])) == set(KINDS) == documented


def test_addresses_are_those_of_the_library() -> None:
    source = "".join(file.read_text(encoding="utf-8") for file in C.glob("*.c"))

    unknown = {name for name in OPERATIONS | FUNCTIONS if f'"{name}"' not in source}
    assert unknown == {"Get_File_To_File", "Send_File_From_File"}  # others do their work


def test_library_knows_every_rule_of_a_profile(tmp_path: Path) -> None:
    source = (C / "state.c").read_text(encoding="utf-8")
    device = FakeUsb(tmp_path).plug("android_card", utc_offset=0)
    written = (device.folder / "profile").read_text(encoding="ascii").splitlines()

    keys = {line.partition("=")[0].removeprefix("storage.1.") for line in written}
    keys = {key for key in keys if not key.startswith("storage.0.")}

    assert [key for key in keys if f'"{key}"' not in source] == []
    assert {"overwrite", "latency_us", "fat", "root", "serial"} <= keys


@pytest.mark.parametrize("name", PROFILES)
def test_profile_is_plugged_in_with_its_storages(tmp_path: Path, name: str) -> None:
    device = FakeUsb(tmp_path).plug(name)

    assert len(device.storages) == len(PROFILES[name].storages)
    assert [s.id for s in device.storages] == [0x10001, 0x20001][: len(device.storages)]
    assert device.storage().free == PROFILES[name].storages[0].free


def test_device_needs_storages(tmp_path: Path) -> None:
    for storages in ([], [Storage()] * 5):
        with pytest.raises(ValueError, match="1 to 4 storages"):
            FakeUsb(tmp_path).plug(Profile(), storages=storages)


def test_rule_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="colour"):
        FakeUsb(tmp_path).plug("android", colour="red")

"""The fake libmtp's faults: where each strikes, what libmtp makes of it, how it goes on."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest

from mtpsync.libmtp import abi
from simulators.fake_libmtp import Storage
from simulators.fake_libmtp.faults import KINDS
from tests.helpers.mtp import DiedError, MtpProgram, bench, by_name, codes

ID = 0x10001
DATA = "0123456789" * 10_000


def listed(program: MtpProgram, **where: int) -> dict[str | None, dict[str, Any]]:
    return by_name(program.list(**where))


# -- during an upload ------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["io_error", "stall", "timeout"])
def test_upload_breaks_off_and_the_session_is_out_of_step(tmp_path: Path, kind: str) -> None:
    fault = {"on": "SendObject", "fault": kind, "after_bytes": 65536}
    with bench(tmp_path, faults=[fault]) as b:
        b.phone.storage().put("/there", b"")
        program = b.program()

        assert program.upload(name="a", data=DATA)["code"] == -1

        assert codes(program.errors()) == ["02ff"]
        assert program.list() is None
        assert codes(program.errors()) == ["02ff"]
        program.release()
        assert program.open() == 0
        assert list(listed(program)) == ["there"]
        assert b.struck() == [kind]


def test_fault_lies_exactly_at_its_byte(tmp_path: Path) -> None:
    fault = {"on": "Send_File_From_Handler", "fault": "io_error", "after_bytes": 12345}
    with bench(tmp_path, faults=[fault], keeps_partial=True) as b:
        b.program().upload(name="a", data=DATA)

        assert b.phone.storage().get("/a") == DATA.encode()[:12345]


def test_upload_shorter_than_the_faults_place_is_not_hit(tmp_path: Path) -> None:
    fault = {"on": "SendObject", "fault": "io_error", "after_bytes": 65536}
    with bench(tmp_path, faults=[fault]) as b:
        assert b.program().upload(name="a", data="short")["code"] == 0
        assert b.struck() == []


def test_fault_is_addressed_by_name_and_count_across_processes(tmp_path: Path) -> None:
    fault = {
        "on": "Send_File_From_Handler",
        "nth": 2,
        "fault": "io_error",
        "after_bytes": 10,
        "name": "*.jpg",
    }
    with bench(tmp_path, faults=[fault]) as b:
        first = b.program()
        assert first.upload(name="a.jpg", data=DATA)["code"] == 0
        assert first.upload(name="a.txt", data=DATA)["code"] == 0
        first.kill()
        second = b.program()

        assert second.upload(name="b.txt", data=DATA)["code"] == 0
        assert second.upload(name="b.jpg", data=DATA)["code"] == -1
        assert b.phone.matches(0) == 2


def test_fault_is_addressed_by_path(tmp_path: Path) -> None:
    fault = {"on": "DeleteObject", "fault": "response", "code": 0x200F, "path": "/D[1]/*", "nth": 0}
    with bench(tmp_path, faults=[fault]) as b:
        for path in ("/D[1]/a", "/D1/a", "/a"):
            b.phone.storage().put(path, b"")
        program = b.program()
        rows = program.list(parent=0)

        results = [program.delete(id=row["id"]) for row in rows if row["name"] == "a"]

        assert sorted(results) == [-1, 0, 0]
        assert "/D[1]/a" in b.phone.storage().tree()


def test_new_object_is_addressed_by_the_path_it_will_have(tmp_path: Path) -> None:
    fault = {"on": "SendObjectInfo", "fault": "response", "code": 0x200F, "nth": 0}
    with bench(tmp_path, faults=[{**fault, "path": "/D/*"}, {**fault, "path": "/top"}]) as b:
        b.phone.storage().mkdir("/D")
        program = b.program()
        folder = listed(program)["D"]["id"]

        assert program.mkdir(name="x", parent=folder) == 0
        assert program.upload(name="y", data="y", parent=folder)["code"] == -1
        assert program.upload(name="top", data="t")["code"] == -1
        assert program.mkdir(name="x") != 0


def test_same_seed_same_faults(tmp_path: Path) -> None:
    fault = {"on": "SendObjectInfo", "fault": "response", "code": 0x2019, "chance": 0.5, "nth": 0}

    def run(folder: str, seed: int) -> list[int]:
        with bench(tmp_path / folder, faults=[fault], seed=seed) as b:
            program = b.program()
            return [program.upload(name=f"{n}")["code"] for n in range(20)]

    first = run("one", 7)
    assert first == run("two", 7)
    assert len(set(first)) == 2
    assert first != run("three", 8)


def test_unplugged_in_an_upload(tmp_path: Path) -> None:
    fault = {"on": "SendObject", "fault": "no_device", "after_bytes": 50_000}
    with bench(tmp_path, faults=[fault]) as b:
        program = b.program()

        assert program.upload(name="a", data=DATA)["code"] == -1

        assert codes(program.errors()) == ["02ff"]
        assert program.detect()["code"] == abi.ERROR_NO_DEVICE_ATTACHED
        assert b.phone.storage().tree() == {}
        program.release()
        b.phone.replug()
        assert program.open() == 0


def test_answer_to_a_complete_upload_never_comes(tmp_path: Path) -> None:
    fault = {"on": "SendObject", "fault": "timeout", "when": "after"}
    with bench(tmp_path, faults=[fault]) as b:
        program = b.program()

        assert program.upload(name="a", data=DATA)["code"] == -1

        assert codes(program.errors()) == ["02ff"]
        program.release()
        assert program.open() == 0
        assert listed(program)["a"]["size"] == len(DATA)


@pytest.mark.parametrize(("times", "code"), [(1, 0), (2, -1)])
def test_reading_back_a_complete_upload_is_tried_twice(
    tmp_path: Path, times: int, code: int
) -> None:
    fault = {"on": "GetObjectInfo", "fault": "response", "code": 0x2019, "times": times}
    with bench(tmp_path, faults=[fault]) as b:
        program = b.program()

        assert program.upload(name="a", data="abc")["code"] == code

        assert len(program.errors()) == (1 if code else 0)
        assert listed(program)["a"]["size"] == 3


def test_name_plate_stays_until_replugging(tmp_path: Path) -> None:
    with bench(tmp_path, faults=[{"on": "SendObject", "fault": "io_error"}]) as b:
        program = b.program()
        assert program.upload(name="a", data="abc")["code"] == -1
        program.end()

        second = b.program()
        assert second.list() is None
        assert second.upload(name="a", data="abc")["code"] == -1
        assert codes(second.errors()) == ["2002"]
        assert second.mkdir(name="a") == 0
        second.end()
        b.phone.replug()
        assert b.program().upload(name="a", data="abc")["code"] == 0


def test_hang_lasts_also_for_the_release_and_ends_with_the_process(tmp_path: Path) -> None:
    fault = {"on": "SendObject", "fault": "hang", "after_bytes": 100}
    with bench(tmp_path, faults=[fault]) as b:
        program = b.program()
        program.start("upload", name="a", data=DATA)
        assert not program.answered(0.5)

        program.kill()

        assert b.program().upload(name="a", data=DATA)["code"] == 0


def test_hang_may_end(tmp_path: Path) -> None:
    fault = {"on": "GetObjectHandles", "fault": "hang", "seconds": 0.2}
    with bench(tmp_path, faults=[fault]) as b:
        program = b.program()

        assert program.list() is None
        assert codes(program.errors()) == ["02ff"]
        program.release()

        calls = b.usb.ledger.calls("Get_Files_And_Folders", "Release_Device")
        assert [call.seconds >= 0.2 for call in calls] == [True, True]


@pytest.mark.parametrize("code", [0x200C, 0x200F, 0x200D, 0x200E, 0x2019, 0x2002, 0x2003])
def test_refused_writing_operations_name_the_code(tmp_path: Path, code: int) -> None:
    on = "SendObjectInfo|DeleteObject|MoveObject|SetObjectPropValue"
    fault = {"on": on, "fault": "response", "code": code, "nth": 0}
    with bench(tmp_path) as b:
        b.phone.storage().put("/a", b"a")
        program = b.program()
        number = listed(program)["a"]["id"]
        b.phone.inject(fault)

        assert program.upload(name="b", data="b")["code"] == -1
        assert program.mkdir(name="d") == 0
        assert program.delete(id=number) == -1
        assert program.move(id=number, parent=0) == -1
        assert program.rename(id=number, name="c") == -1

        errors = program.errors()
        assert codes(errors)[:1] == [f"{code:04x}"]
        assert {c for c in codes(errors) if len(c) == 4} == {f"{code:04x}"}
        assert {number for number, _text in errors} == {abi.ERROR_PTP_LAYER}
        b.phone.clear_faults()
        assert program.delete(id=number) == 0


def test_busy_device_is_busy_for_a_burst(tmp_path: Path) -> None:
    fault = {"on": "DeleteObject", "fault": "response", "code": 0x2019, "times": 3}
    with bench(tmp_path, faults=[fault]) as b:
        b.phone.storage().put("/a", b"a")
        program = b.program()
        number = listed(program)["a"]["id"]

        assert [program.delete(id=number) for _ in range(4)] == [-1, -1, -1, 0]


def test_refusal_after_the_deed(tmp_path: Path) -> None:
    fault = {"on": "Delete_Object", "fault": "response", "code": 0x2002, "when": "after"}
    with bench(tmp_path, faults=[fault]) as b:
        b.phone.storage().put("/a", b"a")
        program = b.program()

        assert program.delete(id=listed(program)["a"]["id"]) == -1
        assert b.phone.storage().tree() == {}


@pytest.mark.parametrize("function", ["delete", "rename", "mkdir", "upload"])
def test_lie_is_success_and_nothing_done(tmp_path: Path, function: str) -> None:
    with bench(tmp_path) as b:
        b.phone.storage().put("/a", b"a")
        program = b.program()
        number = listed(program)["a"]["id"]
        b.phone.inject({"on": "*", "fault": "lie", "nth": 0})

        if function == "delete":
            assert program.delete(id=number) == 0
        elif function == "rename":
            assert program.rename(id=number, name="b") == 0
        elif function == "mkdir":
            assert program.mkdir(name="d") != 0
        else:
            assert program.upload(name="b", data="b")["code"] == -1

        assert b.phone.storage().tree() == {"/a": b"a"}
        assert set(b.struck()) == {"lie"}


# -- during a download -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "code"),
    [("io_error", "02ff"), ("stall", "02ff"), ("timeout", "02fa"), ("hang", "02ff")],
)
def test_download_breaks_off_and_left_over_bytes_stay(tmp_path: Path, kind: str, code: str) -> None:
    fault = {"on": "Get_File_To_Handler", "fault": kind, "after_bytes": 20_000}
    with bench(tmp_path, faults=[{**fault, "seconds": 0.01}]) as b:
        b.phone.storage().put("/a", DATA.encode())
        program = b.program()
        number = listed(program)["a"]["id"]

        got = program.download(id=number)

        assert (got["code"], got["bytes"]) == (-1, 20_000)
        assert codes(program.errors()) == [code]
        assert program.list() is None
        assert codes(program.errors()) == ["02fe"]
        program.release()
        assert program.open() == 0
        assert program.download(id=number)["bytes"] == len(DATA)


def test_short_download_is_success(tmp_path: Path) -> None:
    fault = {"on": "GetObject", "fault": "short_download", "after_bytes": 33_333}
    with bench(tmp_path, faults=[fault]) as b:
        b.phone.storage().put("/a", DATA.encode())
        program = b.program()
        row = listed(program)["a"]

        got = program.download(id=row["id"])

        assert (got["code"], got["bytes"], row["size"]) == (0, 33_333, len(DATA))
        assert program.errors() == []
        assert program.download(id=row["id"])["bytes"] == len(DATA)


def test_byte_is_changed_on_its_way_down_and_up(tmp_path: Path) -> None:
    fault = {"on": "GetObject|SendObject", "fault": "corrupt_byte", "after_bytes": 7, "times": 2}
    with bench(tmp_path, faults=[fault]) as b:
        b.phone.storage().put("/a", b"0123456789")
        program = b.program()

        got = program.download(id=listed(program)["a"]["id"])
        sent = program.upload(name="b", data="0123456789")

        assert (got["code"], sent["code"]) == (0, 0)
        assert got["head"] == "0123456\x1789"
        assert b.phone.storage().get("/b") == b"0123456\x1789"


def test_part_cannot_be_read_and_nothing_says_why(tmp_path: Path) -> None:
    fault = {"on": "GetPartialObject", "fault": "response", "code": 0x2002}
    with bench(tmp_path, faults=[fault]) as b:
        b.phone.storage().put("/a", b"0123456789")
        program = b.program()
        number = listed(program)["a"]["id"]

        assert program.partial(id=number, offset=2, most=3) == {"code": -1, "data": None}
        assert program.errors() == []
        assert program.partial(id=number, offset=2, most=3) == {"code": 0, "data": "234"}


def test_cancel_that_is_answered_late_costs_one_call(tmp_path: Path) -> None:
    with bench(tmp_path) as b:
        b.phone.storage().put("/a", DATA.encode())
        b.phone.inject({"on": "SendObject|GetObject", "fault": "late_cancel", "nth": 0})
        program = b.program()
        number = listed(program)["a"]["id"]

        for cancelled in ("upload", "download"):
            if cancelled == "upload":
                program.upload(name="b", data=DATA, answer_at=[3, abi.HANDLER_CANCEL])
            else:
                program.download(id=number, answer_at=[3, abi.HANDLER_CANCEL])
            assert codes(program.errors()) == ["8"]
            assert program.list() is None
            assert codes(program.errors()) == ["02fe"]
            assert list(listed(program)) == ["a"]


# -- lists -----------------------------------------------------------------------------------------


def test_list_that_fails_is_null_and_only_the_probe_tells_the_code(tmp_path: Path) -> None:
    fault = {"on": "GetObjectHandles|GetNumObjects", "fault": "response", "code": 0x2019}
    with bench(tmp_path, faults=[{**fault, "times": 2}]) as b:
        b.phone.storage().put("/a", b"")
        program = b.program()

        assert program.list() is None
        assert codes(program.errors()) == ["02fe"]
        assert program.custom(operation=0x1006, parameters=[ID, 0, abi.ROOT]) == -1
        assert codes(program.errors()) == ["2019"]
        assert list(listed(program)) == ["a"]


def test_empty_list_is_a_lie_without_an_error(tmp_path: Path) -> None:
    fault = {"on": "Get_Files_And_Folders", "fault": "empty_list", "name": "D"}
    with bench(tmp_path, faults=[fault]) as b:
        b.phone.storage().put("/D/a", b"")
        program = b.program()
        folder = listed(program)["D"]["id"]

        assert program.list(parent=folder) is None
        assert program.errors() == []
        assert list(listed(program, parent=folder)) == ["a"]


def test_one_child_is_missing_and_nothing_tells(tmp_path: Path) -> None:
    fault = {"on": "Get_Files_And_Folders", "fault": "missing", "name": "b", "nth": 0}
    with bench(tmp_path, newer=True, faults=[fault]) as b:
        for name in "abc":
            b.phone.storage().put(f"/{name}", b"")
        program = b.program()

        assert list(listed(program)) == ["a", "c"]
        assert program.errors() == []
        assert len(program.children()) == 3


@pytest.mark.parametrize("kind", ["duplicate", "ghost", "cycle"])
def test_lists_with_a_number_too_many(tmp_path: Path, kind: str) -> None:
    fault = {"on": "GetObjectHandles", "fault": kind, "path": "/A/B", "nth": 0}
    fault |= {"as_path": "/A"} if kind == "cycle" else {}
    with bench(tmp_path, newer=True, faults=[fault]) as b:
        b.phone.storage().put("/A/B/c", b"")
        program = b.program()
        upper = listed(program)["A"]["id"]
        folder = listed(program, parent=upper)["B"]["id"]

        names = [row["name"] for row in program.list(parent=folder)]
        numbers = program.children(parent=folder)

        assert names == {"duplicate": ["c", "c"], "ghost": ["c"], "cycle": ["c", "A"]}[kind]
        assert len(numbers) == 2
        assert (program.metadata(id=numbers[1]) is None) is (kind == "ghost")
        assert (numbers[1] == upper) is (kind == "cycle")


def test_folder_contains_itself(tmp_path: Path) -> None:
    with bench(tmp_path, faults=[{"on": "GetObjectHandles", "fault": "cycle", "name": "A"}]) as b:
        b.phone.storage().mkdir("/A")
        program = b.program()
        folder = listed(program)["A"]["id"]

        assert [row["id"] for row in program.list(parent=folder)] == [folder]


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "a/b", "", "..", "new\nline", "\udcff\udcfe", "x" * 5000, None]
)
def test_hostile_names_from_the_device(tmp_path: Path, name: str | None) -> None:
    fault = {"on": "GetObjectInfo", "fault": "show_name", "name": "a"}
    with bench(tmp_path, faults=[fault if name is None else {**fault, "as_name": name}]) as b:
        b.phone.storage().put("/a", b"")

        assert list(listed(b.program())) == [name]


def test_two_objects_claim_one_name(tmp_path: Path) -> None:
    fault = {"on": "GetObjectInfo", "fault": "show_name", "name": "b", "as_name": "a"}
    with bench(tmp_path, faults=[fault]) as b:
        b.phone.storage().put("/a", b"1")
        b.phone.storage().put("/b", b"22")

        assert [(r["name"], r["size"]) for r in b.program().list()] == [("a", 1), ("a", 2)]


def test_device_says_another_parent_and_another_size(tmp_path: Path) -> None:
    faults = [
        {"on": "GetObjectInfo", "fault": "show_parent", "value": 99},
        {"on": "GetObjectInfo", "fault": "show_size", "value": 1 << 40},
    ]
    with bench(tmp_path, "player", faults=faults) as b:
        b.phone.storage().put("/a", b"abc")

        row = listed(b.program())["a"]
        assert (row["parent"], row["size"]) == (99, 1 << 40)


# -- what the device does with a file --------------------------------------------------------------


def test_device_keeps_a_file_under_another_name(tmp_path: Path) -> None:
    fault = {"on": "Send_File_From_Handler", "fault": "stored_as", "as_name": "a.dup0"}
    with bench(tmp_path, faults=[fault]) as b:
        program = b.program()

        sent = program.upload(name="a", data="a")

        assert sent["code"] == 0
        assert program.metadata(id=sent["file"]["id"])["name"] == "a.dup0"
        assert b.phone.storage().tree() == {"/a.dup0": b"a"}


def test_device_cuts_a_file_and_says_nothing(tmp_path: Path) -> None:
    fault = {"on": "SendObject", "fault": "store_cut", "after_bytes": 10}
    with bench(tmp_path, faults=[fault]) as b:
        program = b.program()

        assert program.upload(name="a", data=DATA)["code"] == 0
        assert program.errors() == []
        assert b.phone.storage().get("/a") == DATA.encode()[:10]


# -- opening and sessions --------------------------------------------------------------------------


def test_lost_session_is_2003_for_writing_and_02fe_for_reading(tmp_path: Path) -> None:
    fault = {"on": "GetObjectHandles", "fault": "session_lost"}
    with bench(tmp_path, faults=[fault]) as b:
        b.phone.storage().put("/a", b"")
        program = b.program()

        assert program.list() is None
        assert program.mkdir(name="d") == 0
        assert program.list() is None
        assert codes(program.errors()) == ["02fe", "2003", "02fe"]

        assert program.custom(operation=0x1002, parameters=[1]) == 0
        assert list(listed(program)) == ["a"]


@pytest.mark.parametrize("kind", ["busy", "no_access"])
def test_claim_fails_a_few_times(tmp_path: Path, kind: str) -> None:
    fault = {"on": "Open_Raw_Device_Uncached", "fault": kind, "times": 2}
    with bench(tmp_path, faults=[fault]) as b:
        program = b.program(opened=False)

        assert [program.open() for _ in range(3)] == [None, None, 0]
        assert ("busy" in program.stderr()) is (kind == "busy")
        assert ("denied" in program.stderr()) is (kind == "no_access")


def test_session_that_opens_at_the_second_try(tmp_path: Path) -> None:
    with bench(tmp_path, faults=[{"on": "OpenSession", "fault": "timeout"}]) as b:
        program = b.program()

        assert "trying again after resetting USB" in program.stderr()
        assert program.list() is None
        assert program.errors() == []


@pytest.mark.parametrize(
    "fault",
    [
        {"on": "OpenSession", "fault": "timeout", "times": 2},
        {"on": "GetDeviceInfo", "fault": "response", "code": 0x2002},
    ],
)
def test_failed_open_leaks_the_claim_of_its_process(
    tmp_path: Path, fault: dict[str, object]
) -> None:
    with bench(tmp_path, faults=[fault]) as b:
        program = b.program(opened=False)

        assert [program.open() for _ in range(3)] == [None, None, None]
        assert "device is busy" in program.stderr()

        program.end()
        assert b.program(opened=False).open() == 0


def test_no_storages_for_a_while(tmp_path: Path) -> None:
    fault = {"on": "GetStorageIDs", "fault": "no_storages", "times": 3}
    with bench(tmp_path, faults=[fault]) as b:
        program = b.program()
        program.errors()

        assert [program.storages()["code"] for _ in range(3)] == [-1, -1, 0]
        assert program.errors() == []


def test_storage_information_fails(tmp_path: Path) -> None:
    with bench(tmp_path) as b:
        program = b.program()
        b.phone.inject({"on": "Get_Storage", "fault": "response", "code": 0x2008})

        assert program.storages() == {"code": -1, "storages": []}
        assert codes(program.errors()) == ["02fe"]


def test_storage_goes_in_the_middle(tmp_path: Path) -> None:
    fault = {"on": "SendObject", "fault": "storage_gone", "value": ID, "after_bytes": 100}
    with bench(tmp_path, faults=[fault]) as b:
        program = b.program()

        assert program.upload(name="a", data=DATA)["code"] == -1
        assert codes(program.errors()) == ["2013"]
        assert program.storages()["storages"] == []


def test_unknown_size_of_sizes(tmp_path: Path) -> None:
    fault = {"on": "GetObjectPropDesc", "fault": "response", "code": 0x2005}
    with bench(tmp_path, faults=[fault]) as b:
        assert b.program().facts()["bitsize"] == 32


@pytest.mark.parametrize(("kind", "number"), [("crash", signal.SIGSEGV), ("abort", signal.SIGABRT)])
def test_crash_ends_the_process_and_the_next_goes_on(
    tmp_path: Path, kind: str, number: int
) -> None:
    fault = {"on": "SendObject", "fault": kind, "after_bytes": 100}
    with bench(tmp_path, faults=[fault]) as b:
        program = b.program()

        with pytest.raises(DiedError) as died:
            program.upload(name="a", data=DATA)

        assert died.value.code == -number
        assert b.struck() == [kind]
        assert b.program().upload(name="a", data=DATA)["code"] == 0


def test_slow_operations_take_their_time(tmp_path: Path) -> None:
    faults = [
        {"on": "GetObjectHandles", "fault": "slow", "seconds": 0.1},
        {"on": "SendObject", "fault": "slow", "seconds": 0.1, "after_bytes": 50_000},
    ]
    with bench(tmp_path, faults=faults) as b:
        program = b.program()

        program.list()
        assert program.upload(name="a", data=DATA)["code"] == 0

        calls = b.usb.ledger.calls("Get_Files_And_Folders", "Send_File_From_Handler")
        assert all(call.seconds >= 0.1 for call in calls)
        assert b.phone.storage().get("/a") == DATA.encode()


def test_latency_and_bandwidth_of_a_device(tmp_path: Path) -> None:
    with bench(tmp_path, latency_us=20_000, bytes_per_s=1_000_000) as b:
        program = b.program()
        program.list()
        program.upload(name="a", data=DATA)

        listing, upload = b.usb.ledger.calls("Get_Files_And_Folders", "Send_File_From_Handler")
        assert listing.seconds >= 0.02
        assert upload.seconds >= 0.1


def test_fault_on_one_device_leaves_the_other_alone(tmp_path: Path) -> None:
    fault = {"on": "SendObject", "fault": "io_error", "after_bytes": 1, "nth": 0}
    with bench(tmp_path, faults=[fault]) as b:
        other = b.usb.plug("android", storages=[Storage()])
        program = b.program()
        assert program.open(number=1) == 1

        assert program.upload(d=0, name="a", data=DATA)["code"] == -1
        assert program.upload(d=1, name="a", data=DATA)["code"] == 0
        assert other.storage().get("/a") == DATA.encode()


def test_every_kind_of_fault_is_tested_here() -> None:
    source = Path(__file__).read_text(encoding="utf-8")

    assert [kind for kind in KINDS if f'"{kind}"' not in source] == []

"""The fake libmtp's devices: each rule that real ones have, seen through the library."""

from __future__ import annotations

import os
import random
import time
from pathlib import Path
from typing import Any

import pytest

from mtpsync.libmtp import abi
from simulators.fake_libmtp import Storage
from tests.helpers.mtp import Bench, bench, by_name, codes

ID = 0x10001
CARD = 0x20001


def listed(program: Any, **where: int) -> dict[str | None, dict[str, Any]]:
    return by_name(program.list(**where))


# -- finding and opening ---------------------------------------------------------------------------


def test_nothing_is_plugged_in(tmp_path: Path) -> None:
    with bench(tmp_path) as b:
        b.phone.unplug()
        program = b.program(opened=False)

        assert program.detect() == {"code": abi.ERROR_NO_DEVICE_ATTACHED, "devices": []}
        assert program.open() is None


def test_known_device_is_named_on_stdout(tmp_path: Path) -> None:
    with bench(tmp_path) as b:
        program = b.program(opened=False)

        found = program.detect()

        (device,) = found["devices"]
        assert (found["code"], device["vendor_id"], device["product_id"]) == (0, 0x18D1, 0x4EE2)
        assert "Device 0 (VID=18d1 and PID=4ee2) is a Google Inc" in program.stdout()


def test_unknown_device_has_no_names_and_is_reported(tmp_path: Path) -> None:
    with bench(tmp_path, "android_unlisted") as b:
        program = b.program(opened=False)

        (device,) = program.detect()["devices"]

        assert device["product"] is None
        assert "is UNKNOWN in libmtp" in program.stdout()


def test_open_device_tells_its_names_and_what_it_can(tmp_path: Path) -> None:
    with bench(tmp_path, serial="0123ABC") as b:
        program = b.program()

        assert program.names() == {
            "Manufacturername": "Google",
            "Modelname": "Pixel 7",
            "Serialnumber": "0123ABC",
            "Friendlyname": "Fake phone",
        }
        facts = program.facts()
        assert facts["bitsize"] == 64
        assert facts["extensions"] == ["microsoft.com", "android.com"]
        assert facts["capabilities"] == [1, 0, 0, 1, 1]
        assert facts["battery"] == [0, 100, 80]
        assert "Android device detected" in program.stdout()


def test_two_devices_are_told_apart_by_serial(tmp_path: Path) -> None:
    with bench(tmp_path, serial="ONE") as b:
        b.usb.plug("player", serial="TWO").storage().put("/song.mp3", b"la")
        program = b.program()

        assert program.open(number=1) == 1
        assert program.names(d=0)["Serialnumber"] == "ONE"
        assert program.names(d=1)["Serialnumber"] == "TWO"
        assert program.list(d=0) is None
        assert list(by_name(program.list(d=1))) == ["song.mp3"]


def test_file_manager_holds_the_interface(tmp_path: Path) -> None:
    with bench(tmp_path) as b:
        b.phone.hold()
        program = b.program(opened=False)

        assert len(program.detect()["devices"]) == 1
        assert program.open() is None
        assert "device is busy, likely in use by GVFS" in program.stderr()

        b.phone.let_go()
        assert program.open() == 0


def test_device_belongs_to_one_process_as_long_as_that_lives(tmp_path: Path) -> None:
    with bench(tmp_path) as b:
        first = b.program()
        second = b.program(opened=False)
        assert second.open() is None

        first.kill()

        assert second.open() == 0


@pytest.mark.parametrize(("profile", "count"), [("android", 1), ("android_unlisted", 0)])
def test_without_permission_only_a_listed_device_is_seen(
    tmp_path: Path, profile: str, count: int
) -> None:
    with bench(tmp_path, profile) as b:
        b.phone.forbid()
        program = b.program(opened=False)

        assert len(program.detect()["devices"]) == count
        assert program.open() is None


def test_replugged_device_is_not_found_under_its_old_address(tmp_path: Path) -> None:
    with bench(tmp_path) as b:
        program = b.program(opened=False)
        before = program.detect()["devices"][0]["devnum"]
        b.phone.replug()

        assert program.open(detect=False) is None
        assert program.open() == 0
        assert program.detect()["devices"][0]["devnum"] != before


# -- locked, storages ------------------------------------------------------------------------------


def test_locked_phone_opens_without_storages_and_shows_them_after_unlocking(tmp_path: Path) -> None:
    with bench(tmp_path) as b:
        b.phone.storage().put("/a.txt", b"a")
        b.phone.lock()
        program = b.program()
        assert program.errors() == [[abi.ERROR_GENERAL, "Get Storage information failed."]]
        assert program.storages(ask=False)["storages"] == []
        assert program.storages() == {"code": -1, "storages": []}
        assert program.errors() == []
        assert program.list() is None
        assert codes(program.errors()) == ["02fe"]

        b.phone.unlock()

        assert program.storages()["code"] == 0
        assert list(listed(program)) == ["a.txt"]


def test_two_storages_are_listed_together_and_apart(tmp_path: Path) -> None:
    with bench(tmp_path, "android_card") as b:
        b.phone.storage(0).put("/inside", b"1")
        b.phone.storage(1).put("/outside", b"2")
        program = b.program()

        assert [s["id"] for s in program.storages()["storages"]] == [ID, CARD]
        assert sorted(x["name"] for x in program.list(storage=0)) == ["inside", "outside"]
        assert list(listed(program, storage=CARD)) == ["outside"]


def test_card_that_is_pulled_out_answers_2008_and_2013(tmp_path: Path) -> None:
    with bench(tmp_path, "android_card") as b:
        b.phone.storage(1).mkdir("/D")
        program = b.program()
        folder = listed(program, storage=CARD)["D"]["id"]

        b.phone.storage(1).take_out()

        assert program.custom(operation=0x1006, parameters=[CARD, 0, abi.ROOT]) == -1
        assert program.delete(id=folder) == -1
        assert codes(program.errors()) == ["2008", "2013"]
        assert program.list(storage=CARD) is None
        assert codes(program.errors()) == ["02fe"]
        assert [s["id"] for s in program.storages()["storages"]] == [ID]


def test_read_only_storage_refuses_200e(tmp_path: Path) -> None:
    with bench(tmp_path, storages=[Storage(access=1)]) as b:
        program = b.program()

        assert program.upload(name="a", data="a")["code"] == -1
        assert program.mkdir(name="d") == 0
        assert codes(program.errors()) == ["200e", "200e"]


# -- listing ---------------------------------------------------------------------------------------


def test_rows_say_what_is_on_the_disk(tmp_path: Path) -> None:
    with bench(tmp_path) as b:
        file = b.phone.storage().put("/Music/a.mp3", b"hello")
        os.utime(file, (1_700_000_000.75, 1_700_000_000.75))
        program = b.program()

        folder = listed(program)["Music"]
        (row,) = program.list(parent=folder["id"])

        assert folder["folder"]
        assert folder["parent"] == 0
        assert row == {
            "id": row["id"],
            "parent": folder["id"],
            "storage": ID,
            "name": "a.mp3",
            "size": 5,
            "mtime": 1_700_000_000,
            "folder": False,
        }
        assert program.metadata(id=row["id"]) == row


def test_empty_folder_is_null_without_an_error(tmp_path: Path) -> None:
    with bench(tmp_path) as b:
        program = b.program()

        assert program.list() is None
        assert program.errors() == []


@pytest.mark.parametrize(
    ("profile", "names"), [("android", ["D", "deep", "top"]), ("player", ["D", "top"])]
)
def test_parent_0_is_everything_on_android_only(
    tmp_path: Path, profile: str, names: list[str]
) -> None:
    with bench(tmp_path, profile) as b:
        b.phone.storage().put("/D/deep", b"")
        b.phone.storage().put("/top", b"")
        program = b.program()

        assert sorted(row["name"] for row in program.list(parent=0)) == names
        assert sorted(row["name"] for row in program.list(parent=abi.ROOT)) == ["D", "top"]


@pytest.mark.parametrize(
    ("profile", "parent"), [("android", 0), ("garmin", 0xFFFFFFFF), ("kindle", ID)]
)
def test_what_children_of_the_root_call_their_parent(
    tmp_path: Path, profile: str, parent: int
) -> None:
    with bench(tmp_path, profile) as b:
        b.phone.storage().put("/a", b"")

        assert listed(b.program())["a"]["parent"] == parent


def test_what_the_user_adds_and_removes_is_seen_in_the_same_session(tmp_path: Path) -> None:
    with bench(tmp_path) as b:
        b.phone.storage().put("/old", b"")
        program = b.program()
        old = listed(program)["old"]["id"]

        b.phone.storage().remove("/old")
        b.phone.storage().put("/new", b"")

        new = listed(program)["new"]["id"]
        assert list(listed(program)) == ["new"]
        assert new != old
        assert program.delete(id=old) == -1
        assert codes(program.errors()) == ["2009"]


def test_numbers_stay_for_the_next_process_and_are_new_after_replugging(tmp_path: Path) -> None:
    with bench(tmp_path) as b:
        b.phone.storage().put("/D/a", b"a")
        b.phone.storage().put("/b", b"b")
        first = b.program()
        rows = {x["name"]: x["id"] for x in first.list(parent=0)}
        removed = first.upload(name="c", data="c")["file"]["id"]
        assert first.delete(id=removed) == 0
        first.kill()

        second = b.program()
        assert {x["name"]: x["id"] for x in second.list(parent=0)} == rows
        assert second.upload(name="d", data="d")["file"]["id"] > removed
        second.end()

        b.phone.replug()
        third = b.program()
        later = {x["name"]: x["id"] for x in third.list(parent=0)}
        assert later.keys() == {*rows, "d"}
        assert not set(later.values()) & {*rows.values(), removed}


def test_numbers_may_start_again_and_mean_other_objects(tmp_path: Path) -> None:
    with bench(tmp_path) as b:
        b.phone.storage().put("/b", b"")
        program = b.program()
        number = listed(program)["b"]["id"]
        program.end()

        b.phone.storage().put("/a", b"")
        b.phone.replug(same_numbers=True)

        assert b.program().list()[number - 1]["name"] == "a"


@pytest.mark.parametrize(
    ("profile", "first", "again"),
    [
        ("android", {"GetObjectInfo": 20, "PropsSupported": 20, "PropValue": 20},
         {"PropsSupported": 20, "PropValue": 20}),
        ("android_proplist", {"GetObjectInfo": 20, "GetObjPropList": 20}, {}),
    ],
)  # fmt: skip
def test_listing_costs_transactions_as_measured(
    tmp_path: Path, profile: str, first: dict[str, int], again: dict[str, int]
) -> None:
    with bench(tmp_path, profile) as b:
        for number in range(20):
            b.phone.storage().put(f"/{number}", b"")
        program = b.program()
        program.list()
        program.list()

        calls = b.usb.ledger.calls("Get_Files_And_Folders")
        counts = [{k.replace("GetObjectProp", "Prop"): v for k, v in c.ops.items()} for c in calls]
        assert counts == [{"GetObjectHandles": 1, **first}, {"GetObjectHandles": 1, **again}]


@pytest.mark.parametrize(
    ("profile", "size"), [("android", 50), ("android_proplist", 1), ("player", 1)]
)
def test_session_remembers_objects_until_it_is_opened_again(
    tmp_path: Path, profile: str, size: int
) -> None:
    with bench(tmp_path, profile) as b:
        file = b.phone.storage().put("/grows", b"1")
        os.utime(file, (1_700_000_000, 1_700_000_000))
        program = b.program()
        number = listed(program)["grows"]["id"]

        b.phone.storage().put("/grows", b"x" * 50)

        row = listed(program)["grows"]
        assert (row["size"], row["mtime"]) == (size, 1_700_000_000)
        assert program.metadata(id=number)["size"] == size
        assert program.download(id=number)["bytes"] == 50
        program.release()
        assert program.open() == 0
        row = listed(program)["grows"]
        assert row["size"] == 50
        assert row["mtime"] > 1_700_000_000


def test_twenty_thousand_objects_are_one_transaction_a_folder(tmp_path: Path) -> None:
    with bench(tmp_path, "android_proplist") as b:
        for folder in range(20):
            made = b.phone.storage().mkdir(f"/d{folder}")
            for number in range(1000):
                (made / f"f{number}").touch()
        program = b.program()

        assert program.scan() == 20_020
        operations = b.usb.ledger.operations()
        assert operations["GetObjectHandles"] == 21
        assert operations["GetObjectInfo"] == 20_020


def test_newer_library_lists_numbers_and_frees_them(tmp_path: Path) -> None:
    with bench(tmp_path, newer=True) as b:
        program = b.program()
        assert program.facts()["optional"] == ["LIBMTP_FreeMemory", "LIBMTP_Get_Children"]
        assert program.children() == 0

        b.phone.storage().put("/a", b"")
        b.phone.storage().put("/b", b"")

        assert program.children() == [row["id"] for row in program.list()]
        assert program.children(parent=4711) == -1
        assert codes(program.errors()) == ["02fe"]


def test_older_library_has_no_get_children(tmp_path: Path) -> None:
    with bench(tmp_path) as b:
        assert b.program().facts()["optional"] == []


# -- sending ---------------------------------------------------------------------------------------


def test_upload_arrives_in_chunks_as_libmtp_cuts_them(tmp_path: Path) -> None:
    with bench(tmp_path) as b:
        program = b.program()
        data = "0123456789" * 5000

        sent = program.upload(name="a.bin", data=data)

        assert sent["code"] == 0
        assert sent["asked"][:5] == [1012, 16384, 16384, 15872, 348]
        assert sent["progress"] == [[12, 50012], [1024, 50012], [50012, 50012]]
        assert (sent["file"]["parent"], sent["file"]["storage"]) == (0, ID)
        assert b.phone.storage().get("/a.bin") == data.encode()
        assert listed(program)["a.bin"]["id"] == sent["file"]["id"]
        (call,) = b.usb.ledger.calls("Send_File_From_Handler")
        assert (call.result, call.bytes, call.args["path"]) == (0, 50_000, "/a.bin")


def test_empty_file_is_sent(tmp_path: Path) -> None:
    with bench(tmp_path) as b:
        program = b.program()

        assert program.upload(name="empty")["code"] == 0
        assert program.upload(name="empty2")["progress"][0] == [12, 12]
        assert b.phone.storage().tree() == {"/empty": b"", "/empty2": b""}


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    with bench(tmp_path) as b:
        b.phone.storage().put("/file", b"old")
        b.phone.storage().mkdir("/folder")
        b.phone.storage().put("/other", b"other")
        program = b.program()

        assert program.upload(name="file", data="new")["code"] == -1
        assert program.mkdir(name="folder") == 0
        assert program.rename(id=listed(program)["other"]["id"], name="file") == -1

        assert codes(program.errors()) == ["2002", "2002", "2002"]
        assert b.phone.storage().get("/file") == b"old"
        assert b.phone.storage().get("/other") == b"other"


@pytest.mark.parametrize(("profile", "code"), [("android", ["2009"]), ("player", [])])
def test_root_for_sending_is_all_ones(tmp_path: Path, profile: str, code: list[str]) -> None:
    with bench(tmp_path, profile) as b:
        program = b.program()

        program.upload(name="a", data="a", parent=0)
        program.mkdir(name="d", parent=0)

        assert codes(program.errors()) == code * 2
        assert len(b.phone.storage().tree()) == 2 - 2 * len(code)


def test_music_for_parent_0_is_redirected(tmp_path: Path) -> None:
    with bench(tmp_path) as b:
        b.phone.storage().mkdir("/Music")

        assert b.program().upload(name="a.mp3", data="la", parent=0, filetype=2)["code"] == 0
        assert b.phone.storage().get("/Music/a.mp3") == b"la"


def test_storage_0_is_chosen_by_libmtp_and_leaves_an_error_behind(tmp_path: Path) -> None:
    with bench(tmp_path) as b:
        program = b.program()

        assert program.upload(name="a", data="a", storage=0)["code"] == 0
        assert codes(program.errors()) == ["2001"]


@pytest.mark.parametrize("profile", ["android", "player"])
def test_time_of_the_sender_is_ignored(tmp_path: Path, profile: str) -> None:
    with bench(tmp_path, profile) as b:
        program = b.program()

        program.upload(name="a", data="a", mtime=1_000_000_000)

        assert abs(listed(program)["a"]["mtime"] - time.time()) < 600


def test_time_can_be_set_on_a_player_but_not_on_android(tmp_path: Path) -> None:
    for profile, result in (("android", ["a80a"]), ("player", [])):
        with bench(tmp_path / profile, profile) as b:
            b.phone.storage().put("/a", b"")
            program = b.program()
            number = listed(program)["a"]["id"]

            program.set_string(
                id=number, property=abi.PROPERTY_DATE_MODIFIED, value="20200102T030405"
            )

            assert codes(program.errors()) == result
            changed = listed(program)["a"]["mtime"] == 1_577_934_245
            assert changed is not bool(result)
            if changed:
                told = program.string(id=number, property=abi.PROPERTY_DATE_MODIFIED)
                assert told == "20200102T030405"


def test_time_is_the_devices_local_time_read_in_the_hosts_zone(tmp_path: Path) -> None:
    with bench(tmp_path, utc_offset=7200) as b:
        os.utime(b.phone.storage().put("/a", b""), (1_700_000_000, 1_700_000_000))

        assert listed(b.program(TZ="UTC"))["a"]["mtime"] == 1_700_007_200


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("x" * 255, ["201d"]),  # 255 units: libmtp sends no name at all
        ("\udcff", ["201d"]),  # not UTF-8
        ("\U0001f600" * 60, []),
        ("a/b", ["201d"]),
        ("..", ["201d"]),
        ("", ["201d"]),
        ('what?"', []),  # the internal storage has no such rules
        ("ü" * 200, ["2002"]),  # 200 units, but too long for the disk
    ],
)
def test_names_that_the_device_refuses(tmp_path: Path, name: str, code: list[str]) -> None:
    with bench(tmp_path) as b:
        program = b.program()

        assert program.upload(name=name, data="a")["code"] == (-1 if code else 0)
        assert codes(program.errors()) == code
        assert list(b.phone.storage().tree()) == ([] if code else [f"/{name}"])


@pytest.mark.parametrize("name", ["a?", "a:b", "dot.", "blank ", 'q"', "tab\t"])
def test_names_that_a_card_refuses(tmp_path: Path, name: str) -> None:
    with bench(tmp_path, "android_card") as b:
        program = b.program()

        assert program.upload(name=name, data="a", storage=CARD)["code"] == -1
        assert program.mkdir(name=name, storage=CARD) == 0
        assert codes(program.errors()) == ["201d", "201d"]


def test_card_may_cut_names_instead(tmp_path: Path) -> None:
    with bench(tmp_path, storages=[Storage(trims=True)]) as b:
        program = b.program()

        assert program.upload(name="a. ", data="a")["code"] == 0
        assert list(listed(program)) == ["a"]


def test_case_collides_on_a_card_though_the_table_has_two_names(tmp_path: Path) -> None:
    with bench(tmp_path, "android_card") as b:
        program = b.program()
        program.upload(name="A.TXT", data="first", storage=CARD)

        assert program.upload(name="a.txt", data="2nd", storage=CARD)["code"] == 0

        rows = listed(program, storage=CARD)
        assert rows.keys() == {"A.TXT", "a.txt"}
        assert b.phone.storage(1).tree() == {"/A.TXT": b"2nd"}  # the other one's bytes are gone
        assert program.delete(id=rows["a.txt"]["id"]) == 0
        assert program.list(storage=CARD) is None


def test_file_of_4_gib_is_too_large_for_a_card(tmp_path: Path) -> None:
    with bench(tmp_path, "android_card") as b:
        program = b.program()

        assert program.upload(name="a", size=5 << 30, storage=CARD)["code"] == -1
        assert codes(program.errors()) == ["a809"]


def test_space_is_judged_from_the_announced_size_and_kept_account_of(tmp_path: Path) -> None:
    with bench(tmp_path) as b:
        b.phone.storage().set_free(1000)
        program = b.program()

        assert program.upload(name="big", data="x" * 1001)["code"] == -1
        assert codes(program.errors()) == ["200c"]
        number = program.upload(name="fits", data="x" * 900)["file"]["id"]
        assert program.storages()["storages"][0]["free"] == 100
        assert program.delete(id=number) == 0
        assert program.storages()["storages"][0]["free"] == 1000


def test_size_above_4_gib_is_announced_as_all_ones(tmp_path: Path) -> None:
    with bench(tmp_path) as b:
        b.phone.storage().set_free((4 << 30) - 1)  # 0xffffffff: it seems to fit
        program = b.program()

        program.upload(name="a", size=5 << 30, answer_at=[2, abi.HANDLER_CANCEL])

        assert codes(program.errors()) == ["8"]


def test_storage_may_keep_sizes_only(tmp_path: Path) -> None:
    with bench(tmp_path, storages=[Storage(discards=True)]) as b:
        program = b.program()

        assert program.upload(name="a", size=1 << 20)["code"] == 0
        assert listed(program)["a"]["size"] == 1 << 20


def test_new_object_is_missing_until_the_indexer_saw_it(tmp_path: Path) -> None:
    with bench(tmp_path, index_listings=2) as b:
        program = b.program()

        assert program.upload(name="a", data="a")["code"] == 0

        assert [program.list() is None for _ in range(3)] == [True, True, False]


def test_new_object_is_empty_until_the_indexer_saw_it(tmp_path: Path) -> None:
    with bench(tmp_path, index_listings=2, index_empty=True) as b:
        program = b.program()

        assert program.upload(name="a", data="abc")["code"] == 0  # reading it back was the first

        assert [listed(program)["a"]["size"] for _ in range(2)] == [0, 3]


# -- ends of transfers -----------------------------------------------------------------------------


@pytest.mark.parametrize("how", [{"answer_at": [3, 2]}, {"stop_progress_at": 3}])
def test_cancelled_upload_leaves_nothing_and_the_session_usable(
    tmp_path: Path, how: dict[str, Any]
) -> None:
    with bench(tmp_path) as b:
        program = b.program()

        assert program.upload(name="a", data="x" * 100_000, **how)["code"] == -1

        assert codes(program.errors()) == ["8"]
        assert b.phone.storage().tree() == {}
        assert program.upload(name="a", data="again")["code"] == 0


def test_handler_error_leaves_the_session_out_of_step(tmp_path: Path) -> None:
    with bench(tmp_path) as b:
        b.phone.storage().put("/there", b"")
        program = b.program()

        program.upload(name="a", data="x" * 100_000, answer_at=[3, abi.HANDLER_ERROR])

        assert codes(program.errors()) == ["02ff"]
        assert program.list() is None
        assert codes(program.errors()) == ["02ff"]
        program.release()
        assert program.open() == 0
        assert list(listed(program)) == ["there"]


def test_short_first_chunk_is_an_error(tmp_path: Path) -> None:
    with bench(tmp_path) as b:
        program = b.program()

        sent = program.upload(name="a", data="x" * 5000, give_at_most=[1, 100])

        assert sent["code"] == -1
        assert codes(program.errors()) == ["2002"]


def test_source_that_runs_dry_makes_libmtp_ask_for_ever(tmp_path: Path) -> None:
    with bench(tmp_path) as b:
        program = b.program()

        program.start("upload", name="a", data="x" * 5000, give_at_most=[2, 0])

        assert not program.answered(0.5)
        program.kill()


def test_download_comes_in_chunks_as_libmtp_cuts_them(tmp_path: Path) -> None:
    with bench(tmp_path) as b:
        b.phone.storage().put("/a", b"0123456789" * 5000)
        program = b.program()

        got = program.download(id=listed(program)["a"]["id"])

        assert (got["code"], got["bytes"]) == (0, 50_000)
        assert got["chunks"] == [500, 16384, 16384]
        assert got["progress"] == [[16, 50016], [516, 50016], [50016, 50016]]
        assert got["head"].startswith("0123456789")


@pytest.mark.parametrize("answer", [abi.HANDLER_ERROR, abi.HANDLER_CANCEL])
def test_cancelled_download_leaves_the_session_usable(tmp_path: Path, answer: int) -> None:
    with bench(tmp_path) as b:
        b.phone.storage().put("/a", b"x" * 50_000)
        program = b.program()
        number = listed(program)["a"]["id"]

        assert program.download(id=number, answer_at=[2, answer])["code"] == -1
        assert codes(program.errors()) == ["8"]
        assert program.download(id=number)["bytes"] == 50_000


def test_download_stopped_by_the_first_progress_is_out_of_step(tmp_path: Path) -> None:
    with bench(tmp_path) as b:
        b.phone.storage().put("/a", b"x" * 50_000)
        program = b.program()

        program.download(id=listed(program)["a"]["id"], stop_progress_at=1)

        assert codes(program.errors()) == ["02ff"]
        assert program.list() is None


def test_folder_and_unknown_number_are_no_downloads(tmp_path: Path) -> None:
    with bench(tmp_path) as b:
        b.phone.storage().mkdir("/D")
        program = b.program()
        folder = listed(program)["D"]["id"]

        assert program.download(id=folder)["code"] == -1
        assert program.download(id=4711)["code"] == -1
        texts = [text for _code, text in program.errors()]
        assert "Bad object format" in texts[0]
        assert "Could not get object info" in texts[1]


def test_parts_are_read_anywhere_also_past_4_gib(tmp_path: Path) -> None:
    with bench(tmp_path) as b:
        file = b.phone.storage().put("/a", size=(5 << 30) + 7)
        with file.open("r+b") as writer:
            writer.seek(5 << 30)
            writer.write(b"the end")
        program = b.program()
        row = listed(program)["a"]

        assert row["size"] == (5 << 30) + 7
        assert program.partial(id=row["id"], offset=5 << 30, most=100)["data"] == "the end"
        assert program.partial(id=row["id"], offset=0, most=2)["data"] == "\0\0"


def test_device_of_32_bits_loses_the_upper_half_of_sizes(tmp_path: Path) -> None:
    with bench(tmp_path, "old_player") as b:
        b.phone.storage().put("/a", size=(5 << 30) + 7)
        program = b.program()

        assert program.facts()["bitsize"] == 32
        assert listed(program)["a"]["size"] == 1_073_741_831
        assert program.errors() == []


def killed_in_an_upload(b: Bench) -> None:
    program = b.program()
    # The handler never has more: libmtp asks again and again in the middle of the file.
    program.start("upload", name="half", data="x" * 100_000, give_at_most=[4, 0])
    deadline = time.monotonic() + 20
    half = b.phone.storage().at("/half")
    while not half.exists() or half.stat().st_size < 1012 + 2 * 16384:
        assert time.monotonic() < deadline
    program.kill()


def test_killed_process_leaves_its_session_and_half_a_file_until_the_next_opens(
    tmp_path: Path,
) -> None:
    with bench(tmp_path) as b:
        killed_in_an_upload(b)
        assert b.phone.session_open
        assert b.phone.storage().tree() != {}

        program = b.program()

        assert b.phone.storage().tree() == {}
        assert program.upload(name="half", data="whole")["code"] == 0


def test_unplugged_device_drops_half_a_file(tmp_path: Path) -> None:
    with bench(tmp_path) as b:
        killed_in_an_upload(b)

        b.phone.replug()

        assert b.phone.storage().tree() == {}
        assert b.program().list() is None


def test_device_may_keep_half_a_file_under_its_name(tmp_path: Path) -> None:
    with bench(tmp_path, keeps_partial=True) as b:
        killed_in_an_upload(b)

        assert listed(b.program())["half"]["size"] == 1012 + 2 * 16384


def test_cable_pulled_in_an_upload_is_02ff_and_then_no_device(tmp_path: Path) -> None:
    with bench(tmp_path) as b:
        program = b.program()
        program.start("upload", name="big", size=2 << 30)
        big = b.phone.storage().at("/big")
        deadline = time.monotonic() + 20
        while not big.exists():
            assert time.monotonic() < deadline

        b.phone.unplug()

        assert program.answer()["code"] == -1
        assert codes(program.errors()) == ["02ff"]
        assert program.detect()["code"] == abi.ERROR_NO_DEVICE_ATTACHED
        assert b.phone.storage().tree() == {}


# -- changing --------------------------------------------------------------------------------------


def test_rename_keeps_the_number_and_the_session_knows_the_name(tmp_path: Path) -> None:
    with bench(tmp_path) as b:
        b.phone.storage().put("/a.part", b"a")
        program = b.program()
        number = listed(program)["a.part"]["id"]

        assert program.rename(id=number, name="a.txt") == 0

        assert listed(program)["a.txt"]["id"] == number
        assert b.phone.storage().tree() == {"/a.txt": b"a"}
        program.end()
        assert listed(b.program())["a.txt"]["id"] == number


def test_device_without_rename(tmp_path: Path) -> None:
    with bench(tmp_path, "garmin") as b:
        b.phone.storage().put("/a", b"")
        program = b.program()

        assert program.rename(id=listed(program)["a"]["id"], name="b") == -1
        assert "not settable" in program.errors()[0][1]


def test_move_to_the_root_wants_0(tmp_path: Path) -> None:
    with bench(tmp_path) as b:
        b.phone.storage().put("/D/a", b"a")
        b.phone.storage().put("/b", b"b")
        program = b.program()
        rows = by_name(program.list(parent=0))

        assert program.move(id=rows["a"]["id"], parent=abi.ROOT) == -1
        assert codes(program.errors()) == ["2009"]
        assert program.move(id=rows["a"]["id"], parent=0) == 0
        assert program.move(id=rows["b"]["id"], parent=rows["D"]["id"]) == 0
        assert program.list(parent=rows["D"]["id"])[0]["id"] == rows["b"]["id"]
        assert b.phone.storage().tree() == {"/D": None, "/D/b": b"b", "/a": b"a"}


def test_copy_is_a_new_object(tmp_path: Path) -> None:
    with bench(tmp_path) as b:
        b.phone.storage().put("/a", b"a")
        b.phone.storage().mkdir("/D")
        program = b.program()
        rows = listed(program)

        assert program.copy(id=rows["a"]["id"], parent=rows["D"]["id"]) == 0

        (copy,) = program.list(parent=rows["D"]["id"])
        assert copy["id"] not in {row["id"] for row in rows.values()}
        assert b.phone.storage().get("/D/a") == b"a"


@pytest.mark.parametrize(
    ("how", "result", "left"),
    [
        ("recursive", [], []),
        ("refused", ["2002"], ["/D", "/D/E", "/D/E/b", "/D/a"]),
        ("partial", ["2012"], ["/D", "/D/E", "/D/E/b"]),
    ],
)
def test_deleting_a_folder(tmp_path: Path, how: str, result: list[str], left: list[str]) -> None:
    with bench(tmp_path, folder_delete=how) as b:
        b.phone.storage().put("/D/a", b"")
        b.phone.storage().put("/D/E/b", b"")
        program = b.program()

        program.delete(id=listed(program)["D"]["id"])

        assert codes(program.errors()) == result
        assert list(b.phone.storage().tree()) == left


# -- devices of their own kind ---------------------------------------------------------------------


def test_garmin_loses_both_files_and_the_name(tmp_path: Path) -> None:
    with bench(tmp_path, "garmin") as b:
        b.phone.storage().put("/a", b"old")
        program = b.program()

        assert program.upload(name="a", data="new")["code"] == -1

        assert program.list() is None
        assert b.phone.storage().tree() == {}
        assert program.upload(name="a", data="again")["code"] == -1
        program.end()
        b.phone.replug()
        assert b.program().upload(name="a", data="again")["code"] == 0


def test_samsung_gives_the_second_file_another_name(tmp_path: Path) -> None:
    with bench(tmp_path, "samsung") as b:
        b.phone.storage().put("/a", b"old")
        program = b.program()

        sent = program.upload(name="a", data="new")

        assert sent["code"] == 0
        assert program.metadata(id=sent["file"]["id"])["name"] == "a.dup0"
        assert b.phone.storage().tree() == {"/a": b"old", "/a.dup0": b"new"}


def test_device_with_two_objects_of_one_name(tmp_path: Path) -> None:
    with bench(tmp_path, overwrite="twins") as b:
        b.phone.storage().put("/a", b"old")
        program = b.program()

        assert program.upload(name="a", data="newer")["code"] == 0

        assert [(row["name"], row["size"]) for row in program.list()] == [("a", 3), ("a", 5)]


def test_umtp_overwrites_in_place_and_the_session_shows_the_old_size(tmp_path: Path) -> None:
    with bench(tmp_path, "umtp") as b:
        b.phone.storage().put("/a", b"old")
        program = b.program()
        number = listed(program)["a"]["id"]

        sent = program.upload(name="a", data="newer")

        assert (sent["code"], sent["file"]["id"]) == (0, number)
        assert b.phone.storage().get("/a") == b"newer"
        assert listed(program)["a"]["size"] == 3
        assert program.download(id=number)["bytes"] == 5


def test_umtp_cuts_the_file_when_it_is_full_and_says_nothing(tmp_path: Path) -> None:
    with bench(tmp_path, "umtp") as b:
        b.phone.storage().set_free(2000)
        program = b.program()

        assert program.upload(name="a", data="x" * 5000)["code"] == 0
        assert program.errors() == []
        assert len(b.phone.storage().get("/a")) == 2000


def test_umtp_neither_moves_nor_copies(tmp_path: Path) -> None:
    with bench(tmp_path, "umtp") as b:
        b.phone.storage().put("/D/a", b"a")
        program = b.program()
        rows = by_name(program.list(parent=listed(program)["D"]["id"]))

        assert program.move(id=rows["a"]["id"], parent=0) == -1
        assert program.copy(id=rows["a"]["id"], parent=0) == -1
        assert codes(program.errors()) == ["2005", "2005"]
        assert program.facts()["capabilities"] == [1, 0, 0, 0, 0]


def test_umtp_waits_until_somebody_reads_its_events(tmp_path: Path) -> None:
    with bench(tmp_path, "umtp", undrained_ms=300) as b:
        program = b.program()
        program.upload(name="a", data="a")
        program.upload(name="b", data="b")
        b.phone.set(undrained_ms=600_000)
        program.read_events()
        program.upload(name="c", data="c")

        _first, second, _third = b.usb.ledger.calls("Send_File_From_Handler")
        assert second.seconds >= 0.3
        assert b.phone.storage().tree().keys() == {"/a", "/b", "/c"}
        b.phone.unplug()  # ends the reader


def test_events_are_read_one_by_one(tmp_path: Path) -> None:
    with bench(tmp_path, event_wait_ms=50) as b:
        program = b.program()
        assert program.event() == [-1, 0, 0]
        number = program.upload(name="a", data="a")["file"]["id"]
        b.phone.event(abi.EVENT_STORE_ADDED, CARD)

        assert program.event() == [0, abi.EVENT_OBJECT_ADDED, number]
        assert program.event() == [0, abi.EVENT_STORE_ADDED, CARD]


# -- everything together ---------------------------------------------------------------------------


def seen_by(program: Any, parent: int = abi.ROOT, above: str = "") -> dict[str, tuple[int, int]]:
    """Path -> number and size (-1: a folder), as the library tells."""
    found: dict[str, tuple[int, int]] = {}
    for row in program.list(parent=parent) or ():
        path = f"{above}/{row['name']}"
        assert path not in found
        found[path] = (row["id"], -1 if row["folder"] else row["size"])
        if row["folder"]:
            found |= seen_by(program, row["id"], path)
    return found


@pytest.mark.parametrize("seed", range(4))
def test_after_random_operations_the_library_tells_what_is_on_the_disk(
    tmp_path: Path, seed: int
) -> None:
    dice = random.Random(seed)
    names = ["a", "b", "c%41", "d d", "ü"]
    with bench(tmp_path, dice.choice(["android", "player"])) as b:
        storage = b.phone.storage()
        program = b.program()
        before: dict[str, tuple[int, int]] = {}
        for _ in range(120):
            now = seen_by(program)
            disk = {p: -1 if x is None else len(x) for p, x in storage.tree().items()}
            assert {path: size for path, (_id, size) in now.items()} == disk
            kept = {path: now[path][0] for path in now.keys() & before.keys()}
            assert all(before[path][0] == number for path, number in kept.items())
            assert len({number for number, _size in now.values()}) == len(now)
            folders = {path: number for path, (number, size) in now.items() if size == -1}
            folders[""] = abi.ROOT
            parent = dice.choice(sorted(folders.values()))
            path, (number, _size) = dice.choice(sorted(now.items()) or [("", (0, 0))])
            name = dice.choice(names)
            moved = ""
            match dice.randrange(9):
                case 0 | 1:
                    program.upload(name=name, data="x" * dice.randrange(3000), parent=parent)
                case 2:
                    program.mkdir(name=name, parent=parent)
                case 3 if path:
                    program.delete(id=number)
                    moved = path
                case 4 if path:
                    program.rename(id=number, name=name)
                    moved = path
                case 5 if path:
                    program.move(id=number, parent=0 if parent == abi.ROOT else parent)
                    moved = path
                case 6 if path:  # the user's hand
                    storage.remove(path)
                    moved = path
                case 7:
                    program.kill() if dice.random() < 0.5 else program.end()
                    program = b.program()
                case 8:
                    program.copy(id=number, parent=0 if parent == abi.ROOT else parent)
            before = {p: x for p, x in now.items() if not moved or not p.startswith(moved)}


# -- the ledger ------------------------------------------------------------------------------------


def test_ledger_keeps_odd_names_as_they_are(tmp_path: Path) -> None:
    with bench(tmp_path) as b:
        program = b.program()
        for name in ('"\\', "ü\U0001f600", "\udcfe\x01", "%41 b"):
            program.mkdir(name=name)

        calls = b.usb.ledger.calls("Create_Folder")
        assert [c.args["name"] for c in calls] == ['"\\', "ü\U0001f600", "\udcfe\x01", "%41 b"]
        assert listed(program).keys() == {'"\\', "ü\U0001f600", "%41 b"}
        program.end()
        assert listed(b.program()).keys() == {'"\\', "ü\U0001f600", "%41 b"}


def test_device_comes_back_under_another_address_after_a_release(tmp_path: Path) -> None:
    with bench(tmp_path, moves_on_close=True) as b:
        program = b.program()
        program.release()

        assert program.open(detect=False) is None
        assert program.open() == 0
        assert program.names()["Serialnumber"] == "FAKE0000"


def test_object_may_have_the_number_of_its_storage(tmp_path: Path) -> None:
    with bench(tmp_path, "kindle") as b:
        b.phone.storage().put("/documents/a", b"")

        row = listed(b.program())["documents"]
        assert row["id"] == row["parent"] == row["storage"] == ID


def test_rules_change_while_a_program_runs(tmp_path: Path) -> None:
    with bench(tmp_path) as b:
        b.phone.storage().put("/a", b"old")
        program = b.program()
        before = listed(program)["a"]["id"]

        b.phone.set(overwrite="replace")

        assert program.upload(name="a", data="new")["file"]["id"] == before
        assert b.phone.storage().get("/a") == b"new"

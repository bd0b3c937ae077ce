"""mtpsync's device above the fake libmtp: sending and receiving, and what goes wrong with both."""

from __future__ import annotations

import hashlib
import os
import signal
import threading
import time
from pathlib import Path

import pytest

from mtpsync import errors, process
from mtpsync.messages import Message
from mtpsync.models import ROOT
from mtpsync.mtp_client import MtpDevice
from simulators.fake_libmtp import Storage
from tests.helpers.mtp_client import HASTY, ID, Desk, desk

pytestmark = pytest.mark.skipif(os.name == "nt", reason="there is no libmtp for Windows")
Patch = pytest.MonkeyPatch
DATA = bytes(range(256)) * 1000


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def sent(d: Desk, device: MtpDevice, data: bytes = DATA, name: str = "a"):
    return device.send(ID, ROOT, name, d.source(data), len(data))


def only(device: MtpDevice):
    (row,) = device.children(ID, ROOT).objects
    return row


# -- as it should be -------------------------------------------------------------------------------

SIZES = [0, 1, 499, 500, 501, 1011, 1012, 1013, 16384, 16384 + 1012, 100_000, 512 * 64]


@pytest.mark.parametrize("size", SIZES)
def test_file_goes_there_and_back(tmp_path: Path, monkeypatch: Patch, size: int) -> None:
    data = os.urandom(size)
    with desk(tmp_path, monkeypatch) as d:
        device = d.open()

        up = sent(d, device, data)
        down = device.receive(up.object_id, size, to=tmp_path / "back")

        assert d.phone.storage().tree() == {"/a": data}
        assert (tmp_path / "back").read_bytes() == data
        assert (up.size_bytes, up.sha256) == (size, sha256(data))
        assert (down.object_id, down.size_bytes, down.sha256) == (up.object_id, size, up.sha256)


def test_type_is_never_told_and_the_place_always(tmp_path: Path, monkeypatch: Patch) -> None:
    with desk(tmp_path, monkeypatch) as d:
        d.phone.storage().mkdir("/Music")
        device = d.open()

        device.send(ID, 0, "a.mp3", d.source(b"a"), 1)

        assert d.phone.storage().tree() == {"/Music": None, "/a.mp3": b"a"}


def test_more_than_4_gib(tmp_path: Path, monkeypatch: Patch) -> None:
    size = 2**32 + 1000
    with desk(tmp_path, monkeypatch, storages=[Storage(discards=True)]) as d:
        d.phone.storage().put("/large", size=size)
        row = only(d.open())

        assert row.size_bytes == size


def test_source_that_grew_is_sent_as_far_as_it_was_meant(
    tmp_path: Path, monkeypatch: Patch
) -> None:
    with desk(tmp_path, monkeypatch) as d:
        up = d.open().send(ID, ROOT, "a", d.source(DATA + b"more"), len(DATA))

        assert up.sha256 == sha256(DATA)
        assert d.phone.storage().get("/a") == DATA


def test_progress_is_told_some_times_a_second(tmp_path: Path, monkeypatch: Patch) -> None:
    data = bytes(1_000_000)
    with desk(tmp_path, monkeypatch, bytes_per_s=1_000_000) as d:
        device = d.open()
        up: list[int] = []
        down: list[int] = []

        made = device.send(ID, ROOT, "a", d.source(data), len(data), up.append)
        device.receive(made.object_id, len(data), progress=down.append)

        for told in (up, down):
            assert told == sorted(told)
            assert told[-1] == len(data)
            assert 3 <= len(told) <= 12


def test_what_was_there_locally_is_replaced_only_by_all_of_it(
    tmp_path: Path, monkeypatch: Patch
) -> None:
    target = tmp_path / "target"
    target.write_bytes(b"old")
    short = {"on": "GetObject", "fault": "short_download", "after_bytes": 10}
    with desk(tmp_path, monkeypatch, faults=[short]) as d:
        d.phone.storage().put("/a", DATA)
        device = d.open()
        number = only(device).id

        with pytest.raises(errors.ContentChanged, match="10 of 256000"):
            device.receive(number, len(DATA), to=target)
        assert target.read_bytes() == b"old"
        device.receive(number, len(DATA), to=target)
        assert target.read_bytes() == DATA
        assert sorted(file.name for file in tmp_path.iterdir()) == ["target", "usb"]


def test_target_that_can_not_be_written(tmp_path: Path, monkeypatch: Patch) -> None:
    with desk(tmp_path, monkeypatch) as d:
        d.phone.storage().put("/a", DATA)
        device = d.open()
        number = only(device).id

        with pytest.raises(FileNotFoundError):
            device.receive(number, len(DATA), to=tmp_path / "nowhere" / "a")
        assert device.receive(number, len(DATA)).sha256 == sha256(DATA)
        assert len(d.pids()) == 1


def test_local_disk_that_is_full(tmp_path: Path, monkeypatch: Patch) -> None:
    import resource

    with desk(tmp_path, monkeypatch) as d:
        d.phone.storage().put("/a", DATA)
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))  # for the worker
        try:
            device = d.open()
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        number = only(device).id

        with pytest.raises(OSError, match="too large"):
            device.receive(number, len(DATA), to=tmp_path / "a")

        assert sorted(file.name for file in tmp_path.iterdir()) == ["usb"]
        assert device.receive(number, len(DATA)).sha256 == sha256(DATA)
        assert len(d.pids()) == 1


# -- bytes that are not those that were meant ------------------------------------------------------


def test_byte_that_is_changed_on_its_way_shows_in_the_digest(
    tmp_path: Path, monkeypatch: Patch
) -> None:
    corrupt = {"on": "GetObject", "fault": "corrupt_byte", "after_bytes": 7}
    with desk(tmp_path, monkeypatch, faults=[corrupt]) as d:
        d.phone.storage().put("/a", DATA)
        device = d.open()
        number = only(device).id

        assert device.receive(number, len(DATA)).sha256 != sha256(DATA)
        assert device.receive(number, len(DATA)).sha256 == sha256(DATA)


@pytest.mark.parametrize("expected", [len(DATA) - 1, len(DATA) + 1, 0, 20_000])
def test_object_of_another_length_is_told(
    tmp_path: Path, monkeypatch: Patch, expected: int
) -> None:
    with desk(tmp_path, monkeypatch) as d:
        d.phone.storage().put("/a", DATA)
        device = d.open()
        number = only(device).id

        with pytest.raises(errors.ContentChanged):
            device.receive(number, expected, to=tmp_path / "a")
        assert not (tmp_path / "a").exists()
        (call,) = d.usb.ledger.calls("Get_File_To_Handler")
        assert (call.bytes or 0) <= expected + 16384  # it isn't read for as long as it likes
        assert device.receive(number, len(DATA)).sha256 == sha256(DATA)


@pytest.mark.parametrize("cut", [{}, {"index_empty": True, "index_listings": 1}])
def test_file_that_the_device_cuts_is_told(
    tmp_path: Path, monkeypatch: Patch, cut: dict[str, object]
) -> None:
    fault = {"on": "SendObject", "fault": "store_cut", "after_bytes": 100}
    with desk(tmp_path, monkeypatch, faults=[fault], **cut) as d:
        device = d.open()

        with pytest.raises(errors.ContentChanged, match="100 of the 256000"):
            sent(d, device)


def test_full_store_that_answers_success(tmp_path: Path, monkeypatch: Patch) -> None:
    with desk(tmp_path, monkeypatch, "umtp") as d:
        d.phone.storage().set_free(1000)
        device = d.open()

        with pytest.raises(errors.ContentChanged, match="1000 of the 256000"):
            sent(d, device)


@pytest.mark.parametrize("profile", ["android", "android_proplist"])  # libmtp remembers sizes
@pytest.mark.parametrize("empty", [True, False])
def test_device_that_needs_a_moment_to_know_what_it_got(
    tmp_path: Path, monkeypatch: Patch, empty: bool, profile: str
) -> None:
    with desk(tmp_path, monkeypatch, profile, index_listings=1, index_empty=empty) as d:
        assert sent(d, d.open()).size_bytes == len(DATA)


def test_file_that_gets_another_name_is_refused_and_removed(
    tmp_path: Path, monkeypatch: Patch
) -> None:
    with desk(tmp_path, monkeypatch, "samsung") as d:
        d.phone.storage().put("/a", b"old")
        device = d.open()

        with pytest.raises(errors.NameRefused, match="dup0"):
            sent(d, device)
        assert d.phone.storage().tree() == {"/a": b"old"}


def test_nothing_is_removed_that_may_be_something_else(tmp_path: Path, monkeypatch: Patch) -> None:
    with desk(tmp_path, monkeypatch, "samsung") as d:
        d.phone.storage().put("/a", b"same size")
        device = d.open()

        with pytest.raises(errors.NameRefused, match="dup0"):
            sent(d, device, b"size same")
        assert d.phone.storage().get("/a") == b"same size"
        assert len(d.phone.storage().tree()) == 2


def test_file_that_changes_under_us_is_told_and_nothing_stays(
    tmp_path: Path, monkeypatch: Patch
) -> None:
    with desk(tmp_path, monkeypatch, keeps_partial=True, bytes_per_s=2_000_000) as d:
        device = d.open()
        source = d.source(bytes(1_000_000))

        def shorten(_count: int) -> None:
            os.truncate(source, 400_000)

        with pytest.raises(errors.SourceChanged, match="shorter"):
            device.send(ID, ROOT, "a", source, 1_000_000, shorten)
        assert d.phone.storage().tree() == {}
        assert sent(d, device).sha256 == sha256(DATA)
        assert len(d.pids()) == 1


def test_source_that_is_not_what_it_was(tmp_path: Path, monkeypatch: Patch) -> None:
    with desk(tmp_path, monkeypatch) as d:
        device = d.open()
        before = d.phone.transactions
        pipe = tmp_path / "pipe"
        os.mkfifo(pipe)

        for path, size in ((tmp_path / "gone", 1), (d.source(b"12"), 3), (pipe, 1), (tmp_path, 1)):
            with pytest.raises(errors.SourceChanged):
                device.send(ID, ROOT, "a", path, size)
        assert d.phone.transactions == before


def test_path_is_relative_to_where_the_program_is(tmp_path: Path, monkeypatch: Patch) -> None:
    with desk(tmp_path, monkeypatch) as d:
        device = d.open()
        d.source(b"abc", "ö\udcff")
        monkeypatch.chdir(tmp_path)

        number = device.send(ID, ROOT, "a", Path("ö\udcff"), 3).object_id
        device.receive(number, 3, to=Path("back"))

        assert (tmp_path / "back").read_bytes() == b"abc"


# -- no, and yes after all -------------------------------------------------------------------------


def test_too_large_and_too_full_and_read_only(tmp_path: Path, monkeypatch: Patch) -> None:
    storages = [Storage(free=10), Storage(file_max=10), Storage(access=1)]
    with desk(tmp_path, monkeypatch, storages=storages) as d:
        device = d.open()
        source = d.source(DATA)
        for storage, kind in zip(
            device.storages(),
            (errors.StorageFull, errors.TooLarge, errors.ReadOnly),
            strict=True,
        ):
            with pytest.raises(kind):
                device.send(storage.id, ROOT, "a", source, len(DATA))
        assert len(d.pids()) == 1


def test_refusal_of_a_file_that_is_there_whole_is_no_refusal(
    tmp_path: Path, monkeypatch: Patch
) -> None:
    """libmtp says -1 when it can't read back what it sent."""
    unread = {"on": "GetObjectInfo", "fault": "response", "code": 0x2019, "times": 2}
    with desk(tmp_path, monkeypatch, faults=[unread]) as d:
        device = d.open()

        up = sent(d, device)

        calls = d.usb.ledger.calls("Send_File_From_Handler")
        assert [call.result for call in calls] == [-1]
        assert device.session == 1
        assert device.receive(up.object_id, len(DATA)).sha256 == up.sha256 == sha256(DATA)


def test_answer_that_never_came_to_a_file_that_is_there_whole(
    tmp_path: Path, monkeypatch: Patch
) -> None:
    late = {"on": "SendObject", "fault": "timeout", "when": "after"}
    with desk(tmp_path, monkeypatch, faults=[late]) as d:
        device = d.open()

        assert device.receive(sent(d, device).object_id, len(DATA)).sha256 == sha256(DATA)


def test_refused_file_is_not_taken_for_an_older_one_of_its_name(
    tmp_path: Path, monkeypatch: Patch
) -> None:
    refused = {"on": "SendObject", "fault": "response", "code": 0x200C, "after_bytes": len(DATA)}
    with desk(tmp_path, monkeypatch, "player", overwrite="twins") as d:
        device = d.open()
        sent(d, device)
        d.phone.inject(refused)

        with pytest.raises(errors.StorageFull):
            sent(d, device)


def test_object_that_can_not_be_read(tmp_path: Path, monkeypatch: Patch) -> None:
    refused = {"on": "GetObject", "fault": "response", "code": 0x200F}
    with desk(tmp_path, monkeypatch, faults=[refused]) as d:
        d.phone.storage().put("/a", DATA)
        device = d.open()
        number = only(device).id

        with pytest.raises(errors.DeviceError, match="refused"):
            device.receive(number, len(DATA))
        with pytest.raises(errors.Missing):
            device.receive(4711, 1)
        assert device.receive(number, len(DATA)).sha256 == sha256(DATA)
        assert len(d.pids()) == 1


# -- stopping --------------------------------------------------------------------------------------


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("way", ["up", "down"])
def test_transfer_is_stopped_and_the_session_goes_on(
    tmp_path: Path, monkeypatch: Patch, way: str, late: bool
) -> None:
    size = 3_000_000
    rules = {"bytes_per_s": 2_000_000, "keeps_partial": True}
    with desk(tmp_path, monkeypatch, **rules) as d:
        if way == "down":
            d.phone.storage().put("/a", bytes(size))
        device = d.open()
        if late:
            d.phone.inject({"on": "SendObject|GetObject", "fault": "late_cancel"})

        def transfer() -> None:
            if way == "up":
                device.send(ID, ROOT, "b", d.source(bytes(size)), size, stop)
            else:
                device.receive(only(device).id, size, to=tmp_path / "b", progress=stop)

        def stop(_count: int) -> None:
            device.cancel()

        with pytest.raises(errors.Cancelled):
            transfer()

        assert not (tmp_path / "b").exists()
        assert "/b" not in d.phone.storage().tree()
        assert len(device.children(ID, ROOT).objects) == (way == "down")
        assert len(d.pids()) == 1
        calls = d.usb.ledger.calls("Send_File_From_Handler", "Get_File_To_Handler")
        assert (calls[0].bytes or 0) < size


def test_signal_handler_stops_a_transfer(tmp_path: Path, monkeypatch: Patch) -> None:
    size = 20_000_000
    with desk(tmp_path, monkeypatch, bytes_per_s=2_000_000) as d:
        device = d.open()
        source = d.source(bytes(size))
        before = signal.signal(signal.SIGUSR1, lambda *_: device.cancel())
        timer = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGUSR1))
        timer.start()
        try:
            with pytest.raises(errors.Cancelled):
                device.send(ID, ROOT, "a", source, size)
        finally:
            timer.join()
            signal.signal(signal.SIGUSR1, before)

        assert sent(d, device, b"1", "b").size_bytes == 1


def test_stopping_nothing_does_not_stop_the_next_transfer(
    tmp_path: Path, monkeypatch: Patch
) -> None:
    with desk(tmp_path, monkeypatch) as d:
        device = d.open()
        device.children(ID, ROOT)
        device.cancel()
        threading.Event().wait(0.1)

        assert sent(d, device).size_bytes == len(DATA)


def test_stop_that_comes_with_the_request_is_for_this_one(
    tmp_path: Path, monkeypatch: Patch
) -> None:
    with desk(tmp_path, monkeypatch, bytes_per_s=1_000_000) as d:
        device = d.open()
        real = process.encoded

        def encoded(message: Message) -> bytes:
            if message["do"] == "send":
                device.cancel()
            return real(message)

        monkeypatch.setattr(process, "encoded", encoded)

        with pytest.raises(errors.Cancelled):
            sent(d, device, bytes(3_000_000))


def test_ctrl_c_in_the_middle_leaves_no_answer_to_the_wrong_question(
    tmp_path: Path, monkeypatch: Patch
) -> None:
    with desk(tmp_path, monkeypatch, bytes_per_s=1_000_000) as d:
        device = d.open()
        source = d.source(bytes(1_000_000))

        def interrupt(_count: int) -> None:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            device.send(ID, ROOT, "a", source, 1_000_000, interrupt)
        with pytest.raises(errors.DeviceLost, match="interrupted"):
            device.children(ID, ROOT)
        device.refresh()
        assert device.children(ID, ROOT).objects == ()


def test_slow_transfer_is_not_taken_for_a_hang(tmp_path: Path, monkeypatch: Patch) -> None:
    data = bytes(300_000)
    with desk(tmp_path, monkeypatch, bytes_per_s=100_000) as d:
        device = d.open(patience=HASTY)
        began = time.monotonic()

        up = device.send(ID, ROOT, "a", d.source(data), len(data))

        assert time.monotonic() - began > 2 * HASTY.transfer_s
        assert up.size_bytes == len(data)
        assert len(d.pids()) == 1

"""The fake WinFsp's threads: guard, locks, stop, expiry. Events and a manual clock, no sleeps."""

from __future__ import annotations

import threading
from functools import partial
from typing import Any

import pytest

from simulators.fake_winfsp import ManualClock, Settings, Win32Error
from simulators.fake_winfsp import constants as c
from simulators.fake_winfsp import ntstatus as nt
from tests.helpers.fake_windows import Machine, Program, held, machine

pytestmark = pytest.mark.usefixtures("winfspy")


# -- workers --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("cpus", "threads"), [(1, 4), (8, 8), (64, 16)])
def test_unasked_there_are_between_4_and_16_workers(cpus: int, threads: int) -> None:
    with machine(settings=Settings(cpus=cpus)) as pc:
        assert pc.windows.volume.dispatcher.workers == threads


def test_program_gets_as_many_workers_as_it_asks_for() -> None:
    with machine(start=False) as pc:
        from winfspy.plumbing import lib

        lib.FspFileSystemSetMountPoint(pc.drive._file_system_ptr[0], "X:")
        lib.FspFileSystemStartDispatcher(pc.drive._file_system_ptr[0], 23)

        assert pc.windows.volume.dispatcher.workers == 23


def test_workers_are_no_threads_that_python_knows() -> None:
    found: list[Any] = []
    with machine() as pc:
        pc.windows.calls.before("Read", lambda _: found.append(threading.current_thread()))
        pc.put("X:\\a", b"x")
        pc.get("X:\\a")

    assert [isinstance(thread, threading._DummyThread) for thread in found] == [True]


def test_four_slow_reads_freeze_a_drive_with_four_workers() -> None:
    with machine() as pc:
        for name in "abcd":
            pc.put(f"X:\\{name}", b"x")
        pc.windows.settle()
        with held(pc.windows, "Read") as gate:
            readers = [Program(partial(pc.get, f"X:\\{name}")) for name in "abcd"]
            pc.windows.calls.wait_until_running("Read", count=4)
            fifth = Program(lambda: pc.kernel32.exists("X:\\a"))

            pc.windows.volume.dispatcher.wait_until_queued()
            assert not fifth.done
            gate.set()

            assert [reader.result() for reader in readers] == [b"x"] * 4
            assert fifth.result()


# -- the guard ------------------------------------------------------------------------------------


def drop_guard(pc: Machine) -> None:
    from winfspy.plumbing import ffi, lib

    lib.FspFileSystemSetOperationGuardF(pc.drive._file_system_ptr[0], ffi.NULL, ffi.NULL)


def test_slow_open_holds_up_creates_and_then_every_other_open() -> None:
    with machine() as pc:
        pc.put("X:\\slow")
        pc.put("X:\\fast")
        pc.windows.settle()
        guard = pc.windows.volume.guard.lock
        with held(pc.windows, "Open", "\\slow") as gate:
            slow = Program(lambda: pc.get("X:\\slow"))
            pc.windows.calls.wait_until_running("Open", "\\slow")
            assert pc.get("X:\\fast") == b""  # opens share the guard

            new = Program(lambda: pc.put("X:\\new"))
            guard.wait_until_waiting(1)
            fast = Program(lambda: pc.get("X:\\fast"))
            guard.wait_until_waiting(2)
            assert [slow.done, new.done, fast.done] == [False, False, False]
            gate.set()

            assert (slow.result(), new.result(), fast.result()) == (b"", None, b"")


def test_without_the_guard_a_slow_open_holds_up_nobody() -> None:
    with machine() as pc:
        pc.put("X:\\slow")
        pc.put("X:\\fast")
        pc.windows.settle()
        drop_guard(pc)
        with held(pc.windows, "Open", "\\slow"):
            slow = Program(lambda: pc.get("X:\\slow"))
            pc.windows.calls.wait_until_running("Open", "\\slow")

            pc.put("X:\\new")
            assert pc.get("X:\\fast") == b""
            assert not slow.done
        slow.result()


def test_reads_and_writes_are_not_guarded() -> None:
    with machine() as pc:
        pc.put("X:\\a", b"x")
        with held(pc.windows, "Read"):
            reader = Program(lambda: pc.get("X:\\a"))
            pc.windows.calls.wait_until_running("Read")
            pc.put("X:\\b", b"y")
        assert reader.result() == b"x"


def test_programs_own_guard_is_called_around_each_operation() -> None:
    with machine() as pc:
        from winfspy.plumbing import ffi, lib

        seen: list[str] = []
        kind = "NTSTATUS(FSP_FILE_SYSTEM *, void *, void *)"

        def guard(word: str) -> Any:
            def called(*_: Any) -> int:
                seen.append(word)
                return 0

            return ffi.callback(kind, called)

        enter, leave = guard("enter"), guard("leave")
        lib.FspFileSystemSetOperationGuardF(pc.drive._file_system_ptr[0], enter, leave)
        pc.kernel32.exists("X:\\a")
        drop_guard(pc)

        assert seen == ["enter", "leave"]


def test_coarse_guard_lets_one_callback_run_at_a_time() -> None:
    with machine() as pc:
        from winfspy.plumbing import lib

        pc.put("X:\\a", b"x")
        pc.windows.settle()
        lib.FspFileSystemSetOperationGuardStrategyF(pc.drive._file_system_ptr[0], 1)
        with held(pc.windows, "Open") as gate:
            one = Program(lambda: pc.get("X:\\a"))
            pc.windows.calls.wait_until_running("Open")
            two = Program(lambda: pc.get("X:\\a"))
            pc.windows.volume.guard.lock.wait_until_waiting(1)
            gate.set()
            assert (one.result(), two.result()) == (b"x", b"x")


# -- the driver's locks ---------------------------------------------------------------------------


def test_one_file_has_many_readers_or_one_writer() -> None:
    with machine() as pc:
        pc.put("X:\\a", b"x")
        handles = [pc.kernel32.create_file("X:\\a", c.GENERIC_READ, 7) for _ in range(2)]
        writer = pc.kernel32.create_file("X:\\a", c.GENERIC_WRITE, 7)
        node = pc.windows.volume.node("\\a")
        assert node is not None
        with held(pc.windows, "Read") as gate:
            reads = [Program(partial(pc.kernel32.read_file, handle, 1)) for handle in handles]
            pc.windows.calls.wait_until_running("Read", count=2)
            write = Program(lambda: pc.kernel32.write_file(writer, b"y"))
            node.lock.wait_until_waiting(1)
            assert pc.windows.calls.of("Write")[1:] == []
            gate.set()
            assert [read.result() for read in reads] == [b"x", b"x"]
            assert write.result() == 1
        for handle in (*handles, writer):
            pc.kernel32.close_handle(handle)


def test_rename_excludes_creates_even_without_the_guard() -> None:
    with machine() as pc:
        pc.put("X:\\a")
        pc.windows.settle()
        drop_guard(pc)
        with held(pc.windows, "Rename") as gate:
            rename = Program(lambda: pc.kernel32.move_file_ex("X:\\a", "X:\\b"))
            pc.windows.calls.wait_until_running("Rename")
            new = Program(lambda: pc.put("X:\\new"))
            pc.windows.volume.rename_lock.wait_until_waiting(1)
            assert not new.done
            gate.set()
            rename.result()
            new.result()


# -- the end --------------------------------------------------------------------------------------


def test_stop_cancels_callers_at_once_and_waits_for_callbacks() -> None:
    with machine() as pc:
        pc.put("X:\\a", b"x")
        volume = pc.windows.volume
        with held(pc.windows, "Read") as gate:
            reader = Program(lambda: pc.get("X:\\a"))
            pc.windows.calls.wait_until_running("Read")
            stop = Program(pc.drive.stop)
            with pytest.raises(Win32Error) as raised:
                reader.result()

            assert raised.value.winerror == nt.ERROR_OPERATION_ABORTED
            assert not stop.done
            gate.set()
            stop.result()
        assert volume.dispatcher.workers == 0
        assert volume.dispatcher.late == 1


def test_open_handles_get_no_close_at_stop() -> None:
    with machine() as pc:
        pc.put("X:\\a", b"x")
        pc.windows.settle()
        volume = pc.windows.volume
        handle = pc.kernel32.create_file("X:\\a")
        volume.calls.clear()

        pc.drive.stop()
        with pytest.raises(Win32Error) as raised:
            pc.kernel32.read_file(handle, 1)
        pc.kernel32.close_handle(handle)

        assert raised.value.winerror == nt.ERROR_OPERATION_ABORTED
        assert volume.calls.ops() == []
        assert len(pc.operations._opened_objs) == 1
        assert [line.partition(":")[0] for line in volume.abandoned] == ["\\a"]


def test_request_expires_after_its_time_and_its_answer_is_dropped() -> None:
    clock = ManualClock()
    with machine(clock=clock, irp_timeout=60_000) as pc:
        pc.put("X:\\a", b"x")
        with held(pc.windows, "Read") as gate:
            reader = Program(lambda: pc.get("X:\\a"))
            pc.windows.calls.wait_until_running("Read")
            clock.advance(59)
            assert not reader.done
            clock.advance(2)
            with pytest.raises(Win32Error) as raised:
                reader.result()
            gate.set()
        pc.windows.settle()

        assert raised.value.winerror == nt.ERROR_OPERATION_ABORTED
        assert pc.windows.volume.dispatcher.late == 1


def test_open_that_expired_is_a_context_that_nobody_closes() -> None:
    clock = ManualClock()
    with machine(clock=clock) as pc:
        pc.put("X:\\a", b"x")
        pc.windows.settle()
        with held(pc.windows, "Open") as gate:
            reader = Program(lambda: pc.get("X:\\a"))
            pc.windows.calls.wait_until_running("Open")
            clock.advance(301)
            with pytest.raises(Win32Error):
                reader.result()
            gate.set()
        pc.windows.settle()

        assert pc.windows.volume.abandoned == ["\\a: its open came too late"]
        assert len(pc.operations._opened_objs) == 1


def test_start_tries_again_while_requests_are_rejected() -> None:
    with machine(settings=Settings(start_rejections=3)) as pc:
        pc.put("X:\\a")


def test_programs_at_once_see_whole_files() -> None:
    with machine() as pc:
        data = [bytes([65 + number]) * 5000 for number in range(4)]

        def work(number: int) -> None:
            for turn in range(10):
                path = f"X:\\{number}-{turn}"
                pc.put(path, data[number])
                pc.kernel32.move_file_ex(path, path + ".done")
                assert pc.get(path + ".done") == data[number]

        programs = [Program(partial(work, number)) for number in range(4)]
        for program in programs:
            program.result()
        pc.windows.settle()

        assert len(pc.kernel32.list_directory("X:")) == 40
        pc.windows.settle()
        assert pc.operations._opened_objs == {}

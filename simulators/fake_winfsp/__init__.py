"""A Windows with WinFsp for tests on Linux: the real winfspy code runs above it, unchanged.

    with FakeWindows() as windows:                 # imports winfspy's wheel above our `lib`
        drive = winfspy.FileSystem("Z:", operations, um_file_context_is_user_context2=1)
        drive.start()
        windows.kernel32.explorer_copy(b"data", "Z:\\\\new.txt")
        windows.settle()                           # Close comes some time after CloseHandle
        assert "Rename" not in windows.calls.ops()
        drive.stop()

| part | what a test does with it |
|---|---|
| `windows.kernel32` | Win32 calls in Python's spelling (`create_file`, `move_file_ex`, `replace_file`, `explorer_copy`, `find_files` …); `Win32Error` is an OSError with `.winerror`, `.ntstatus` |
| `windows.session(elevated=True)` | the same for programs of the other session |
| `windows.calls` | the trace: `Call(op, path, status, thread, context, details)`; `.of("Open")`, `.ops()`, `.wait_until_running("Read")`, `.before("Read", action)` |
| `windows.volume` | `.abandoned` (contexts that nobody will close), `.dispatcher.workers`, `.dispatcher.late`, `.params` |
| `Settings` | the machine: WinFsp's version, processors, letters taken, session; faults of the start: rejected requests (995), statuses of create, mount and dispatcher |
| `clock=ManualClock()` | timeouts of IRPs and caches pass by `advance(seconds)`, nothing sleeps |
| `windows.memory` | the heap's ledger: `.blocks()`, `.faults` |
| `windows.problems()` | asserted at the end: double frees, reads that return too much, listings that go round in circles, crashes of the simulator |

Faults, and what a correct program does:

| fault | how | a correct program |
|---|---|---|
| WinFsp too old, letter taken, mount or dispatcher refused | `Settings(winfsp_version=, letters_taken=, …_status=)` | one clear message; `stop()` all the same |
| requests refused just after the start | `Settings(start_rejections=n)` | looks again |
| a slow callback | `windows.calls.before("Open", wait)` | nobody else waits: no network below the guard, or no guard |
| a request that expires | `ManualClock.advance`, `irp_timeout` | answers within its own deadline; forgets no context |
| stop with callbacks in flight, with open handles | `drive.stop()` meanwhile | aborts its sockets first; closes contexts itself |
| Close that never comes or comes late | stop, expiry, `volume.abandoned` | owns its contexts |
| descriptor copied, buffer overrun, marker ignored, exception in a callback | the program's own doing | caught: `problems()`, 0xC00000E9 |

Modelled:
- create: GetSecurityByName, access check (ACEs, READONLY, the directory's DELETE_CHILD), Open or
  Create, sharing and delete-pending (Close without Cleanup), then Overwrite; relative opens.
- node names upper-cased when CaseSensitiveSearch = 0, unless a NormalizedName is given.
- one context a name when UmFileContextIsUserContext2 = 0 (so that winfspy's error shows).
- Cleanup flags, PostCleanupWhenModifiedOnly; Close is posted, not waited for.
- CanDelete after GetFileInfo; not for DELETE_ON_CLOSE. `set_delete` and `control` never.
- rename: target directory opened first, open files below or in the way, READONLY in the way.
- listings: 64 KiB buffers, markers, patterns with DOS wildcards, GetDirInfoByName, the cache of an
  open directory; info, security and volume caches with finite timeouts.
- the guard (FINE, COARSE, none, own), the rename lock, a lock a file, worker threads that Python's
  threading doesn't know, IRP timeout and capacity, requests cancelled at stop, callbacks in flight
  joined, no Close for handles open at stop.
- a directory as mount point is made, must not exist, and can't lead to a volume with a prefix.
- byte-range locks; volume parameters with the driver's ranges and the wheel's silent cuts; letters,
  directories, shares, sessions; FspVersion, too old a version; SDDL; malloc and LocalFree.

Not modelled: FileInfoTimeout = -1 (the NT cache: FspFileSystemCreate refuses it with
STATUS_NOT_SUPPORTED), mapped files and paging I/O (ConstrainedIo), oplocks, named streams, reparse
points, extended attributes, change notification, POSIX delete and rename, 8.3 names, a current
directory, an administrator's token, UmFileContextIsFullContext, CREATE_ALWAYS refusing HIDDEN and SYSTEM files, files made in a directory whose deletion
is pending, waiting byte-range locks, volume flush, filters such as a virus scanner, WinFsp's service.

Verify on Windows (our reading, nothing has measured it): the status of an expired IRP (CANCELLED),
of a request after stop (CANCELLED), which Cleanup flags come with metadata changes, that queries of
one directory exclude each other, that GetDirInfoByName is asked for the upper-cased name on a
case-insensitive volume (winfspy answers with the name that it was asked for: override its
`ll_get_dir_info_by_name` to give the true one), MEDIA_WRITE_PROTECTED at create on a read-only volume, the node's
name after a rename on a case-insensitive volume, ReplaceFile's order of calls.

A mismatch with a real trace is an error of the simulator first. It is only its authors' reading;
`tests/integration/test_fake_winfsp_winfstest.py` holds it to winfspy's own cases, which were
written against NTFS.
"""  # noqa: E501 (a table)

from simulators.fake_winfsp.calls import Call, CallLog
from simulators.fake_winfsp.clock import ManualClock, RealClock
from simulators.fake_winfsp.kernel32 import Kernel32
from simulators.fake_winfsp.ntstatus import Win32Error
from simulators.fake_winfsp.windows import FakeWindows, Settings

__all__ = [
    "Call",
    "CallLog",
    "FakeWindows",
    "Kernel32",
    "ManualClock",
    "RealClock",
    "Settings",
    "Win32Error",
]

"""A stand-in for libmtp.so.9: the same functions, over directories instead of a phone.

    usb = FakeUsb(tmp_path)
    phone = usb.plug("android", faults=[{"on": "SendObject", "fault": "io_error",
                                         "after_bytes": 65536, "name": "*.jpg"}])
    environment = {**os.environ, **usb.environment()}
    library = build()                # ctypes.CDLL(library) in a process with that environment
    phone.storage().put("/Music/a.mp3", b"…"); phone.unplug(); phone.replug()
    usb.ledger.calls("Send_File_From_Handler")

`c/` holds the library: objects.c is the device, faults.c what goes wrong, library.c what libmtp
1.1.20 makes of a device's answers. Everything a device knows is in files below one directory, so
that the process that uses the library, its successor after a crash, and the test see the same device.

# What is modelled

- Storages are directories; the phone's user is whoever changes them. Objects get their numbers in
  the order of visiting; they stay as long as the device is plugged in, also for the next process.
- What libmtp does: its ownership of memory, error stack and texts, prints on stdout and stderr, chunks
  (1,012 then 16,384 bytes up, 500 then 16,384 down), progress totals with headers, results of cancelled
  callbacks, what it remembers of objects in a session, which code it loses (responses to reading
  operations become 02fe), a claim that it leaks.
- `profiles.py`: what devices do differently, each rule switchable, also while it runs (`set`).
- One process holds the device (a file lock, which ends with it). A process that was killed leaves its
  session open and half a file, which the device drops when the next one opens it.

# What can go wrong

A fault is addressed. `on` names a PTP operation or a function of libmtp without LIBMTP_ (it then
strikes at the operation that the function is there for), several with "|", or "*"; it strikes at the
`nth` match (0: every one) and at `times - 1` more; `name` (a glob over the object's name) and `path`
(over its path in the storage) narrow it down, `chance` throws the seeded dice. Matches are counted
for the device, not for the process. `when = "after"`: the deed is done, then the fault; `after_bytes`:
exactly so many bytes of the data went through, then the fault. A shorter transfer isn't hit.

| fault | what happens | parameters | a correct client |
|---|---|---|---|
| response | the device answers `code`: writing operations end in -1 and "PTP Layer error 200c: …" (Create_Folder: 0), reading ones lose it: 02fe | code, when, after_bytes | believes a refusal of a write only after a look; reads NULL as "unknown" |
| io_error, stall | 02ff; every later operation fails until release and reopen (02fe after a download, else 02ff) | when, after_bytes | reopens, lists again |
| timeout | the same, after `seconds` (0); 02fa when downloading | seconds, when, after_bytes | reopens; when=after: finds the file complete |
| hang | the call returns after `seconds` (None: never), then as timeout; releasing hangs as long again | seconds, when, after_bytes | deadline; kills the worker, starts another |
| no_device | unplugged: 02ff now, detect answers 5 | when, after_bytes | detects again to tell it from io_error |
| session_lost | 2003 (02fe when reading) until OpenSession (Custom_Operation 0x1002) or reopen | when | reopens |
| short_download | the download ends early and answers 0 | after_bytes | compares the bytes with the size |
| corrupt_byte | the byte at after_bytes is changed on its way, up or down; 0 | after_bytes | digest |
| empty_list | an empty folder, without an error | | never deletes on the strength of one listing |
| missing | GetObjectInfo fails for one child: it is left out of the list, the error stack is empty | | Get_Children where there is one; never deletes on one listing |
| duplicate, ghost, cycle | the list has its first child twice, a number that nothing has, a folder above (`as_path`; None: itself) | as_path | visits each number once, with a limit |
| show_name | the device calls an object `as_name` (None: no name at all): `../x`, `a/b`, two alike, octets that aren't UTF-8 | as_name | never takes a name for a path |
| show_parent, show_size | it says `value` | value | trusts the listing it asked for; compares the bytes |
| stored_as | it keeps what is sent under `as_name` | as_name | reads the name back |
| store_cut | what comes after `after_bytes` is dropped; success | after_bytes | lists again, compares sizes, reads back |
| lie | success, and nothing was done (an upload: -1 at the end, as nothing is found) | | looks |
| late_cancel | after a cancelled transfer the next operation fails once (02fe) | | repeats a reading operation once |
| busy | claiming fails: open answers NULL, the reason is on stderr only | | asks again, says what may hold it |
| no_access | open fails (EACCES) | | says what is missing |
| no_storages | the device is there without storages, as when locked | | polls Get_Storage |
| storage_gone | the storage with the id `value` is taken out | value, after_bytes | stops that storage, keeps its plan |
| slow | the operation takes `seconds` longer | seconds, after_bytes | doesn't take it for a hang |
| crash, abort | SIGSEGV, SIGABRT in the calling process | when, after_bytes | worker process: a retry |

Combinations that libmtp knows by other names: OpenSession with timeout and times=2, or GetDeviceInfo
with any response: open answers NULL and the claim is leaked, every later open of that process is BUSY.
SendObject with io_error and no after_bytes: SendObjectInfo was done, SendObject never arrived, a name
plate stays: 2002 for that name until replug. GetObjectInfo with times=2 after a SendObject: -1, though the
file is complete. GetObjectPropDesc with a response: object_bitsize is 32 and sizes lose their upper half.

`FakeDevice` can be unplugged, replugged (new numbers), locked, held by another program, made
unreadable, and its rules changed, while a program uses it. Same seed, same calls: same faults.

# What is not modelled

USB (packets, timeouts of its own, resets that make a phone come back under another number), MTPZ,
editing in place, tracks, albums, playlists, samples, cached sessions' listings, Read_Event_Async, copying
folders. Time: a timeout lasts as long as the fault says, not 20 or 60 s. The simulator is for systems
with POSIX file locks and mmap, not for Windows.
"""  # noqa: E501 (a table)

from simulators.fake_libmtp.build import CompilerMissingError, build
from simulators.fake_libmtp.device import FakeDevice, FakeStorage, FakeUsb
from simulators.fake_libmtp.faults import Fault, FaultError
from simulators.fake_libmtp.ledger import Call, Ledger, Struck
from simulators.fake_libmtp.profiles import PROFILES, Profile, Storage

__all__ = [
    "PROFILES",
    "Call",
    "CompilerMissingError",
    "FakeDevice",
    "FakeStorage",
    "FakeUsb",
    "Fault",
    "FaultError",
    "Ledger",
    "Profile",
    "Storage",
    "Struck",
    "build",
]

"""What programs do with an open file: read, write, information, delete, rename, locks, close."""

from __future__ import annotations

from simulators.fake_winfsp import constants as c
from simulators.fake_winfsp import ntstatus as nt
from simulators.fake_winfsp import security
from simulators.fake_winfsp.callbacks import FileInfo
from simulators.fake_winfsp.constants import CleanupFlag
from simulators.fake_winfsp.create import CreateRequest, close_context, create, detach
from simulators.fake_winfsp.locks import RangeLock
from simulators.fake_winfsp.ntstatus import NtError
from simulators.fake_winfsp.volume import FileHandle, Volume, parent_of

END_OF_FILE = 0xFFFF_FFFF_FFFF_FFFF


def read(volume: Volume, handle: FileHandle, offset: int, length: int) -> bytes:
    """Bytes at *offset*; END_OF_FILE at or behind the end. Any size comes through unsplit."""
    handle.demand(c.FILE_READ_DATA)
    node = handle.node
    if node.directory:
        raise NtError(nt.INVALID_DEVICE_REQUEST)
    node.ranges.check(handle.number, offset, length, write=False)
    if not length:
        return b""
    with node.lock.held(exclusive=False):
        return volume.dispatcher.call(
            lambda: volume.callbacks.read(handle.context, handle.path, offset, length)
        )


def write(volume: Volume, handle: FileHandle, data: bytes, offset: int | None) -> int:
    """Write at *offset*, None: at the end. Returns how much the file system took."""
    handle.demand(c.FILE_WRITE_DATA | c.FILE_APPEND_DATA)
    node = handle.node
    if node.directory:
        raise NtError(nt.INVALID_DEVICE_REQUEST)
    to_end = offset is None or not handle.access & c.FILE_WRITE_DATA
    place = END_OF_FILE if to_end or offset is None else offset
    node.ranges.check(handle.number, place, len(data), write=True)
    if not data:
        return 0
    with node.lock.held(exclusive=True):
        before = node.info[0].file_size if node.info else 0
        done, info = volume.dispatcher.call(
            lambda: volume.callbacks.write(handle.context, handle.path, data, place, to_end=to_end)
        )
        handle.modified = True
        node.trim_on_close |= info.file_size > before
        volume.remember(node, info)
    volume.forget_listing_of_parent(node.name)
    return done


def flush(volume: Volume, handle: FileHandle) -> None:
    """FlushFileBuffers."""
    handle.demand(c.FILE_WRITE_DATA | c.FILE_APPEND_DATA)
    with handle.node.lock.held(exclusive=True):
        info = volume.dispatcher.call(lambda: volume.callbacks.flush(handle.context, handle.path))
        volume.remember(handle.node, info)


def query(volume: Volume, handle: FileHandle) -> FileInfo:
    """The file's information, from the cache while FileInfoTimeout allows."""
    if handle.closed:
        raise NtError(nt.FILE_CLOSED)
    with handle.node.lock.held(exclusive=False):
        known = volume.remembered(handle.node)
        if known is not None:
            return known
        info = volume.dispatcher.call(
            lambda: volume.callbacks.get_file_info(handle.context, handle.path)
        )
        return volume.remember(handle.node, info)


def set_basic(
    volume: Volume, handle: FileHandle, attributes: int, times: tuple[int, int, int, int]
) -> None:
    """Attributes (0: as they are) and times: creation, access, write, change (0: as it is)."""
    handle.demand(c.FILE_WRITE_ATTRIBUTES)
    node = handle.node
    told = attributes & ~c.FILE_ATTRIBUTE_NORMAL if attributes else c.INVALID_FILE_ATTRIBUTES
    if attributes and node.directory:
        told |= c.FILE_ATTRIBUTE_DIRECTORY
        if told & c.FILE_ATTRIBUTE_TEMPORARY:
            raise NtError(nt.INVALID_PARAMETER)
    elif attributes & c.FILE_ATTRIBUTE_DIRECTORY:
        raise NtError(nt.INVALID_PARAMETER)
    with node.lock.held(exclusive=True):
        info = volume.dispatcher.call(
            lambda: volume.callbacks.set_basic_info(handle.context, handle.path, told, times)
        )
        volume.remember(node, info)
    handle.set_attributes |= bool(attributes)
    creation, access, wrote, change = (
        old or bool(new) for old, new in zip(handle.set_times, times, strict=True)
    )
    handle.set_times = (creation, access, wrote, change)
    volume.forget_listing_of_parent(node.name)


def set_size(volume: Volume, handle: FileHandle, size: int, *, allocation: bool = False) -> None:
    """SetEndOfFile, or the allocation."""
    handle.demand(c.FILE_WRITE_DATA)
    node = handle.node
    unit = volume.params.allocation_unit
    told = -(-size // unit) * unit if allocation else size
    with node.lock.held(exclusive=True):
        info = volume.dispatcher.call(
            lambda: volume.callbacks.set_file_size(
                handle.context, handle.path, told, allocation=allocation
            )
        )
        volume.remember(node, info)
        handle.modified = True
        node.trim_on_close = True
    volume.forget_listing_of_parent(node.name)


# -- security -------------------------------------------------------------------------------------


def get_security(volume: Volume, handle: FileHandle) -> security.Descriptor:
    """The security descriptor, from the cache while SecurityTimeout allows."""
    handle.demand(c.READ_CONTROL)
    node = handle.node
    with node.lock.held(exclusive=False):
        now_s = volume.clock.monotonic()
        if node.security is None or now_s >= node.security[1]:
            data = volume.dispatcher.call(
                lambda: volume.callbacks.get_security(handle.context, handle.path)
            )
            node.security = (data, now_s + volume.params.security_timeout_s)
        return security.unpack(node.security[0])


def set_security(
    volume: Volume, handle: FileHandle, information: int, change: security.Descriptor
) -> None:
    """Change the parts that *information* names."""
    needed = c.WRITE_DAC if information & c.DACL_SECURITY_INFORMATION else c.WRITE_OWNER
    handle.demand(needed)
    with handle.node.lock.held(exclusive=True):
        volume.dispatcher.call(
            lambda: volume.callbacks.set_security(
                handle.context, handle.path, information, security.pack(change)
            )
        )
        handle.node.security = None
        handle.set_security = True


# -- delete and rename ----------------------------------------------------------------------------


def set_disposition(volume: Volume, handle: FileHandle, *, delete: bool) -> None:
    """Delete at the last close, or don't. The DLL looks at READONLY, then asks CanDelete."""
    handle.demand(c.DELETE)
    node = handle.node
    if node.name == "\\":
        raise NtError(nt.CANNOT_DELETE)

    def ask() -> None:
        with volume.guard.held("shared"):
            info = volume.callbacks.get_file_info(handle.context, handle.path)
            if info.attributes & c.FILE_ATTRIBUTE_READONLY:
                raise NtError(nt.CANNOT_DELETE)
            if delete:
                volume.callbacks.can_delete(handle.context, node.name)

    with volume.rename_lock.held(exclusive=False), node.lock.held(exclusive=True):
        volume.dispatcher.call(ask)
        node.delete_pending = delete


def rename(volume: Volume, handle: FileHandle, target: str, *, replace: bool) -> None:
    """Give the file the path *target*: its directory is opened first, as the I/O manager does."""
    handle.demand(c.DELETE)
    node = handle.node
    if node.name == "\\" or target == "\\":
        raise NtError(nt.ACCESS_DENIED)
    needed = c.FILE_ADD_SUBDIRECTORY if node.directory else c.FILE_ADD_FILE
    parent, _ = create(
        volume,
        CreateRequest(
            name=target,
            access=needed | c.SYNCHRONIZE,
            share=c.FILE_SHARE_READ | c.FILE_SHARE_WRITE,
            options=c.FILE_OPEN_FOR_BACKUP_INTENT,
            target_directory=True,
        ),
    )
    try:
        component = target.rpartition("\\")[2]
        name = f"{parent.node.name.rstrip(chr(92))}\\{component}"
        with volume.rename_lock.held(exclusive=True), node.lock.held(exclusive=True):
            _check_rename(volume, handle, name, replace=replace)
            volume.dispatcher.call(lambda: _rename(volume, handle, name, replace=replace))
            before = node.name
            volume.rename_node(node, name)
            volume.forget_listing_of_parent(before)
            volume.forget_listing_of_parent(name)
    finally:
        close(volume, parent)


def _check_rename(volume: Volume, handle: FileHandle, name: str, *, replace: bool) -> None:
    node = handle.node
    if node.directory and volume.open_below(node.name):
        raise NtError(nt.ACCESS_DENIED)
    if volume.key_of(name).startswith(volume.key_of(node.name) + "\\"):
        raise NtError(nt.SHARING_VIOLATION)  # into itself
    target = volume.node(name)
    if target is not None and target is not node:
        raise NtError(nt.ACCESS_DENIED if replace else nt.OBJECT_NAME_COLLISION)


def _rename(volume: Volume, handle: FileHandle, name: str, *, replace: bool) -> None:
    node = handle.node
    with volume.guard.held("exclusive"):
        if replace and volume.key_of(name) != volume.key_of(node.name):
            _check_replaced(volume, name)
        volume.callbacks.rename(handle.context, node.name, name, replace=replace)


def _check_replaced(volume: Volume, name: str) -> None:
    """The DLL asks whether what is in the way may be deleted."""
    try:
        attributes, descriptor = volume.callbacks.get_security_by_name(name)
    except NtError as error:
        if error.status == nt.OBJECT_NAME_NOT_FOUND:
            return
        raise
    if attributes & (c.FILE_ATTRIBUTE_READONLY | c.FILE_ATTRIBUTE_DIRECTORY):
        raise NtError(nt.ACCESS_DENIED)
    if descriptor and not security.allowed(security.unpack(descriptor), c.DELETE):
        _, above = volume.callbacks.get_security_by_name(parent_of(name))
        if above and not security.allowed(security.unpack(above), c.FILE_DELETE_CHILD):
            raise NtError(nt.ACCESS_DENIED)


# -- byte ranges ----------------------------------------------------------------------------------


def lock(volume: Volume, handle: FileHandle, offset: int, length: int, *, exclusive: bool) -> None:
    """LockFile; nobody waits. The driver alone: no callback."""
    handle.demand(c.FILE_READ_DATA | c.FILE_WRITE_DATA)
    handle.node.ranges.add(
        RangeLock(owner=handle.number, offset=offset, length=length, exclusive=exclusive)
    )


def unlock(volume: Volume, handle: FileHandle, offset: int, length: int) -> None:
    """UnlockFile."""
    handle.node.ranges.remove(handle.number, offset, length)


# -- close ----------------------------------------------------------------------------------------


def close(volume: Volume, handle: FileHandle) -> None:
    """Cleanup (when there is something to say) is waited for, Close is posted."""
    if handle.closed:
        return
    node = handle.node
    with node.lock.held(exclusive=True):
        node.ranges.remove_all(handle.number)
        if handle.options & c.FILE_DELETE_ON_CLOSE:
            node.delete_pending = True
        with volume.table:
            last = len(node.handles) == 1
        flags = _cleanup_flags(handle, last=last)
        delete = bool(flags & CleanupFlag.DELETE)
        try:
            if flags or not volume.params.cleanup_when_modified_only:
                volume.dispatcher.call(lambda: _cleanup(volume, handle, flags))
        except NtError:
            volume.drop_context(f"{handle.path}: its cleanup was not answered")
        finally:
            name = node.name
            detach(volume, handle)
            close_context(volume, handle)
    if flags:
        volume.forget_listing_of_parent(name)
    if delete:
        node.info = None


def _cleanup(volume: Volume, handle: FileHandle, flags: int) -> None:
    delete = bool(flags & CleanupFlag.DELETE)
    with volume.guard.held("exclusive" if delete else "free"):
        name = handle.node.name if delete else None
        volume.callbacks.cleanup(handle.context, handle.path, name, flags)


def _cleanup_flags(handle: FileHandle, *, last: bool) -> int:
    node = handle.node
    if node.delete_pending and last:
        return CleanupFlag.DELETE
    flags = 0
    _, set_access, set_write, set_change = handle.set_times
    if last and node.trim_on_close and not node.directory:
        flags |= CleanupFlag.SET_ALLOCATION_SIZE
    if handle.modified:
        flags |= 0 if handle.set_attributes else CleanupFlag.SET_ARCHIVE_BIT
        flags |= 0 if set_access else CleanupFlag.SET_LAST_ACCESS_TIME
        flags |= 0 if set_write else CleanupFlag.SET_LAST_WRITE_TIME
    if (handle.modified or handle.set_security) and not set_change:
        flags |= CleanupFlag.SET_CHANGE_TIME
    return flags

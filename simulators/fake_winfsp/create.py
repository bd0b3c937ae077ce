"""NtCreateFile: the driver's checks, the DLL's dispositions and access checks, sharing."""

from __future__ import annotations

from dataclasses import dataclass, replace

from simulators.fake_winfsp import constants as c
from simulators.fake_winfsp import ntstatus as nt
from simulators.fake_winfsp import security
from simulators.fake_winfsp.callbacks import Opened
from simulators.fake_winfsp.constants import Disposition, Outcome
from simulators.fake_winfsp.ntstatus import NtError
from simulators.fake_winfsp.volume import FileHandle, FileNode, Volume, parent_of


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateRequest:
    """The arguments of NtCreateFile."""

    name: str
    access: int
    share: int = c.FILE_SHARE_ALL
    disposition: Disposition = Disposition.OPEN
    options: int = 0
    attributes: int = 0
    security: security.Descriptor | None = None
    allocation_size: int = 0
    target_directory: bool = False  # for a rename: open the parent of `name`


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    opened: Opened
    outcome: Outcome
    access: int
    name: str


def create(
    volume: Volume, request: CreateRequest, relative_to: FileHandle | None = None
) -> tuple[FileHandle, Outcome]:
    """Open or create; NtError else. A relative name continues the node's name, upper-cased or not.

    Blocks until the file system answered, the request expired or the dispatcher stopped.
    """
    if relative_to is not None:
        base = relative_to.node.name.rstrip("\\")
        request = replace(request, name=f"{base}\\{request.name}")
    request = _checked(volume, request)
    with volume.rename_lock.held(exclusive=False):
        answer = volume.dispatcher.call(
            lambda: _open_or_create(volume, request),
            dropped=lambda late: volume.drop_context(f"{late.name}: its open came too late"),
        )
        handle = _attach(volume, request, answer)
        if answer.outcome in (Outcome.OVERWRITTEN, Outcome.SUPERSEDED):
            _overwrite(volume, request, handle, answer.outcome)
    if answer.outcome is not Outcome.OPENED:
        volume.forget_listing_of_parent(handle.node.name)
    return handle, answer.outcome


# -- the driver, before the file system is asked --------------------------------------------------


def _checked(volume: Volume, request: CreateRequest) -> CreateRequest:
    name, options = request.name, request.options
    if len(name) > 1 and name.endswith("\\"):
        if options & c.FILE_NON_DIRECTORY_FILE:
            raise NtError(nt.OBJECT_NAME_INVALID)
        name, options = name.rstrip("\\") or "\\", options | c.FILE_DIRECTORY_FILE
    volume.check_name(name)
    both = c.FILE_DIRECTORY_FILE | c.FILE_NON_DIRECTORY_FILE
    if options & both == both:
        raise NtError(nt.INVALID_PARAMETER)
    if options & c.FILE_DELETE_ON_CLOSE and not c.map_generic(request.access) & c.DELETE:
        raise NtError(nt.INVALID_PARAMETER)
    attributes = request.attributes & ~(c.FILE_ATTRIBUTE_NORMAL | c.FILE_ATTRIBUTE_DIRECTORY)
    if options & c.FILE_DIRECTORY_FILE:
        if request.disposition not in (Disposition.OPEN, Disposition.CREATE, Disposition.OPEN_IF):
            raise NtError(nt.INVALID_PARAMETER)
        if attributes & c.FILE_ATTRIBUTE_TEMPORARY:
            raise NtError(nt.INVALID_PARAMETER)
        attributes |= c.FILE_ATTRIBUTE_DIRECTORY
    if name == "\\" and not request.target_directory:
        if request.disposition not in (Disposition.OPEN, Disposition.OPEN_IF):
            raise NtError(nt.ACCESS_DENIED)
        if options & c.FILE_DELETE_ON_CLOSE:
            raise NtError(nt.CANNOT_DELETE)
    if volume.params.read_only:
        _check_read_only(request)
    return replace(request, name=name, options=options, attributes=attributes)


def _check_read_only(request: CreateRequest) -> None:
    writes = c.WRITES | c.FILE_WRITE_ATTRIBUTES | c.FILE_WRITE_EA | c.DELETE
    writes |= c.WRITE_DAC | c.WRITE_OWNER
    if (
        request.disposition not in (Disposition.OPEN, Disposition.OPEN_IF)
        or request.options & c.FILE_DELETE_ON_CLOSE
        or c.map_generic(request.access) & writes
    ):
        raise NtError(nt.MEDIA_WRITE_PROTECTED)


# -- the DLL, on a worker -------------------------------------------------------------------------


def _open_or_create(volume: Volume, request: CreateRequest) -> _Answer:
    opens = request.disposition in (Disposition.OPEN, Disposition.OVERWRITE)
    with volume.guard.held("shared" if opens else "exclusive"):
        if request.target_directory:
            return _open_parent(volume, request)
        if request.disposition is Disposition.CREATE:
            return _create_new(volume, request)
        try:
            return _open_existing(volume, request)
        except NtError as error:
            if opens or error.status != nt.OBJECT_NAME_NOT_FOUND:
                raise
        return _create_new(volume, request)


def _open_parent(volume: Volume, request: CreateRequest) -> _Answer:
    parent = parent_of(request.name)
    try:
        attributes, _ = volume.callbacks.get_security_by_name(parent)
    except NtError as error:
        raise _as_path_error(error) from error
    if not attributes & c.FILE_ATTRIBUTE_DIRECTORY:
        raise NtError(nt.NOT_A_DIRECTORY)
    access = c.map_generic(request.access)
    opened = volume.callbacks.open(parent, request.options, access)
    return _Answer(opened=opened, outcome=Outcome.OPENED, access=access, name=parent)


def _open_existing(volume: Volume, request: CreateRequest) -> _Answer:
    extra, outcome = {
        Disposition.OVERWRITE: (c.FILE_WRITE_DATA, Outcome.OVERWRITTEN),
        Disposition.OVERWRITE_IF: (c.FILE_WRITE_DATA, Outcome.OVERWRITTEN),
        Disposition.SUPERSEDE: (c.DELETE, Outcome.SUPERSEDED),
    }.get(request.disposition, (0, Outcome.OPENED))
    access = _check_main(volume, request, extra)
    opened = volume.callbacks.open(request.name, request.options, access)
    return _Answer(opened=opened, outcome=outcome, access=access, name=request.name)


def _create_new(volume: Volume, request: CreateRequest) -> _Answer:
    read_only = request.attributes & c.FILE_ATTRIBUTE_READONLY
    if read_only and request.options & c.FILE_DELETE_ON_CLOSE:
        raise NtError(nt.CANNOT_DELETE)
    if volume.params.read_only:
        raise NtError(nt.MEDIA_WRITE_PROTECTED)
    parent = _check_parent(volume, request)
    access = c.map_generic(request.access)
    if access & c.MAXIMUM_ALLOWED:
        access = c.FILE_ALL_ACCESS
    made = security.pack(security.for_new_file(request.security, parent))
    unit = volume.params.allocation_unit
    opened = volume.callbacks.create(
        request.name,
        request.options,
        access,
        request.attributes,
        made,
        -(-request.allocation_size // unit) * unit,
    )
    return _Answer(opened=opened, outcome=Outcome.CREATED, access=access, name=request.name)


def _check_main(volume: Volume, request: CreateRequest, extra: int) -> int:
    """The rights that the handle gets."""
    attributes, descriptor = volume.callbacks.get_security_by_name(request.name)
    directory = bool(attributes & c.FILE_ATTRIBUTE_DIRECTORY)
    if request.options & c.FILE_DIRECTORY_FILE and not directory:
        raise NtError(nt.NOT_A_DIRECTORY)
    if request.options & c.FILE_NON_DIRECTORY_FILE and directory:
        raise NtError(nt.FILE_IS_A_DIRECTORY)
    access = c.map_generic(request.access)
    maximum = bool(access & c.MAXIMUM_ALLOWED)
    needed = (access | extra) & ~c.MAXIMUM_ALLOWED
    rights = _rights(volume, request.name, descriptor, c.FILE_ALL_ACCESS if maximum else needed)
    if needed & ~rights:
        raise NtError(nt.ACCESS_DENIED)
    if attributes & c.FILE_ATTRIBUTE_READONLY and not directory:
        if request.options & c.FILE_DELETE_ON_CLOSE:
            raise NtError(nt.CANNOT_DELETE)
        if needed & c.WRITES:
            raise NtError(nt.ACCESS_DENIED)
        rights &= ~c.WRITES
    return rights if maximum else access


def _rights(volume: Volume, name: str, descriptor: bytes, asked: int) -> int:
    if not descriptor:
        return asked
    rights = security.allowed(security.unpack(descriptor), asked)
    missing = asked & ~rights & (c.DELETE | c.FILE_READ_ATTRIBUTES)
    if missing and name != "\\":  # the directory may give what the file doesn't
        _, above = volume.callbacks.get_security_by_name(parent_of(name))
        given = (
            security.allowed(security.unpack(above), c.FILE_DELETE_CHILD | c.FILE_LIST_DIRECTORY)
            if above
            else c.FILE_DELETE_CHILD | c.FILE_LIST_DIRECTORY
        )
        rights |= missing & c.DELETE if given & c.FILE_DELETE_CHILD else 0
        rights |= missing & c.FILE_READ_ATTRIBUTES if given & c.FILE_LIST_DIRECTORY else 0
    return rights


def _check_parent(volume: Volume, request: CreateRequest) -> security.Descriptor | None:
    """Whether it may be made there; the directory's descriptor, for what is inherited."""
    try:
        attributes, descriptor = volume.callbacks.get_security_by_name(parent_of(request.name))
    except NtError as error:
        raise _as_path_error(error) from error
    if not attributes & c.FILE_ATTRIBUTE_DIRECTORY:
        raise NtError(nt.NOT_A_DIRECTORY)
    if not descriptor:
        return None
    found = security.unpack(descriptor)
    directory = request.options & c.FILE_DIRECTORY_FILE
    needed = c.FILE_ADD_SUBDIRECTORY if directory else c.FILE_ADD_FILE
    if not security.allowed(found, needed):
        raise NtError(nt.ACCESS_DENIED)
    return found


def _as_path_error(error: NtError) -> NtError:
    missing = error.status == nt.OBJECT_NAME_NOT_FOUND
    return NtError(nt.OBJECT_PATH_NOT_FOUND) if missing else error


# -- the driver, after the file system answered ---------------------------------------------------


def _attach(volume: Volume, request: CreateRequest, answer: _Answer) -> FileHandle:
    """Sharing and delete-pending; who fails here gets Close without Cleanup."""
    opened = answer.opened
    name = volume.key_of(answer.name)
    if opened.normalized_name is not None and not volume.params.case_sensitive:
        if volume.key_of(opened.normalized_name) != name:
            told = f"{opened.normalized_name!r} was given as the true name of {answer.name!r}"
            volume.callbacks.violations.append(told)
        name = opened.normalized_name
    with volume.table:
        node = volume.node(name)
        fresh = node is None
        if node is None:
            node = FileNode(name=name, directory=opened.info.directory, context=opened.context)
        if not fresh and not volume.params.context_per_open and opened.context != node.context:
            volume.drop_context(f"{answer.name}: opened twice, one context a name")
            opened = replace(opened, context=node.context)
        handle = FileHandle(
            number=volume.next_number(),
            node=node,
            context=opened.context,
            path=answer.name,
            access=answer.access,
            share=request.share,
            options=request.options,
        )
        try:
            if node.delete_pending:
                raise NtError(nt.DELETE_PENDING)
            _check_sharing(node, handle)
        except NtError:
            close_context(volume, handle)
            raise
        node.handles.append(handle)
        volume.add_node(node)
    volume.remember(node, opened.info)
    if answer.outcome is not Outcome.OPENED:
        node.trim_on_close = True
    return handle


def _check_sharing(node: FileNode, new: FileHandle) -> None:
    kinds = (
        (c.FILE_READ_DATA | c.FILE_EXECUTE, c.FILE_SHARE_READ),
        (c.FILE_WRITE_DATA | c.FILE_APPEND_DATA, c.FILE_SHARE_WRITE),
        (c.DELETE, c.FILE_SHARE_DELETE),
    )
    counted = c.FILE_READ_DATA | c.FILE_EXECUTE | c.FILE_WRITE_DATA | c.FILE_APPEND_DATA | c.DELETE
    if not new.access & counted:
        return
    for old in node.handles:
        if not old.access & counted:
            continue
        for access, share in kinds:
            if new.access & access and not old.share & share:
                raise NtError(nt.SHARING_VIOLATION)
            if old.access & access and not new.share & share:
                raise NtError(nt.SHARING_VIOLATION)


def _overwrite(
    volume: Volume, request: CreateRequest, handle: FileHandle, outcome: Outcome
) -> None:
    node = handle.node
    try:
        with node.lock.held(exclusive=True):
            info = volume.dispatcher.call(
                lambda: volume.callbacks.overwrite(
                    handle.context,
                    handle.path,
                    request.attributes,
                    replace=outcome is Outcome.SUPERSEDED,
                    size=request.allocation_size,
                )
            )
            volume.remember(node, info)
    except NtError:
        detach(volume, handle)
        close_context(volume, handle)
        raise


def detach(volume: Volume, handle: FileHandle) -> None:
    """The handle no longer counts."""
    with volume.table:
        handle.closed = True
        if handle in handle.node.handles:
            handle.node.handles.remove(handle)
        if not handle.node.handles:
            volume.drop_node(handle.node)


def close_context(volume: Volume, handle: FileHandle) -> None:
    """Post Close: some time later, and nobody waits for it."""
    if not volume.params.context_per_open and handle.node.handles:
        told = f"Close {handle.path} of a context that others use: UmFileContextIsUserContext2 = 0"
        volume.callbacks.violations.append(told)  # a real one would go on with freed memory
        return

    def close() -> None:
        volume.callbacks.close(handle.context, handle.path)

    volume.dispatcher.post(close)

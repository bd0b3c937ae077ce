"""How real servers differ, as data.

A profile says what one server does; the sessions read it and have no server names in them. Where
a trait comes from the server's source or strings it is meant to be exact, since clients are
tempted to read texts. `replies` maps the name of an outcome (see `DEFAULT_REPLIES`) to code and
text; "{...}" are filled in by the command. A text with line ends becomes a multi-line reply.
"""

from __future__ import annotations

from dataclasses import dataclass, field

HOUR = 3600

# outcome -> code, text. Other profiles only name what is different.
DEFAULT_REPLIES: dict[str, tuple[int, str]] = {
    "greeting": (220, "FTP server ready."),
    "too_many": (421, "There are too many connected users, please try later."),
    "idle": (421, "Timeout."),
    "need_password": (331, "Please specify the password."),
    "need_email": (331, "Please specify the password."),
    "logged_in": (230, "Login successful."),
    "guest_in": (230, "Login successful."),
    "login_failed": (530, "Login incorrect."),
    "not_logged_in": (530, "Please login with USER and PASS."),
    "unknown": (500, "Unknown command."),
    "refused": (502, "Command not implemented."),
    "guest_refused": (530, "Guest user is not allowed to use that command"),
    "denied": (550, "Permission denied."),
    "quit": (221, "Goodbye."),
    "system": (215, "UNIX Type: L8"),
    "noop": (200, "NOOP ok."),
    "binary": (200, "Switching to Binary mode."),
    "ascii": (200, "Switching to ASCII mode."),
    "cwd": (250, "Directory successfully changed."),
    "cwd_failed": (550, "Failed to change directory."),
    "pwd": (257, '"{quoted}" is the current directory'),
    "mkd": (257, '"{quoted}" created'),
    "mkd_failed": (550, "Create directory operation failed."),
    "rmd": (250, "Remove directory operation successful."),
    "rmd_failed": (550, "Remove directory operation failed."),
    "dele": (250, "Delete operation successful."),
    "dele_failed": (550, "Delete operation failed."),
    "rnfr": (350, "Ready for RNTO."),
    "rnfr_failed": (550, "RNFR command failed."),
    "rnto": (250, "Rename successful."),
    "rnto_failed": (550, "Rename failed."),
    "rnto_exists": (553, "File exists."),
    "rnto_first": (503, "RNFR required first."),
    "size_failed": (550, "Could not get file size."),
    "mdtm_failed": (550, "Could not get file modification time."),
    "mdtm_set": (213, "File modification time set."),
    "mfmt": (213, "Modify={time}; {path}"),
    "mfmt_failed": (550, "Could not set file modification time."),
    "rest": (350, "Restart position accepted ({offset})."),
    "rest_refused": (451, "{arg}: Append/Restart not permitted, try again"),
    "retr": (150, "Opening BINARY mode data connection for {arg} ({size} bytes)."),
    "retr_done": (226, "Transfer complete."),
    "retr_failed": (550, "Failed to open file."),
    "retr_broken": (426, "Failure writing network stream."),
    "stor": (150, "Ok to send data."),
    "stor_done": (226, "Transfer complete."),
    "stor_failed": (553, "Could not create file."),
    "stor_broken": (426, "Failure reading network stream."),
    "list": (150, "Here comes the directory listing."),
    "list_done": (226, "Directory send OK."),
    "list_failed": (550, "{reason}"),
    "no_space": (552, "Quota exceeded."),
    "no_data_connection": (425, "Use PORT or PASV first."),
    "data_failed": (425, "Failed to establish connection."),
    "reuse_required": (522, "SSL connection failed: session reuse required"),
    "abor_nothing": (225, "No transfer to ABOR."),
    "abor_done": (226, "ABOR successful."),
    "abor_broken": (426, "Data transfer aborted."),
    "site_chmod": (200, "SITE CHMOD command ok."),
    "site_unknown": (500, "Unknown SITE command."),
    "port": (200, "PORT command successful. Consider using PASV."),
}

_BASE = frozenset(
    ["USER", "PASS", "QUIT", "SYST", "FEAT", "OPTS", "NOOP", "TYPE", "STRU", "MODE", "ALLO", "HELP", "STAT", "PWD", "XPWD", "CWD", "XCWD", "CDUP", "XCUP", "MKD", "XMKD", "RMD", "XRMD", "DELE", "RNFR", "RNTO", "RETR", "STOR", "APPE", "REST", "LIST", "NLST", "SIZE", "MDTM", "PASV", "EPSV", "PORT", "EPRT", "ABOR", "SITE"]
)
_TLS = frozenset({"AUTH", "PBSZ", "PROT"})
_MLSX = frozenset({"MLSD", "MLST"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """One kind of server."""

    name: str
    commands: frozenset[str]  # known at all; others get "unknown"
    features: tuple[str, ...] | None  # lines of FEAT; None: FEAT is refused
    feat_frame: tuple[str, str] = ("Features:", "End")
    replies: dict[str, tuple[int, str]] = field(default_factory=dict)
    listing: str = "unix"  # dialect of LIST: see listings.DIALECTS
    facts: tuple[str, ...] = ()  # of MLSD and MLST, with the server's spelling
    fraction: bool = False  # times of MLSx and MDTM carry milliseconds
    utc_offset_s: int = 0  # of LIST; MDTM and MLSx are UTC
    hides_dot_files: bool = False  # LIST and NLST without -a
    list_flags: bool = True  # "-a", "-la" are understood; else they are a path
    globs: bool = False  # * ? [ ] in the argument of LIST and NLST select names
    missing_list_is_empty: bool = False  # LIST of nothing: 226 and no line
    listing_max: int | None = None  # names that one listing shows at most
    mlsd_hides_stars: bool = False  # names with * don't show, arguments with * are refused
    absolute_list_joins_cwd: bool = False  # LIST /x lists cwd + /x
    data_before_mark: bool = True  # accepts the data connection, then says 150
    rename_over: bool = True  # RNTO replaces an existing file
    rename_always_ok: bool = False  # 250 also when it failed
    rmd_recursive: bool = False
    stor_deletes_first: bool = False  # the target is gone before the data connection is there
    store_restart: bool = True  # REST+STOR and APPE on an existing file
    appe_after_rest: bool = True
    directory_times: bool = False  # MDTM of a directory is answered
    size_in_ascii: bool = True
    mdtm_sets: bool = False  # "MDTM 20200101000000 name"
    ascii_converts: bool = True  # TYPE A changes line ends
    before_login: frozenset[str] = frozenset(
        {"USER", "PASS", "QUIT", "FEAT", "OPTS", "AUTH", "PBSZ", "PROT", "HOST", "CLNT"}
    )
    abort: str = "after"  # ABOR is "seen" during a transfer, read "after" it, or "none"
    strips_arguments: bool = False  # trailing blanks and all double quotes go
    pasv_after_epsv: bool = True
    site_is_noop: bool = False
    guest_read_only: bool = False
    guest_with_users: bool = False  # anonymous also where there are users
    guest_refused: frozenset[str] = frozenset()  # commands
    guests_max: int | None = None
    sessions_max: int | None = None
    limit_at_login: bool = False  # the limit answers PASS, not the connection
    user_logs_in_guest: bool = False  # USER anonymous -> 230, no PASS
    login_failure_s: float = 0.0
    ignores_case: bool = False
    idle_s: float = 300
    hashes: tuple[str, ...] = ()  # HASH algorithms, default first
    available_bytes: int | None = None  # AVBL
    tls: bool = True

    def reply(self, outcome: str) -> tuple[int, str]:
        """Code and text of *outcome*."""
        return self.replies.get(outcome) or DEFAULT_REPLIES[outcome]


VSFTPD = Profile(
    name="vsftpd",
    commands=_BASE | {"STOU", "ACCT", "REIN", "SMNT"},
    features=("EPRT", "EPSV", "MDTM", "PASV", "REST STREAM", "SIZE", "TVFS", "UTF8"),
    replies={
        "greeting": (220, "(vsFTPd 3.0.5)"),
        "site_unknown": (500, "Unknown SITE command."),
    },
    listing="vsftpd",
    hides_dot_files=True,
    globs=True,
    missing_list_is_empty=True,
    mdtm_sets=True,
    ascii_converts=False,
    login_failure_s=1.0,
)

PROFTPD = Profile(
    name="proftpd",
    commands=_BASE | _MLSX | {"MFMT", "MFF", "CLNT", "STOU", "RANG", "HOST", "LANG", "ACCT"},
    features=(
        "CLNT",
        "EPRT",
        "EPSV",
        "HOST",
        "LANG en-US*",
        "MDTM",
        "MFF modify;UNIX.group;UNIX.mode;",
        "MFMT",
        "MLST modify*;perm*;size*;type*;unique*;UNIX.group*;UNIX.mode*;UNIX.owner*;",
        "REST STREAM",
        "SITE COPY",
        "SITE MKDIR",
        "SITE RMDIR",
        "SITE SYMLINK",
        "SITE UTIME",
        "SIZE",
        "TVFS",
        "UTF8",
    ),
    replies={
        "greeting": (220, "ProFTPD Server (Debian) [127.0.0.1]"),
        "too_many": (421, "Too many connections, try again later"),
        "idle": (421, "Idle timeout (300 seconds): closing control connection"),
        "need_password": (331, "Password required for {user}"),
        "need_email": (
            331,
            "Anonymous login ok, send your complete email address as your password",
        ),
        "logged_in": (230, "User {user} logged in"),
        "guest_in": (230, "Anonymous access granted, restrictions apply"),
        "not_logged_in": (530, "Please login with USER and PASS"),
        "unknown": (500, "{command} not understood"),
        "noop": (200, "NOOP command successful"),
        "binary": (200, "Type set to I"),
        "ascii": (200, "Type set to A"),
        "cwd": (250, "CWD command successful"),
        "cwd_failed": (550, "{arg}: {reason}"),
        "mkd": (257, '"{quoted}" - Directory successfully created'),
        "mkd_failed": (550, "{arg}: {reason}"),
        "rmd": (250, "RMD command successful"),
        "rmd_failed": (550, "{arg}: {reason}"),
        "dele": (250, "DELE command successful"),
        "dele_failed": (550, "{arg}: {reason}"),
        "rnfr": (350, "File or directory exists, ready for destination name"),
        "rnfr_failed": (550, "{arg}: {reason}"),
        "rnto": (250, "Rename successful"),
        "rnto_failed": (550, "Rename {arg}: {reason}"),
        "rnto_first": (503, "Bad sequence of commands"),
        "size_failed": (550, "{arg}: {reason}"),
        "mdtm_failed": (550, "{arg}: {reason}"),
        "mfmt_failed": (550, "{arg}: {reason}"),
        "rest": (350, "Restarting at {offset}. Send STORE or RETRIEVE to initiate transfer"),
        "retr": (150, "Opening BINARY mode data connection for {arg} ({size} bytes)"),
        "retr_done": (226, "Transfer complete"),
        "retr_failed": (550, "{arg}: {reason}"),
        "retr_broken": (426, "Transfer aborted. Data connection closed"),
        "stor": (150, "Opening BINARY mode data connection for {arg}"),
        "stor_done": (226, "Transfer complete"),
        "stor_failed": (550, "{arg}: {reason}"),
        "stor_broken": (426, "Transfer aborted. Data connection closed"),
        "list": (150, "Opening ASCII mode data connection for file list"),
        "list_done": (226, "Transfer complete"),
        "list_failed": (450, "{arg}: {reason}"),
        "no_space": (552, "Transfer aborted. Disk quota exceeded"),
        "no_data_connection": (425, "Unable to build data connection: Connection refused"),
        "data_failed": (425, "Unable to build data connection: Connection timed out"),
        "reuse_required": (425, "Unable to build data connection: Operation not permitted"),
        "denied": (550, "{arg}: Permission denied"),
        "abor_nothing": (226, "Abort successful"),
        "abor_done": (226, "Abort successful"),
        "abor_broken": (426, "Transfer aborted. Data connection closed"),
        "port": (200, "PORT command successful"),
    },
    listing="proftpd",
    facts=("modify", "perm", "size", "type", "unique", "UNIX.group", "UNIX.mode", "UNIX.owner"),
    globs=True,
    store_restart=False,
    directory_times=True,
    size_in_ascii=False,
    abort="seen",
)

PUREFTPD = Profile(
    name="pureftpd",
    commands=_BASE | _MLSX | {"MFMT", "STOU", "CLNT", "ESTA", "ESTP", "PRET"},
    features=(
        "UTF8",
        "EPRT",
        "IDLE",
        "MDTM",
        "SIZE",
        "MFMT",
        "REST STREAM",
        "MLST type*;size*;sizd*;modify*;UNIX.mode*;UNIX.uid*;UNIX.gid*;unique*;",
        "MLSD",
        "PRET",
        "TVFS",
        "ESTA",
        "PASV",
        "EPSV",
        "ESTP",
    ),
    feat_frame=("Extensions supported:", "End."),
    replies={
        "greeting": (
            220,
            "--------- Welcome to Pure-FTPd [privsep] [TLS] ----------\n"
            "You are user number 1 of 50 allowed.\n"
            "Local time is now 12:00. Server port: 21.\n"
            "You will be disconnected after 15 minutes of inactivity.",
        ),
        "too_many": (421, "50 users (the maximum) are already logged in, sorry"),
        "idle": (421, "Timeout - try typing a little faster next time"),
        "need_password": (331, "User {user} OK. Password required"),
        "logged_in": (230, "OK. Current directory is /"),
        "guest_in": (230, "Anonymous user logged in"),
        "login_failed": (530, "Login authentication failed"),
        "not_logged_in": (530, "You aren't logged in"),
        "unknown": (500, "Unknown command"),
        "quit": (221, "Goodbye. You uploaded 0 and downloaded 0 kbytes.\nLogout."),
        "noop": (200, "Zzz..."),
        "binary": (200, "TYPE is now 8-bit binary"),
        "ascii": (200, "TYPE is now ASCII"),
        "cwd": (250, "OK. Current directory is {path}"),
        "cwd_failed": (550, "Can't change directory to {arg}: {reason}"),
        "pwd": (257, '"{quoted}" is your current location'),
        "mkd": (257, '"{arg}" : The directory was successfully created'),
        "mkd_failed": (550, "Can't create directory: {reason}"),
        "rmd": (250, "The directory was successfully removed"),
        "rmd_failed": (550, "Can't remove directory: {reason}"),
        "dele": (250, "Deleted {arg}"),
        "dele_failed": (550, "Could not delete {arg}: {reason}"),
        "rnfr": (350, "RNFR accepted - file exists, ready for destination"),
        "rnfr_failed": (550, "Sorry, but that file doesn't exist"),
        "rnto": (250, "File successfully renamed or moved"),
        "rnto_failed": (451, "Rename/move failure: {reason}"),
        "rnto_first": (503, "You need to tell me what file to rename"),
        "size_failed": (550, "Can't check for file existence"),
        "mdtm_failed": (550, "Can't check for file existence"),
        "mfmt_failed": (550, "Can't set the timestamp: {reason}"),
        "rest": (350, "Restarting at {offset}"),
        "retr": (150, "Accepted data connection\n{size} bytes to download"),
        "retr_done": (
            226,
            "File successfully transferred\n0.001 seconds (measured here), 1.00 Mbytes per second",
        ),
        "retr_failed": (550, "Can't open {arg}: {reason}"),
        "retr_broken": (426, "Transfer aborted"),
        "stor": (150, "Accepted data connection"),
        "stor_done": (
            226,
            "File successfully transferred\n0.001 seconds (measured here), 1.00 Mbytes per second",
        ),
        "stor_failed": (553, "Can't open that file: {reason}"),
        "stor_broken": (426, "Transfer aborted"),
        "list": (150, "Accepted data connection"),
        "list_done": (226, "Options: -l \n{count} matches total"),
        "no_space": (552, "Disk full - please upload later"),
        "no_data_connection": (425, "No data connection"),
        "data_failed": (425, "No data connection"),
        "reuse_required": (425, "Sorry, unsafe data connection: reuse the TLS session"),
        "abor_nothing": (226, "Since you see this ABOR must've succeeded"),
        "abor_done": (226, "Since you see this ABOR must've succeeded"),
        "abor_broken": (426, "Transfer aborted"),
        "port": (200, "PORT command successful"),
    },
    listing="pureftpd",
    facts=("type", "size", "modify", "UNIX.mode", "UNIX.uid", "UNIX.gid", "unique"),
    utc_offset_s=HOUR,
    hides_dot_files=True,
    globs=True,
    missing_list_is_empty=True,
    listing_max=10_000,
    directory_times=True,
    abort="seen",
    user_logs_in_guest=True,
    idle_s=900,
)

FILEZILLA = Profile(
    name="filezilla",
    commands=_BASE | _MLSX | {"MFMT", "CLNT"},
    features=(
        "MDTM",
        "REST STREAM",
        "SIZE",
        "MLST type*;size*;modify*;perm*;",
        "MLSD",
        "UTF8",
        "CLNT",
        "MFMT",
        "EPSV",
        "EPRT",
        "TVFS",
    ),
    replies={
        "greeting": (220, "FileZilla Server 1.8.2\nPlease visit https://filezilla-project.org/"),
        "need_password": (331, "Please, specify the password."),
        "need_email": (331, "Please, specify the password."),
        "unknown": (500, "Wrong command."),
        "system": (215, "UNIX emulated by FileZilla."),
        "pwd": (257, '"{quoted}" is current directory.'),
        "cwd": (250, "CWD command successful"),
        "cwd_failed": (550, "Couldn't open the directory"),
        "mkd": (257, '"{quoted}" created successfully.'),
        "mkd_failed": (550, "Couldn't create the directory"),
        "rmd": (250, "Directory deleted successfully."),
        "rmd_failed": (550, "Couldn't delete the directory"),
        "dele": (250, "File deleted successfully."),
        "dele_failed": (550, "Couldn't delete the file"),
        "rnfr": (350, "File exists, ready for destination name."),
        "rnfr_failed": (550, "Couldn't find the file or directory"),
        "rnto": (250, "File or directory renamed successfully."),
        "rnto_failed": (550, "Couldn't rename the file or directory"),
        "rest": (350, "Restarting at {offset}"),
        "retr": (150, "Starting data transfer."),
        "retr_done": (226, "Operation successful"),
        "retr_failed": (550, "Couldn't open the file"),
        "stor": (150, "Starting data transfer."),
        "stor_done": (226, "Operation successful"),
        "stor_failed": (550, "Couldn't open the file for writing"),
        "list": (150, "Starting data transfer."),
        "list_done": (226, "Operation successful"),
        "list_failed": (550, "Couldn't open the directory"),
        "reuse_required": (425, "Unable to build data connection: TLS session resumption required"),
        "mfmt": (213, "modify={time}; {path}"),
        "abor_done": (226, "ABOR command successful"),
    },
    listing="filezilla",
    facts=("type", "size", "modify", "perm"),
    fraction=True,
    data_before_mark=False,
    abort="seen",
    ignores_case=True,
)

IIS = Profile(
    name="iis",
    commands=_BASE | {"STOU", "LANG", "HOST"},
    features=("LANG EN*", "UTF8", "HOST", "SIZE", "MDTM", "REST STREAM"),
    feat_frame=("Extended features supported:", "END"),
    replies={
        "greeting": (220, "Microsoft FTP Service"),
        "need_password": (331, "Password required"),
        "need_email": (331, "Anonymous access allowed, send identity (e-mail name) as password."),
        "logged_in": (230, "User logged in."),
        "guest_in": (230, "User logged in."),
        "login_failed": (530, "User cannot log in."),
        "not_logged_in": (530, "Please login with USER and PASS."),
        "unknown": (500, "'{command}': command not understood."),
        "system": (215, "Windows_NT"),
        "noop": (200, "noop command successful."),
        "binary": (200, "Type set to I."),
        "ascii": (200, "Type set to A."),
        "cwd": (250, "CWD command successful."),
        "cwd_failed": (550, "The system cannot find the file specified. "),
        "pwd": (257, '"{quoted}" is current directory.'),
        "mkd": (257, '"{arg}" directory created.'),
        "mkd_failed": (550, "Cannot create a file when that file already exists. "),
        "rmd": (250, "RMD command successful."),
        "rmd_failed": (550, "{reason_windows}"),
        "dele": (250, "DELE command successful."),
        "dele_failed": (550, "{reason_windows}"),
        "rnfr": (350, "Requested file action pending further information."),
        "rnfr_failed": (550, "The system cannot find the file specified. "),
        "rnto": (250, "RNTO command successful."),
        "rnto_failed": (550, "{reason_windows}"),
        "rnto_exists": (550, "Cannot create a file when that file already exists. "),
        "size_failed": (550, "The system cannot find the file specified. "),
        "mdtm_failed": (550, "The system cannot find the file specified. "),
        "rest": (350, "Restarting at {offset}."),
        "retr": (125, "Data connection already open; Transfer starting."),
        "retr_failed": (550, "The system cannot find the file specified. "),
        "stor": (125, "Data connection already open; Transfer starting."),
        "stor_failed": (550, "{reason_windows}"),
        "list": (125, "Data connection already open; Transfer starting."),
        "list_done": (226, "Transfer complete."),
        "list_failed": (550, "The system cannot find the file specified. "),
        "denied": (550, "Access is denied. "),
        "no_space": (552, "Disk full."),
        "quit": (221, "Goodbye."),
    },
    listing="dos",
    utc_offset_s=-5 * HOUR,
    rename_over=False,
    abort="seen",
    ignores_case=True,
    idle_s=120,
)

SWIFTP = Profile(
    name="swiftp",
    commands=frozenset(
        ["SYST", "USER", "PASS", "TYPE", "CWD", "PWD", "LIST", "PASV", "RETR", "NLST", "NOOP", "STOR", "DELE", "RNFR", "RNTO", "RMD", "MKD", "OPTS", "PORT", "QUIT", "FEAT", "SIZE", "CDUP", "APPE", "XCUP", "XPWD", "XMKD", "XRMD", "MDTM", "MFMT", "REST", "SITE", "MLST", "MLSD", "HASH", "RANG", "EPSV", "EPRT"]
    ),
    features=(
        "UTF8",
        "MDTM",
        "MFMT",
        "MLST Type*;Size*;Modify*;Perm",
        "SIZE",
        "REST STREAM",
        "HASH MD5*;SHA-1;SHA-256;SHA-384;SHA-512",
        "RANG STREAM",
    ),
    feat_frame=("Features supported by FTP Server", "End"),
    replies={
        "greeting": (220, "SwiFTP 3.1 ready"),
        "need_password": (331, "Send password"),
        "need_email": (331, "Send password"),
        "logged_in": (230, "Access granted"),
        "guest_in": (230, "Guest login ok, read only access."),
        "too_many": (421, "too many anonymous users connected."),
        "not_logged_in": (530, "Login first with USER and PASS, or QUIT"),
        "unknown": (502, "Command not recognized"),
        "quit": (221, "Goodbye"),
        "noop": (200, "NOOP ok"),
        "binary": (200, "Binary type set"),
        "ascii": (200, "ASCII type set"),
        "cwd": (250, "CWD successful"),
        "cwd_failed": (550, "Can't CWD to invalid directory"),
        "pwd": (257, '"{path}"'),
        "mkd": (250, "Directory created"),
        "mkd_failed": (550, "Already exists"),
        "rmd": (250, "Removed directory"),
        "rmd_failed": (550, "Can't RMD a non-existing directory"),
        "dele": (250, "File successfully deleted"),
        "dele_failed": (550, "File not found"),
        "rnfr": (350, "Filename noted, now send RNTO"),
        "rnfr_failed": (450, "Cannot rename nonexistent file"),
        "rnto": (250, "rename successful"),
        "rnto_failed": (250, "rename successful"),
        "rnto_first": (550, "Rename error, maybe RNFR not sent"),
        "size_failed": (550, "File does not exist"),
        "mdtm_failed": (550, "file does not exist"),
        "mfmt": (213, "Modify={time}; {arg}"),
        "mfmt_failed": (500, "Unable to modify last modification time"),
        "rest": (350, "Restart position accepted ({offset})"),
        "retr": (150, "Sending file"),
        "retr_done": (226, "Transmission finished"),
        "retr_failed": (550, "File does not exist"),
        "retr_broken": (426, "Data socket error"),
        "stor": (150, "Data socket ready"),
        "stor_done": (226, "Transmission complete"),
        "stor_failed": (451, "Can't overwrite a directory"),
        "stor_broken": (426, "Couldn't receive data"),
        "list": (150, "Opening BINARY mode data connection for file list"),
        "list_done": (226, "Data transmission OK"),
        "list_failed": (550, "File not found"),
        "no_space": (451, "File IO problem. Device might be full."),
        "no_data_connection": (425, "Error opening data socket"),
        "data_failed": (425, "Error opening data socket"),
        "port": (200, "PORT OK"),
    },
    listing="swiftp",
    facts=("Type", "Size", "Modify"),
    utc_offset_s=2 * HOUR,
    mlsd_hides_stars=True,
    absolute_list_joins_cwd=True,
    rename_always_ok=True,
    rmd_recursive=True,
    stor_deletes_first=True,
    appe_after_rest=False,
    abort="none",
    strips_arguments=True,
    pasv_after_epsv=False,
    site_is_noop=True,
    guest_read_only=True,
    guest_with_users=True,
    guest_refused=frozenset({"FEAT", "OPTS", "REST"}),
    guests_max=1,
    before_login=frozenset({"USER", "PASS", "QUIT"}),
    login_failure_s=1.0,
    hashes=("MD5", "SHA-1", "SHA-256", "SHA-384", "SHA-512"),
    tls=False,
)

MINA = Profile(
    name="mina",
    commands=_BASE | _MLSX | {"MFMT", "MD5", "MMD5", "STOU", "LANG", "ACCT", "REIN"},
    features=(
        "SIZE",
        "MDTM",
        "REST STREAM",
        "LANG en;zh-tw;ja;is",
        "MLST Size;Modify;Type;Perm",
        "MODE Z",
        "UTF8",
        "TVFS",
        "MD5",
        "MMD5",
        "MFMT",
    ),
    feat_frame=("Extensions supported", "End"),
    replies={
        "greeting": (220, "Service ready for new user."),
        "too_many": (421, "Maximum login limit has been reached."),
        "need_password": (331, "User name okay, need password for {user}."),
        "need_email": (331, "Guest login okay, send your complete e-mail address as password."),
        "logged_in": (230, "User logged in, proceed."),
        "guest_in": (230, "User logged in, proceed."),
        "login_failed": (530, "Authentication failed."),
        "not_logged_in": (530, "Access denied."),
        "unknown": (502, "Command {command} not implemented."),
        "quit": (221, "Goodbye."),
        "system": (215, "UNIX Type: Apache FtpServer"),
        "noop": (200, "Command NOOP okay."),
        "binary": (200, "Command TYPE okay."),
        "ascii": (200, "Command TYPE okay."),
        "cwd": (250, "Directory changed to {path}"),
        "cwd_failed": (550, "No such directory."),
        "pwd": (257, '"{quoted}" is current directory.'),
        "mkd": (257, '"{quoted}" created.'),
        "mkd_failed": (550, "{path}: Already exists."),
        "rmd": (250, '"{path}" directory removed.'),
        "rmd_failed": (550, "{path}: Not a valid directory."),
        "dele": (250, "Requested file action okay, deleted {path}."),
        "dele_failed": (550, "{path}: Not a valid file."),
        "rnfr": (350, "Requested file action pending further information."),
        "rnfr_failed": (550, "File unavailable."),
        "rnto": (250, "Requested file action okay, file renamed."),
        "rnto_failed": (553, "{path}: Cannot rename file."),
        "rnto_exists": (553, "{path}: Cannot rename file."),
        "rnto_first": (503, "Cannot find the file which has to be renamed."),
        "size_failed": (550, "{path}: No such file or directory."),
        "mdtm_failed": (550, "{path}: No such file or directory."),
        "mfmt": (213, "ModifyTime={time}; {arg}"),
        "mfmt_failed": (550, "{arg}: No such file or directory."),
        "rest": (350, "Restarting at {offset}. Send STORE or RETRIEVE to initiate transfer."),
        "retr": (150, "File status okay; about to open data connection."),
        "retr_done": (226, "Transfer complete."),
        "retr_failed": (550, "{path}: No such file or directory."),
        "retr_broken": (426, "Data connection error."),
        "stor": (150, "File status okay; about to open data connection."),
        "stor_done": (226, "Transfer complete."),
        "stor_failed": (550, "{path}: Invalid path."),
        "stor_broken": (426, "Data connection error."),
        "list": (150, "File status okay; about to open data connection."),
        "list_done": (226, "Closing data connection."),
        "list_failed": (450, "No such file or directory."),
        "denied": (550, "{path}: Permission denied."),
        "no_space": (551, "Error on output file."),
        "no_data_connection": (503, "PORT or PASV must be issued first"),
        "data_failed": (425, "Can't open data connection."),
        "abor_nothing": (226, "ABOR command successful."),
        "abor_done": (226, "ABOR command successful."),
        "port": (200, "Command PORT okay."),
    },
    listing="mina",
    facts=("Size", "Modify", "Type"),
    fraction=True,
    utc_offset_s=2 * HOUR,
    data_before_mark=False,
    rename_over=False,
    directory_times=True,
    abort="seen",
    sessions_max=10,
    limit_at_login=True,
)

NAS = Profile(
    name="nas",
    commands=_BASE | _MLSX | {"MFMT", "AVBL", "CLNT"},
    features=(
        "AVBL",
        "EPRT",
        "EPSV",
        "MDTM",
        "MFMT",
        "MLST type*;size*;modify*;UNIX.mode*;unique*;",
        "PASV",
        "REST STREAM",
        "SIZE",
        "TVFS",
        "UTF8",
    ),
    replies={"greeting": (220, "NAS FTP server ready.")},
    listing="proftpd",
    facts=("type", "size", "modify", "UNIX.mode", "unique"),
    utc_offset_s=HOUR,
    abort="seen",
    sessions_max=8,
    available_bytes=2 << 40,
)

CAMERA = Profile(
    name="camera",
    commands=frozenset(
        ["USER", "PASS", "QUIT", "SYST", "NOOP", "TYPE", "STRU", "MODE", "PWD", "CWD", "CDUP", "MKD", "RMD", "DELE", "RNFR", "RNTO", "RETR", "STOR", "LIST", "NLST", "PASV", "PORT", "SIZE"]
    ),
    features=None,
    replies={
        "greeting": (220, "Camera FTP"),
        "unknown": (502, "Not implemented"),
        "logged_in": (230, "OK"),
        "guest_in": (230, "OK"),
        "binary": (200, "OK"),
        "ascii": (200, "OK"),
        "cwd": (250, "OK"),
        "pwd": (257, '"{path}"'),
        "mkd": (257, "OK"),
        "list": (150, "OK"),
        "list_done": (226, "OK"),
        "retr": (150, "OK"),
        "retr_done": (226, "OK"),
        "stor": (150, "OK"),
        "stor_done": (226, "OK"),
        "rnto_exists": (550, "Rename failed."),
    },
    listing="camera",
    utc_offset_s=8 * HOUR,
    list_flags=False,
    missing_list_is_empty=True,
    data_before_mark=False,
    rename_over=False,
    abort="none",
    ignores_case=True,
    sessions_max=1,
    idle_s=60,
    tls=False,
)

PROFILES: dict[str, Profile] = {
    profile.name: profile
    for profile in (
        VSFTPD,
        PROFTPD,
        PUREFTPD,
        FILEZILLA,
        IIS,
        SWIFTP,
        MINA,
        NAS,
        CAMERA,
    )
}
TLS_COMMANDS = _TLS

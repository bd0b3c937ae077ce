"""The fault model: what can go wrong on purpose, where, and what a correct client does.

A fault is addressed: `on` names the command (or several, "STOR|APPE"), or CONNECT (the greeting),
LOGIN (the command that would log the client in), or * (every command). It strikes at the `nth`
command that matches (0 = every one) and at `times - 1` more after it; `path` (a glob over the
absolute path; * and ? match, [ ] stand for themselves) and `session` (1 = the first control
connection ever) narrow it down; `chance` < 1 throws the simulator's seeded dice. `when` says on
which side of the deed it falls: "before" it, or "after" it. `after_bytes` places it inside a
transfer: exactly that many octets of the data have passed. A transfer that is shorter isn't hit.

| fault | what happens | parameters | a correct client |
|---|---|---|---|
| reply | `code` and `text` instead of doing it; when=after: it is done and refused all the same; after_bytes: the transfer breaks off and ends so | code, text, when, after_bytes | believes a refusal only after a look when the deed isn't idempotent |
| refuse | reply, with 502 | text | remembers that the server hasn't the command |
| swallow_reply | done, the final reply never comes; the session goes on | | deadline; then looks what happened |
| swallow_command | not done, no reply; the session goes on | | deadline; reconnects |
| delay | the server is busy for `seconds`; replies to pipelined commands add up | seconds, when | waits up to its deadline |
| latency | each reply travels `seconds` longer; pipelined ones don't add up | seconds | pipelines |
| stall | data stops for `seconds` (None: for good), the connections stay | after_bytes, seconds | per-read deadline; resumes on a new session |
| freeze | the whole server stops, nothing is answered, no RST, for `seconds` (None: until thaw) | after_bytes, seconds, when | every call has a deadline; cached data is served |
| reset, close | RST or FIN of `channel` control, data or both (default: data when there is one to hit, which the server reports as 426; else control) | when, after_bytes, channel | reconnects; resumes; looks before it repeats |
| truncate | data ends early, and 226 all the same | after_bytes | compares with the size it was promised |
| surplus | `extra_bytes` of noise after the data, and 226 | extra_bytes | compares with the size |
| corrupt | the octet at after_bytes is flipped on its way | after_bytes | digest where the server has one |
| bandwidth | at most `bytes_per_s` | bytes_per_s | progress isn't a hang |
| restart | all connections die, the port is closed for `seconds` (0) and comes back | after_bytes, seconds, when | reconnects |
| limit | CONNECT: 421, LOGIN: 530, when more than `limit` sessions are there | limit, code | works on fewer sessions |
| idle | 421 and goodbye after `seconds` without a command | seconds | reconnects and replays |
| read_only | 550 to every command that writes | text | refuses writes at once |
| quota | 552 as soon as the files would hold more than `limit_bytes` | limit_bytes | no space; keeps its copy |
| pasv_host | PASV announces `host` | host | never connects to a third host |
| dead_port | EPSV and PASV announce a port that nobody listens on | | the other mode; a deadline |
| lie | 2xx and nothing is done (STOR takes the data and drops it) | | verifies |
| rename_aside | RNTO onto an existing file leaves it and calls the new one "name (1).ext", 250 | | looks what is there; keeps the old file until the new one has its name |
| offset_ignored | STOR after REST, and APPE, write a new file from its start; what REST said is left for the next transfer; 226 | | has seen APPE and REST with STOR work before it uses them |
| digest_cached | HASH remembers digests by path and whole second of the file's time, as ProFTPD's mod_digest | | reads the file back before it calls it broken |
| recursive_rmd | RMD removes a full directory | | lists afresh before RMD |
| split_reply | the reply comes octet by octet, `seconds` apart | seconds | its parser is incremental |
| raw_reply | `text` goes out as it is instead of the reply | text | one clear error |
| extra_reply | `code` and `text` follow the real reply | code, text | notices that it is out of step |
| endless_reply | `text` instead of the reply, again and again until the client hangs up | text | gives up after a bounded number of octets |
| endless_data | `text` after the data (RETR, LIST, NLST, MLSD), again and again until the client hangs up | text | stops at the size it was promised, or at a bound |
| early_reply | the 226 comes before the data | | reads data to its end and the reply, in either order |
| listing | raw `lines` are added to LIST, NLST, MLSD and MLST (`replace`: instead of it) | lines, replace | parses or reports, never drops, never trusts |

`FtpSimulator` itself can be frozen, stopped, restarted, made deaf (`deafen`: all connections there
are swallow what comes and never answer, without RST, as after sleep or a change of networks) and
told to reset every connection.

Same seed, same commands in the same order: same faults.
"""  # noqa: E501 (a table)

from __future__ import annotations

import fnmatch
import random
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, get_args, get_type_hints

WRITE_COMMANDS = frozenset(
    {"STOR", "STOU", "APPE", "DELE", "RMD", "XRMD", "MKD", "XMKD", "RNFR", "RNTO", "MFMT"}
)
TRANSFERS = frozenset({"RETR", "STOR", "STOU", "APPE", "LIST", "NLST", "MLSD"})
LISTINGS = frozenset({"LIST", "NLST", "MLSD", "MLST"})

_NEEDS: dict[str, tuple[str, ...]] = {
    "reply": ("code",),
    "refuse": (),
    "swallow_reply": (),
    "swallow_command": (),
    "delay": ("seconds",),
    "latency": ("seconds",),
    "stall": (),
    "freeze": (),
    "reset": (),
    "close": (),
    "truncate": ("after_bytes",),
    "surplus": ("extra_bytes",),
    "corrupt": ("after_bytes",),
    "bandwidth": ("bytes_per_s",),
    "restart": (),
    "limit": ("limit",),
    "idle": ("seconds",),
    "read_only": (),
    "quota": ("limit_bytes",),
    "pasv_host": ("host",),
    "dead_port": (),
    "lie": (),
    "rename_aside": (),
    "offset_ignored": (),
    "digest_cached": (),
    "recursive_rmd": (),
    "split_reply": (),
    "raw_reply": ("text",),
    "extra_reply": ("code",),
    "endless_reply": ("text",),
    "endless_data": ("text",),
    "early_reply": (),
    "listing": ("lines",),
}
KINDS = frozenset(_NEEDS)
_ALWAYS = frozenset(
    {
        "read_only",
        "quota",
        "limit",
        "idle",
        "rename_aside",
        "offset_ignored",
        "digest_cached",
        "recursive_rmd",
        "bandwidth",
        "latency",
    }
)
_PSEUDO = frozenset({"CONNECT", "LOGIN", "*"})


class FaultError(ValueError):
    """A fault that says nothing sensible; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One thing that goes wrong. The module's docstring has the table of kinds.

    Raises:
        FaultError: the kind is unknown, or a parameter is missing or makes no sense.
    """

    fault: str
    on: str = "*"
    nth: int | None = None  # None: 1; 0 (every time) for kinds that are a state of the server
    times: int = 1  # how many matches in a row, from the nth
    path: str | None = None  # None: any
    session: int | None = None  # None: any
    chance: float = 1.0
    when: str = "before"
    after_bytes: int | None = None  # None: not inside the data
    seconds: float | None = None  # None: for good, or the kind's default
    code: int | None = None  # None: the kind's default
    text: str | None = None  # None: the kind's default
    channel: str | None = None  # None: see reset
    host: str | None = None
    limit: int | None = None
    limit_bytes: int | None = None
    bytes_per_s: int | None = None
    extra_bytes: int | None = None
    lines: tuple[str, ...] = ()
    replace: bool = False

    def __post_init__(self) -> None:
        """Refuse what can't be meant."""
        if self.fault not in KINDS:
            known = ", ".join(sorted(KINDS))
            raise FaultError(f"there is no fault {self.fault!r}; there are: {known}")
        for name in _NEEDS[self.fault]:
            if getattr(self, name) in (None, ()):
                raise FaultError(f"the fault {self.fault!r} needs {name}")
        for name in self.on.split("|"):
            if name not in _PSEUDO and not (name.isalnum() and name.isascii() and name.isupper()):
                raise FaultError(f"on={self.on!r}: {name!r} isn't a command in capital letters")
        if self.when not in ("before", "after"):
            raise FaultError(f"when={self.when!r}: it is before or after")
        if self.channel not in (None, "control", "data", "both"):
            raise FaultError(f"channel={self.channel!r}: it is control, data or both")
        if self.code is not None and not 100 <= self.code <= 599:
            raise FaultError(f"code={self.code} isn't a reply code")
        for name in ("nth", "after_bytes", "limit", "limit_bytes", "extra_bytes", "seconds"):
            value = getattr(self, name)
            if value is not None and value < 0:
                raise FaultError(f"{name}={value} is negative")
        if self.times < 1:
            raise FaultError(f"times={self.times}: at least 1")
        if self.bytes_per_s is not None and self.bytes_per_s < 1:
            raise FaultError(f"bytes_per_s={self.bytes_per_s}: at least 1")
        if not 0 <= self.chance <= 1:
            raise FaultError(f"chance={self.chance} isn't between 0 and 1")
        if self.fault in ("reply", "extra_reply") and "\n" in (self.text or ""):
            raise FaultError("text with a line end: raw_reply sends it as it is")

    @classmethod
    def from_dict(cls, values: Mapping[str, object]) -> Fault:
        """The fault that a table (of a scenario) describes.

        Raises:
            FaultError: unknown keys, values of the wrong type, or what the class refuses.
        """
        hints = get_type_hints(cls)
        known = {item.name for item in fields(cls)}
        unknown = sorted(set(values) - known)
        if unknown:
            raise FaultError(
                f"unknown keys: {', '.join(unknown)}; known: {', '.join(sorted(known))}"
            )
        if "fault" not in values:
            raise FaultError("the key fault is missing")
        kept: dict[str, Any] = {}
        for name, value in values.items():
            if name == "lines":
                if not isinstance(value, list | tuple) or not all(
                    isinstance(x, str) for x in value
                ):
                    raise FaultError(f"lines={value!r}: it is a list of texts")
                kept[name] = tuple(value)
                continue
            allowed = get_args(hints[name]) or (hints[name],)
            if float in allowed and isinstance(value, int) and not isinstance(value, bool):
                value = float(value)
            if type(value) not in allowed:
                wanted = " or ".join(x.__name__ for x in allowed if x is not type(None))
                raise FaultError(f"{name}={value!r}: it is a {wanted}")
            kept[name] = value
        return cls(**kept)

    @classmethod
    def from_text(cls, text: str) -> Fault:
        r"""The fault that "on=STOR,nth=2,fault=reset,after_bytes=65536" describes.

        A comma in a value is written "\,"; the texts of `lines` are separated by "|".

        Raises:
            FaultError: as from_dict.
        """
        values: dict[str, object] = {}
        hints = get_type_hints(cls)
        for part in text.replace("\\,", "\0").split(","):
            name, equals, raw = part.replace("\0", ",").partition("=")
            name = name.strip()
            if not equals:
                raise FaultError(f"{part.strip()!r} isn't name=value")
            if name in values:
                raise FaultError(f"{name} is there twice")
            values[name] = _typed(name, raw, hints.get(name))
        return cls.from_dict(values)


def _typed(name: str, raw: str, hint: Any) -> object:
    """The text *raw* as the type that the field *name* has."""
    if name == "lines":
        return raw.split("|")
    allowed = get_args(hint) or (hint,)
    try:
        if bool in allowed:
            return {"true": True, "false": False, "yes": True, "no": False}[raw.lower()]
        if int in allowed:
            return int(raw)
        if float in allowed:
            return float(raw)
    except (ValueError, KeyError):
        raise FaultError(f"{name}={raw!r}: not a value for it") from None
    return raw


@dataclass(slots=True)
class _Armed:
    fault: Fault
    seen: int = 0
    paths: frozenset[str] = field(default_factory=frozenset)


class FaultBook:
    """The faults of one simulator and how often each has been met. Thread-safe."""

    def __init__(self, faults: list[Fault], seed: int) -> None:
        self._lock = threading.Lock()
        self.random = random.Random(seed)
        self._armed = [_Armed(fault) for fault in faults]

    def add(self, fault: Fault) -> None:
        """Arm *fault*; it counts from now."""
        with self._lock:
            self._armed.append(_Armed(fault))

    def clear(self) -> None:
        """Disarm everything."""
        with self._lock:
            self._armed.clear()

    def match(self, names: tuple[str, ...], path: str | None, session: int) -> list[Fault]:
        """The faults that strike this command; each match is counted.

        *names* are the names that the command goes by: its own, and LOGIN for one that logs in.
        """
        with self._lock:
            return [
                armed.fault for armed in self._armed if self._strikes(armed, names, path, session)
            ]

    def _strikes(
        self, armed: _Armed, names: tuple[str, ...], path: str | None, session: int
    ) -> bool:
        fault = armed.fault
        wanted = fault.on.split("|")
        if not any(name in wanted for name in names) and not (
            "*" in wanted and "CONNECT" not in names
        ):
            return False
        if fault.session is not None and fault.session != session:
            return False
        if fault.path is not None and (path is None or not _path_fits(path, fault.path)):
            return False
        armed.seen += 1
        first = fault.nth
        if first is None:
            first = 0 if fault.fault in _ALWAYS else 1
        if first and not first <= armed.seen < first + fault.times:
            return False
        return fault.chance >= 1 or self.random.random() < fault.chance


def _path_fits(path: str, glob: str) -> bool:
    # Brackets are common in file names and stand for themselves here.
    return fnmatch.fnmatchcase(path, glob.replace("[", "[[]"))

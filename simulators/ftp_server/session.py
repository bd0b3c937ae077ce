"""One control connection: takes commands one at a time, answers them, lets faults strike.

Like the real servers (and unlike pyftpdlib) a session reads its next command when the one before
is answered: what a client pipelines waits in line, and a transfer holds it up. Every reply
goes out through `_send`, every final one through `_answer`, so a fault has one place to strike.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections import deque
from collections.abc import Callable
from socket import SO_LINGER, SOL_SOCKET
from typing import TYPE_CHECKING, Any

from simulators.ftp_server import connections
from simulators.ftp_server.commands import AnsweredError, CommandError
from simulators.ftp_server.data import RESET_ON_CLOSE, DataChannel, Transfer, Trigger
from simulators.ftp_server.faults import TRANSFERS, Fault
from simulators.ftp_server.library import RawChat
from simulators.ftp_server.transfers import Transfers

if TYPE_CHECKING:
    from simulators.ftp_server.ledger import LedgerEntry
    from simulators.ftp_server.library import CallLater

_NAMING = frozenset({"STOR", "STOU", "APPE", "MKD", "XMKD", "RNTO"})
_UNWANTED = re.compile(r"[\x00-\x1f\x7f]+|\s+$")
_COMMAND_MAX = 16 * 1024
_TELNET = dict.fromkeys((0xDCFF, 0xDCF4, 0xDCF2))
_BYTE_GAP_S = 0.0005
_REPEATED_BYTES = 64 * 1024  # at a time, of a reply without end
_REPEATED_BLOCKS = 4  # waiting at most


class Session(Transfers):
    """One control connection."""

    dtp_handler = DataChannel
    passive_dtp = connections.PassivePort
    encoding = "utf-8"
    unicode_errors = "surrogateescape"
    timeout = 0  # the idle timer is ours

    def __init__(self, conn: Any, server: Any, ioloop: Any = None) -> None:
        self.number = 0
        self._lines: deque[tuple[LedgerEntry, str, str]] = deque()
        self._busy = False
        self._entry: LedgerEntry | None = None
        self._command = ""
        self.faults: list[Fault] = []
        self._held: list[str] = []
        self._outbox: deque[tuple[float, bytes]] = deque()
        self._outbox_timer: CallLater | None = None
        self._idle_timer: CallLater | None = None
        self._close_when_sent = False
        self._waiting: tuple[Transfer, tuple[str, dict[str, Any]]] | None = None
        self._wait_timer: CallLater | None = None
        self._pumping = False
        self.guest = False
        super().__init__(conn, server, ioloop)

    # --- life

    def handle(self) -> None:
        """Greet (or hand-shake first, on a port with implicit TLS)."""
        if self.sim.tls == "implicit":
            self._prot = self._pbsz = True
            self.secure_connection(self.ssl_context)
        else:
            self._greet()

    def handle_ssl_established(self) -> None:
        """The control connection speaks TLS now."""
        if self.number == 0:
            self._greet()

    def _greet(self) -> None:
        self.number = self.sim.session_opened(self)
        self._begin(self.sim.ledger.add(self.number, "CONNECT", ""), "CONNECT", "")

    def do_connect(self, _arg: str) -> None:
        """The greeting, or the refusal when there are too many sessions."""
        limit = self.sim.sessions_max
        fault = self.fault_of("limit")
        code = self.profile.reply("too_many")[0]
        if fault is not None:
            limit, code = fault.limit, fault.code or 421
        elif self.profile.limit_at_login:
            limit = None
        if limit is not None and self.sim.sessions_now > limit:
            self.sim.session_closed(self)
            self._close_when_sent = True
            self.respond(f"{code} {fault.text if fault and fault.text else self.text('too_many')}")
            return
        self.sim.session_admitted()
        self._restart_idle_timer()
        self.answer("greeting")

    def close(self) -> None:
        """Close the connection and what belongs to it."""
        if self._closed:
            return
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting[0].close()
        for timer in (self._idle_timer, self._outbox_timer, self._wait_timer):
            if timer is not None and not timer.cancelled:
                timer.cancel()
        if self.dead_port is not None:
            self.dead_port.close()
        super().close()
        self._lines.clear()
        self.sim.session_closed(self)

    def handle_error(self) -> None:
        """A bug of ours: remembered, so that a test can fail for it."""
        self.sim.note_error()
        self._error = True
        self.close()

    def log(self, msg: str, logfun: Any = None) -> None:
        """The ledger is the log."""

    def reset(self) -> None:
        """Close with RST instead of FIN."""
        with contextlib.suppress(OSError):
            self.socket.setsockopt(SOL_SOCKET, SO_LINGER, RESET_ON_CLOSE)
        self._error = True
        self.close()

    def _restart_idle_timer(self) -> None:
        if self._idle_timer is not None and not self._idle_timer.cancelled:
            self._idle_timer.cancel()
        self._idle_timer = None
        seconds = self.sim.idle_s if self.sim.idle_s is not None else self.profile.idle_s
        fault = self.fault_of("idle")
        if fault is not None and fault.seconds is not None:
            seconds = fault.seconds
        if seconds and not self._closed:
            self._idle_timer = self.ioloop.call_later(seconds, self._idle)

    def _idle(self) -> None:
        if self._busy:
            self._restart_idle_timer()
            return
        code, text = self.profile.reply("idle")
        self._close_when_sent = True
        self._send(_reply_lines(code, text))

    # --- commands come in

    def collect_incoming_data(self, data: bytes) -> None:
        """Part of a line has come."""
        self._in_buffer.append(data)
        self._in_buffer_len += len(data)
        if self._in_buffer_len > _COMMAND_MAX:
            self.close()

    def found_terminator(self) -> None:
        """A whole line has come: into the queue with it."""
        raw = b"".join(self._in_buffer)
        self._in_buffer = []
        self._in_buffer_len = 0
        line = raw.decode("utf-8", "surrogateescape")
        verb, _, arg = line.partition(" ")
        # ABOR may come with Telnet's Interrupt Process and Synch in front of it.
        verb = verb.translate(_TELNET).upper()
        if self.profile.strips_arguments:
            arg = arg.rstrip().replace('"', "")
        entry = self.sim.ledger.add(self.number, verb, arg)
        if self.profile.masks_new_names and verb in _NAMING:
            arg = _UNWANTED.sub(lambda found: "_" * len(found[0]), arg)
        under_way = self._busy and self._command in TRANSFERS
        if verb == "ABOR" and under_way and self.profile.abort == "seen":
            self._abort(entry)
            return
        self._lines.append((entry, verb, arg))
        self._pump()

    def _pump(self) -> None:
        """Do the commands that wait, as long as none is under way."""
        if self._pumping:
            return
        self._pumping = True
        try:
            while self._lines and not self._busy and not self._closed and not self._close_when_sent:
                self._begin(*self._lines.popleft())
        finally:
            self._pumping = False

    def _begin(self, entry: LedgerEntry, verb: str, arg: str) -> None:
        self._busy = True
        self._entry, self._command = entry, verb
        names = (verb, "LOGIN") if self._would_log_in(verb, arg) else (verb,)
        self.faults = self.sim.book.match(names, self._fault_path(verb, arg), self.number)
        self._restart_idle_timer()
        delay = 0.0
        for fault in self.faults:
            if fault.fault == "swallow_command":
                self._over()
                return
            if fault.fault == "delay" and fault.when == "before":
                delay += fault.seconds or 0.0
        if delay:
            self.call_later(delay, self._strike_before, arg)
        else:
            self._strike_before(arg)

    def _strike_before(self, arg: str) -> None:
        for fault in self.faults:
            if fault.when != "before" or fault.after_bytes is not None:
                continue
            if fault.fault in ("reset", "close") and self._channel(fault) != "data":
                self._drop(fault)
                return
            if fault.fault == "restart":
                self.sim.restart_soon(fault.seconds or 0.0)
                return
            if fault.fault == "freeze":
                self.sim.freeze_here(fault.seconds)
        refusal = self.fault_of("reply", "before") or self.fault_of("refuse")
        if refusal is not None and refusal.after_bytes is None:
            text = refusal.text if refusal.text is not None else self.profile.reply("refused")[1]
            self.respond(f"{refusal.code or 502} {text}")
            return
        self._perform_in_line(arg)

    def _perform_in_line(self, arg: str) -> None:
        # The reply may come before the handler returns; the next command must not.
        pumping, self._pumping = self._pumping, True
        try:
            self.perform(self._command, arg)
        except AnsweredError:
            pass
        except CommandError as error:
            self.answer(error.outcome, **error.values)
        except OSError as error:
            self.answer("denied", reason=error.strerror or "failed")
        finally:
            self._pumping = pumping
        self._pump()

    def fault_of(self, kind: str, when: str | None = None) -> Fault | None:
        """The fault of this kind that strikes the command under way."""
        for fault in self.faults:
            if fault.fault == kind and when in (None, fault.when):
                return fault
        return None

    def _channel(self, fault: Fault) -> str:
        if fault.channel is not None:
            return fault.channel
        hits_data = self._command in TRANSFERS and (
            fault.after_bytes is not None or self._command in ("RETR", "STOR", "APPE", "STOU")
        )
        return "data" if hits_data and fault.after_bytes is not None else "control"

    def _drop(self, fault: Fault) -> None:
        """Reset or close what the fault says."""
        channel = self._channel(fault)
        data = self.data_channel
        if channel in ("data", "both") and data is not None:
            if fault.fault == "reset":
                data.reset()
            if channel == "data":
                data.finish(data.transfer.broken if data.transfer else "data_failed", {})
                return
        if fault.fault == "reset":
            self.reset()
        else:
            self.close()

    # --- replies go out

    def text(self, outcome: str, **values: Any) -> str:
        """What the profile says for *outcome*."""
        return _fill(self.profile.reply(outcome)[1], values)

    def answer(self, outcome: str, **values: Any) -> None:
        """Send the reply that the profile has for *outcome*."""
        values.setdefault("command", self._command)
        values.setdefault("user", self.username)
        values.setdefault("reason", "Operation failed")
        code, text = self.profile.reply(outcome)
        self.reply(code, _fill(text, values))

    def reply(self, code: int, text: str) -> None:
        """Send a reply; a text with line ends makes it a multi-line one."""
        *first, last = text.split("\n")
        self._held.extend(f"{code}-{line}\r\n" for line in first)
        self.respond(f"{code} {last}")

    def push(self, data: str) -> None:
        """pyftpdlib's way to send the first lines of a reply: kept until `respond`."""
        self._held.append(data)

    def respond(self, resp: str, logfun: Any = None) -> None:
        """Send the (last line of the) reply to the command under way."""
        held, self._held = "".join(self._held), []
        code = int(resp[:3])
        if code in (227, 229):  # pyftpdlib's wording; every server writes it large
            resp = resp.replace("extended", "Extended").replace("passive mode", "Passive Mode")
        whole = f"{held}{resp}\r\n".encode("utf-8", "surrogateescape")
        if code < 200:
            self._send(whole)
        elif self._entry is not None:
            self._answer(code, whole)
        else:
            self._send(whole)

    def _answer(self, code: int, whole: bytes) -> None:
        """The deed is done (or refused): the final reply, with what strikes after it."""
        delay = sum(
            fault.seconds or 0.0
            for fault in self.faults
            if fault.fault == "delay" and fault.when == "after"
        )
        if delay:
            self.call_later(delay, self._answer_now, code, whole)
        else:
            self._answer_now(code, whole)

    def _answer_now(self, code: int, whole: bytes) -> None:
        for fault in self.faults:
            if fault.after_bytes is not None:
                continue
            if fault.fault == "swallow_reply":
                self._over()
                return
            if fault.when == "after":
                if fault.fault in ("reset", "close"):
                    self._drop_control(fault)
                    return
                if fault.fault == "restart":
                    self.sim.restart_soon(fault.seconds or 0.0)
                    return
                if fault.fault == "freeze":
                    self.sim.freeze_here(fault.seconds)
                if fault.fault == "reply":
                    code = fault.code or code
                    whole = _reply_lines(code, fault.text or "")
            if fault.fault == "endless_reply":
                self._repeat((fault.text or "").encode("utf-8", "surrogateescape"))
                return
            if fault.fault == "raw_reply":
                whole = (fault.text or "").encode("utf-8", "surrogateescape")
            if fault.fault == "extra_reply":
                whole += _reply_lines(fault.code or 226, fault.text or "Once more.")
        if self._entry is not None:
            self.sim.ledger.answer(self._entry, code)
        self._send(whole)
        if code in (221, 421):
            self._close_when_sent = True
            self._flush()
        if code == 234 and not self._closed:
            self.secure_connection(self.ssl_context)
        self._over()

    def _repeat(self, text: bytes) -> None:
        """Send *text* as often as the client's kernel takes it, until the connection ends."""
        if self._closed:
            return
        waiting: deque[object] = self.producer_fifo  # type: ignore[attr-defined]  # asynchat's
        if len(waiting) < _REPEATED_BLOCKS:
            RawChat.push(self, text * (_REPEATED_BYTES // len(text) + 1))
        self.call_later(_BYTE_GAP_S, self._repeat, text)

    def _drop_control(self, fault: Fault) -> None:
        if fault.fault == "reset":
            self.reset()
        else:
            self.close()

    def _over(self) -> None:
        """The command under way is over; the next one may begin."""
        self._entry = None
        self._busy = False
        self._pump()

    def _send(self, data: bytes) -> None:
        """Put octets on their way, `latency` later, in order."""
        if self._closed:
            return
        now = time.monotonic()
        due = now + sum(f.seconds or 0.0 for f in self.faults if f.fault == "latency")
        split = self.fault_of("split_reply")
        if split is None:
            self._outbox.append((due, data))
        else:
            gap = _BYTE_GAP_S if split.seconds is None else split.seconds
            for index in range(len(data)):
                self._outbox.append((due + index * gap, data[index : index + 1]))
        self._flush()

    def _flush(self) -> None:
        now = time.monotonic()
        while self._outbox and self._outbox[0][0] <= now and not self._closed:
            RawChat.push(self, self._outbox.popleft()[1])
        if self._closed:
            return
        if self._outbox:
            if self._outbox_timer is None or self._outbox_timer.cancelled:
                wait = max(0.0, self._outbox[0][0] - now)
                self._outbox_timer = self.ioloop.call_later(wait, self._flush_later)
        elif self._close_when_sent:
            self.close_when_done()

    def _flush_later(self) -> None:
        self._outbox_timer = None
        self._flush()

    # --- transfers

    def begin_transfer(self, transfer: Transfer, mark: str, **values: Any) -> None:
        """Start a transfer, or wait for its data connection."""
        self._arm(transfer)
        values.setdefault("arg", "")
        if self.data_channel is None and not self.profile.data_before_mark:
            self._mark(mark, values)
            mark = ""
        self._waiting = (transfer, (mark, values))
        if self.data_channel is not None:
            self._connected()
            return
        self._wait_timer = self.ioloop.call_later(self.sim.accept_timeout_s, self._no_connection)
        if self._active is not None:
            host, port = self._active
            self._active = None
            connector = connections.ActivePort(host, port, self)
            if self._waiting is not None and not self._closed:
                self._dtp_connector = connector

    def _mark(self, mark: str, values: dict[str, Any]) -> None:
        code, text = self.profile.reply(mark)
        *first, last = _fill(text, values).split("\n")
        self._held.extend(f"{code}-{line}\r\n" for line in first)
        self.respond(f"{code} {last}")
        if self.fault_of("early_reply") is not None and self._waiting is not None:
            done, more = self._waiting[0].done
            code, text = self.profile.reply(done)
            self._send(_reply_lines(code, _fill(text, more)))

    def _on_dtp_connection(self) -> None:
        """The data connection is there."""
        if self._dtp_acceptor is not None:
            self._dtp_acceptor.close()
            self._dtp_acceptor = None
        if self._waiting is not None:
            self._connected()

    def _connected(self) -> None:
        if self._wait_timer is not None and not self._wait_timer.cancelled:
            self._wait_timer.cancel()
        assert self._waiting is not None
        transfer, (mark, values) = self._waiting
        if mark:
            self._mark(mark, values)
        self._waiting = None
        if self.data_channel is not None and not self._closed:
            self.data_channel.start(transfer)

    def _no_connection(self) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting[0].close()
            self._shutdown_connecting_dtp()
            self.answer("data_failed")

    def connect_failed(self) -> None:
        """The client's port of PORT or EPRT refused us."""
        self._no_connection()

    def transfer_ended(
        self,
        channel: DataChannel,
        transfer: Transfer | None,
        outcome: tuple[str, dict[str, Any]] | None,
    ) -> None:
        """The data connection is closed."""
        if self.data_channel is channel:
            self.data_channel = None
        if transfer is None or outcome is None or self._closed or self._entry is None:
            return
        if self.fault_of("early_reply") is not None and outcome[0] == transfer.done[0]:
            self.sim.ledger.answer(self._entry, self.profile.reply(outcome[0])[0])
            self._over()
            return
        if outcome[0] == "reply":
            self.respond(outcome[1]["line"])
        else:
            self.answer(outcome[0], **outcome[1])

    def _abort(self, abor: LedgerEntry) -> None:
        """ABOR during a transfer, by a server that looks for it."""
        self._lines.appendleft((abor, "ABOR", ""))
        data = self.data_channel
        self._aborted = True
        if data is not None and data.transfer is not None:
            data.reset()
            data.finish("abor_broken", {})
        else:
            self._no_connection()

    # --- faults inside the data

    def _arm(self, transfer: Transfer) -> None:
        """Place the faults of this command in its data."""
        for fault in self.faults:
            if fault.fault == "bandwidth":
                transfer.bytes_per_s = fault.bytes_per_s
            strike = self._striker(fault, transfer)
            if strike is not None:
                transfer.triggers.append(Trigger(fault.after_bytes or 0, strike))
        transfer.triggers.sort(key=lambda trigger: trigger.offset)

    def _striker(self, fault: Fault, transfer: Transfer) -> Callable[[], bool] | None:
        """What *fault* does when the data has come to its place."""
        kind = fault.fault
        inside = fault.after_bytes is not None
        if kind == "stall":
            return lambda: self._stall(fault)
        if kind == "truncate":
            return lambda: self._truncate(transfer)
        if (
            kind in ("reset", "close")
            and self._channel(fault) != "control"
            and (inside or fault.when == "before")
        ):
            return lambda: self._break_off(fault)
        if not inside:
            return None
        if kind in ("reset", "close"):
            return lambda: self._break_off(fault)
        if kind == "freeze":
            return lambda: self._freeze_inside(fault)
        if kind == "restart":
            return lambda: self._restart_inside(fault)
        if kind == "reply":
            line = f"{fault.code} {fault.text or 'Transfer failed.'}"
            return lambda: self._end_with(line)
        return None

    def _stall(self, fault: Fault) -> bool:
        self.data_channel.pause(fault.seconds)
        return False

    def _truncate(self, transfer: Transfer) -> bool:
        if transfer.source is not None:
            self.data_channel.finish(*transfer.done)
            return False
        transfer.sink = connections.NowhereSink(transfer.sink)
        return True

    def _break_off(self, fault: Fault) -> bool:
        data = self.data_channel
        data.pause(None)
        data.when_drained(lambda: self._drop(fault))
        return False

    def _end_with(self, line: str) -> bool:
        data = self.data_channel
        data.pause(None)
        data.when_drained(lambda: data.finish("reply", {"line": line}))
        return False

    def _freeze_inside(self, fault: Fault) -> bool:
        self.sim.freeze_here(fault.seconds)
        return True

    def _restart_inside(self, fault: Fault) -> bool:
        self.data_channel.pause(None)
        self.data_channel.when_drained(lambda: self.sim.restart_soon(fault.seconds or 0.0))
        return False


def _fill(text: str, values: dict[str, Any]) -> str:
    """*text* with "{name}" replaced; a value can hold braces."""
    if "{" not in text:
        return text
    parts = text.split("{")
    filled = [parts[0]]
    for part in parts[1:]:
        name, _, rest = part.partition("}")
        filled.append(f"{values.get(name, '')}{rest}")
    return "".join(filled)


def _reply_lines(code: int, text: str) -> bytes:
    *first, last = text.split("\n")
    lines = [*(f"{code}-{line}" for line in first), f"{code} {last}"]
    return "".join(f"{line}\r\n" for line in lines).encode("utf-8", "surrogateescape")

"""The server of a scenario: the simulator, or a real one whose files are on the disk."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

from simulators.ftp_server import Fault, FtpSimulator
from tests.helpers.real_servers import RealServer
from tests.scenario_runner.content import content, size_of
from tests.scenario_runner.grammar import Scenario


class Server(Protocol):
    """What steps and expectations ask of it."""

    host: str
    port: int
    username: str
    password: str

    def put(self, path: str, data: bytes) -> None: ...
    def mkdir(self, path: str) -> None: ...
    def remove(self, path: str) -> None: ...
    def tree(self) -> dict[str, bytes | None]: ...
    def act(self, action: str, arguments: dict[str, Any]) -> None: ...
    @property
    def frozen(self) -> bool: ...
    def stop(self) -> None: ...


FOR_GOOD_S = 86400.0


def many_names(count: int) -> Iterator[str]:
    """00000.txt, 00001.txt…; each file is empty."""
    return (f"{number:05}.txt" for number in range(count))


class SimulatedServer:
    """`simulators.ftp_server`, as the scenario wants it."""

    def __init__(self, scenario: Scenario) -> None:
        wanted = scenario.server
        users: dict[str, str] | None = wanted.get("users")
        self.sim = FtpSimulator(
            profile=wanted.get("profile", "vsftpd"),
            users=users,
            tls=wanted.get("tls"),
            sessions_max=wanted.get("sessions_max"),
            seed=scenario.seed,
        )
        self.username, self.password = next(iter(users.items())) if users else ("", "")
        self.host, self.port = self.sim.host, self.sim.port
        for path in wanted.get("directories", ()):
            self.sim.mkdir(path)
        for path, text in wanted.get("files", {}).items():
            self.sim.put(path, content(text, scenario.seed))
        for path, size in wanted.get("sparse", {}).items():
            self.sim.put_sparse(path, size_of(str(size)))
        for directory, count in wanted.get("many", {}).items():
            for name in many_names(count):
                self.sim.put(f"{directory}/{name}", b"")
        self._giants = list(wanted.get("sparse", {}))
        self.sim.read_only = bool(wanted.get("read_only", False))
        for fault in wanted.get("faults", ()):
            self.sim.inject(Fault.from_dict(fault))

    @property
    def frozen(self) -> bool:
        return self.sim.frozen

    def put(self, path: str, data: bytes) -> None:
        self.sim.put(path, data)

    def mkdir(self, path: str) -> None:
        self.sim.mkdir(path)

    def remove(self, path: str) -> None:
        self.sim.remove(path)

    def tree(self) -> dict[str, bytes | None]:
        for path in self._giants:  # gigabytes of zeros are not worth their memory
            if self.sim.exists(path):
                self.sim.remove(path)
        return self.sim.tree()

    def act(self, action: str, arguments: dict[str, Any]) -> None:
        """A step that only a simulator can do."""
        if action == "fault":
            self.sim.inject(Fault.from_dict(arguments["fault"]))
        elif action == "restart":
            self.sim.restart(arguments.get("seconds", 0.0))
        elif action == "stop":
            self.sim.core.restart_soon(FOR_GOOD_S)
            self.sim.thaw()  # does nothing, after what is queued before it
        elif action == "start":
            self.sim.restart()
        else:
            getattr(self.sim, action)()

    def stop(self) -> None:
        self.sim.stop()


class DiskServer:
    """A real server; what it serves is looked at on the disk."""

    frozen = False

    def __init__(self, name: str, scenario: Scenario) -> None:
        self._server = RealServer.start(name)
        self.host, self.port = self._server.host, self._server.port
        self.username, self.password = self._server.username, self._server.password
        self._root = Path(self._server.root)
        for path in scenario.server.get("directories", ()):
            self.mkdir(path)
        for path, text in scenario.server.get("files", {}).items():
            self.put(path, content(text, scenario.seed))

    def _at(self, path: str) -> Path:
        return self._root / path.lstrip("/")

    def put(self, path: str, data: bytes) -> None:
        self.mkdir(os.path.dirname(path))
        self._at(path).write_bytes(data)
        self._at(path).chmod(0o666)
        self._give(self._at(path))

    def mkdir(self, path: str) -> None:
        self._at(path).mkdir(parents=True, exist_ok=True)
        self._own(path)

    def _own(self, path: str) -> None:
        """Let the server's user change what the test made."""
        target = self._at(path)
        while target != self._root and target.is_relative_to(self._root):
            target.chmod(0o777)
            self._give(target)
            target = target.parent

    def _give(self, target: Path) -> None:
        """Files belong to whom the served directory belongs to: only an owner may set times."""
        owner = self._root.stat()
        if sys.platform != "win32" and os.geteuid() == 0:
            os.chown(target, owner.st_uid, owner.st_gid)

    def remove(self, path: str) -> None:
        target = self._at(path)
        target.rmdir() if target.is_dir() else target.unlink()

    def tree(self) -> dict[str, bytes | None]:
        return {
            "/" + str(found.relative_to(self._root)): None if found.is_dir() else found.read_bytes()
            for found in self._root.rglob("*")
        }

    def act(self, action: str, arguments: dict[str, Any]) -> None:
        raise AssertionError(f"a real server can't {action}: {arguments}")

    def stop(self) -> None:
        self._server.stop()

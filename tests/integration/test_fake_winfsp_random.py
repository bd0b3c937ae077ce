"""Random programs on winfspy's memory file system: the drive is what a plain model says."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from simulators.fake_winfsp import Win32Error
from simulators.fake_winfsp import constants as c
from tests.helpers.fake_windows import Machine, machine

pytestmark = pytest.mark.usefixtures("winfspy")
NAMES = ("a", "B", "Ünï💾", "long name.txt")
STEPS = 80


class Model:
    """Files by upper-case path; None: a directory."""

    def __init__(self) -> None:
        self.tree: dict[str, bytes | None] = {"": None}

    def children(self, path: str) -> list[str]:
        return [name for name in self.tree if name and name.rpartition("\\")[0] == path]

    def is_file(self, path: str) -> bool:
        return self.tree.get(path) is not None

    def is_directory(self, path: str) -> bool:
        return path in self.tree and self.tree[path] is None

    def put(self, path: str, data: bytes) -> bool:
        parent = path.rpartition("\\")[0]
        if not self.is_directory(parent) or self.is_directory(path):
            return False
        self.tree[path] = data
        return True

    def make(self, path: str) -> bool:
        if path in self.tree or not self.is_directory(path.rpartition("\\")[0]):
            return False
        self.tree[path] = None
        return True

    def delete(self, path: str) -> bool:
        if not self.is_file(path):
            return False
        del self.tree[path]
        return True

    def remove(self, path: str) -> bool:
        if not self.is_directory(path) or self.children(path) or not path:
            return False
        del self.tree[path]
        return True

    def move(self, path: str, target: str) -> bool:
        parent = target.rpartition("\\")[0]
        into_itself = target.startswith(path + "\\")
        if path not in self.tree or not self.is_directory(parent) or into_itself:
            return False
        if target != path and self.is_directory(target):
            return False
        for old in [name for name in self.tree if name == path or name.startswith(path + "\\")]:
            self.tree[target + old[len(path) :]] = self.tree.pop(old)
        return True


def step(pc: Machine, model: Model, dice: random.Random) -> None:
    def path() -> str:
        """Below a directory that is there, mostly; what is there itself, often."""
        known = [name for name in model.tree if model.is_directory(name)]
        base = dice.choice(known) if dice.random() < 0.9 else "\\none"
        if dice.random() < 0.5 and model.children(base):
            return dice.choice(model.children(base))
        return f"{base}\\{dice.choice(NAMES)}"

    one, two, data = path(), path(), dice.randbytes(dice.randint(0, 200))
    small, large = one.upper(), two.upper()
    if model.is_directory(small) and large in model.tree:
        # A directory onto something is up to the file system.
        two = large = f"\\ELSEWHERE {dice.randrange(1 << 30)}"
    kernel32, replace = pc.kernel32, c.MOVEFILE_REPLACE_EXISTING
    acts: list[tuple[Callable[[], object], Callable[[], bool]]] = [
        (lambda: pc.put("X:" + one, data), lambda: model.put(small, data)),
        (lambda: kernel32.create_directory("X:" + one), lambda: model.make(small)),
        (lambda: kernel32.delete_file("X:" + one), lambda: model.delete(small)),
        (lambda: kernel32.remove_directory("X:" + one), lambda: model.remove(small)),
        (
            lambda: kernel32.move_file_ex("X:" + one, "X:" + two, replace),
            lambda: model.move(small, large),
        ),
    ]
    act, expected = dice.choices(acts, weights=(4, 2, 2, 2, 4))[0]
    try:
        act()
        done = True
    except Win32Error:
        done = False
    assert done == expected(), (one, two, pc.windows.calls.lines()[-8:])


def compare(pc: Machine, model: Model) -> None:
    for path, data in model.tree.items():
        if data is not None:
            assert pc.get("X:" + path) == data
        else:
            listed = {name.upper() for name in pc.kernel32.list_directory("X:" + path)}
            assert listed == {name.rpartition("\\")[2] for name in model.children(path)}


@pytest.mark.parametrize("seed", range(12))
def test_random_programs_leave_what_the_model_has_and_nothing_open(seed: int) -> None:
    dice, model = random.Random(seed), Model()
    with machine(file_info_timeout=1000 * (seed % 3)) as pc:
        for _ in range(STEPS):
            step(pc, model, dice)
        compare(pc, model)
        pc.windows.settle()

        assert pc.operations._opened_objs == {}
        assert pc.windows.volume.open_handles() == []
        assert pc.windows.volume.abandoned == []

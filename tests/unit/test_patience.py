"""One operation bears one deadline of silence, however many questions it asks."""

from __future__ import annotations

from pyftpdrive.base import patience
from pyftpdrive.base.patience import as_one_operation


class Standing:
    """A clock that moves by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now

    def now_ns(self) -> int:
        return 0

    def wait(self, _condition, timeout_s: float | None) -> bool:
        self.now += timeout_s or 0.0
        return False


class Asker:
    """Operations that look at what they have waited."""

    def __init__(self) -> None:
        self._clock = Standing()

    @as_one_operation
    def two_questions(self, *, answered: bool) -> float:
        self._clock.now += 2.0
        if answered:
            patience.answered(self._clock.now)
        self._clock.now += 0.5
        return self._clock.now - patience.silent_since(self._clock.now)

    @as_one_operation
    def inside(self) -> float:
        self._clock.now += 1.0
        return self.two_questions(answered=False)


def test_the_second_question_has_what_the_first_left() -> None:
    assert Asker().two_questions(answered=False) == 2.5


def test_an_answer_gives_the_whole_deadline_back() -> None:
    assert Asker().two_questions(answered=True) == 0.5


def test_an_operation_inside_another_belongs_to_it() -> None:
    assert Asker().inside() == 3.5


def test_the_next_operation_begins_anew() -> None:
    asker = Asker()
    asker.inside()

    assert asker.two_questions(answered=False) == 2.5
    assert patience.silent_since(7.0) == 7.0
    assert patience.began_at(7.0) == 7.0

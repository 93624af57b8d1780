"""The door: who is let in, and when the process counts as busy."""

from balance_gateway.web.load_shedding import LoadLimits, LoadShedder


async def test_reads_and_writes_have_bounds_of_their_own() -> None:
    door = LoadShedder(LoadLimits(reads=1, writes=1))
    door.enter(write=False)

    assert not door.admits(write=False, waited_s=0.0)
    assert door.admits(write=True, waited_s=0.0)
    door.enter(write=True)
    assert not door.admits(write=True, waited_s=0.0)
    door.leave(write=False)
    assert door.admits(write=False, waited_s=0.0)
    door.close()


class Machine:
    """A clock, and what a process has computed by it."""

    now_s = 0.0
    computed_s = 0.0

    def door(self, limits: LoadLimits, refused: list[int]) -> LoadShedder:
        return LoadShedder(
            limits,
            lambda: refused.append(1),
            monotonic=lambda: self.now_s,
            computed=lambda: self.computed_s,
        )

    def pass_s(
        self, door: LoadShedder, seconds: float, *, computing: float, tick_s: float = 0.025
    ) -> None:
        """Time passes, part of it computing, and the door takes its measure at each tick."""
        for _ in range(round(seconds / tick_s)):
            self.now_s += tick_s
            self.computed_s += tick_s * computing
            door._measure()


async def test_a_busy_process_lets_few_reads_in_until_it_is_idle_again() -> None:
    machine, refused = Machine(), list[int]()
    door = machine.door(LoadLimits(reads_when_busy=1), refused)
    door.enter(write=False)

    machine.pass_s(door, 1.0, computing=0.5)
    half = door.admits(write=False, waited_s=0.0)
    machine.pass_s(door, 1.0, computing=1.0)
    busy = door.admits(write=False, waited_s=0.0)
    write = door.admits(write=True, waited_s=0.0)
    machine.pass_s(door, 1.0, computing=0.1)
    idle = door.admits(write=False, waited_s=0.0)

    assert (half, busy, write, idle) == (True, False, True, True)
    assert refused == [1]
    door.close()


async def test_a_process_that_comes_late_to_all_it_does_is_busy_however_little_it_computes() -> (
    None
):
    """On a machine that others use, too, it gets little of the processor."""
    machine = Machine()
    door = machine.door(LoadLimits(reads_when_busy=1), [])
    door.enter(write=False)

    machine.pass_s(door, 1.0, computing=0.3, tick_s=0.05)
    a_little_late = door.admits(write=False, waited_s=0.0)
    machine.pass_s(door, 1.0, computing=0.3, tick_s=0.25)
    late = door.admits(write=False, waited_s=0.0)
    machine.pass_s(door, 1.0, computing=0.3)
    in_time = door.admits(write=False, waited_s=0.0)

    assert (a_little_late, late, in_time) == (True, False, True)
    door.close()


async def test_waiting_is_not_being_busy() -> None:
    machine = Machine()
    door = machine.door(LoadLimits(reads_when_busy=1), [])
    for _ in range(50):
        door.enter(write=False)

    machine.pass_s(door, 10.0, computing=0.0)

    assert door.admits(write=False, waited_s=0.0)
    door.close()


async def test_who_has_waited_too_long_is_turned_away() -> None:
    door = LoadShedder(LoadLimits(waited_s=1.0))
    door.enter(write=False)

    assert door.admits(write=False, waited_s=0.5)
    assert not door.admits(write=False, waited_s=1.5)
    assert door.admits(write=True, waited_s=1.5)
    door.close()

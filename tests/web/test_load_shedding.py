"""Load shedding: which requests are allowed, and when the process counts as busy."""

from balance_gateway.web.load_shedding import LoadLimits, LoadShedder


async def test_reads_and_writes_have_separate_limits() -> None:
    shedder = LoadShedder(LoadLimits(reads=1, writes=1))
    shedder.enter(write=False)

    assert not shedder.allows(write=False, waited_s=0.0)
    assert shedder.allows(write=True, waited_s=0.0)
    shedder.enter(write=True)
    assert not shedder.allows(write=True, waited_s=0.0)
    shedder.leave(write=False)
    assert shedder.allows(write=False, waited_s=0.0)
    shedder.close()


class SimulatedMachine:
    """A simulated clock and CPU time."""

    now_s = 0.0
    cpu_s = 0.0

    def make_shedder(self, limits: LoadLimits, rejected: list[int]) -> LoadShedder:
        return LoadShedder(
            limits,
            lambda: rejected.append(1),
            monotonic_s=lambda: self.now_s,
            cpu_s=lambda: self.cpu_s,
        )

    def pass_s(
        self, shedder: LoadShedder, seconds: float, *, computing: float, tick_s: float = 0.025
    ) -> None:
        """Let time pass, a part of it computing, and measure the load at each tick."""
        for _ in range(round(seconds / tick_s)):
            self.now_s += tick_s
            self.cpu_s += tick_s * computing
            shedder._update_load()


async def test_a_busy_process_allows_few_reads_until_it_is_idle() -> None:
    machine, rejected = SimulatedMachine(), list[int]()
    shedder = machine.make_shedder(LoadLimits(reads_when_busy=1), rejected)
    shedder.enter(write=False)

    machine.pass_s(shedder, 1.0, computing=0.5)
    half_busy = shedder.allows(write=False, waited_s=0.0)
    machine.pass_s(shedder, 1.0, computing=1.0)
    busy = shedder.allows(write=False, waited_s=0.0)
    write = shedder.allows(write=True, waited_s=0.0)
    machine.pass_s(shedder, 1.0, computing=0.1)
    idle = shedder.allows(write=False, waited_s=0.0)

    assert (half_busy, busy, write, idle) == (True, False, True, True)
    assert rejected == [1]
    shedder.close()


async def test_a_process_with_late_timers_is_busy_at_any_cpu_time() -> None:
    """On a shared machine an overloaded process may get little CPU time."""
    machine = SimulatedMachine()
    shedder = machine.make_shedder(LoadLimits(reads_when_busy=1), [])
    shedder.enter(write=False)

    machine.pass_s(shedder, 1.0, computing=0.3, tick_s=0.05)
    a_little_late = shedder.allows(write=False, waited_s=0.0)
    machine.pass_s(shedder, 1.0, computing=0.3, tick_s=0.25)
    late = shedder.allows(write=False, waited_s=0.0)
    machine.pass_s(shedder, 1.0, computing=0.3)
    in_time = shedder.allows(write=False, waited_s=0.0)

    assert (a_little_late, late, in_time) == (True, False, True)
    shedder.close()


async def test_waiting_requests_do_not_make_the_process_busy() -> None:
    machine = SimulatedMachine()
    shedder = machine.make_shedder(LoadLimits(reads_when_busy=1), [])
    for _ in range(50):
        shedder.enter(write=False)

    machine.pass_s(shedder, 10.0, computing=0.0)

    assert shedder.allows(write=False, waited_s=0.0)
    shedder.close()


async def test_an_idle_process_measures_nothing_until_the_next_request() -> None:
    """It woke up forty times a second."""
    machine = SimulatedMachine()
    shedder = machine.make_shedder(LoadLimits(reads_when_busy=1), [])
    shedder.enter(write=False)
    machine.pass_s(shedder, 1.0, computing=0.0)
    while_it_is_read = shedder._loop
    shedder.leave(write=False)
    machine.pass_s(shedder, 0.025, computing=0.0)
    idle = shedder._loop
    machine.now_s += 3600

    shedder.enter(write=False)
    machine.pass_s(shedder, 1.0, computing=1.0)

    assert (while_it_is_read is None, idle is None) == (False, True)
    # The hour that was not measured does not count.
    assert not shedder.has_room_for_read()
    shedder.leave(write=False)
    machine.pass_s(shedder, 0.025, computing=1.0)
    assert shedder._loop is not None
    shedder.close()


async def test_a_read_that_has_waited_too_long_is_rejected() -> None:
    shedder = LoadShedder(LoadLimits(waited_s=1.0))
    shedder.enter(write=False)

    assert shedder.allows(write=False, waited_s=0.5)
    assert not shedder.allows(write=False, waited_s=1.5)
    assert shedder.allows(write=True, waited_s=1.5)
    shedder.close()

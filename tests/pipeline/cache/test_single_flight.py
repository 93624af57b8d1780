"""Single flight: who joins, and what becomes of a flight whose starter is gone."""

import asyncio

from balance_gateway.pipeline.cache.single_flight import SingleFlight
from tests.pipeline.fakes import turns


async def test_a_flight_in_the_air_is_joined_until_it_lands() -> None:
    flights: SingleFlight[int] = SingleFlight()
    flight = flights.open("k", 0.0)
    joined = flights.in_flight("k")

    flight.set_result(1)
    await turns()

    assert joined is not None
    assert joined.flight is flight
    assert flights.in_flight("k") is None
    assert len(flights) == 0


async def test_other_keys_are_other_flights() -> None:
    flights: SingleFlight[int] = SingleFlight()

    flights.open("k", 0.0)

    assert flights.in_flight("l") is None


async def test_a_flight_without_a_key_is_joined_by_nobody() -> None:
    flights: SingleFlight[int] = SingleFlight()

    flight = flights.open(None, 0.0)

    assert flights.in_flight(None) is None
    assert len(flights) == 0
    flight.cancel()


async def test_an_older_flight_that_lands_does_not_remove_the_newer_one() -> None:
    flights: SingleFlight[int] = SingleFlight()
    older, newer = flights.open("k", 0.0), flights.open("k", 0.0)

    older.set_result(1)
    await turns()

    in_air = flights.in_flight("k")
    assert in_air is not None
    assert in_air.flight is newer


async def test_a_crew_flies_on_when_its_starter_is_cancelled() -> None:
    flights: SingleFlight[int] = SingleFlight()
    flight = flights.open("k", 0.0)
    may_land = asyncio.Event()

    async def crew() -> None:
        await may_land.wait()
        flight.set_result(7)

    async def starter() -> None:
        flights.run(crew())
        await asyncio.wait({flight})

    task = asyncio.ensure_future(starter())
    await turns()
    task.cancel()
    may_land.set()

    assert await flight == 7


async def test_closing_gives_up_what_is_in_the_air() -> None:
    flights: SingleFlight[int] = SingleFlight()
    ended: list[str] = []

    async def crew() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("given up")

    flights.run(crew())
    await turns()
    await flights.aclose()

    assert ended == ["given up"]

"""What /metrics shows of a running gateway."""

from balance_gateway import __version__
from balance_gateway.config.settings import Settings
from tests.app.gateway_harness import AdvancingClock, run_gateway


async def test_requests_and_the_age_of_values_are_shown(demo_settings: Settings) -> None:
    clock = AdvancingClock()
    async with run_gateway(demo_settings, clock) as gateway:

        async def post(content: str, key: str) -> int:
            headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
            response = await gateway.client.post("/graphql", content=content, headers=headers)
            return response.status_code

        query = '{"query": "{ connectors { name } }"}'
        statuses = [await post(query, gateway.key)]
        await gateway.read()
        clock.advance(40)
        await gateway.read()
        statuses += [await post(query, gateway.key), await post(query, "wrong")]
        statuses += [await post("{", gateway.key)]
        shown = (await gateway.client.get("/metrics")).text.splitlines()

    def read(sample: str) -> float:
        return next(
            float(line.rsplit(" ", 1)[1])
            for line in shown
            if line.startswith(f"balance_gateway_{sample} ")
        )

    assert statuses == [200, 200, 401, 400]
    assert [read(f'requests_total{{status="{status}"}}') for status in (200, 401, 400)] == [2, 1, 1]
    assert read("request_seconds_count") == 4
    assert 0 < read("request_seconds_sum") < 60
    assert 39 < read('oldest_value_seconds{connector="light-acme"}') < 60
    assert read(f'build_info{{version="{__version__}"}}') == 1

"""The benchmark of every query: its targets, its requests, and the page's own query."""

import json
from collections import Counter
from urllib.parse import parse_qs, urlsplit

import pytest
from benchmarks.targets import ledger, page
from benchmarks.targets.fallbacks import format_fallbacks, parse_fallbacks
from benchmarks.targets.goals import judge
from benchmarks.targets.rows import Row
from benchmarks.targets.workloads import list_workloads


@pytest.mark.parametrize(
    ("cpu_us", "verdict"), [(53, "reached"), (53.1, "met"), (75, "met"), (75.1, "missed")]
)
def test_same_request_is_judged_by_the_bare_server(cpu_us: float, verdict: str) -> None:
    assert judge(Row("same-nodes", "", "same", cpu_us, bare_us=40)) == verdict


def test_row_without_its_reference_is_not_judged() -> None:
    assert judge(Row("varied-cursor", "", "page", 10)) == "–"


def test_fallbacks_are_read_by_reason() -> None:
    name = "balance_gateway_graphql_fallbacks_total"
    text = f'{name}{{reason="introspection"}} 3.0\n{name}{{reason="mutation"}} 12.0\n'

    assert parse_fallbacks(text) == Counter(introspection=3, mutation=12)
    assert parse_fallbacks("other_total 1.0\n") is None
    assert format_fallbacks(parse_fallbacks(text)) == "introspection 3, mutation 12"


def test_page_s_requests_cover_every_account_once() -> None:
    asked = [
        json.loads(parse_qs(urlsplit(path).query)["variables"][0]) for path in page.list_paths()
    ]
    of_light = [each for each in asked if each.get("providers") == ["LIGHT"]]
    ids = [row[0] for variables in of_light for row in page.expect(variables)["rows"]]

    assert sorted(ids) == sorted(ledger.LIGHT_IDS)
    assert len(asked) == len(of_light) + 2, "the embedded ledger and the summary"


def test_wrong_response_of_each_workload_is_found() -> None:
    for workload in list_workloads():
        body = workload.requests.sample_bodies()[0]

        assert workload.requests.find_problem(body, 500, b"{}") is not None, workload.name


def test_a_row_can_be_written_as_json():
    row = Row("a", "A", "same", 12.5, fallbacks=Counter({"mutation": 3}))

    assert json.loads(json.dumps(row.describe()))["fallbacks"] == {"mutation": 3}

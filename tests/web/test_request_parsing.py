"""Invalid requests: each gets its status and a message with the reason, at bounded cost."""

import json
import time
from urllib.parse import quote

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from balance_gateway.web.request_parsing import BadRequest, parse_body, parse_json
from tests.api.fakes import READ, GatewayHarness, open_client, run_server
from tests.http_clients import WITHOUT_TLS

GOOD = b'{"query": "{ __typename }"}'
AUTH = {"Authorization": f"Bearer {READ}"}
JSON = {**AUTH, "Content-Type": "application/json"}


def body(**parameters: object) -> bytes:
    return json.dumps({"query": "{ __typename }", **parameters}).encode()


BODIES = {
    "nothing": (b"", "empty"),
    "blanks": (b" \n ", "empty"),
    "no JSON": (b"{query: 1}", "not JSON"),
    "half of it": (GOOD[:-1], "not JSON"),
    "more after it": (GOOD + b"x", "not JSON"),
    "a string": (b'"query"', "JSON object"),
    "a number": (b"1", "JSON object"),
    "null": (b"null", "JSON object"),
    "true": (b"true", "JSON object"),
    "a batch": (b"[" + GOOD + b"]", "Batches are not supported"),
    "an empty batch": (b"[]", "Batches are not supported"),
    "a deep array": (b"[" * 1000 + b"]" * 1000, "deeper than 64"),
    "a very deep array": (b"[" * 500_000, "deeper than 64"),
    "a deep object": (b'{"a":' * 1000 + b"1" + b"}" * 1000, "deeper than 64"),
    "deep variables": (
        b'{"query": "{ __typename }", "variables": {"a": ' + b"[" * 1000 + b"]" * 1000 + b"}}",
        "deeper than 64",
    ),
    "deep behind a string of brackets": (
        b'{"a": "\\"[[[", "b": ' + b"[" * 100 + b"]" * 100 + b"}",
        "deeper than 64",
    ),
    "not UTF-8": (b'{"query": "\xff"}', "not UTF-8"),
    "UTF-16": (GOOD.decode().encode("utf-16"), "not UTF-8"),
    "a byte order mark": (b"\xef\xbb\xbf" + GOOD, "not JSON"),
    "half a surrogate pair": (b'{"query": "\\ud800"}', "surrogate"),
    "a huge integer": (
        b'{"query": "{ __typename }", "variables": {"a": ' + b"9" * 5000 + b"}}",
        "1000 digits",
    ),
    "a huge number": (
        b'{"query": "{ __typename }", "variables": {"a": 1.' + b"9" * 5000 + b"}}",
        "1000 characters",
    ),
    "a monstrous exponent": (
        b'{"query": "{ __typename }", "variables": {"a": 1e999999999}}',
        "limit of 1.7e308",
    ),
    "NaN": (b'{"query": "{ __typename }", "variables": {"a": NaN}}', "NaN"),
    "Infinity": (b'{"query": "{ __typename }", "variables": {"a": -Infinity}}', "Infinity"),
    "a key twice": (b'{"query": "{ a }", "query": "{ __typename }"}', "duplicate key"),
    "a variable twice": (
        b'{"query": "{ __typename }", "variables": {"a": 1, "a": 2}}',
        "duplicate key",
    ),
    "no query": (b"{}", "query is missing"),
    "a null query": (body(query=None), "query is missing"),
    "a query that is a number": (body(query=1), "query must be a string"),
    "a query that is an object": (body(query={}), "query must be a string"),
    "variables in a list": (body(variables=[]), "variables must be a JSON object"),
    "variables in a string": (body(variables="{}"), "variables must be a JSON object"),
    "variables 0": (body(variables=0), "variables must be a JSON object"),
    "operationName 1": (body(operationName=1), "operationName must be a string"),
    "operationName {}": (body(operationName={}), "operationName must be a string"),
    "extensions in a list": (body(extensions=[]), "extensions must be a JSON object"),
    "extensions false": (body(extensions=False), "extensions must be a JSON object"),
}


@pytest.mark.parametrize("name", BODIES)
async def test_an_invalid_body_gets_a_400_with_the_reason(harness: GatewayHarness, name):
    content, expected_text = BODIES[name]

    async with open_client(harness) as client:
        started = time.perf_counter()
        response = await client.http.post("/graphql", content=content, headers=JSON)
        took = time.perf_counter() - started
        after = await client.data("{ __typename }")

    assert response.status_code == 400
    [error] = response.json()["errors"]
    assert expected_text in error["message"]
    assert error["extensions"]["code"] == "BAD_USER_INPUT"
    assert "data" not in response.json()
    assert took < 1.0
    assert after == {"__typename": "Query"}


@given(st.binary(max_size=200))
def test_any_bytes_parse_or_raise_bad_request(content):
    try:
        parse_body(content)
    except BadRequest as bad:
        assert bad.status == 400  # noqa: PT017 - either is fine, anything else is not


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=20,
    )
)  # fmt: skip
def test_valid_json_is_parsed_as_python_parses_it(value):
    text = json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")
    try:
        expected = json.loads(text)
    except UnicodeDecodeError:
        return

    assert parse_json(text, "It") == expected


def test_brackets_in_strings_do_not_count_as_depth():
    text = json.dumps({"query": '{ a(b: "\\"") ' + "{[" * 500}).encode()

    assert parse_json(text, "It")


def test_parsing_time_is_linear_in_escapes():
    text = b'{"a": "' + b'\\"[' * 300_000

    started = time.perf_counter()
    with pytest.raises(BadRequest):
        parse_json(text, "It")

    assert time.perf_counter() - started < 1.0


async def test_a_body_above_the_limit_gets_a_413_by_its_content_length(harness: GatewayHarness):
    async with open_client(harness) as client:
        response = await client.http.post("/graphql", content=b" " * 1_048_577 + GOOD, headers=JSON)
        within = await client.http.post(
            "/graphql", content=GOOD + b" " * (1_048_576 - len(GOOD)), headers=JSON
        )

    assert response.status_code == 413
    assert "1048576 bytes" in response.json()["errors"][0]["message"]
    assert within.status_code == 200


async def test_a_chunked_body_above_the_limit_gets_a_413_while_it_is_read(harness: GatewayHarness):
    async def chunks():
        for _ in range(30):
            yield b" " * 65_536

    async with open_client(harness) as client:
        response = await client.http.post("/graphql", content=chunks(), headers=JSON)

    assert response.status_code == 413


@pytest.mark.parametrize(
    "content_type",
    ["text/plain", "application/graphql", "application/x-www-form-urlencoded",
     "multipart/form-data; boundary=x", "x-application/jsonx", "application/json-patch+json",
     "application/json; charset=utf-16", "", "application"],
)  # fmt: skip
async def test_another_content_type_gets_a_415(harness: GatewayHarness, content_type):
    async with open_client(harness) as client:
        response = await client.http.post(
            "/graphql", content=GOOD, headers={**AUTH, "Content-Type": content_type}
        )

    assert response.status_code == 415


@pytest.mark.parametrize(
    "content_type", ["application/json", "Application/JSON; charset=UTF-8", "application/json;x=y"]
)
async def test_every_spelling_of_the_json_content_type_is_accepted(
    harness: GatewayHarness, content_type
):
    async with open_client(harness) as client:
        response = await client.http.post(
            "/graphql", content=GOOD, headers={**AUTH, "Content-Type": content_type}
        )

    assert response.status_code == 200


async def test_a_compressed_body_gets_a_415(harness: GatewayHarness):
    async with open_client(harness) as client:
        response = await client.http.post(
            "/graphql", content=GOOD, headers={**JSON, "Content-Encoding": "gzip"}
        )

    assert response.status_code == 415


QUERY_STRINGS = {
    "": "query is missing",
    "query=": "Syntax Error",
    "query={a}&query={b}": "more than once",
    "query={__typename}&variables=[]": "variables must be",
    "query={__typename}&variables=x": "variables is not JSON",
    "query={__typename}&variables=" + "[" * 5000: "deeper than 64",
    "query={__typename}&variables={%22a%22:NaN}": "NaN",
    "query={__typename}&extensions=1": "extensions must be",
    "query=%ff": "not UTF-8",
    "&".join(f"a{n}=1" for n in range(50)): "too many fields",
}


@pytest.mark.parametrize("query_string", QUERY_STRINGS)
async def test_an_invalid_query_string_gets_a_400_with_the_reason(
    harness: GatewayHarness, query_string
):
    async with open_client(harness) as client:
        response = await client.http.get(
            f"/graphql?{quote(query_string, safe='=&%')}",
            headers={**AUTH, "Accept": "application/graphql-response+json"},
        )

    assert response.status_code == 400
    assert QUERY_STRINGS[query_string] in response.json()["errors"][0]["message"]


async def test_an_aborted_body_does_not_disturb_other_requests(harness: GatewayHarness):
    import asyncio

    async with run_server(harness.app()) as url:
        host, port = url.removeprefix("http://").split(":")
        _, writer = await asyncio.open_connection(host, int(port))
        writer.write(
            f"POST /graphql HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {READ}\r\n"
            "Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{".encode()
        )
        await writer.drain()
        writer.close()
        async with httpx.AsyncClient(base_url=url, trust_env=False, verify=WITHOUT_TLS) as http:
            response = await http.post("/graphql", content=GOOD, headers=JSON)

    assert response.status_code == 200

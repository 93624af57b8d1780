"""Error texts of the configuration: the key, what it must be, and the nearest known name."""

from collections.abc import Callable

import pytest

from balance_gateway.domain.accounts import ProviderKind
from tests.config.test_refusals import (
    ASSET,
    BOOKS,
    KEY,
    LIGHT,
    LIGHT_ACCOUNT,
    LOCAL,
    replace_line,
)

ReadError = Callable[[str], str]
KINDS = ", ".join(sorted(kind.value for kind in ProviderKind))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[server]\nport = '8000'", "server.port must be an integer from 0 to 65535"),
        ("[server]\ngraphiql = 1", "server.graphiql must be true or false"),
        ("[server]\nhost = ' '", "server.host must be a string that is not empty"),
        ("server = 1", "server must be a table"),
        (
            "[server]\nrequest_timeout_s = 0",
            "server.request_timeout_s must be a number of seconds, at least 0.1",
        ),
        ("[server]\ncors_origins = 'x'", "server.cors_origins must be a list of strings"),
        (
            "[server]\ncors_origins = [1]",
            "server.cors_origins[0] must be a string that is not empty",
        ),
        (
            "[server]\ncors_origins = ['https://app.example/']",
            "server.cors_origins[0] must be an origin such as https://app.example, in lower case, "
            "no path",
        ),
        (
            "[server]\nroot_path = 'balances'",
            "server.root_path must be a path such as /balances, without a slash at its end, "
            "or empty",
        ),
        (
            "[server]\ncors_headers = ['*']",
            "server.cors_headers[0] must be the name of one header, such as x-tenant",
        ),
        (
            "[server]\nmetrics_key = 'literal'",
            "server.metrics_key must be a reference, 'env:NAME' or 'file:PATH', not the secret",
        ),
        ("[auth]\napi_keys = 1", "auth.api_keys must be an array of tables, [[…]]"),
        ("[[auth.api_keys]]", "auth.api_keys[0].name is missing"),
        (
            replace_line(KEY, "scopes", "scopes = []"),
            "auth.api_keys[0].scopes must be a list of strings that is not empty",
        ),
        (
            replace_line(KEY, "scopes", "scopes = ['balance:read']"),
            "auth.api_keys[0].scopes[0] must be one of accounts:admin, audit:read, balances:read, "
            "balances:write, not 'balance:read'; did you mean 'balances:read'?",
        ),
        (
            LIGHT.replace('"light"', '"lihgt"'),
            f"connectors.main.provider must be one of {KINDS}, not 'lihgt'; did you mean 'light'?",
        ),
        (
            ASSET + "basis = 'accural'",
            "connectors.main.basis must be one of accrual, modified_cash, not 'accural'; "
            "did you mean 'accrual'?",
        ),
        (
            LIGHT + LIGHT_ACCOUNT + "derive_opening_balance_as_of = 1",
            "accounts[0].derive_opening_balance_as_of must be a date such as 2024-12-31",
        ),
        (
            BOOKS + "normal_balance = 'crebit'",
            "accounts[0].normal_balance must be one of credit, debit, not 'crebit'; "
            "did you mean 'credit'?",
        ),
        (
            replace_line(BOOKS, "id", "id = 'a b'"),
            "accounts[0].id must be 1 to 64 letters, digits, underscores or hyphens",
        ),
        (replace_line(BOOKS, "id", 'id = "a\\n"'),
         "accounts[0].id must be 1 to 64 letters, digits, underscores or hyphens"),
        (
            LIGHT + "access_token = 'env:KEY'",
            "connectors.main.access_token must be set alone: set access_token or api_key, not both",
        ),
        (
            replace_line(ASSET, "access_token", "client_id = 'env:KEY'"),
            "connectors.main.client_secret is missing: set client_id and client_secret, "
            "or access_token",
        ),
        (BOOKS + BOOKS.replace('id = "a"', "id = 1").removeprefix(LOCAL),
         "accounts[1].id must be 1 to 64 letters, digits, underscores or hyphens"),
    ],
)  # fmt: skip
def test_error_names_the_key_and_the_accepted_values(
    read_error: ReadError, text: str, message: str
) -> None:
    assert read_error(text) == message

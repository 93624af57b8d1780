"""Tests the tree of errors and the scopes of callers."""

import ast
import json
import re
from pathlib import Path

import orjson
import pytest

import balance_gateway
from balance_gateway.domain.access import Principal, Scope
from balance_gateway.domain.errors import (
    AccountNotFound,
    BadInput,
    ErrorCode,
    Forbidden,
    GatewayError,
    ProviderError,
    ProviderRejected,
    with_account,
)
from balance_gateway.ports.write_journal import JournalUnavailable

SOURCE = Path(balance_gateway.__file__).parent
RETRYABLE = {
    "PROVIDER_UNAVAILABLE",
    "PROVIDER_TIMEOUT",
    "PROVIDER_RATE_LIMITED",
    "TOO_STALE",
    "WRITE_UNSETTLED",
}


def list_subclasses(error: type[GatewayError]) -> list[type[GatewayError]]:
    subclasses = [each for each in error.__subclasses__() if each.__module__ == error.__module__]
    return subclasses + [deeper for each in subclasses for deeper in list_subclasses(each)]


CONCRETE_ERRORS = [each for each in list_subclasses(GatewayError) if each is not ProviderError]


def make_error(error: type[GatewayError]) -> GatewayError:
    return error("acct_a") if error is AccountNotFound else error("It failed.")


@pytest.mark.parametrize("error", CONCRETE_ERRORS)
def test_every_error_has_a_stable_code_and_a_retryable_flag(
    error: type[GatewayError],
) -> None:
    assert isinstance(vars(error)["code"], ErrorCode)
    assert make_error(error).retryable is (error.code in RETRYABLE)
    assert str(make_error(error)) == make_error(error).message


#: The codes of a refused document, which no error is raised with.
WITHOUT_ERROR = {
    "GRAPHQL_PARSE_FAILED",
    "GRAPHQL_VALIDATION_FAILED",
    "PERSISTED_QUERY_NOT_FOUND",
    "PERSISTED_QUERY_NOT_SUPPORTED",
    "TOO_MANY_REQUESTS",
}


def test_every_code_belongs_to_an_error() -> None:
    assert {error.code for error in CONCRETE_ERRORS} == set(ErrorCode) - WITHOUT_ERROR


def test_a_code_is_its_own_name_in_every_text() -> None:
    for code in ErrorCode:
        texts = {str(code), f"{code}", code.value, json.loads(json.dumps(code))}
        assert texts | {orjson.loads(orjson.dumps({"code": code}))["code"]} == {code.name}


def find_literals(text: str) -> set[str]:
    """Return the string constants of a module."""
    constants = (each for each in ast.walk(ast.parse(text)) if isinstance(each, ast.Constant))
    return {each.value for each in constants if isinstance(each.value, str)}


def test_codes_are_written_as_literals_in_the_enum_only() -> None:
    modules = {path: find_literals(path.read_text("utf-8")) for path in SOURCE.rglob("*.py")}
    codes = set(map(str, ErrorCode))

    found = {
        str(path.relative_to(SOURCE)): sorted(literals & codes)
        for path, literals in modules.items()
        if literals & codes
    }

    assert found == {"domain/errors.py": sorted(codes)}


def test_codes_in_the_dashboard_exist() -> None:
    scripts = [path.read_text("utf-8") for path in (SOURCE / "web" / "static").rglob("*.js")]
    codes = r"\.code === \"(\w+)\"|\"((?:PROVIDER|ACCOUNT|QUERY|UNSUPPORTED)_\w+)\""
    named = {"".join(found) for text in scripts for found in re.findall(codes, text)}

    assert named
    assert named <= set(ErrorCode)


def test_an_unavailable_journal_is_retryable_unlike_other_internal_errors() -> None:
    error = JournalUnavailable("It is down.")

    assert (error.code, error.retryable) == (ErrorCode.INTERNAL, True)
    assert not ErrorCode.INTERNAL.is_retryable


@pytest.mark.parametrize("error", CONCRETE_ERRORS)
def test_a_copy_with_account_leaves_the_original_unchanged(error: type[GatewayError]) -> None:
    original = make_error(error)
    account_before = original.account_id
    original.field, original.retry_after_s = "amount", 3.5
    cause = KeyError("the cause")
    original.__cause__ = cause

    copy = with_account(original, account_id="acct_b", provider="LIGHT")

    assert type(copy) is error
    assert (copy.account_id, copy.provider) == ("acct_b", "LIGHT")
    assert (copy.message, copy.field, copy.retry_after_s) == (original.message, "amount", 3.5)
    assert copy.args == original.args
    assert copy.__cause__ is cause
    assert (original.account_id, original.provider) == (account_before, None)


def test_a_copy_with_account_keeps_provider_attributes() -> None:
    original = ProviderRejected("No.", maybe_applied=True, provider_code="ERR_7", provider="LAYER")

    copy = with_account(original, account_id="acct_b")

    assert isinstance(copy, ProviderRejected)
    assert (copy.maybe_applied, copy.provider_code, copy.provider) == (True, "ERR_7", "LAYER")
    with pytest.raises(ProviderRejected):
        raise copy


def test_copies_of_one_error_are_independent() -> None:
    original = BadInput("No.")

    one, other = with_account(original, account_id="a"), with_account(original, account_id="b")

    assert (one.account_id, other.account_id, original.account_id) == ("a", "b", None)


def test_maybe_applied_defaults_to_false() -> None:
    assert not ProviderRejected("No.").maybe_applied


@pytest.mark.parametrize("scope", Scope)
def test_a_caller_has_only_its_own_scopes(scope: Scope) -> None:
    principal = Principal("key", "acme", frozenset({scope}))

    principal.require(scope)

    for other in set(Scope) - {scope}:
        with pytest.raises(Forbidden, match=other.value):
            principal.require(other)


def test_scopes_have_the_names_used_in_the_configuration() -> None:
    assert {scope.value for scope in Scope} == {
        "balances:read", "balances:write", "accounts:admin", "audit:read",
    }  # fmt: skip

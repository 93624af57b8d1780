"""The tree of errors, and what callers may do."""

import pytest

from balance_gateway.domain.access import Principal, Scope
from balance_gateway.domain.errors import (
    AccountNotFound,
    BadInput,
    Forbidden,
    GatewayError,
    ProviderError,
    ProviderRejected,
    with_account,
)

NAMES = """UNAUTHENTICATED FORBIDDEN BAD_USER_INPUT ACCOUNT_NOT_FOUND UNSUPPORTED_BY_PROVIDER
    PROVIDER_UNAVAILABLE PROVIDER_TIMEOUT PROVIDER_RATE_LIMITED PROVIDER_CREDENTIALS_REJECTED
    PROVIDER_BAD_RESPONSE PROVIDER_REJECTED TOO_STALE QUERY_TOO_EXPENSIVE INTERNAL"""
CODES = set(NAMES.split())
RETRYABLE = {"PROVIDER_UNAVAILABLE", "PROVIDER_TIMEOUT", "PROVIDER_RATE_LIMITED", "TOO_STALE"}


def all_below(error: type[GatewayError]) -> list[type[GatewayError]]:
    below = [each for each in error.__subclasses__() if each.__module__ == error.__module__]
    return below + [deeper for each in below for deeper in all_below(each)]


LEAVES = [each for each in all_below(GatewayError) if each is not ProviderError]


def made(error: type[GatewayError]) -> GatewayError:
    return error("acct_a") if error is AccountNotFound else error("It failed.")


@pytest.mark.parametrize("error", LEAVES)
def test_every_error_has_a_stable_code_and_says_whether_to_retry(
    error: type[GatewayError],
) -> None:
    assert "code" in vars(error)
    assert error.code in CODES
    assert error.retryable is (error.code in RETRYABLE)
    assert str(made(error)) == made(error).message


def test_every_code_is_some_errors() -> None:
    assert {error.code for error in LEAVES} == CODES


@pytest.mark.parametrize("error", LEAVES)
def test_a_located_copy_leaves_the_original_as_it_was(error: type[GatewayError]) -> None:
    original = made(error)
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


def test_a_located_copy_keeps_what_only_providers_errors_have() -> None:
    original = ProviderRejected("No.", maybe_applied=True, provider_code="ERR_7", provider="LAYER")

    copy = with_account(original, account_id="acct_b")

    assert isinstance(copy, ProviderRejected)
    assert (copy.maybe_applied, copy.provider_code, copy.provider) == (True, "ERR_7", "LAYER")
    with pytest.raises(ProviderRejected):
        raise copy


def test_copies_of_one_error_do_not_know_each_other() -> None:
    original = BadInput("No.")

    one, other = with_account(original, account_id="a"), with_account(original, account_id="b")

    assert (one.account_id, other.account_id, original.account_id) == ("a", "b", None)


def test_a_provider_error_is_not_thought_to_be_applied_unless_it_says_so() -> None:
    assert not ProviderRejected("No.").maybe_applied


@pytest.mark.parametrize("scope", Scope)
def test_a_caller_may_do_what_its_scopes_say_and_nothing_else(scope: Scope) -> None:
    principal = Principal("key", "acme", frozenset({scope}))

    principal.require(scope)

    for other in set(Scope) - {scope}:
        with pytest.raises(Forbidden, match=other.value):
            principal.require(other)


def test_the_scopes_are_named_as_the_configuration_names_them() -> None:
    assert {scope.value for scope in Scope} == {
        "balances:read", "balances:write", "accounts:admin", "audit:read",
    }  # fmt: skip

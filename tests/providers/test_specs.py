"""The specs of all providers are complete and consistent; mypy refuses an incomplete one."""

import ast
import re
import subprocess
import sys
import uuid
from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balance_gateway.config.connector_settings import ConnectorSettings
from balance_gateway.domain.accounts import ProviderKind
from balance_gateway.domain.provider_spec import (
    AccountId,
    ProviderSpec,
    canonical_uuid,
    exact_text,
)
from balance_gateway.ports.provider_dependencies import AnyProviderSpec
from balance_gateway.providers.registry import PROVIDERS

ROOT = Path(__file__).parents[2]
ROOMS = ROOT / "src" / "balance_gateway" / "providers"

every_spec = pytest.mark.parametrize("spec", PROVIDERS.values(), ids=lambda spec: spec.kind.value)


def test_every_kind_is_registered_and_has_a_package() -> None:
    packages = {path.parent.name for path in ROOMS.glob("*/spec.py")}

    assert set(PROVIDERS) == set(ProviderKind)
    assert packages == {kind.value for kind in ProviderKind}


@every_spec
def test_each_setting_changes_responses_or_is_neutral(spec: AnyProviderSpec) -> None:
    """A setting in neither set would find values that were cached under its former value."""
    own = set(spec.settings.__struct_fields__) - set(ConnectorSettings.__struct_fields__)

    assert spec.response_settings | spec.neutral_settings == own
    assert spec.response_settings & spec.neutral_settings == set()


@every_spec
def test_identity_and_fence_are_ids_that_every_account_has(spec: AnyProviderSpec) -> None:
    required = {each.key for each in spec.account_ids if each.is_required}

    assert set(spec.identity) <= required
    assert set(spec.fence or ()) <= required
    assert spec.fence != ()
    # Equal accounts must share a fence, so it may not be finer than the identity.
    assert set(spec.fence or ()) <= set(spec.identity)


@every_spec
def test_only_the_embedded_ledger_has_its_values_in_the_storage(spec: AnyProviderSpec) -> None:
    assert spec.values_in_storage == (spec.kind is ProviderKind.LOCAL)
    # Values of a provider that is called change without a change of the storage.
    assert not (spec.values_in_storage and spec.reports_calls)


@every_spec
@given(text=st.uuids().map(str) | st.text(min_size=1, max_size=20))
def test_a_canonical_id_is_its_own_canonical_form(spec: AnyProviderSpec, text: str) -> None:
    for each in spec.account_ids:
        once = each.canonical(text)
        assert each.canonical(once) == once


@given(value=st.uuids())
def test_all_spellings_of_a_uuid_have_one_canonical_form(value: uuid.UUID) -> None:
    spellings = {str(value), str(value).upper(), value.hex, value.hex.upper()}

    assert {canonical_uuid(text) for text in spellings} == {str(value)}


@pytest.mark.parametrize("text", ["biz_GA6EG2q", "B-1", "0000", "x" * 32])
def test_other_ids_keep_their_spelling(text: str) -> None:
    assert canonical_uuid(text) == exact_text(text) == text


def _leave_out(source: str, call: str, keyword: str) -> str:
    """Return the module without one keyword argument of the first call with this name."""
    tree = ast.parse(source)
    found = next(
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == call
    )
    found.keywords = [each for each in found.keywords if each.arg != keyword]
    return ast.unparse(tree)


def test_a_spec_without_a_decision_is_a_type_error(tmp_path: Path) -> None:
    source = (ROOMS / "light" / "spec.py").read_text(encoding="utf-8")
    decisions = [("ProviderSpec", field.name) for field in fields(ProviderSpec)]
    decisions += [("AccountId", field.name) for field in fields(AccountId)]
    for call, name in decisions:
        broken = tmp_path / f"without_{call.lower()}_{name}.py"
        broken.write_text(_leave_out(source, call, name), encoding="utf-8")
    (tmp_path / "complete.py").write_text(source, encoding="utf-8")

    command = [sys.executable, "-m", "mypy", "--no-error-summary", *map(str, tmp_path.glob("*.py"))]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    found = re.findall(r'(\w+)\.py:\d+: error: Missing named argument "(\w+)"', result.stdout)
    expected = [(f"without_{call.lower()}_{name}", name) for call, name in decisions]
    assert sorted(found) == sorted(expected), result.stdout
    assert "complete.py" not in result.stdout

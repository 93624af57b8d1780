"""Provider ids have one form in settings, however they are written in the file."""

from collections.abc import Callable

import pytest

from balance_gateway.app.cache_builder import build_account_keys, build_remote_renames
from balance_gateway.config.settings import Settings
from tests.config.test_refusals import ACCOUNT, ASSET, LAYER, LIGHT

ReadText = Callable[[str], Settings]
LOWER = "0a0b0c0d-0000-4000-8000-00000000000f"
SPELLINGS = [LOWER, LOWER.upper(), LOWER.replace("-", ""), LOWER.replace("-", "").upper()]


def read_pair(read_text: ReadText, connector: str, first: str, second: str) -> Settings:
    """Read two accounts with the same ids in two spellings."""
    other = ACCOUNT.replace('id = "a"', 'id = "b"')
    return read_text(connector + ACCOUNT + first + other + second)


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_two_spellings_of_a_uuid_are_one_account_at_light(
    read_text: ReadText, spelling: str
) -> None:
    settings = read_pair(
        read_text, LIGHT, f"bank_account_id = '{LOWER}'\n", f"bank_account_id = '{spelling}'\n"
    )
    keys = build_account_keys(settings)

    assert [account.remote for account in settings.accounts] == [{"bank_account_id": LOWER}] * 2
    assert keys["a"].remote == keys["b"].remote
    assert keys["a"].fence == keys["b"].fence


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_two_spellings_of_uuids_are_one_account_at_layer(
    read_text: ReadText, spelling: str
) -> None:
    ids = "business_id = '{0}'\nexternal_account_id = '{0}'\nledger_account_id = '{0}'\n"
    ids += "custom_account_id = '{0}'\nbank_account_id = '{0}'\n"
    settings = read_pair(read_text, LAYER, ids.format(LOWER), ids.format(spelling))
    keys = build_account_keys(settings)

    assert set(settings.accounts[1].remote.values()) == {LOWER}
    assert keys["a"].remote == keys["b"].remote
    assert keys["a"].fence == keys["b"].fence


def test_case_matters_in_ids_at_asset(read_text: ReadText) -> None:
    """Its ids, such as biz_GA6EG2qFxA97NZHtxeLPUy, are base-58 texts."""
    ids = "business_id = 'biz_{0}'\nledger_id = 'ldg_1'\n"
    settings = read_pair(read_text, ASSET, ids.format("aB"), ids.format("Ab"))
    keys = build_account_keys(settings)

    assert keys["a"].remote != keys["b"].remote
    assert build_remote_renames(settings) == {}


def test_names_in_the_journal_follow_the_canonical_form(read_text: ReadText) -> None:
    """Earlier releases recorded writes under the ids as written in the file."""
    settings = read_text(LIGHT + ACCOUNT + f"bank_account_id = '{LOWER.upper()}'\n")

    renames = build_remote_renames(settings)

    # The name that release 0.1.0 computed for this spelling.
    assert list(renames) == ["light:10fcc34764b475588f1a3abe"]
    assert list(renames.values()) == [build_account_keys(settings)["a"].remote]

"""Watched values show each change, and nothing that was made before it stays valid."""

import gc
import weakref

import pytest

from balance_gateway.api.compiled.kept_values import StorageWatch, StoredValidity
from balance_gateway.api.compiled.watched_values import UNKEPT, WatchedValues, choose_terms
from balance_gateway.ports import cache_validity
from balance_gateway.ports.cache_validity import CacheTerms, LocalCacheVersions
from tests.api.compiled.test_storage_watch import CountedChanges


def build_terms(versions: LocalCacheVersions, key: str, until_s: float = 9.0) -> CacheTerms:
    validity = versions.validity("fence", key)
    return CacheTerms(validity, validity, until_s)


def watch(versions: LocalCacheVersions, *terms: CacheTerms) -> WatchedValues:
    values = WatchedValues(versions, len(terms))
    for position, each in enumerate(terms):
        values.put(position, each)
    return values


@pytest.mark.parametrize("others", [0, 10])
def test_a_change_is_found_at_its_position(monkeypatch, others: int) -> None:
    """Also when so many others have ended since that the list has forgotten some."""
    monkeypatch.setattr(cache_validity, "ENDED_MAX", 5)
    versions = LocalCacheVersions()
    values = watch(versions, *(build_terms(versions, key) for key in "aba"))
    [validity] = values.list_validities()
    kept = [versions.validity("fence", str(number)) for number in range(others)]
    for number in range(others):
        versions.invalidate("fence", str(number))

    assert (validity.is_valid, values.find_changed(0.0)) == (True, set())
    versions.invalidate("fence", "a")
    for number, each in enumerate(kept):
        assert not each.is_valid, number

    assert (validity.is_valid, values.find_changed(0.0)) == (False, {0, 2})
    values.put(0, build_terms(versions, "a"))
    assert values.find_changed(0.0) == {2}
    values.put(2, build_terms(versions, "a"))

    assert (validity.is_valid, values.find_changed(0.0)) == (False, set())
    assert all(each.is_valid for each in values.list_validities())
    versions.invalidate("fence", "a")
    assert values.find_changed(0.0) == {0, 2}


def test_a_value_is_asked_for_again_at_the_end_of_its_time() -> None:
    versions = LocalCacheVersions()
    values = watch(versions, build_terms(versions, "a", 8.0), build_terms(versions, "b", 7.0))

    assert values.valid_until_s == 7.0
    assert (values.find_changed(6.9), values.find_changed(7.0)) == (set(), {1})
    values.put(1, build_terms(versions, "b", 9.0))
    assert values.valid_until_s == 8.0
    values.put(0, UNKEPT)
    assert (values.valid_until_s, values.find_changed(0.0)) == (0.0, {0})


def test_a_value_without_terms_is_asked_for() -> None:
    assert WatchedValues(LocalCacheVersions(), 2).find_changed(0.0) == {0, 1}


async def test_stored_values_are_asked_for_after_a_change_of_the_storage() -> None:
    changes, versions = CountedChanges(), LocalCacheVersions()
    storage = StorageWatch(changes)
    old, new = StoredValidity(storage, 1), StoredValidity(storage, 2)
    values = watch(
        versions, CacheTerms(old, old, 9.0), build_terms(versions, "a"), CacheTerms(old, old, 9.0)
    )

    assert values.find_changed(0.0) == set()
    changes.version = 2
    storage._has_looked = False

    assert values.find_changed(0.0) == {0, 2}
    values.put(0, CacheTerms(new, new, 9.0))
    # One of them is still of the older version.
    assert values.find_changed(0.0) == {0, 2}
    values.put(2, CacheTerms(new, new, 9.0))
    assert values.find_changed(0.0) == set()
    assert new in values.list_validities()


def test_a_dropped_validity_keeps_no_values_in_memory() -> None:
    versions = LocalCacheVersions()
    values = watch(versions, build_terms(versions, "a"))
    [validity] = values.list_validities()
    reference = weakref.ref(values)

    values.end()
    del values
    gc.collect()

    assert (validity.is_valid, reference()) == (False, None)


def test_a_value_that_has_changed_since_it_was_read_is_not_kept() -> None:
    versions = LocalCacheVersions()
    terms = build_terms(versions, "a")

    assert choose_terms(terms) is terms
    versions.invalidate("fence", "a")
    assert choose_terms(terms) is UNKEPT
    assert choose_terms(None) is UNKEPT

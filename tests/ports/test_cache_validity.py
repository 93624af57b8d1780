"""Cache validity: when a response that was built from cached values must not be reused."""

from balance_gateway.ports.cache_validity import ENDED_MAX, LocalCacheVersions


def test_validity_ends_when_its_value_is_replaced() -> None:
    versions = LocalCacheVersions()
    one, other = versions.validity("fence", "one"), versions.validity("fence", "other")

    versions.invalidate("fence", "one")

    assert (one.is_valid, other.is_valid, versions.changes) == (False, True, 1)
    assert versions.validity("fence", "one").is_valid
    assert versions.validity("fence", "other") is other


def test_a_new_nonce_ends_all_validity_under_its_fence() -> None:
    versions = LocalCacheVersions()
    validities = [
        versions.validity("fence", "one"),
        versions.validity("fence", "two"),
        versions.validity("else", "one"),
    ]

    versions.renew("fence", "2")

    assert [validity.is_valid for validity in validities] == [False, False, True]
    assert versions.by_fence == {"fence": "2"}


def test_an_unreferenced_validity_is_dropped() -> None:
    versions = LocalCacheVersions()
    for number in range(100):
        versions.validity("fence", str(number))

    versions.invalidate("fence", "5")

    assert versions.changes == 0
    assert not versions._validities["fence"]


def test_the_ended_validities_are_listed_since_any_count() -> None:
    versions = LocalCacheVersions()
    first, second, third = (versions.validity("fence", each) for each in ("1", "2", "3"))
    versions.invalidate("fence", "1")
    since = versions.ended_count

    assert versions.list_ended(since) == []
    versions.end_fence("fence")

    assert set(map(id, versions.list_ended(since) or ())) == {id(second), id(third)}
    assert set(map(id, versions.list_ended(0) or ())) == {id(first), id(second), id(third)}


def test_ended_validities_are_not_listed_when_some_are_forgotten() -> None:
    versions = LocalCacheVersions()
    kept = [versions.validity("fence", str(number)) for number in range(ENDED_MAX + 1)]
    versions.end_fence("fence")

    assert len(kept) == versions.ended_count
    assert versions.list_ended(0) is None
    assert len(versions.list_ended(1) or ()) == ENDED_MAX

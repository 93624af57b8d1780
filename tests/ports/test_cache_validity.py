"""Cache validity: when a response that was built from cached values must not be reused."""

from balance_gateway.ports.cache_validity import LocalCacheVersions


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

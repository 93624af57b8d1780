"""Values that are computed when they are used first."""

import pytest

from balance_gateway.app.computed_on_use import ComputedOnUse


def test_a_value_is_computed_once_and_only_when_it_is_used() -> None:
    computed: list[str] = []

    def compute(key: str) -> str:
        computed.append(key)
        return key.upper()

    values = ComputedOnUse(["a", "b", "c"], compute)

    assert ("a" in values, list(values), len(values), computed) == (True, ["a", "b", "c"], 3, [])
    assert (values["b"], values["b"], computed) == ("B", "B", ["b"])


def test_an_unknown_key_has_no_value() -> None:
    values = ComputedOnUse(["a"], str.upper)

    with pytest.raises(KeyError, match="x"):
        values["x"]
    assert values.get("x") is None

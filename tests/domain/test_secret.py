"""Tests that a secret is never displayed."""

import copy
import json
import logging
import pickle
import traceback
from collections.abc import Callable
from dataclasses import dataclass

import orjson
import pytest

from balance_gateway.domain.secret import Secret

TEXT = "hunter2-hunter2"


@dataclass(frozen=True)
class Holder:
    """A class with a secret attribute."""

    key: Secret


SECRET = Secret(TEXT)
SHOWN: dict[str, Callable[[], object]] = {
    "str": lambda: str(SECRET),
    "repr": lambda: repr(SECRET),
    "format": lambda: format(SECRET),
    "f-string": lambda: f"{SECRET} {SECRET!r} {SECRET!s} {SECRET!a}",
    "str.format": lambda: "{} {!r}".format(SECRET, SECRET),  # noqa: UP032
    "percent": lambda: "%s %r" % (SECRET, SECRET),  # noqa: UP031
    "dataclass": lambda: repr(Holder(SECRET)),
    "containers": lambda: repr(([SECRET], {"k": SECRET}, {SECRET})),
    "json with str": lambda: json.dumps({"k": SECRET}, default=str),
    "an exception": lambda: "".join(traceback.format_exception(ValueError(SECRET))),
    "directory": lambda: repr([getattr(SECRET, name) for name in ("__doc__", "__slots__")]),
}


@pytest.mark.parametrize("way", SHOWN)
def test_a_secret_is_never_displayed(way: str) -> None:
    assert TEXT not in str(SHOWN[way]())


@pytest.mark.parametrize(
    "act",
    [
        lambda: pickle.dumps(SECRET),
        lambda: pickle.dumps(Holder(SECRET), protocol=0),
        lambda: copy.deepcopy(SECRET),
        lambda: json.dumps(SECRET),
        lambda: orjson.dumps({"k": SECRET}),
        lambda: vars(SECRET),
        lambda: f"{SECRET:>40}",
    ],
    ids=["pickle", "pickle of a holder", "deepcopy", "json", "orjson", "vars", "format spec"],
)
def test_operations_that_would_expose_a_secret_fail(act: Callable[[], object]) -> None:
    with pytest.raises(TypeError) as caught:
        act()

    assert TEXT not in str(caught.value)


def test_a_secret_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        logging.getLogger("test").info("key %s %r", SECRET, Holder(SECRET), extra={"k": SECRET})

    assert TEXT not in caplog.text
    assert "***" in caplog.text
    assert TEXT not in repr(vars(caplog.records[0]))


def test_only_reveal_returns_the_text() -> None:
    assert SECRET.reveal() == TEXT


def test_secrets_are_equal_only_to_secrets_with_the_same_text() -> None:
    assert Secret("ä") == Secret("ä")
    assert hash(Secret("a")) == hash(Secret("a"))
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert len({Secret("a"), Secret("a"), Secret("b")}) == 2

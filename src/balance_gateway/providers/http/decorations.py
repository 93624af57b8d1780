"""Read the fields of a response that accompany a figure and decide nothing about it."""

import logging
from collections.abc import Callable
from typing import TypeVar

from balance_gateway.domain.accounts import Account
from balance_gateway.providers.http.json_fields import MalformedResponse

T = TypeVar("T")

logger = logging.getLogger(__name__)


def read_decoration(account: Account, field: str, read: Callable[[], T], default: T) -> T:
    """Return a field that decides no figure, or the default if it is malformed.

    A malformed memo must not cost the amount beside it. The log has a line for each dropped field,
    without its value.

    Args:
        account: The account that the response concerns.
        field: The field's name, for the log.
        read: Reads the field.
        default: Replaces a malformed field.
    """
    try:
        return read()
    except MalformedResponse as error:
        extra = {"account_id": account.id, "field": field, "reason": str(error)}
        logger.warning("provider.field_dropped", extra=extra)
        return default

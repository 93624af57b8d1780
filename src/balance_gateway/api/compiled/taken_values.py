"""Takes values from the results of reads while a field is written."""

from typing import Any

from balance_gateway.api.compiled.field_errors import KeyPath
from balance_gateway.api.compiled.output import Output
from balance_gateway.api.compiled.request_values import MISSING
from balance_gateway.api.compiled.selections import FallBackToGraphQLCore
from balance_gateway.domain.errors import GatewayError
from balance_gateway.ports.cache_validity import CacheTerms
from balance_gateway.ports.reads import Observed


def take_value(result: Any, out: Output, keys: KeyPath) -> Any:
    """Return the value of a field; None after null was written in its place.

    Args:
        result: from ``RequestValues``: an observed value, an error, or MISSING.
        out: the output.
        keys: the path of the field, for its error.

    Raises:
        FallBackToGraphQLCore: a defect, which graphql-core reports.
    """
    if result is MISSING:
        out.write_missing()
        return None
    if isinstance(result, Observed):
        out.depend_on(result.cache_terms)
        if result.value is None:
            out.parts.append(b"null")
            return None
        return result
    if not isinstance(result, GatewayError):
        raise FallBackToGraphQLCore("defect")
    # The next request asks again.
    out.depend_on(None)
    out.fail(keys, result)
    return None


def get_terms(result: Any) -> CacheTerms | None:
    """Return the cache terms of a value; None for an error, which is not kept.

    Raises:
        FallBackToGraphQLCore: a defect, which graphql-core reports.
    """
    if type(result) is Observed:
        return result.cache_terms
    if isinstance(result, GatewayError):
        return None
    raise FallBackToGraphQLCore("defect")

"""Cut Asset's lists into pages.

"If either token is null, there are no additional pages in that direction"; `page_size` has "a
maximum of 100 records per page". Undocumented: a malformed token or size; here 422.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

from balance_gateway_sandbox import provider_errors

_TOKEN: Final = re.compile(r"pg_([0-9]{1,9})", re.ASCII)
_SIZE: Final = re.compile(r"[1-9][0-9]{0,5}", re.ASCII)


def build_page(rows: list[Any], query: Mapping[str, str], size_max: int) -> dict[str, Any]:
    """Return `data` and `pagination` of the page that `page_token` and `page_size` name."""
    start = _parse(query, "page_token", _TOKEN, "pg_0")
    size = min(_parse(query, "page_size", _SIZE, str(size_max)), size_max)
    end = start + size
    pagination = {
        "next_page_token": f"pg_{end}" if end < len(rows) else None,
        "previous_page_token": f"pg_{max(start - size, 0)}" if start else None,
    }
    return {"data": rows[start:end], "pagination": pagination}


def _parse(query: Mapping[str, str], name: str, form: re.Pattern[str], default: str) -> int:
    found = form.fullmatch(query.get(name, default))
    if found is None:
        detail = [{"loc": ["query", name], "msg": "invalid value"}]
        raise provider_errors.asset_error(422, "Validation error", detail)
    return int(found[found.re.groups])

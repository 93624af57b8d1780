"""Which part of a refused redirect is shown to whom."""

import pytest

from balance_gateway.providers.http.json_fields import MalformedResponse
from balance_gateway.providers.http.redirects import resolve_redirect
from balance_gateway.transport.urls import parse_url


@pytest.mark.parametrize(
    "location",
    ["https://internal.example/x", "https://internal.example:8443/", "//internal.example"],
)
def test_the_host_of_a_refused_redirect_is_in_the_log_only(
    caplog: pytest.LogCaptureFixture, location: str
) -> None:
    """Callers read the host in the error of their field."""
    with pytest.raises(MalformedResponse) as caught:
        resolve_redirect(parse_url("https://api.example/v1"), location, frozenset())

    assert str(caught.value) == "it redirects to a host that redirect_hosts does not allow"
    (record,) = caplog.records
    assert (record.message, record.__dict__["host"]) == (
        "provider.redirect_refused",
        "internal.example",
    )

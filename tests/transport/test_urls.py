"""URLs are parsed and joined as httpx does it, or refused."""

import re

import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from balance_gateway.transport import URL, join_url, parse_url
from balance_gateway.transport.errors import InvalidURL, Sent

PLAIN_HOST = re.compile(r"[a-z0-9._-]+|[0-9a-f:.]*:[0-9a-f:.]*", re.ASCII)

HOSTS = """h API.example 127.0.0.1 1.2.3.999 [::1] [2001:DB8::1] [::g] [::1 bücher.example
    BÜCHER.example xn--bcher-kva.example straße.de a..b ☃.net a%41 日本語。jp a_b -a- fe80::1
    [fe80::1%25eth0] \u0130.example"""

schemes = st.sampled_from(["http", "https", "HTTP", "hTTps", "ftp", "", "file"])
hosts = st.one_of(st.sampled_from(["", "a b", *HOSTS.split()]), st.text(max_size=8))
PORTS = ["0", "80", "443", "8080", "65536", "080", "-1", "8_0", "٣", ""]
ports = st.sampled_from(["", *(f":{port}" for port in PORTS)])
SEGMENTS = [".", "..", "a", "%2e", "%2F", "ü", "a;b", "{x}", "`", '"<>', "'", "", "b c"]
paths = st.one_of(
    st.lists(st.sampled_from(SEGMENTS)).map(lambda parts: "".join("/" + part for part in parts)),
    st.text(max_size=6),
)
queries = st.sampled_from(["", "?", "?a=b", "?a b", "?x=é&y='", "?/../", "?a?b", "??", "?`{}"])
fragments = st.sampled_from(["", "#", "#f", "#a/b?c"])
users = st.sampled_from(["", "", "", "u@", "u:p@", "@", "a\\@"])
references = st.builds(
    "{}{}{}{}{}".format,
    st.one_of(
        st.just(""),
        st.builds("//{}{}{}".format, users, hosts, ports),
        st.builds("{}://{}{}{}".format, schemes, users, hosts, ports),
        st.sampled_from(["http:", "https:", "a:", "http:/"]),
    ),
    st.sampled_from(["", "a", "../b", "./", "..", "a:b"]),
    paths,
    queries,
    fragments,
)
urls = st.builds(
    "{}://{}{}{}{}{}{}".format, schemes, users, hosts, ports, paths, queries, fragments
)


def split(url: httpx.URL) -> tuple[str, str, int, str]:
    default = {"http": 80, "https": 443}[url.scheme]
    port = default if url.port is None else url.port
    return url.scheme, url.raw_host.decode().lower(), port, url.raw_path.decode()


def parse_as_httpx(url: httpx.URL) -> tuple[str, str, int, str] | None:
    """Return the parts of a URL, or None if it is one that we refuse and httpx accepts."""
    if url.scheme not in {"http", "https"} or url.userinfo:
        return None
    parts = split(url)
    _, host, port, _ = parts
    return parts if PLAIN_HOST.fullmatch(host) and 1 <= port <= 65_535 else None


def parse_or_none(text: str) -> tuple[str, str, int, str] | None:
    try:
        url = parse_url(text)
    except InvalidURL:
        return None
    return url.scheme, url.host, url.port, url.target


@given(urls)
@example("http://h/..")
@example("http://h/a/./../?")
def test_url_is_parsed_as_httpx_does_or_refused(text: str) -> None:
    try:
        expected = parse_as_httpx(httpx.URL(text))
    except (httpx.InvalidURL, ValueError):
        expected = None

    parsed = parse_or_none(text)

    assert parsed == expected or (parsed is None and is_refused_by_us_alone(text))


def is_refused_by_us_alone(text: str) -> bool:
    """An empty user, and a port that only Python's ``int`` takes for a number."""
    authority = re.split("[/?#]", text.partition("//")[2])[0]
    _, _, port = authority.rpartition(":")
    return "@" in authority or not re.fullmatch("[0-9]*", port, re.ASCII)


@given(st.sampled_from(["http://h", "https://h:8443/a/b/c?d=e", "https://h/a//b/;p"]), references)
@example("https://h/a/b", "?x")
@example("https://h/a/b", "../../..")
@example("https://h/a/b", " x")
def test_reference_is_joined_as_httpx_does_or_refused(base: str, reference: str) -> None:
    try:
        expected = parse_as_httpx(httpx.URL(base).join(reference))
    except (httpx.InvalidURL, ValueError):
        expected = None

    try:
        url = join_url(parse_url(base), reference)
        joined = (url.scheme, url.host, url.port, url.target)
    except InvalidURL:
        joined = None

    assert joined == expected or (
        joined is None
        and (
            is_refused_by_us_alone(reference)
            # A colon in the first segment, and no scheme followed by two slashes.
            or re.match("(?![a-z]+://)[^/?#]*:", reference, re.IGNORECASE) is not None
        )
    )


@given(urls)
def test_parsing_a_parsed_url_changes_nothing(text: str) -> None:
    if parse_or_none(text) is None:
        return
    url = parse_url(text)

    assert parse_url(str(url)) == url
    assert str(url).isascii()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://API.example", URL("https", "api.example", 443, "https://api.example", "/")),
        ("https://h:443/a?b=c#d", URL("https", "h", 443, "https://h", "/a?b=c")),
        ("http://[::1]:80/a b", URL("http", "::1", 80, "http://[::1]", "/a%20b")),
        ("http://[::1]:8080", URL("http", "::1", 8080, "http://[::1]:8080", "/")),
        (
            "https://bücher.example/",
            URL("https", "xn--bcher-kva.example", 443, "https://xn--bcher-kva.example", "/"),
        ),
        ("http://h/a/../%2e/ü?ü", URL("http", "h", 80, "http://h", "/%2e/%C3%BC?%C3%BC")),
    ],
)
def test_url_is_normalized(text: str, expected: URL) -> None:
    assert parse_url(text) == expected
    assert expected.host_header == expected.origin.partition("//")[2]


UNUSABLE = """h //h ftp://h http:// http:h http:///a http://u@h http://u:p@h http://@h http://h:0
    http://h:65536 http://h:x http://h:8_0 http://h:-1 http://a%41 http://[::1 http://[::g]
    http://[fe80::1%25eth0] http://1.2.3.999 http://a\\@h http://☃.net http://h/\x7f http://h/\ud800
    """


@pytest.mark.parametrize(
    "text",
    ["", "http://a b", "http://h/\n", " http://h", "http://h/" + "a" * 65_536, *UNUSABLE.split()],
)
def test_unusable_url_is_refused_without_its_text(text: str) -> None:
    with pytest.raises(InvalidURL) as caught:
        parse_url(text)

    assert caught.value.sent is Sent.NEVER
    assert "u:p" not in str(caught.value)

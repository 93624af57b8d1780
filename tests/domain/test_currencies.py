"""Every currency that was once known keeps its exponent, whatever ``iso4217`` publishes next."""

import re

import pytest
from iso4217 import Currency

from balance_gateway.domain.current_currencies import CURRENT_EXPONENTS
from balance_gateway.domain.errors import BadInput
from balance_gateway.domain.money import (
    Money,
    currency_exponent,
    is_withdrawn,
    list_withdrawn,
    merge_exponents,
    parse_minor_units,
)
from balance_gateway.domain.withdrawn_currencies import WITHDRAWN_CURRENCIES

#: Every code that a release of ``iso4217`` had with a minor unit, 2018-08-29 to 2026-01-01. Codes
#: may be added, and none may ever be removed.
ONCE_KNOWN = {
    0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF",
    2: """
        AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BMD BND BOB BOV BRL BSD BTN BWP BYN
        BZD CAD CDF CHE CHF CHW CNY COP COU CRC CUC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP
        GBP GEL GHS GIP GMD GTQ GYD HKD HNL HRK HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT
        LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MXV MYR MZN NAD NGN NIO
        NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SLL SOS
        SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD USN UYU UZS VED VES WST XAD
        XCD XCG YER ZAR ZMW ZWG ZWL
    """,
    3: "BHD IQD JOD KWD LYD OMR TND",
    4: "CLF UYW",
}
EXPONENTS = {code: exponent for exponent, codes in ONCE_KNOWN.items() for code in codes.split()}
PUBLISHED = {currency.code: currency.exponent for currency in Currency}


def test_no_currency_that_was_once_known_is_forgotten() -> None:
    assert {code: currency_exponent(code) for code in EXPONENTS} == EXPONENTS


def test_our_exponents_are_those_that_are_published() -> None:
    """Where it fails, a release changed an exponent: stored amounts must not move with it."""
    differing = {
        code: (exponent, PUBLISHED[code])
        for code, exponent in CURRENT_EXPONENTS.items()
        if code in PUBLISHED and PUBLISHED[code] != exponent
    }

    assert differing == {}


def test_a_release_that_withdraws_or_changes_a_currency_changes_no_amount() -> None:
    without = {code: exponent for code, exponent in PUBLISHED.items() if code != "CUP"}

    merged = merge_exponents({**without, "ISK": 2, "NEW": 2})

    assert (merged["CUP"], merged["ISK"], merged["NEW"], merged["XAU"]) == (2, 0, 2, None)


@pytest.mark.parametrize(
    ("code", "exponent", "withdrawn"),
    [
        ("BGN", 2, "2026-01"),
        ("HRK", 2, "2023-01"),
        ("ZWL", 2, "2024-09"),
        ("ITL", 0, "2002-03"),
        ("BYR", 0, "2017-01"),
        ("VEF", 2, "2018-08"),
        ("DEM", 2, "2002-03"),
    ],
)
def test_a_withdrawn_currency_keeps_its_exponent_and_is_marked(
    code: str, exponent: int, withdrawn: str
) -> None:
    assert WITHDRAWN_CURRENCIES[code].withdrawn == withdrawn
    assert is_withdrawn(code)
    assert currency_exponent(code) == exponent
    assert parse_minor_units("12", code) == 12 * 10**exponent
    assert Money(12 * 10**exponent, code).amount == ("12.00" if exponent else "12")


def test_a_currency_that_a_release_no_longer_publishes_is_withdrawn() -> None:
    without_zloty = PUBLISHED.keys() - {"PLN"}

    assert list_withdrawn(without_zloty) - list_withdrawn(PUBLISHED) == {"PLN"}
    assert "BGN" in list_withdrawn(PUBLISHED)


def test_current_currencies_are_not_marked_as_withdrawn() -> None:
    assert not [code for code in CURRENT_EXPONENTS if code in PUBLISHED and is_withdrawn(code)]
    assert not WITHDRAWN_CURRENCIES.keys() & CURRENT_EXPONENTS.keys()


def test_withdrawn_currencies_have_a_month_and_a_plausible_exponent() -> None:
    for code, currency in WITHDRAWN_CURRENCIES.items():
        assert re.fullmatch("[A-Z]{3}", code)
        assert re.fullmatch(r"(19|20)[0-9]{2}-(0[1-9]|1[0-2])", currency.withdrawn)
        assert currency.exponent in {0, 2}


@pytest.mark.parametrize("code", ["BGM", "QQQ", "XFO", "ARA", "bgn"])
def test_a_code_that_never_was_or_has_no_known_minor_unit_is_refused(code: str) -> None:
    with pytest.raises(BadInput):
        currency_exponent(code)

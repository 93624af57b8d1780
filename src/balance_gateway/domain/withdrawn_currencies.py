"""Lists the currencies that ISO 4217 has withdrawn, with the exponents that they had.

Amounts in them stay in the journal, in the audit log and in ledgers for ever, and the library
``iso4217`` drops a currency with the release that withdraws it.

Sources: the codes and the months of their withdrawal are those of ISO 4217 List Three, published
2026-01-01; the last month where it has several. List Three has no minor units. They are those of
List One as published before the withdrawal (2018-08-29 to 2024-06-25), and for earlier withdrawals
those of the table of currencies of Java, which follows ISO 4217. A code of List Three for which
neither has a minor unit (ARA, CSK, XEU and others that were withdrawn before 2005) is not listed:
it is refused, because a guessed exponent is an error by a factor of a hundred.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class WithdrawnCurrency:
    """A currency that ISO 4217 no longer lists.

    Attributes:
        exponent: its number of decimals.
        withdrawn: the month of its withdrawal, such as ``2026-01``.
    """

    exponent: int
    withdrawn: str


_WITHDRAWN = {
    "ADP": WithdrawnCurrency(0, "2003-07"),
    "AFA": WithdrawnCurrency(2, "2003-01"),
    "ANG": WithdrawnCurrency(2, "2025-03"),
    "ATS": WithdrawnCurrency(2, "2002-03"),
    "AYM": WithdrawnCurrency(2, "2005-10"),
    "AZM": WithdrawnCurrency(2, "2005-12"),
    "BEF": WithdrawnCurrency(0, "2002-03"),
    "BGL": WithdrawnCurrency(2, "2003-11"),
    "BGN": WithdrawnCurrency(2, "2026-01"),
    "BYB": WithdrawnCurrency(0, "2001-01"),
    "BYR": WithdrawnCurrency(0, "2017-01"),
    "CSD": WithdrawnCurrency(2, "2006-10"),
    "CUC": WithdrawnCurrency(2, "2021-06"),
    "CYP": WithdrawnCurrency(2, "2008-01"),
    "DEM": WithdrawnCurrency(2, "2002-03"),
    "EEK": WithdrawnCurrency(2, "2011-01"),
    "ESP": WithdrawnCurrency(0, "2002-03"),
    "FIM": WithdrawnCurrency(2, "2002-03"),
    "FRF": WithdrawnCurrency(2, "2002-03"),
    "GHC": WithdrawnCurrency(2, "2008-01"),
    "GRD": WithdrawnCurrency(0, "2002-03"),
    "GWP": WithdrawnCurrency(2, "1997-05"),
    "HRK": WithdrawnCurrency(2, "2023-01"),
    "IEP": WithdrawnCurrency(2, "2002-03"),
    "ITL": WithdrawnCurrency(0, "2002-03"),
    "LTL": WithdrawnCurrency(2, "2014-12"),
    "LUF": WithdrawnCurrency(0, "2002-03"),
    "LVL": WithdrawnCurrency(2, "2014-01"),
    "MGF": WithdrawnCurrency(0, "2004-12"),
    "MRO": WithdrawnCurrency(2, "2017-12"),
    "MTL": WithdrawnCurrency(2, "2008-01"),
    "MZM": WithdrawnCurrency(2, "2006-06"),
    "NLG": WithdrawnCurrency(2, "2002-03"),
    "PTE": WithdrawnCurrency(0, "2002-03"),
    "ROL": WithdrawnCurrency(2, "2005-06"),
    "RUR": WithdrawnCurrency(2, "2004-01"),
    "SDD": WithdrawnCurrency(2, "2007-07"),
    "SIT": WithdrawnCurrency(2, "2007-01"),
    "SKK": WithdrawnCurrency(2, "2009-01"),
    "SLL": WithdrawnCurrency(2, "2023-12"),
    "SRG": WithdrawnCurrency(2, "2003-12"),
    "STD": WithdrawnCurrency(2, "2017-12"),
    "TMM": WithdrawnCurrency(2, "2009-01"),
    "TPE": WithdrawnCurrency(0, "2002-11"),
    "TRL": WithdrawnCurrency(0, "2005-12"),
    "USS": WithdrawnCurrency(2, "2014-03"),
    "VEB": WithdrawnCurrency(2, "2008-01"),
    "VEF": WithdrawnCurrency(2, "2018-08"),
    "YUM": WithdrawnCurrency(2, "2003-07"),
    "ZMK": WithdrawnCurrency(2, "2012-12"),
    "ZWD": WithdrawnCurrency(2, "2008-08"),
    "ZWL": WithdrawnCurrency(2, "2024-09"),
    "ZWN": WithdrawnCurrency(2, "2006-09"),
    "ZWR": WithdrawnCurrency(2, "2009-06"),
}

#: The withdrawn currencies by code.
WITHDRAWN_CURRENCIES: Mapping[str, WithdrawnCurrency] = MappingProxyType(_WITHDRAWN)

"""Light: bank and ledger balances as of a date, in minor units."""

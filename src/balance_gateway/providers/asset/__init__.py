"""Asset: ledger balances in major units, on the normal side of each ledger."""

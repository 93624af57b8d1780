"""The embedded ledger: opening balances and entries in the gateway's own database."""

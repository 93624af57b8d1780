"""Layer: ledger balances in cents, and opening balances with memo, tags and metadata."""

"""What the gateway keeps: the write journal with its audit log, and the embedded ledger."""

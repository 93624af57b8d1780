"""Stores the write journal, its audit log and the embedded ledger in SQL."""

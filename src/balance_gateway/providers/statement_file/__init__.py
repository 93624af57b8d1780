"""Statement files: balances by day from a JSON file, for accounts at banks without an API."""

"""The data that the sandbox holds: accounts, entries, tokens and the clock."""

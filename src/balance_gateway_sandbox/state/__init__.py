"""Hold the sandbox's data: accounts, entries, tokens and the clock."""

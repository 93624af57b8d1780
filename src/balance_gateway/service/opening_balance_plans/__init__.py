"""The use cases of plans: receive, read, approve and apply many opening balances."""

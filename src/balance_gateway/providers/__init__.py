"""One adapter for each provider, which translates its API into the ``BalanceProvider`` port."""

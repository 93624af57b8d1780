"""Calls to providers: admission, rate limits, circuit breaker, retries, health."""

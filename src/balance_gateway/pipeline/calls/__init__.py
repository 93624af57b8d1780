"""Calls to providers: call gate, rate limits, circuit breaker, retries, health."""

"""Wrap the imitated providers with request logging, rate limits and fault injection."""

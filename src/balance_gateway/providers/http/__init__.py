"""The HTTP client that the adapters share: credentials, deadlines, redirects, strict JSON."""

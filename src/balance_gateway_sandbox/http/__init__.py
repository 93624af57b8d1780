"""The HTTP layer around the imitated providers: request log, rate limits and faults."""

"""Every kind of query against the targets of its cost; see docs/performance.md."""

"""Benchmarks and the soak test of the gateway; see docs/performance.md."""

"""How fast the gateway is, and whether it stays whole under load. See docs/performance.md."""

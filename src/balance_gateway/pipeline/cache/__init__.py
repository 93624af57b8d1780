"""Cached reads: keys, write fence, stored values, single flight, calls shared with replicas."""

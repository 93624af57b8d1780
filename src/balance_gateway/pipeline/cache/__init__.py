"""Cached reads: keys, fence, stored values, single flight, and calls shared with replicas."""

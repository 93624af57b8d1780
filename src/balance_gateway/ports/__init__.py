"""Defines the interfaces between the layers and the per-call context passed through them."""

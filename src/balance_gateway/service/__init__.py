"""Implements the gateway's use cases, independent of the API protocol."""

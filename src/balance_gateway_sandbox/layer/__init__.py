"""Imitate Layer's API."""

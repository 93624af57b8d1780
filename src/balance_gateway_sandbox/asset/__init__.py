"""Imitate Asset's API."""

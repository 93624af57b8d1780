"""Imitate Light's API."""

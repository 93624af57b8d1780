"""Reads and validates the configuration file before anything starts."""

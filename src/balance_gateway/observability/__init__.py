"""Provides logs and metrics for operators."""

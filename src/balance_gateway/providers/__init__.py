"""Translators: one for each provider, between its own words and the gateway's one port."""

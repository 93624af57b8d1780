"""The imitated Layer API."""

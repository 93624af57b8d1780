"""The imitated Light API."""

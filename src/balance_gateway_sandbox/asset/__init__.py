"""The imitated Asset API."""

"""The web edge: HTTP in and out, who is asking, health, metrics and the dashboard page."""

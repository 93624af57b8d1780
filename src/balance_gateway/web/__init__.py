"""Serve the HTTP interface: GraphQL, authentication, health, metrics and the static pages."""

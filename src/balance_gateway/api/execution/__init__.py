"""Executes GraphQL documents: parsing, limits, cost and graphql-core."""

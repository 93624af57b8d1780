"""The GraphQL API, without HTTP: schema, resolvers, document limits, execution."""

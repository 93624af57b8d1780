"""GraphQL: the schema, its resolvers, and what a document may cost. Knows nothing of HTTP."""

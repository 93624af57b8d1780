"""The GraphQL schema: types, scalars, inputs, resolvers and error formatting."""

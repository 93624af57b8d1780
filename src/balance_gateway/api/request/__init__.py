"""The state of a GraphQL request: caller, deadline, loaders, limits."""

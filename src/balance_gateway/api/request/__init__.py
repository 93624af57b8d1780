"""The state of one GraphQL request: caller, deadline, loaders, limits."""

"""What lies between the use cases and the providers: fences, kept values, flights, limits."""

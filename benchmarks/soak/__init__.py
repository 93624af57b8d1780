"""A soak: mixed load on the demo, random faults, a verdict on budgets, memory and errors."""

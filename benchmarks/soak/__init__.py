"""The soak test: mixed load on the demo and random faults; checks budgets, memory and errors."""

"""The composition root: builds the gateway from settings and wires its parts together.

It imports none of its modules: a command imports the one that it needs, and not the whole gateway.
"""

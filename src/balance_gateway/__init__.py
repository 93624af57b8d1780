"""Balance Gateway: one GraphQL API over every place where a company's balances live.

Data flows one way, and the folders are named after its path::

    HTTP in ─▶ web ─▶ api ─▶ service ─▶ pipeline ─▶ providers ─▶ transport ─▶ HTTP out
                                └▶ storage (accounts, write journal, audit, embedded ledger)

``domain`` holds the nouns and is imported by all; ``app`` alone wires the parts together;
``sandbox`` imitates the providers and shares no code with the rest.
"""

__version__ = "0.1.0"

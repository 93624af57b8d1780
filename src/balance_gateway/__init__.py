"""Balance Gateway: one GraphQL API over bank and ledger balance providers.

Data flows in one direction, and the packages are named after its steps::

    HTTP in ─▶ web ─▶ api ─▶ service ─▶ pipeline ─▶ providers ─▶ transport ─▶ HTTP out
                                └▶ storage (accounts, write journal, audit, embedded ledger)

``domain`` holds the business types and rules, and ``ports`` the interfaces between the layers; both
are imported by all others. ``server`` runs the application under uvicorn. ``app`` alone wires the
parts together. The separate package ``balance_gateway_sandbox`` imitates the providers and shares
no code with this one.
"""

__version__ = "0.1.0"

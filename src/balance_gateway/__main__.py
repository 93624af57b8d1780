"""Run the command ``balance-gateway`` with ``python -m balance_gateway``."""

from balance_gateway.cli import main

main()

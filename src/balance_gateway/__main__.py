"""``python -m balance_gateway`` is the command ``balance-gateway``."""

from balance_gateway.cli import main

main()

"""Formats the help of commands."""


def example(*lines: str) -> str:
    """Return the end of a command's help: example calls, each on its own line."""
    return "\b\nExample:\n" + "\n".join(f"  balance-gateway {line}" for line in lines)

"""Defines the types and rules of balances.

Every other package imports this one; it imports none of them.
"""

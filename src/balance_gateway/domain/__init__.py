"""The nouns and rules of balances. Imported by every other package, imports none of them."""

"""Compiled operations: answered from ready fragments where graphql-core would walk every field.

An operation that asks for accounts by id or by page, and of each for what ``fields.py`` knows, is
compiled once per document. Per request its arguments are filled in, each account is answered from
the JSON it was last answered with, as long as every value in it still counts, and the pieces are
joined. Whatever is out of the ordinary, an operation or a value, is left to graphql-core. The
bytes are the same either way; ``tests/api/fast_path`` holds the two against each other.
"""

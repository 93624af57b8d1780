"""Reads a CSV file of opening balances; what is not certain in it is refused, with the line.

``reading`` splits the text into records, ``columns`` finds what each column is, ``amounts`` and
``rows`` convert the cells. Amounts stay text; nothing is rounded.
"""

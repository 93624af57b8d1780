"""The commands against a running gateway, through its GraphQL API.

A command opens a ``GatewayClient`` with the options of ``connection``, reads typed values
(``models``) page by page, and prints them with ``output``. Each noun has a file of its own.
"""

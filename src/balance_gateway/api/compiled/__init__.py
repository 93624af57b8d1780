"""Compiled executor: answers queries without graphql-core's execution, and keeps the answers.

graphql-core is the reference: both produce the same bytes (``tests/api/compiled`` compares them);
only the order of ``errors`` may differ. What is rare is left to it: mutations, introspection, and
values that are invalid or unusual.

The modules in the order in which a request passes them:

1. ``engine`` controls all steps. ``kept_responses`` has whole responses, each from the second time
   on that it was asked for (``seen_keys``).
2. ``templates`` and ``plan`` compile an operation, once per document or per template of documents:
   ``compiler`` turns selections (``selections``) into writers, by the tables of fields
   (``root_fields``, ``account_fields``, ``balance_fields``, ``series_fields``,
   ``connector_fields``, ``total_fields``; ``uncompiled_fields`` lists what they lack), which write
   with ``encoding`` and ``taken_values``. ``argument_sources`` and ``argument_coercion`` say where
   argument values come from.
3. ``execution`` evaluates the arguments into a ``request_state`` and lets the writers write to an
   ``output``. Accounts come from kept JSON (``account_json``, ``account_json_cache``), on a page
   from blocks of it (``account_pages``, ``account_blocks``), balances in series from
   ``kept_texts``, totals from ``current_totals``: kept ones (``kept_totals``) that are corrected by
   what has changed (``watched_values``), or sums of kept rows (``total_rows``). Other values come
   from ``request_values``: kept ones (``kept_values``), or read in batches.
   ``field_errors`` has the errors with their paths.
4. ``holes`` fills in what changes with time alone, such as ages, and the state of connectors.
5. ``api/execution/engine``: graphql-core, wherever a step raises ``FallBackToGraphQLCore``.
"""

"""Fast path: answers ``nodes``, ``node`` and ``bankAccount`` without graphql-core's execution.

Any operation or value that the fast path does not support is left to graphql-core. Both produce
the same bytes (``tests/api/fast_path`` compares them); only the order of ``errors`` may differ.

The modules in the order in which a request passes them:

1. ``engine``: looks up a cached response to a byte-identical body, and controls all further steps.
2. ``operation_plan``: compiles the operation, once per document or per template of documents, with
   ``collect_fields`` (selections and GraphQL fragments), ``argument_sources`` (where argument
   values come from), ``account_projection`` (fields of an account) and ``field_writers`` (fields
   below an account); ``unsupported_fields`` lists the fields that none of them serves.
3. ``response_builder``: evaluates the arguments (``argument_coercion``) and fills the response
   (``response_state``) with cached account JSON (``account_json_cache``).
4. ``missing_reads``: reads the values of all accounts without cached JSON in one batch;
   ``response_builder`` then writes and caches their JSON.
5. ``api/execution/engine``: graphql-core, wherever a step raises ``FallBackToGraphQLCore``.
"""

"""Random documents of the whole schema get the responses of graphql-core, byte for byte."""

import random
from collections import Counter
from datetime import timedelta

import pytest
from graphql import TypeInfo, TypeInfoVisitor, get_named_type, parse, visit

from balance_gateway.api.compiled.uncompiled_fields import UNCOMPILED_FIELDS
from balance_gateway.domain.access import Principal
from tests.api.compiled.random_documents import SCHEMA, write_document, write_upsert
from tests.api.compiled.random_history import (
    ADMIN,
    FOREIGN_ADMIN,
    NO_SCOPES,
    READER,
    History,
    without_early_refresh,
)
from tests.api.compiled.test_documents import Collector, walk_fields
from tests.api.compiled.whole_gateway import open_worlds


@pytest.mark.parametrize(
    ("principal", "seeds"),
    [
        (ADMIN, range(70)),
        (READER, range(100, 110)),
        (FOREIGN_ADMIN, range(200, 210)),
        (NO_SCOPES, range(300, 310)),
    ],
    ids=["all scopes", "reader", "other tenant", "no scopes"],
)
async def test_random_documents_get_the_responses_of_graphql_core(
    principal: Principal, seeds: range
) -> None:
    """Each is sent four times: read, built from what is cached twice, and kept as a whole.

    ``python -m tests.api.compiled.random_history`` sends more of them.
    """
    counts: Counter[object] = Counter()
    with without_early_refresh():
        async with open_worlds(2) as (fast, core):
            for seed in seeds:
                history = History(seed, fast, core)
                query, variables = write_document(random.Random(seed))
                for _ in range(4):
                    response = await history.compare(query, variables, principal)
                counts[response.status] += 1
                counts["executed"] += b'"data"' in response.body
                fast.clock.now += timedelta(seconds=11)

    if principal is ADMIN:
        assert counts["executed"] > 58
        assert counts[294] > 5, "documents with errors beside data"
        assert counts[400] > 1, "refused documents"


async def test_random_mutations_get_the_responses_of_graphql_core() -> None:
    with without_early_refresh():
        async with open_worlds(2) as (fast, core):
            history = History(0, fast, core)
            for number in range(30):
                query, variables = write_upsert(
                    random.Random(number), f"a{number % 16}", number, ("EUR", "JPY")[number % 2]
                )
                await history.compare(query, variables, ADMIN)
                fast.clock.now += timedelta(seconds=1)

    assert {one.outcome.value for one in core.journal.records.values()} >= {"applied"}
    assert len(core.journal.records) == len(fast.journal.records) > 10


def test_every_part_of_the_schema_is_in_the_random_documents() -> None:
    info = TypeInfo(SCHEMA)
    collector = Collector(info)
    # graphql-core executes what is below the others for both engines.
    fields = dict(walk_fields(SCHEMA, UNCOMPILED_FIELDS))
    arguments = {(name, key): each for name, f in fields.items() for key, each in f.args.items()}
    inputs = [get_named_type(each.type) for each in arguments.values()]
    expected = {
        *fields,
        *(f"{name}({argument})" for name, argument in arguments),
        *(f"{each.name}.{value}" for each in inputs for value in getattr(each, "values", ())),
        *("@include", "@skip", "... {", "... on", "...F", "a variable", "a null_value"),
        *("a list_value", "a object_value"),
    }

    for seed in range(2_000):
        if expected <= collector.seen:
            break
        query, _ = write_document(random.Random(seed))
        visit(parse(query), TypeInfoVisitor(info, collector))

    assert expected - collector.seen == set()


def test_a_seed_gives_the_same_document_each_time() -> None:
    first, second = ([write_document(random.Random(seed)) for seed in range(20)] for _ in range(2))

    assert first == second
    assert len({query for query, _ in first}) == 20

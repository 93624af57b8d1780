"""The enum ErrorCode of the schema has the codes of the domain, each with a description."""

from balance_gateway.api.schema.build import build_core_schema
from balance_gateway.api.schema.error_codes import DESCRIPTIONS, to_graphql_code
from balance_gateway.domain.errors import ErrorCode


def test_every_code_has_a_description() -> None:
    assert set(DESCRIPTIONS) == set(ErrorCode)
    assert all(text.endswith(".") for text in DESCRIPTIONS.values())


def test_the_enum_has_every_code_and_no_other() -> None:
    values = build_core_schema().type_map["ErrorCode"].values

    assert list(values) == [code.value for code in ErrorCode]
    assert {each.description for each in values.values()} == set(DESCRIPTIONS.values())


def test_each_code_is_written_as_its_name() -> None:
    enum = build_core_schema().type_map["ErrorCode"]

    written = [enum.coerce_output_value(to_graphql_code(code)) for code in ErrorCode]

    assert written == [code.name for code in ErrorCode]

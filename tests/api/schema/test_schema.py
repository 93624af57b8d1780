"""The schema: fixed names and types, and a description for everything."""

from graphql import (
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLObjectType,
    build_schema,
    is_introspection_type,
    is_specified_scalar_type,
)

from balance_gateway.api.schema.build import build_core_schema, print_sdl
from balance_gateway.api.schema.errors import build_extensions
from balance_gateway.domain import accounts, balances, bank_feeds, errors, health, writes
from balance_gateway.ports import reads

FIXED = """
Node.id: ID!
Query.node: Node
Query.nodes: [Node]!
Query.bankAccount: BankAccount
Query.bankAccounts: BankAccountConnection!
Query.balanceTotals: [CurrencyTotal!]!
Query.connectors: [Connector!]!
Query.viewer: Viewer!
Query.gateway: Gateway!
Viewer.name: String!
Viewer.tenant: String!
Viewer.scopes: [String!]!
Viewer.expiresAt: DateTime
Gateway.version: String!
Gateway.environment: String
BankAccount.id: ID!
BankAccount.name: String!
BankAccount.currency: CurrencyCode!
BankAccount.provider: ProviderKind!
BankAccount.connector: Connector!
BankAccount.normalBalance: BalanceSide
BankAccount.openingBalance: OpeningBalance
BankAccount.balance: Balance
BankAccount.capabilities: [Capability!]!
BankAccount.bankFeed: BankFeed
BankAccount.latestBank: ReportedBalance
BankFeed.state: BankFeedState!
BankFeed.lastSyncedAt: DateTime
BankFeed.disconnectedAt: DateTime
BankFeed.needsAttention: Boolean!
ReportedBalance.amount: Money!
ReportedBalance.reportedAt: DateTime
BankAccount.balanceHistory: [Balance!]
BankAccount.balanceSeries: BalanceSeries
MissingBalance.code: ErrorCode!
ConnectorHealth.lastFailureCode: ErrorCode
Tag.tagId: ID!
Connector.name: String!
CurrencyTotal.currency: CurrencyCode!
CurrencyTotal.bank: Money
CurrencyTotal.ledger: Money
CurrencyTotal.complete: Boolean!
CurrencyTotal.included: Int!
CurrencyTotal.missing: [MissingBalance!]!
CurrencyTotal.oldestObservedAt: DateTime
Connector.id: ID!
Connector.provider: ProviderKind!
Connector.capabilities: [Capability!]!
Connector.health: ConnectorHealth!
Connector.budget: ConnectorBudget!
Money.minorUnits: BigInt!
Money.amount: Decimal!
Money.currency: CurrencyCode!
Money.exponent: Int!
Balance.asOf: Date!
Balance.bank: Money
Balance.ledger: Money
Balance.difference: Money
Balance.freshness: Freshness!
OpeningBalance.amount: Money!
OpeningBalance.effectiveAt: DateTime
OpeningBalance.source: OpeningBalanceSource!
OpeningBalance.createdAt: DateTime
OpeningBalance.updatedAt: DateTime
OpeningBalance.memo: String
OpeningBalance.referenceNumber: String
OpeningBalance.tags: [Tag!]!
OpeningBalance.metadata: JSON
OpeningBalance.freshness: Freshness!
Freshness.state: FreshnessState!
Freshness.observedAt: DateTime!
Freshness.ageSeconds: Int!
Freshness.staleReason: String
Freshness.sourcedAt: DateTime
Mutation.upsertOpeningBalance: UpsertOpeningBalanceResult!
Mutation.upsertOpeningBalances: [UpsertOpeningBalanceResult!]!
OpeningBalanceApplied.bankAccount: BankAccount
OpeningBalanceApplied.openingBalance: OpeningBalance!
OpeningBalanceApplied.verified: Boolean!
OpeningBalanceApplied.replayed: Boolean!
OpeningBalanceUncertain.bankAccount: BankAccount
OpeningBalanceUncertain.writeId: ID!
OpeningBalanceUncertain.message: String!
OpeningBalanceRejected.code: ErrorCode!
OpeningBalanceRejected.current: OpeningBalance
OpeningBalanceRejected.retryAfterSeconds: Int
WriteOutcome.accountId: ID!
WriteOutcome.writeId: ID
WriteOutcome.message: String!
BankAccount.unsettledWrite: UnsettledWrite
Query.openingBalanceWrite: OpeningBalanceWrite
Query.openingBalanceWrites: OpeningBalanceWriteConnection
Query.auditLog: AuditEntryConnection
Query.explainBalance: BalanceExplanation
Mutation.settleOpeningBalanceWrite: SettleOpeningBalanceWriteResult!
OpeningBalanceRejected.message: String!
OpeningBalanceRejected.retryable: Boolean!
OpeningBalanceRejected.field: String
BankAccountFilter.ids: [ID!]
BankAccountFilter.connectors: [ID!]
BankAccountFilter.providers: [ProviderKind!]
BankAccountFilter.currencies: [CurrencyCode!]
BankAccountFilter.nameContains: String
UpsertOpeningBalanceInput.accountId: ID!
UpsertOpeningBalanceInput.amount: MoneyInput!
UpsertOpeningBalanceInput.effectiveAt: DateTime
UpsertOpeningBalanceInput.expectedPrevious: ExpectedPreviousInput
UpsertOpeningBalanceInput.idempotencyKey: String
UpsertOpeningBalanceInput.memo: String
UpsertOpeningBalanceInput.referenceNumber: String
"""

FIXED_ARGUMENTS = """
bankAccounts(first): Int = 100
bankAccounts(filter): BankAccountFilter
bankAccounts(after): String
balanceTotals(filter): BankAccountFilter
balanceTotals(asOf): Date
node(id): ID!
nodes(ids): [ID!]!
bankAccount(id): ID!
balance(asOf): Date
balance(maxAgeSeconds): Int
balance(onStale): OnStale = SERVE
balanceHistory(from): Date!
balanceHistory(to): Date!
balanceHistory(step): HistoryStep = DAY
upsertOpeningBalance(input): UpsertOpeningBalanceInput!
upsertOpeningBalances(inputs): [UpsertOpeningBalanceInput!]!
"""

#: The fields of Query that need another scope than balances:read.
WRITERS_FIELDS = {"openingBalancePlan": "balances:write"}
AUDIT_FIELDS = dict.fromkeys(
    ("openingBalanceWrite", "openingBalanceWrites", "auditLog", "explainBalance"), "audit:read"
)

FIELDED = GraphQLObjectType | GraphQLInterfaceType | GraphQLInputObjectType


def collect_types():
    return {
        name: type_
        for name, type_ in build_core_schema().type_map.items()
        if not is_introspection_type(type_) and not is_specified_scalar_type(type_)
    }


def test_fixed_fields_keep_name_and_type():
    found = {
        f"{name}.{field}: {definition.type}"
        for name, type_ in collect_types().items()
        if isinstance(type_, FIELDED)
        for field, definition in type_.fields.items()
    }

    assert set(FIXED.split("\n")) - {""} <= found


def test_fixed_arguments_keep_name_type_and_default():
    sdl = build_schema(print_sdl())
    found = set()
    for name in ("Query", "Mutation", "BankAccount"):
        for field, definition in sdl.type_map[name].fields.items():
            for argument, given in definition.args.items():
                default = given.ast_node.default_value
                shown = f" = {default.value}" if default is not None else ""
                found.add(f"{field}({argument}): {given.type}{shown}")

    assert set(FIXED_ARGUMENTS.split("\n")) - {""} <= found


def collect_descriptions():
    for name, type_ in collect_types().items():
        yield name, type_.description
        if isinstance(type_, FIELDED):
            for field, definition in type_.fields.items():
                yield f"{name}.{field}", definition.description
                for argument, given in getattr(definition, "args", {}).items():
                    yield f"{name}.{field}({argument})", given.description
        if isinstance(type_, GraphQLEnumType):
            for value, definition in type_.values.items():
                yield f"{name}.{value}", definition.description


def test_every_description_is_a_sentence():
    undescribed = [
        name for name, text in collect_descriptions() if not (text or "").strip().endswith(".")
    ]

    assert undescribed == []


def test_root_field_descriptions_name_the_scope():
    for root, scope in (("Query", "balances:read"), ("Mutation", "balances:write")):
        for name, field in collect_types()[root].fields.items():
            needed = "any credential" if name in ("viewer", "gateway") else scope
            assert (AUDIT_FIELDS | WRITERS_FIELDS).get(name, needed) in field.description


def test_enums_have_every_domain_member():
    pairs = {
        "ProviderKind": accounts.ProviderKind,
        "BankFeedState": bank_feeds.BankFeedState,
        "Capability": accounts.Capability,
        "BalanceSide": accounts.Side,
        "FreshnessState": reads.FreshnessState,
        "OpeningBalanceSource": balances.OpeningBalanceSource,
        "OnStale": reads.OnStale,
        "HealthState": health.HealthState,
        "OpeningBalanceWriteOutcome": writes.WriteOutcome,
        "SettledBy": writes.SettledBy,
    }

    for name, enum in pairs.items():
        assert set(collect_types()[name].values) == {member.name for member in enum}


def test_sdl_is_deterministic_and_valid():
    assert print_sdl() == print_sdl()
    assert print_sdl().endswith("}\n") or print_sdl().endswith("Rejected\n")
    assert set(build_schema(print_sdl()).type_map) >= set(collect_types())


def test_domain_errors_have_extensions():
    def iterate_subclasses(kind):
        yield kind
        for child in kind.__subclasses__():
            yield from iterate_subclasses(child)

    for kind in iterate_subclasses(errors.GatewayError):
        error = kind("acct_1") if kind is errors.AccountNotFound else kind("No.")
        extensions = build_extensions(error)
        assert extensions["code"] == kind.code
        assert extensions["retryable"] is error.retryable

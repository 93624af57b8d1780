// The GraphQL documents. The polled ones ask for no age: it would make each answer another.

export const LIST = `query List($first: Int!) {
  bankAccounts(first: $first) {
    totalCount
    nodes { id name currency provider connector { name } }
  }
}`;

export const ACCOUNTS = `query Accounts($asOf: Date, $first: Int!, $after: String, $providers: [ProviderKind!]!, $aged: Boolean!) {
  bankAccounts(filter: { providers: $providers }, first: $first, after: $after) {
    totalCount
    pageInfo { hasNextPage endCursor }
    nodes {
      id name currency provider
      connector { name }
      balance(asOf: $asOf) {
        asOf
        bank { amount } ledger { amount } difference { amount }
        bankMissing ledgerMissing differenceMissing
        freshness { state observedAt @include(if: $aged) staleReason }
      }
    }
  }
}`;

export const SUMMARY = `query Summary($asOf: Date) {
  balanceTotals(asOf: $asOf) {
    currency complete included bankIncluded ledgerIncluded staleIncluded
    bank { amount } ledger { amount }
    missing { code reason bankAccount { id name } }
    overlapping firstDay lastDay oldestSourcedAt
  }
  connectors { name provider health { state } }
}`;

/** Asked apart, and less often: an opening balance is a read of its own at most providers, and after
 * a write anywhere the gateway looks at each account for unsettled ones. */
export const OPENINGS = `query Openings($first: Int!, $after: String) {
  bankAccounts(first: $first, after: $after) {
    pageInfo { hasNextPage endCursor }
    nodes {
      id timeZone
      openingBalance { amount { amount } source effectiveAt }
      unsettledWrite { writeId at }
    }
  }
}`;

export const CONNECTORS = `query Connectors {
  connectors {
    name provider
    health { state lastSuccessAt lastFailureAt lastFailureCode }
    budget { requestsPerMinute remaining }
  }
}`;

export const SESSION = `query Session {
  viewer { name tenant scopes expiresAt }
  gateway { version environment }
}`;

export const ACCOUNT = `query Account($id: ID!, $asOf: Date) {
  bankAccount(id: $id) {
    id name currency provider timeZone normalBalance capabilities
    connector { name }
    openingBalance {
      amount { amount } source effectiveAt createdAt updatedAt memo referenceNumber
      tags { key value dimensionDisplayName valueDisplayName }
      freshness { state observedAt staleReason }
    }
    unsettledWrite { writeId at amount { amount } effectiveAt }
    balance(asOf: $asOf) {
      asOf
      bank { amount } ledger { amount } difference { amount }
      bankMissing ledgerMissing differenceMissing
      freshness { state observedAt staleReason sourcedAt }
    }
    bankFeed { state lastSyncedAt disconnectedAt needsAttention }
    latestBank { amount { amount } reportedAt }
  }
}`;

export const SERIES = `query Series($id: ID!, $from: Date!, $to: Date!, $step: HistoryStep!) {
  bankAccount(id: $id) {
    balanceSeries(from: $from, to: $to, step: $step) {
      points { day balance { bank { amount } ledger { amount } } problem { code message } }
    }
  }
}`;

export const EXPLAIN = `query Explain($id: ID!, $asOf: Date) {
  explainBalance(accountId: $id, asOf: $asOf) {
    timeZone dayEndsAt
    balance { problem { message } readProblem { message } evidence { ...evidence } }
    openingBalance { problem { message } readProblem { message } evidence { ...evidence } }
    overlaps { accountId kind }
  }
}
fragment evidence on FigureEvidence {
  kept { observedAt freshUntil }
  calls { operation method endpoint at parameters { name value } }
  bound { parameter sent inclusive }
  figures { figure unit rule side fields { name text } }
  derivedFromDay recordedWriteId difference
}`;

export const TOTALS_SERIES = `query TotalsSeries($from: Date!, $to: Date!, $step: HistoryStep!) {
  balanceTotalsSeries(from: $from, to: $to, step: $step) {
    currency
    points {
      day
      total { bank { amount } ledger { amount } complete missing { code } }
      problem { code message }
    }
  }
}`;

export const SET_OPENING = `mutation SetOpening($input: UpsertOpeningBalanceInput!) {
  upsertOpeningBalance(input: $input) {
    __typename
    ... on WriteOutcome { writeId message }
    ... on OpeningBalanceApplied { verified openingBalance { amount { amount } } }
    ... on OpeningBalanceRejected { code field current { amount { amount } } }
  }
}`;

export const SETTLE = `mutation Settle($writeId: ID!, $as: SettledAs!, $note: String!) {
  settleOpeningBalanceWrite(writeId: $writeId, as: $as, note: $note) {
    __typename
    ... on SettleOpeningBalanceWriteRejected { message }
  }
}`;

export const DOWN = `query Down {
  connectors { name provider health { state lastSuccessAt downSince retryAt } }
}`;

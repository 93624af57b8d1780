// The shapes of what the gateway answers and of what the modules pass on; only the checker reads it.

export interface Amount {
  amount: string;
}

export interface Freshness {
  state: "LIVE" | "CACHED" | "STALE";
  /** Left out where a figure is always of this moment. */
  observedAt?: string;
  staleReason: string | null;
}

export interface Balance {
  asOf: string;
  bank: Amount | null;
  ledger: Amount | null;
  difference: Amount | null;
  bankMissing: string | null;
  ledgerMissing: string | null;
  differenceMissing: string | null;
  freshness: Freshness;
}

export interface UnsettledWrite {
  writeId: string | null;
  at: string;
  amount?: Amount | null;
  effectiveAt?: string | null;
}

export interface Account {
  id: string;
  name: string;
  currency: string;
  provider: string;
  connector: { name: string };
  /** Known with the opening balance. */
  timeZone?: string;
  openingBalance?: { amount: Amount; source: string; effectiveAt: string | null } | null;
  unsettledWrite?: UnsettledWrite | null;
  balance?: Balance | null;
}

export interface Problem {
  message: string;
  path?: (string | number)[];
  extensions?: { code?: string; accountId?: string; retryAfterSeconds?: number };
}

export interface Row {
  account: Account;
  /** The failed fields of the account, by name. */
  problems: Map<string, Problem>;
  /** Whether its first figures are still to come. */
  waiting: boolean;
}

export interface Total {
  currency: string;
  complete: boolean;
  included: number;
  bankIncluded: number;
  ledgerIncluded: number;
  staleIncluded: number;
  bank: Amount | null;
  ledger: Amount | null;
  missing: { code: string; reason: string | null; bankAccount: { id: string; name: string } }[];
  overlapping: string[];
  firstDay: string;
  lastDay: string;
  oldestSourcedAt: string | null;
}

export interface Connector {
  name: string;
  provider: string;
  health: {
    state: "UNKNOWN" | "UP" | "DEGRADED" | "DOWN";
    lastSuccessAt?: string | null;
    lastFailureAt?: string | null;
    lastFailureCode?: string | null;
    downSince?: string | null;
    retryAt?: string | null;
  };
  budget?: { requestsPerMinute: number | null; remaining: number | null };
}

export interface Summary {
  totals: Total[];
  connectors: Connector[];
}

export interface Session {
  viewer: { name: string; tenant: string; scopes: string[]; expiresAt: string | null };
  gateway: { version: string; environment: string | null };
}

/** What a caller of the gateway gets; the same object while the answer is the same. */
export interface Answer {
  data: any;
  errors?: Problem[];
}

export type SortColumn =
  | "name" | "provider" | "currency" | "bank" | "ledger" | "difference" | "opening" | "age";
export type Group = "" | "provider" | "connector" | "currency";
export type Only = "differences" | "stale" | "unsettled";

export interface State {
  /** The day as YYYY-MM-DD; empty for today. */
  asOf: string;
  find: string;
  only: Only[];
  sort: SortColumn;
  descending: boolean;
  group: Group;
  /** The id of the open account; empty for none. */
  account: string;
  /** Seconds between refreshes; 0 for none. */
  every: number;
}

/** A sum of amounts of one currency, in minor units. */
export interface Sum {
  minor: bigint;
  count: number;
}

export interface Subtotal {
  title: string;
  currency: string;
  count: number;
  bank: Sum;
  ledger: Sum;
  difference: Sum;
  decimals: number;
  stale: number;
  missing: number;
  /** Ids that are not added, because another account has the same money. */
  left: string[];
}

export type Item =
  | { kind: "row"; key: string; row: Row }
  | { kind: "subtotal"; key: string; subtotal: Subtotal };

export interface Point {
  day: string;
  /** Null where there is no figure. */
  amount: string | null;
  /** Why there is none. */
  problem?: string;
}

export interface Line {
  title: string;
  points: Point[];
}

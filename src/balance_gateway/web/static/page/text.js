// Every text of the page, for a translator. Numbers, dates and ages follow the browser's language.

/** @type {Record<string, string>} */
export const LABELS = {
  title: "Balances",
  asOf: "As of",
  today: "Today",
  monthEnds: "Month end",
  monthEndChoice: "Month end…",
  refresh: "Refresh",
  every: "Refresh",
  everyNever: "by hand",
  every10: "every 10 s",
  every60: "every minute",
  signOut: "Sign out",
  signIn: "Sign in",
  key: "Key or token",
  keyHint: "It stays in this browser tab and is sent to this gateway only. It needs the scope balances:read.",
  showBalances: "Show balances",
  totals: "Totals",
  accounts: "Accounts",
  connectors: "Connectors",
  find: "Find",
  findHint: "name, id, provider, currency",
  group: "Group",
  groupNone: "not grouped",
  provider: "Provider",
  connector: "Connector",
  currency: "Currency",
  only: "Show only",
  differences: "Differences",
  stale: "Older figures",
  unsettled: "Unsettled",
  sort: "Sort",
  overTime: "Totals over time",
  range: "Range",
  month: "4 weeks",
  quarter: "3 months, by weeks",
  year: "12 months, by months",
  overTimeHint: "Days that are not kept are read from the providers. A day that lacks an account is a gap.",
  explain: "Where the figures come from",
  csv: "Save as CSV",
  print: "Print",
  openingSend: "Set it",
  amount: "Amount",
  opensOn: "On the day (optional)",
  memo: "Memo (optional)",
  reference: "Reference (optional)",
  figures: "Figures",
  setOpening: "Set the opening balance",
  cannotSet: "This account's provider cannot set an opening balance.",
  unsettledTitle: "A write is unsettled",
  settleApplied: "The provider has this amount",
  settleNotApplied: "The provider has another amount, or none",
  settleNote: "How you know",
  settleSend: "Settle it",
  identity: "For an operator",
  account: "Account",
  bank: "Bank",
  ledger: "Books",
  difference: "Difference",
  opening: "Opening balance",
  age: "Read",
  clear: "Show all accounts",
  close: "Close",
  keysHint: "Arrow keys, Page Up, Page Down, Home and End move between accounts; Enter opens one.",
};

/** @type {Record<string, string>} */
export const PROVIDERS = {
  LIGHT: "Light",
  ASSET: "Asset",
  LAYER: "Layer",
  LOCAL: "Embedded ledger",
  STATEMENT_FILE: "Statement file",
};

/** Why a figure is missing, in a cell. @type {Record<string, string>} */
export const MISSING = {
  NO_OPENING_BALANCE: "no opening balance",
  BEFORE_OPENING: "before the opening",
  NOT_OFFERED: "not offered",
  NOT_IN_FILE: "not in the file",
  OTHER_BASIS: "on another basis",
};

/** Why a figure is missing, in a sentence. @type {Record<string, string>} */
export const MISSING_LONG = {
  NO_OPENING_BALANCE: "No opening balance is set, and the figure is counted from it.",
  BEFORE_OPENING: "The day is before the opening balance.",
  NOT_OFFERED: "The provider offers no such figure for a day.",
  NOT_IN_FILE: "The statement file has no such figure for the day.",
  OTHER_BASIS: "Bank and books are counted on different bases: their difference would mean nothing.",
};

/** What a failure means for a reader; the gateway's own message is in the account's details.
 * @type {Record<string, string>} */
export const FAILURES = {
  PROVIDER_UNAVAILABLE: "The provider cannot be reached",
  PROVIDER_TIMEOUT: "The provider is slow",
  PROVIDER_RATE_LIMITED: "Waiting for the provider",
  PROVIDER_CREDENTIALS_REJECTED: "The provider refuses our access",
  PROVIDER_BAD_RESPONSE: "The provider's answer is unreadable",
  PROVIDER_REJECTED: "The provider refuses the request",
  UNSUPPORTED_BY_PROVIDER: "Not offered by the provider",
  ACCOUNT_NOT_FOUND: "The provider does not know the account",
  TOO_STALE: "Only an older figure is known",
  FORBIDDEN: "Your key does not allow this",
  INTERNAL: "The gateway has a defect",
};
export const FAILED = "Not available";

/** @type {Record<string, string>} */
export const SOURCES = {
  PROVIDER: "kept by the provider",
  RECORDED_BY_GATEWAY: "as last set through the gateway",
  DERIVED: "balance before the first transaction",
};

/** The same in a cell; empty where it goes without saying. @type {Record<string, string>} */
export const SOURCES_SHORT = { PROVIDER: "", RECORDED_BY_GATEWAY: "as set here", DERIVED: "derived" };

/** @type {Record<string, string>} */
export const FEEDS = {
  CONNECTED: "Connected to the bank",
  SYNCING: "Reading from the bank now",
  NEEDS_REPAIR: "The link to the bank must be repaired at the provider",
  DISCONNECTED: "The link to the bank has ended",
  UNTRACKED: "The provider does not follow the account",
  UNKNOWN: "State unknown",
};

/** @type {Record<string, string>} */
export const HEALTH = { UNKNOWN: "Not used yet", UP: "Up", DEGRADED: "Unsteady", DOWN: "Down" };

/** @type {Record<string, string>} */
export const STATES = {
  LIVE: "just read from the provider",
  CACHED: "from an earlier read, still fresh",
  STALE: "older than it should be",
};

/** @type {Record<string, string>} */
export const PROBLEM_FIELDS = {
  balance: "Balance",
  openingBalance: "Opening balance",
  unsettledWrite: "Unsettled write",
  bankFeed: "Bank feed",
  latestBank: "Latest bank figure",
  normalBalance: "Normal side",
  balanceSeries: "History",
  capabilities: "Capabilities",
  freshness: "Last from the bank",
};

const few = (/** @type {number} */ count, /** @type {string} */ noun) =>
  `${count.toLocaleString()} ${count === 1 ? noun : `${noun}s`}`;

export const TEXT = {
  accounts: (/** @type {number} */ count) => few(count, "account"),
  found: (/** @type {number} */ count, /** @type {number} */ all) =>
    `${count.toLocaleString()} of ${few(all, "account")}`,
  nothingFound: (/** @type {string} */ find, /** @type {string} */ filters) =>
    `No account matches${find && ` “${find}”`}${find && filters && " and"}${filters && ` the filter ${filters}`}.`,
  titleFind: (/** @type {string} */ find) => `“${find}”`,
  oddLink: (/** @type {string} */ parts) =>
    `The page does not know these parts of the link, and shows the accounts without them: ${parts}. Check the link, or choose below.`,
  noAccounts: "There are no accounts yet. An operator adds them to the gateway's configuration.",
  readAt: (/** @type {string} */ time) => `Up to date at ${time}`,
  reading: "Reading balances…",
  readingMore: (/** @type {number} */ known, /** @type {number} */ all) =>
    `Reading balances: ${known.toLocaleString()} of ${all.toLocaleString()}…`,
  ago: (/** @type {string} */ age) => `${age} ago`,
  now: "just now",
  staleFor: (/** @type {string} */ age) => `Old: ${age}`,
  waiting: "Waiting…",
  unsettled: "Unsettled",
  unknown: "unknown",
  none: "–",
  notSet: "not set",
  unreadable: "Unreadable account",
  futureDay: (/** @type {string} */ day) => `${day} is still to come: its figures are not final.`,
  oddDay: "Enter a full date with a year from 1990 to 2100.",
  day: "Day",
  daysFromTo: (/** @type {string} */ first, /** @type {string} */ last) => `${first} to ${last}`,
  complete: "Complete",
  someMissing: (/** @type {number} */ count) => `${count} missing`,
  someStale: (/** @type {number} */ count, /** @type {number} */ all) => `${count} of ${all} old`,
  severalDays: "Several days",
  partial: "Partial",
  partOf: (/** @type {string} */ label, /** @type {number} */ count, /** @type {number} */ all) =>
    `${label}, ${count} of ${all}`,
  oldestRead: "oldest figure ",
  oldestSourced: "from the bank ",
  bankAndBooks: "Bank, then books",
  notTwice: "Not added twice",
  bothKnown: (/** @type {number} */ count) => `Difference, ${count} with both`,
  more: (/** @type {number} */ count) => `and ${count} more`,
  missingAccounts: (/** @type {string} */ why, /** @type {string} */ names) => `${why}: ${names}`,
  connectorTitle: (/** @type {string} */ provider, /** @type {string} */ name) => `${provider} (${name})`,
  down: (/** @type {string} */ name) => `${name} is down`,
  downSince: (/** @type {string} */ name, /** @type {string} */ time) => `${name} is down since ${time}`,
  lastSuccess: (/** @type {string} */ time) => `last answer at ${time}`,
  older: (/** @type {number} */ count) =>
    count === 1 ? "1 account shows an older figure" : `${count} accounts show older figures`,
  withoutFigures: (/** @type {number} */ count) =>
    count === 1 ? "1 account has no figure" : `${count} accounts have no figure`,
  again: (/** @type {string} */ age) => `Tried again in ${age}.`,
  againNow: "Tried again at the next refresh.",
  connectorStates: (/** @type {number} */ up, /** @type {number} */ all) => `Connectors: ${up} of ${all} up`,
  callsLeft: "Calls left",
  noLimit: "no limit",
  ofPerMinute: (/** @type {number} */ left, /** @type {number} */ all) => `${left} of ${all} a minute`,
  lastAnswer: "Last answer",
  lastFailure: "Last failure",
  subtotal: (/** @type {number} */ count) => few(count, "account"),
  without: (/** @type {string} */ ids) => `without ${ids}: the same money as another account`,
  shown: "Shown accounts",
  gone: "The gateway cannot be reached. Check your connection.",
  answered: (/** @type {number} */ status) => `The gateway answered with status ${status}. Try again in a moment.`,
  triedAgain: "The page tries again by itself.",
  before: (/** @type {string} */ day, /** @type {string} */ time) =>
    `The figures below are from ${time}${day && `, for ${day}`}.`,
  keyRefused: "This key or token is not accepted. Paste a valid one, or ask an operator for it.",
  keyEnded: "Your key or token is no longer accepted. Sign in again.",
  sessionEnded: "Your session has ended. Load the page again to sign in.",
  noReadScope: "This key may not read balances: it needs the scope balances:read.",
  ascending: "ascending",
  descending: "descending",
  sortBy: (/** @type {string} */ label, /** @type {string} */ order) => `${label}, ${order}`,
  titleOf: (/** @type {string[]} */ parts) => parts.filter(Boolean).join(" · "),
  why: "Why",
  fromBank: "Last from the bank",
  readAgo: "Read",
  staleReason: "Why older",
  history: "Last 90 days",
  historyWeekly: "Last 90 days, week by week",
  everyDay: "Read every day",
  historyTable: "The same days as a table",
  totalsOf: (/** @type {string} */ currency) => `Totals in ${currency}`,
  timeZone: "Time zone",
  dayEnds: "The day ends",
  sameMoney: "The same money as",
  figures: "Figures",
  askedUntil: "Asked until",
  derivedFrom: "Taken from the day",
  recordedBy: "Recorded by the write",
  keptUntil: "Kept until",
  readDiffers: "The read differs",
  daysLacking: (/** @type {number} */ count, /** @type {number} */ all, /** @type {string} */ why) =>
    `${count} of ${all} days have no figure: ${why}`,
  historyNone: "No day of these has a figure.",
  historyFailed: "The days could not be read.",
  dayOf: "Day",
  gap: "no figure",
  dayFigures: (/** @type {string} */ day, /** @type {string} */ figures) => `${day}: ${figures}`,
  id: "Id",
  place: (/** @type {string} */ provider, /** @type {string} */ currency, /** @type {string} */ id) =>
    `${provider} · ${currency} · ${id}`,
  unknownTitle: "No such account",
  unknownAccount: (/** @type {string} */ id) =>
    `The gateway knows no account with the id “${id}”, or your key may not see it. Check the link, or close this and find the account in the table.`,
  side: "Normal side",
  DEBIT: "Debit (has money)",
  CREDIT: "Credit (owes money)",
  bankFeed: "Link to the bank",
  lastSynced: "Link last read the bank",
  disconnectedAt: "Broken since",
  needsAttention: "Someone must act at the provider",
  latestBank: "Latest bank figure",
  latestOf: (/** @type {string} */ amount, /** @type {string} */ when) => (when ? `${amount}, ${when}` : amount),
  amount: "Amount",
  effectiveAt: "On",
  source: "Source",
  memo: "Memo",
  reference: "Reference",
  tags: "Tags",
  created: "Recorded",
  updated: "Changed",
  willSet: (/** @type {string} */ amount, /** @type {string} */ currency) => `Will be set: ${amount} ${currency}`,
  badAmount: (/** @type {string} */ example) => `Enter an amount such as ${example}.`,
  tooManyDecimals: (/** @type {string} */ currency, /** @type {number} */ count) =>
    `${currency} has ${count} decimals.`,
  amountHint: "Money the company has is positive; money it owes is negative.",
  compares: (/** @type {string} */ shown) => `Set only if it is still ${shown}.`,
  comparesNone: "Set only if none is set meanwhile.",
  limitDay: "This provider sets the day itself.",
  limitMemo: "This provider keeps no memo and no reference.",
  sending: "Setting…",
  applied: (/** @type {string} */ amount) => `Done: the opening balance is ${amount}.`,
  appliedUnread: (/** @type {string} */ amount) =>
    `The provider accepted ${amount}. It could not be read back yet.`,
  uncertain: "It is unknown whether the provider has it. Look at the provider, then settle it here.",
  rejected: "Nothing was changed.",
  currentIs: (/** @type {string} */ amount) => `It is ${amount} now.`,
  currentNone: "None is set now.",
  noAnswer: "No answer came. Press the button again: the same request is not carried out twice.",
  writeId: (/** @type {string} */ id) => `Write ${id}`,
  unsettledText: (/** @type {string} */ amount, /** @type {string} */ when) =>
    `${amount} was sent ${when}, and the provider may or may not have it. What is shown as the opening balance may be wrong.`,
  unsettledForeign: (/** @type {string} */ when) =>
    `Another company's write of the same account was sent ${when}, and may or may not have been carried out.`,
  settled: "Settled.",
  csvName: (/** @type {string} */ tenant, /** @type {string} */ day) => `balances-${tenant}-${day}.csv`,
  loading: "Reading…",
};

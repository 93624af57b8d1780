// Amounts are decimal strings of any size. They are formatted as text: numbers would lose digits.

const parts = new Intl.NumberFormat(undefined, { useGrouping: true }).formatToParts(1234567.8);
const found = (type, otherwise) => (parts.find((part) => part.type === type) || {}).value || otherwise;
const GROUP = found("group", ",");
const POINT = found("decimal", ".");

export function shownAmount(text) {
  const negative = text.startsWith("-");
  const [whole, decimals] = (negative ? text.slice(1) : text).split(".");
  const grouped = whole.replace(/\B(?=(\d{3})+$)/g, GROUP);
  return (negative ? "−" : "") + grouped + (decimals === undefined ? "" : POINT + decimals);
}

export const isZero = (text) => /^-?0*\.?0*$/.test(text);
export const isNegative = (text) => text.startsWith("-") && !isZero(text);

export function shownAge(seconds) {
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 172800) return `${Math.floor(seconds / 3600)} h`;
  return `${Math.floor(seconds / 86400)} d`;
}

// Shows amounts, days and ages as the browser's language does. An amount is decimal text of any size
// and never becomes a floating-point number: Intl formats the text itself.

/** @type {Map<number, Intl.NumberFormat>} */
const formats = new Map();

/** @param {number} decimals */
function amountFormat(decimals) {
  let format = formats.get(decimals);
  if (!format) {
    format = new Intl.NumberFormat(undefined, {
      minimumFractionDigits: decimals,
      maximumFractionDigits: decimals,
      signDisplay: "negative",
    });
    formats.set(decimals, format);
  }
  return format;
}

/** @param {string} text decimal text with all decimals of its currency */
export const countDecimals = (text) => text.split(".")[1]?.length ?? 0;

/** @param {string} text decimal text, as the gateway sends it */
export function showAmount(text) {
  return amountFormat(countDecimals(text)).format(/** @type {`${number}`} */ (text));
}

/** @param {string} text @returns {bigint} the amount in minor units */
export const toMinor = (text) => BigInt(text.replace(".", ""));

/** @param {bigint} minor @param {number} decimals @returns {string} decimal text */
export function fromMinor(minor, decimals) {
  const digits = (minor < 0n ? -minor : minor).toString().padStart(decimals + 1, "0");
  const whole = digits.slice(0, digits.length - decimals);
  const text = decimals ? `${whole}.${digits.slice(-decimals)}` : whole;
  return minor < 0n ? `-${text}` : text;
}

/** @param {string} text */
export const isZero = (text) => toMinor(text) === 0n;

/** @param {string} text */
export const isNegative = (text) => toMinor(text) < 0n;

const parts = new Intl.NumberFormat(undefined, { useGrouping: true }).formatToParts(-1234567.8);
/** @param {Intl.NumberFormatPartTypes} type @param {string} otherwise */
const part = (type, otherwise) => parts.find((each) => each.type === type)?.value ?? otherwise;
const GROUP = part("group", ",");
const POINT = part("decimal", ".");

/** @param {string} amount as shown @returns {string[]} its groups of digits, each with the sign that ends it */
export const splitGroups = (amount) =>
  amount.split(GROUP).map((each, n, all) => (n < all.length - 1 ? each + GROUP : each));

/**
 * Read an amount as people type it: with the group and decimal signs of the browser's language.
 *
 * @param {string} typed
 * @returns {string | null} decimal text; null if it is not clearly an amount
 */
export function parseAmount(typed) {
  // Narrow and ordinary spaces group alike where a language groups by spaces.
  const text = typed.trim().replace(/[\u00a0\u202f\u2009]/g, " ").replace(/^[−‒–]/, "-");
  const group = /\s/.test(GROUP) ? " " : GROUP;
  const [whole = "", decimals, ...rest] = text.replace(/^-/, "").split(POINT);
  if (rest.length || (decimals !== undefined && !/^\d+$/.test(decimals))) return null;
  const groups = whole.split(group);
  const isGrouped = groups.every((each, n) => (n ? /^\d{3}$/ : /^\d{1,3}$/).test(each));
  if (!/^\d+$/.test(whole) && !isGrouped) return null;
  const sign = text.startsWith("-") ? "-" : "";
  return sign + groups.join("") + (decimals === undefined ? "" : `.${decimals}`);
}

const dayFormat = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeZone: "UTC" });
const timeFormat = new Intl.DateTimeFormat(undefined, { timeStyle: "short" });
const instantFormat = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });

/** @param {string} day YYYY-MM-DD */
export const showDay = (day) => dayFormat.format(Date.parse(`${day}T00:00:00Z`));

/** @param {string | number} instant */
export function showTime(instant) {
  const at = new Date(instant);
  const isToday = new Date().toDateString() === at.toDateString();
  return (isToday ? timeFormat : instantFormat).format(at);
}

/** @param {number} at @param {string} timeZone @returns {number} its clock, as if it were UTC */
function readClock(at, timeZone) {
  const format = new Intl.DateTimeFormat("en-US", {
    timeZone, hourCycle: "h23", year: "numeric", month: "numeric", day: "numeric",
    hour: "numeric", minute: "numeric", second: "numeric",
  });
  const values = Object.fromEntries(format.formatToParts(at).map(({ type, value }) => [type, Number(value)]));
  const { year = 0, month = 1, day, hour, minute, second } = values;
  return Date.UTC(year, month - 1, day, hour, minute, second);
}

/** @param {string} day YYYY-MM-DD @param {string} timeZone @returns {string} the instant at which the day begins there */
export function startOfDay(day, timeZone) {
  const midnight = Date.parse(`${day}T00:00:00Z`);
  let at = midnight;
  // Twice: the clock may change between the first guess and the day.
  for (let n = 0; n < 2; n += 1) at += midnight - readClock(at, timeZone);
  // A day whose first hour the clock skips begins an hour later.
  if (readClock(at, timeZone) < midnight) at += 3_600_000;
  return new Date(at).toISOString();
}

/** Show the day of an instant: midnight in UTC is how providers write a day; any other is of the zone.
 * @param {string} instant @param {string} timeZone */
export function showDayOf(instant, timeZone) {
  const at = Date.parse(instant);
  const isDay = at % 86_400_000 === 0;
  return dayFormat.format(isDay ? at : readClock(at, timeZone));
}

/** @param {string} instant */
export const showInstant = (instant) => instantFormat.format(new Date(instant));

/** @type {[number, string, number][]} below so many seconds, the unit, its seconds */
const UNITS = [
  [60, "second", 1],
  [3600, "minute", 60],
  [172_800, "hour", 3600],
  [Infinity, "day", 86_400],
];
/** @type {Map<string, Intl.NumberFormat>} */
const unitFormats = new Map();

/** @param {number} seconds */
export function showDuration(seconds) {
  const [, unit, size] = /** @type {[number, string, number]} */ (UNITS.find(([below]) => seconds < below));
  let format = unitFormats.get(unit);
  if (!format) {
    format = new Intl.NumberFormat(undefined, { style: "unit", unit, unitDisplay: "short" });
    unitFormats.set(unit, format);
  }
  return format.format(Math.floor(seconds / size));
}

/** @param {Date} date @returns {string} YYYY-MM-DD in the browser's time zone */
export function dayOf(date) {
  const pad = (/** @type {number} */ n) => String(n).padStart(2, "0");
  return `${date.getFullYear()}-${pad(date.getMonth() + 1)}-${pad(date.getDate())}`;
}

/** @param {string} day @param {number} days @returns {string} YYYY-MM-DD */
export const addDays = (day, days) =>
  new Date(Date.parse(`${day}T00:00:00Z`) + days * 86_400_000).toISOString().slice(0, 10);

// Dates, sizes and numbers as people read them, in the language of the page.

const LANGUAGE = document.documentElement.lang || "en";

const number = new Intl.NumberFormat(LANGUAGE);
const oneDigit = new Intl.NumberFormat(LANGUAGE, { maximumFractionDigits: 1 });
const day = new Intl.DateTimeFormat(LANGUAGE, { dateStyle: "long" });
const moment = new Intl.DateTimeFormat(LANGUAGE, { dateStyle: "long", timeStyle: "short" });

/** Returns a number as people write it: `2,000`. */
export function amount(value) {
  return number.format(value);
}

/** Returns a number with its noun: `1 picture`, `2,000 pictures`. */
export function count(value, noun) {
  return `${number.format(value)} ${noun}${value === 1 ? "" : "s"}`;
}

const UNITS = ["bytes", "kB", "MB", "GB", "TB"];

/** Returns a number of bytes in decimal units: `1.2 MB`. */
export function fileSize(bytes) {
  const power = Math.min(Math.floor(Math.log10(Math.max(bytes, 1)) / 3), UNITS.length - 1);
  return `${oneDigit.format(bytes / 1000 ** power)} ${UNITS[power]}`;
}

/** Returns a moment in the time zone of the browser. */
export function dateTime(text) {
  return moment.format(new Date(text));
}

/** Returns the day of a moment in the time zone of the browser; the text itself if it is no time. */
export function date(text) {
  const time = new Date(text);
  return Number.isNaN(time.valueOf()) ? String(text ?? "") : day.format(time);
}

/** Returns the date at the start of a text, as it was at its place; the text itself if it does not start with a date. */
export function localDate(text) {
  const [, year, month, dayOfMonth] = /^(\d{4})-(\d\d)-(\d\d)/.exec(text)?.map(Number) ?? [];
  const time = new Date(year, month - 1, dayOfMonth);
  const isDate = time.getFullYear() === year && time.getMonth() === month - 1 && time.getDate() === dayOfMonth;
  return isDate ? day.format(time) : text;
}

// Dates, sizes and numbers as people read them, in the language of the page.

const LANGUAGE = document.documentElement.lang || "en";

const number = new Intl.NumberFormat(LANGUAGE);
const oneDigit = new Intl.NumberFormat(LANGUAGE, { maximumFractionDigits: 1 });
const day = new Intl.DateTimeFormat(LANGUAGE, { dateStyle: "long" });
const moment = new Intl.DateTimeFormat(LANGUAGE, { dateStyle: "long", timeStyle: "short" });

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

/** Returns the day of a moment in the time zone of the browser. */
export function date(text) {
  return day.format(new Date(text));
}

/** Returns the date of a `YYYY-MM-DD`, or of a time whose zone is unknown, as it was there. */
export function localDate(text) {
  const [year, month, dayOfMonth] = text.slice(0, 10).split("-").map(Number);
  return day.format(new Date(year, month - 1, dayOfMonth));
}

// Numbers and times for people. Everything here gives plain text.

const UNITS = ["B", "kB", "MB", "GB", "TB", "PB"];

/** A number of bytes, in powers of 1000: `1.5 MB`. */
export function bytes(count) {
  let value = number(count);
  let unit = 0;
  while (value >= 999.5 && unit < UNITS.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${value >= 9.95 || unit === 0 ? Math.round(value) : value.toFixed(1)} ${UNITS[unit]}`;
}

/** Bytes a second. */
export function rate(count) {
  return `${bytes(count)}/s`;
}

/** A machine's memory, in the powers of 1024 that it is sold in: `16 GB`. */
export function memory(count) {
  const gib = number(count) / 2 ** 30;
  return gib >= 0.95 ? `${Math.round(gib)} GB` : `${Math.round(number(count) / 2 ** 20)} MB`;
}

/** A count a second; small ones with one decimal. */
export function perSecond(count) {
  const value = number(count);
  return `${value > 0 && value < 9.95 ? value.toFixed(1) : Math.round(value).toLocaleString("en")}/s`;
}

/** A count with thousands apart. */
export function count(value) {
  return Math.round(number(value)).toLocaleString("en");
}

/** How long, in its one or two largest units: `4 s`, `12 min`, `3 h 5 min`, `2 d 4 h`. */
export function span(milliseconds) {
  const s = Math.max(0, Math.floor(number(milliseconds) / 1000));
  const [m, h, d] = [Math.floor(s / 60), Math.floor(s / 3600), Math.floor(s / 86400)];
  if (s < 60) return `${s} s`;
  if (m < 60) return `${m} min`;
  if (h < 24) return join(h, "h", m % 60, "min");
  return join(d, "d", h % 24, "h");
}

/** `value`, or 0 when it is no finite number above it. */
export function number(value) {
  return typeof value === "number" && Number.isFinite(value) && value > 0 ? value : 0;
}

/** `value` as text of at most `limit` characters; nothing for what is no text. */
export function text(value, limit = 200) {
  if (typeof value === "number" && Number.isFinite(value)) return String(value);
  if (typeof value !== "string") return "";
  const trimmed = value.trim();
  return trimmed.length > limit ? `${trimmed.slice(0, limit)}…` : trimmed;
}

function join(large, unit, small, smaller) {
  return small === 0 ? `${large} ${unit}` : `${large} ${unit} ${small} ${smaller}`;
}

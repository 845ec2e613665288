// Numbers and times as people read them; money comes from the server so. Nothing here touches the page.

const locale = /^en\b/.test(navigator.language) ? navigator.language : "en-GB";
const counts = new Intl.NumberFormat(locale);
const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

export const count = (number) => counts.format(number);

/** What can be had of a ticket type: "18 left", "2 left, on the map only", "not yet". */
export function left({ left: free, on_map_only: onMap, state }) {
  if (free) return `${count(free)} left`;
  if (onMap) return `${count(onMap)} left, on the map only`;
  if (state === "not_yet" || state === "gap") return "not on sale yet";
  return state === "ended" ? "not on sale any more" : "none left";
}

/** "Saturday 4 July 2026 at 20:00 CEST", in the time of the house. */
export function moment(text, timeZone) {
  return new Intl.DateTimeFormat(locale, {
    timeZone, weekday: "long", day: "numeric", month: "long", year: "numeric",
    hour: "numeric", minute: "2-digit", timeZoneName: "short",
  }).format(new Date(text));
}

const two = (number) => String(number).padStart(2, "0");

/** A countdown: "1:05", "1:02:05", "2 days 3:02:05". Rounds up: 0:00 is when it is over. */
export function clock(ms) {
  const seconds = Math.max(0, Math.ceil(ms / SECOND));
  const [s, m, h] = [seconds % 60, Math.floor(seconds / 60) % 60, Math.floor(seconds / 3600) % 24];
  const days = Math.floor(seconds / 86400);
  if (days) return `${days} ${days === 1 ? "day" : "days"} ${h}:${two(m)}:${two(s)}`;
  return seconds >= 3600 ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
}

/** A duration as one says it: "less than a minute", "12 min", "1 h 20 min", "2 days". */
export function about(ms) {
  if (ms < 0.75 * MINUTE) return "less than a minute";
  if (ms < HOUR) return `${Math.round(ms / MINUTE)} min`;
  if (ms >= 2 * DAY) return `${Math.round(ms / DAY)} days`;
  const minutes = Math.round(ms / (5 * MINUTE)) * 5;
  return minutes % 60 ? `${Math.floor(minutes / 60)} h ${minutes % 60} min` : `${minutes / 60} h`;
}

/** The range around an estimate: "between 9 and 18 min". */
export function range({ from_ms: from, to_ms: to }) {
  if (about(from) === about(to)) return "";
  if (from < 0.75 * MINUTE) return `at most ${about(to)}`;
  if (to < HOUR) return `between ${Math.round(from / MINUTE)} and ${about(to)}`;
  return `between ${about(from)} and ${about(to)}`;
}

export function chance(percent) {
  if (percent >= 90) return "Very good";
  if (percent >= 60) return "Good";
  if (percent >= 30) return "Fair";
  return percent >= 10 ? "Small" : "Very small";
}

export const people = (number) =>
  number === 0 ? "Nobody is" : number === 1 ? "One person is" : `${count(number)} people are`;

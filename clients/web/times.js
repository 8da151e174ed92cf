/** Times for people: the server's RFC 3339 in, clock times of this browser's zone and durations out. */

const clockParts = { hour: '2-digit', minute: '2-digit', second: '2-digit', hour12: false }
const clockFormat = new Intl.DateTimeFormat(undefined, clockParts)
const minuteFormat = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit', hour12: false })
const dayFormat = new Intl.DateTimeFormat(undefined, { weekday: 'short', day: 'numeric', month: 'short' })

export const SECOND = 1000
export const MINUTE = 60 * SECOND
export const HOUR = 60 * MINUTE
export const DAY = 24 * HOUR

/** Milliseconds since 1970 of one of the server's times; finer digits are lost. */
export function parse(text) {
  return Date.parse(text)
}

/** 10:15:22 */
export function clock(ms) {
  return clockFormat.format(ms)
}

/** Sat, 21 Nov */
export function day(ms) {
  return dayFormat.format(ms)
}

/** 10:15:22, with the day where it is not today's. */
export function moment(ms, now = Date.now()) {
  return dayFormat.format(ms) === dayFormat.format(now) ? clock(ms) : `${day(ms)}, ${clock(ms)}`
}

/** What a mark of the timeline's axis says: seconds only where marks are closer than a minute, the day at midnight. */
export function axisMark(ms, step) {
  if (step >= DAY || new Date(ms).getHours() + new Date(ms).getMinutes() + new Date(ms).getSeconds() === 0) return day(ms)
  return step < MINUTE ? clock(ms) : minuteFormat.format(ms)
}

/** 0.4 s, 12 s, 5 min, 3 h 12 min, 2 d 4 h */
export function duration(ms) {
  const seconds = Math.max(0, ms) / SECOND
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`
  if (seconds < 99.5) return `${Math.round(seconds)} s`
  if (ms < HOUR) return `${Math.round(ms / MINUTE)} min`
  if (ms < DAY) return joined(ms, HOUR, 'h', MINUTE, 'min')
  return joined(ms, DAY, 'd', HOUR, 'h')
}

function joined(ms, large, largeName, small, smallName) {
  const whole = Math.round(ms / small) * small
  const rest = Math.round((whole % large) / small)
  return `${Math.floor(whole / large)} ${largeName}${rest ? ` ${rest} ${smallName}` : ''}`
}

/** 1.2 MB */
export function bytes(count) {
  const units = ['B', 'kB', 'MB', 'GB', 'TB']
  let at = 0
  while (count >= 1000 && at < units.length - 1) {
    count /= 1000
    at += 1
  }
  return `${at === 0 || count >= 99.5 ? Math.round(count) : count.toFixed(1)} ${units[at]}`
}

/** 1 moment, 12 moments */
export function count(number, noun) {
  return `${number.toLocaleString()} ${noun}${number === 1 ? '' : 's'}`
}

/** The first of these steps of an axis with at most `most` marks over `span` milliseconds. */
export function axisStep(span, most) {
  const steps = [1, 2, 5, 10, 15, 30].map((n) => n * SECOND)
  steps.push(...[1, 2, 5, 10, 15, 30].map((n) => n * MINUTE), ...[1, 2, 3, 6, 12].map((n) => n * HOUR))
  return steps.find((step) => span / step <= most) ?? Math.ceil(span / most / DAY) * DAY
}

/** `step` milliseconds or more, a whole multiple of the local day's beginning: the first mark at or after `ms`. */
export function axisStart(ms, step) {
  const midnight = new Date(ms).setHours(0, 0, 0, 0)
  return midnight + Math.ceil((ms - midnight) / step) * step
}

/** The end of a moment that is longer than what a clock tells: ' to 10:15:07'. */
export function until({ from, to }) {
  return clock(from) === clock(to) ? '' : ` to ${clock(to)}`
}

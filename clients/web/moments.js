/** What is known of a stream's memory: its events by time, its gaps; and which of them stand for a stretch of time. */

import { listEvents } from './server.js'
import { parse } from './times.js'

const MOST = 3000

/** An event with its times in milliseconds. */
export function asMoment(event) {
  const frames = event.frames.map((frame) => ({ ...frame, at: parse(frame.time) }))
  return { ...event, from: parse(event.start), to: parse(event.end), frames }
}

/** The frame of a moment that is nearest to a time; null where it has none. */
export function nearestFrame(moment, at) {
  let best = null
  for (const frame of moment.frames) if (!best || Math.abs(frame.at - at) < Math.abs(best.at - at)) best = frame
  return best
}

/** The first place in `moments` (by `from`) whose moment begins after `at`. */
function after(moments, at) {
  let low = 0
  let high = moments.length
  while (low < high) {
    const middle = (low + high) >> 1
    if (moments[middle].from <= at) low = middle + 1
    else high = middle
  }
  return low
}

/**
 * One moment for each stretch of `step` milliseconds that has any: the longest in it, and how many there are.
 * Stretches lie on a grid of their own, so that they stay what they are while the view moves.
 */
export function thin(moments, from, to, step) {
  const found = new Map()
  for (const one of moments) {
    if (one.to < from || one.from > to || one.frames.length === 0) continue
    const place = Math.floor(one.from / step)
    const known = found.get(place)
    if (!known) found.set(place, { at: place * step, moment: one, count: 1 })
    else {
      known.count += 1
      if (one.to - one.from > known.moment.to - known.moment.from) known.moment = one
    }
  }
  return [...found.values()].sort((a, b) => a.at - b.at)
}

/** Tells of `changed`. */
export class Moments extends EventTarget {
  list = []
  gaps = []
  #stream
  #known = new Map()
  #loading = 0

  constructor(stream) {
    super()
    this.#stream = stream
  }

  /** Ask for what lies in [from, to); what is known of other times stays. */
  async load(from, to) {
    const turn = (this.#loading += 1)
    const page = await listEvents(this.#stream, { since: from, until: to, most: MOST })
    if (turn !== this.#loading) return
    for (const one of this.list) if (one.from >= from && one.to < to) this.#known.delete(one.id)
    for (const event of page.events) this.#known.set(event.id, asMoment(event))
    const gaps = page.gaps.map((gap) => ({ ...gap, from: parse(gap.start), to: parse(gap.end) }))
    this.gaps = [...this.gaps.filter((gap) => gap.to < from || gap.from > to), ...gaps]
    this.#sort()
  }

  /** An event was committed, or changed. */
  add(event) {
    this.#known.set(event.id, asMoment(event))
    this.#sort()
  }

  /** Nothing is known any more: something was forgotten. */
  clear() {
    this.#loading += 1
    this.#known.clear()
    this.gaps = []
    this.#sort()
  }

  #sort() {
    this.list = [...this.#known.values()].sort((a, b) => a.from - b.from)
    this.dispatchEvent(new Event('changed'))
  }

  get(id) {
    return this.#known.get(id)
  }

  /** The moment at a time; with `near`, the nearest one that is at most so far away. */
  at(time, near = 0) {
    const place = after(this.list, time)
    const around = this.list.slice(Math.max(0, place - 3), place + 1)
    const far = (one) => Math.max(one.from - time, time - one.to, 0)
    const best = around.sort((a, b) => far(a) - far(b) || b.from - a.from)[0]
    return best && far(best) <= near ? best : null
  }

  /** The one before (-1) or after (1) a moment. */
  beside(moment, way) {
    return this.list[this.list.findIndex((one) => one.id === moment.id) + way] ?? null
  }
}

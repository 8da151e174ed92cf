/** All streams as tiles: live picture, state, lag, what is remembered. */

import { h, say } from './dom.js'
import { connect } from './live.js'
import { LivePicture, fill, storedPicture } from './picture.js'
import { call, listEvents, listStreams, path } from './server.js'
import { SECOND, count, duration, parse } from './times.js'

const LIST_EVERY_MS = 4000

export const STATES = {
  connecting: 'connecting',
  live: 'live',
  frozen: 'picture stands still',
  offline: 'offline',
  ended: 'ended',
  failed: 'failed',
}

/** How far the newest perceived picture is behind, now: the server's figure and the time since; null where unknown. */
export function lagNow(stream) {
  if (stream.lag_ms === null || stream.lag_ms === undefined) return null
  return stream.lag_ms + (performance.now() - (stream.heard ?? performance.now()))
}

/** What a stream's own clock says now, in milliseconds: files and fast streams have their own time. */
export function streamNow(stream) {
  if (!stream) return Date.now()
  const lag = lagNow(stream)
  if (stream.last_frame && lag !== null) return parse(stream.last_frame) + lag
  if (stream.source.pace === 'fast' || stream.source.url?.startsWith('file:')) {
    return parse(stream.memory.end ?? stream.last_frame ?? stream.created)
  }
  return Math.max(Date.now(), parse(stream.memory.end ?? stream.created))
}

/** A stream's state and lag in a few words. */
export function stateText(stream) {
  const lag = lagNow(stream)
  const state = STATES[stream.state] ?? stream.state
  return lag === null || stream.state !== 'live' ? state : `${state}, ${duration(lag)} behind`
}

/** A dot and words for a stream's state: {element, show(stream)}. */
export function stateBadge(id) {
  const words = h('span', {})
  const element = h('span', { class: 'state', id }, h('i', { 'aria-hidden': 'true' }), words)
  return {
    element,
    show(stream) {
      element.dataset.state = stream.state
      say(words, stateText(stream))
    },
  }
}

/** The view: {element, close()}. */
export function homeView({ actions, onStreams }) {
  const tiles = new Map()
  const list = h('ul', { class: 'tiles' })
  const summary = h('p', { class: 'summary' })
  const empty = h(
    'div', { class: 'empty', hidden: true },
    h('h1', {}, 'Nothing is being watched yet'),
    h('p', {}, 'Show this page your webcam, or give it the address of a camera. From then on you can ask what happens, and what happened.'),
    h('div', { class: 'invite' }),
  )
  const head = h('div', { class: 'home-head' }, h('h1', {}, 'Streams'), summary)
  const element = h('section', { class: 'home' }, head, list, empty)
  const seen = new IntersectionObserver((entries) => {
    for (const one of entries) tiles.get(one.target.dataset.stream)?.look(one.isIntersecting)
  })

  async function refresh() {
    let streams
    try {
      streams = await listStreams()
    } catch {
      return
    }
    const ids = new Set(streams.map((one) => one.id))
    for (const [id, tile] of tiles) if (!ids.has(id)) drop(id, tile)
    streams.forEach((stream, n) => place(stream, n))
    head.hidden = streams.length === 0
    empty.hidden = streams.length > 0
    // The same two buttons, where they are needed most.
    actions.move(streams.length === 0 ? empty.querySelector('.invite') : null)
    say(summary, summed(streams))
    onStreams(streams)
  }

  function place(stream, n) {
    let tile = tiles.get(stream.id)
    if (!tile) {
      tile = new Tile(stream)
      tiles.set(stream.id, tile)
      seen.observe(tile.element)
    }
    if (list.children[n] !== tile.element) list.insertBefore(tile.element, list.children[n] ?? null)
    tile.show(stream)
  }

  function drop(id, tile) {
    seen.unobserve(tile.element)
    tile.close()
    tile.element.remove()
    tiles.delete(id)
  }

  const listing = setInterval(() => document.hidden || refresh(), LIST_EVERY_MS)
  const ticking = setInterval(() => tiles.forEach((tile) => tile.tick()), 500)
  refresh()
  return {
    element,
    title: 'Streams',
    refresh,
    close() {
      clearInterval(listing)
      clearInterval(ticking)
      seen.disconnect()
      tiles.forEach((tile) => tile.close())
    },
  }
}

function summed(streams) {
  const live = streams.filter((one) => one.state === 'live' || one.state === 'frozen').length
  const moments = streams.reduce((sum, one) => sum + one.memory.events, 0)
  return `${live} of ${count(streams.length, 'stream')} live, ${count(moments, 'moment')} remembered`
}

/** One stream. Its connection is open while it is looked at. */
class Tile {
  #stream
  #live = null
  #picture
  #still = storedPicture('', '')
  #stillOf = null
  #badge
  #remembered = h('span', { class: 'remembered' })
  #trouble = h('span', { class: 'trouble' })

  constructor(stream) {
    this.#stream = stream
    this.#picture = new LivePicture('')
    this.#picture.element.setAttribute('aria-hidden', 'true')
    this.#badge = stateBadge(`state-${stream.id}`)
    const link = h(
      'a', { href: `#/s/${encodeURIComponent(stream.id)}`, 'aria-label': stream.id, 'aria-describedby': `state-${stream.id}` },
      h('div', { class: 'view' }, this.#still, this.#picture.element, this.#badge.element),
      h('div', { class: 'line' }, h('b', {}, stream.id), this.#remembered),
      this.#trouble,
    )
    this.element = h('li', { class: 'tile', 'data-stream': stream.id }, link)
  }

  show(stream) {
    this.#stream = { ...stream, heard: performance.now() }
    this.element.dataset.state = stream.state
    say(this.#remembered, remembered(stream.memory))
    say(this.#trouble, stream.error ? stream.error.message : '')
    this.tick()
    if (!this.#picture.shown) this.#showStill()
  }

  tick() {
    this.#badge.show(this.#stream)
  }

  /** Until something live comes: what was last remembered. */
  async #showStill() {
    const end = this.#stream.memory.end
    if (!end || this.#stillOf === end || ['live', 'frozen'].includes(this.#stream.state) && this.#stillOf) return
    this.#stillOf = end
    try {
      const { events } = await listEvents(this.#stream.id, { most: 1 })
      const frame = events[0]?.frames.at(-1)
      if (frame) await fill(this.#still, frame.url)
    } catch {
      // The place stays empty.
    }
  }

  /** It came into view, or left it. */
  look(visible) {
    if (visible && !this.#live) {
      this.#live = connect(this.#stream.id)
      this.#live.follow(this, ['state', 'frames'])
      this.#live.addEventListener('state', this.#onState)
      this.#live.addEventListener('frame', this.#onFrame)
    } else if (!visible) this.close()
  }

  close() {
    if (!this.#live) return
    this.#live.removeEventListener('state', this.#onState)
    this.#live.removeEventListener('frame', this.#onFrame)
    this.#live.follow(this, [])
    this.#live.release()
    this.#live = null
  }

  #onState = ({ detail }) => this.show(detail)
  #onFrame = ({ detail }) => this.#picture.show(detail)
}

/** 412 moments over 3 h 12 min */
export function remembered(memory) {
  if (memory.events === 0) return 'nothing remembered yet'
  const spanned = parse(memory.end) - parse(memory.start)
  return `${count(memory.events, 'moment')}${spanned < SECOND ? '' : ` over ${duration(spanned)}`}`
}

/** Whether there is a stream of this id. Throws Refused. */
export function getStream(id) {
  return call('GET', path('streams', id))
}

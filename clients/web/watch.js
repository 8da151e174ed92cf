/** One stream: its picture, its memory along time, questions, and what this browser sends into it. */

import { Asking } from './asking.js'
import { forget } from './dialogs.js'
import { button, h, say } from './dom.js'
import { STATES, remembered, stateBadge, streamNow } from './home.js'
import { connect } from './live.js'
import { Moments, asMoment } from './moments.js'
import { sender } from './sender.js'
import { sendingCard } from './sending.js'
import { call, forgetting, listStreams, path } from './server.js'
import { Stage } from './stage.js'
import { parse } from './times.js'
import { Timeline } from './timeline.js'

const LIST_EVERY_MS = 5000

/** The view: {element, title, close(), pick(moment, at)}. tell: says a line to the person. */
export function watchView(id, { tell, onStreams }) {
  return new Watch(id, tell, onStreams)
}

class Watch {
  #id
  #tell
  #onStreams
  #live
  #stage
  #moments
  #timeline
  #asking
  #badge = stateBadge('state')
  #facts = h('p', { class: 'facts' })
  #trouble = h('p', { class: 'trouble' })
  #others = h('nav', { class: 'others', 'aria-label': 'Streams' })
  #left
  #card = null
  #begun = false
  #gaps = 0
  #timers = []

  constructor(id, tell, onStreams) {
    this.#id = id
    this.title = id
    this.#tell = tell
    this.#onStreams = onStreams
    this.#live = connect(id)
    this.#moments = new Moments(id)
    this.#stage = new Stage(id)
    this.#timeline = new Timeline(this.#moments, () => streamNow(this.#live.stream))
    this.#asking = new Asking(this.#live)
    const head = h(
      'div', { class: 'watch-head' }, h('h1', {}, id), this.#badge.element, this.#facts,
      button('Forget', 'forget', () => this.#forget(), { class: 'forget' }),
    )
    this.#left = h('div', { class: 'left' }, this.#stage.element, this.#timeline.element)
    this.element = h('section', { class: 'watch' }, this.#others, head, this.#trouble, h('div', { class: 'columns' }, this.#left, this.#asking.element))
    this.#listen()
  }

  #listen() {
    this.#live.follow(this, ['state', 'events', 'frames'])
    for (const [type, act] of Object.entries(this.#acts)) this.#live.addEventListener(type, act)
    this.#timeline.addEventListener('pick', ({ detail }) => this.pick(detail.moment, detail.at))
    this.#stage.addEventListener('live', () => this.#leavePast())
    this.#stage.addEventListener('step', ({ detail }) => this.#step(detail))
    this.#stage.addEventListener('frame', ({ detail }) => this.#timeline.mark(this.#stage.moment, detail))
    this.#stage.addEventListener('ask', () => this.#asking.about(this.#stage.moment))
    this.#asking.addEventListener('proof', ({ detail }) => this.#prove(detail))
    this.#asking.addEventListener('answered', ({ detail }) => this.#timeline.prove(detail.evidence.map((one) => one.event)))
    sender.addEventListener('changed', this.#onSender)
    forgetting.addEventListener('elsewhere', this.#onForgotten)
    this.#onSender()
    this.#timers.push(setInterval(() => this.#tick(), 500), setInterval(() => document.hidden || this.#list(), LIST_EVERY_MS))
    this.#list()
    this.#first()
  }

  close() {
    this.#timers.forEach(clearInterval)
    for (const [type, act] of Object.entries(this.#acts)) this.#live.removeEventListener(type, act)
    sender.removeEventListener('changed', this.#onSender)
    this.#card?.close()
    forgetting.removeEventListener('elsewhere', this.#onForgotten)
    this.#timeline.close()
    this.#live.follow(this, [])
    this.#live.release()
  }

  /** Show a moment in the large picture and on the timeline. */
  pick(moment, at) {
    this.#stage.show(moment, at)
  }

  // ---------------------------------------------------------- what the server says

  #acts = {
    state: ({ detail }) => this.#state(detail),
    frame: ({ detail }) => this.#stage.live(detail),
    event: ({ detail }) => this.#moments.add(detail),
    open: () => this.#timeline.reload(),
    gone: ({ detail }) => this.#gone(detail),
  }

  /** A stream that says nothing itself is asked for by REST; so is whether there is one. */
  async #first() {
    try {
      const stream = await call('GET', path('streams', this.#id))
      if (!this.#live.stream) this.#state(stream)
    } catch (error) {
      if (error.status === 404 || error.status === 403) this.#gone(error)
    }
  }

  #state(stream) {
    this.#live.stream ??= { ...stream, heard: performance.now() }
    say(this.#trouble, stream.error ? stream.error.message : '')
    const parts = [stream.size && `${stream.size[0]} × ${stream.size[1]}`, stream.fps.sampled && `${stream.fps.sampled.toFixed(1)} pictures/s`, remembered(stream.memory)]
    say(this.#facts, parts.filter(Boolean).join(' · '))
    this.#stage.wait(waitingFor(stream))
    this.#timeline.state(stream, !this.#begun)
    // Events come by themselves, gaps do not.
    if (!this.#begun || stream.memory.gaps !== this.#gaps) this.#timeline.reload()
    this.#gaps = stream.memory.gaps
    this.#begun = true
    this.#tick()
  }

  #tick() {
    const stream = this.#live.stream
    if (!stream) return
    this.#badge.show(stream)
    // The list comes every few seconds, this stream's own state at once.
    const own = this.#others.querySelector('[aria-current]')
    if (own) own.dataset.state = stream.state
  }

  #gone(error) {
    this.#tell(error.status === 404 ? `There is no stream ${this.#id} any more.` : error.message)
    location.hash = '#/'
  }

  async #list() {
    let streams
    try {
      streams = await listStreams()
    } catch {
      return
    }
    this.#onStreams(streams)
    const all = h('a', { href: '#/' }, 'All streams')
    const links = streams.map((one) => h(
      'a', { href: `#/s/${encodeURIComponent(one.id)}`, 'data-state': one.state, 'aria-current': one.id === this.#id && 'page', 'aria-label': one.id, title: STATES[one.state] },
      h('i', { 'aria-hidden': 'true' }), one.id,
    ))
    const drawn = streams.map((one) => `${one.id}/${one.state}`).join()
    if (this.#others.dataset.drawn === drawn) return
    const focused = [...this.#others.children].indexOf(document.activeElement)
    this.#others.dataset.drawn = drawn
    this.#others.replaceChildren(all, ...links)
    this.#others.children[focused]?.focus()
    this.#others.querySelector('[aria-current]')?.scrollIntoView({ block: 'nearest', inline: 'center' })
  }

  // ---------------------------------------------------------- past and present

  #leavePast() {
    this.#stage.show(null)
    this.#timeline.mark(null)
    this.#asking.about(null)
  }

  #step(way) {
    const other = this.#moments.beside(this.#stage.moment, way)
    if (other) this.pick(other, way < 0 ? other.to : other.from)
  }

  /** Evidence was clicked: its moment may lie outside of what the timeline has loaded. */
  async #prove(proof) {
    const known = this.#moments.get(proof.event)
    try {
      const moment = known ?? asMoment(await call('GET', path('streams', proof.stream, 'events', proof.event)))
      const frame = moment.frames.find((one) => one.url === proof.frame)
      this.pick(moment, frame?.at ?? parse(proof.start))
    } catch (error) {
      this.#tell(error.status === 404 ? 'This moment is still going on, or it was forgotten.' : error.message)
    }
  }

  async #forget() {
    const outcome = await forget(this.#id, streamNow(this.#live.stream), this.#stage.moment)
    if (!outcome) return
    this.#tell(outcome.text)
    if (outcome.removed) {
      if (sender.stream === this.#id) sender.stop()
      location.hash = '#/'
      return
    }
    this.#dropKnown()
  }

  #onForgotten = ({ detail }) => detail === this.#id && this.#dropKnown()

  /** Something was forgotten, here or in another tab: whatever this one shows may tell of it. */
  #dropKnown() {
    this.#leavePast()
    this.#moments.clear()
    this.#asking.clear()
    this.#timeline.prove([])
    this.#timeline.reload()
  }

  // ---------------------------------------------------------- sending

  #onSender = () => {
    const mine = sender.active && sender.stream === this.#id
    if (mine && !this.#card) {
      this.#card = sendingCard()
      this.#stage.element.after(this.#card.element)
    } else if (!mine && this.#card) {
      this.#card.close()
      this.#card.element.remove()
      this.#card = null
    }
  }
}

function waitingFor(stream) {
  if (stream.state === 'offline') return stream.source.push ? 'Nobody sends pictures now' : 'The camera is offline; it is tried again'
  if (stream.state === 'failed') return 'The source cannot be opened'
  if (stream.state === 'ended') return 'The source has ended'
  return 'Waiting for the first picture'
}

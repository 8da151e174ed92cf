/** A stream's memory along time: events as keyframes, gaps, merged grain. Hover to look in, click to see, drag to move. */

import { button, h, say } from './dom.js'
import { nearestFrame, thin } from './moments.js'
import { fill, storedPicture } from './picture.js'
import { merged } from './stage.js'
import { DAY, HOUR, MINUTE, SECOND, axisMark, axisStart, axisStep, clock, duration, moment as momentText } from './times.js'

const SPANS = [[5 * MINUTE, '5 min'], [HOUR, '1 h'], [6 * HOUR, '6 h'], [DAY, '1 d'], [7 * DAY, '7 d']]
const SHORTEST = 20 * SECOND
const LONGEST = 400 * DAY
const CARD = 108
const AHEAD = 0.02
const HALF_MARK = 34
const LOAD_AFTER_MS = 150

/** Tells of `pick` (detail {moment, at}) when a moment is chosen. now: gives the stream's own time in milliseconds. */
export class Timeline extends EventTarget {
  #moments
  #now
  #span
  #to = null
  #loaded = null
  #timer = 0
  #state = 'connecting'
  #shown = null
  #proof = new Set()
  #cards = new Map()
  #width = 0
  #bars = h('canvas', { class: 'bars', 'aria-hidden': 'true' })
  #axis = h('div', { class: 'axis', 'aria-hidden': 'true' })
  #thumbs = h('ul', { class: 'cards', 'aria-label': 'Remembered moments' })
  #cursor = h('i', { class: 'cursor', hidden: true })
  #peek = new Peek()
  #about = h('p', { class: 'about', 'aria-live': 'off' })
  #presets = h('div', { class: 'presets', role: 'group', 'aria-label': 'Time shown' })
  #follow
  #drag = null

  constructor(moments, now) {
    super()
    this.#moments = moments
    this.#now = now
    this.#span = SPANS[0][0]
    this.#follow = button('Now', null, () => this.#look(this.#span, null), { class: 'follow' })
    const track = h('div', { class: 'track' }, this.#bars, this.#axis, this.#cursor)
    this.strip = h('div', { class: 'strip' }, this.#thumbs, track, this.#peek.element)
    this.element = h(
      'section', { class: 'timeline card', 'aria-label': 'Memory' },
      h('div', { class: 'bar' }, h('h2', {}, 'Memory'), this.#about, this.#presets, this.#tools()),
      this.strip,
    )
    this.#listen()
    this.#moments.addEventListener('changed', () => this.draw())
    this.#resized = new ResizeObserver(() => this.#measure())
    this.#resized.observe(this.strip)
    this.#ticking = setInterval(() => this.tick(), SECOND)
  }

  #resized
  #ticking

  close() {
    this.#resized.disconnect()
    clearInterval(this.#ticking)
    clearTimeout(this.#timer)
  }

  // ---------------------------------------------------------- what is shown

  /** The stream as it fares now. The first time, its memory is shown whole, up to an hour. */
  state(stream, begun) {
    this.#state = stream.state
    const { start, end } = stream.memory
    if (begun && start) {
      const held = this.#now() - Date.parse(start)
      this.#look(Math.min(HOUR, Math.max(MINUTE, held * 1.08)), null)
    }
    this.#edges = start ? [Date.parse(start), Date.parse(end)] : null
    say(this.#about, start ? `since ${momentText(Date.parse(start))}` : 'The first moment is kept once it has ended.')
    this.draw()
  }

  #edges = null

  /** Move to a moment that is shown elsewhere, and mark it. null: none is. */
  mark(moment, at = null) {
    this.#shown = moment === null ? null : { id: moment.id, from: moment.from, to: moment.to, at }
    if (moment !== null) this.#reveal(at ?? moment.from)
    this.draw()
  }

  /** Moments that prove an answer. */
  prove(ids) {
    this.#proof = new Set(ids)
    this.draw()
  }

  /** Load anew what is shown. */
  reload() {
    this.#loaded = null
    this.#load()
  }

  get range() {
    // Behind now, half a card: so much of the newest one is seen at the least.
    const to = this.#to ?? this.#now() + this.#span * Math.max(AHEAD, CARD / 2 / (this.#width || Infinity))
    return [to - this.#span, to]
  }

  tick() {
    if (this.#to === null) this.draw()
  }

  #reveal(at) {
    const [from, to] = this.range
    if (at < from + this.#span * 0.04 || at > to - this.#span * 0.04) this.#look(this.#span, at + this.#span / 2)
  }

  /** Show `span` milliseconds up to `to`; null: up to now, and go on with it. */
  #look(span, to) {
    this.#span = Math.min(LONGEST, Math.max(SHORTEST, span))
    const now = this.#now()
    this.#to = to === null || to >= now ? null : to
    this.draw()
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => this.#load(), LOAD_AFTER_MS)
  }

  #zoom(factor, place = 1) {
    const [from] = this.range
    const at = from + this.#span * place
    const span = Math.min(LONGEST, Math.max(SHORTEST, this.#span * factor))
    const follow = this.#to === null && place > 0.9
    this.#look(span, follow ? null : at + span * (1 - place))
  }

  async #load() {
    const [from, to] = this.range
    const known = this.#loaded
    if (known && from >= known[0] && to <= known[1] + this.#span && this.#span * 4 > known[1] - known[0]) return
    const wanted = [from - this.#span * 0.5, to + this.#span * 0.5]
    this.#loaded = wanted
    try {
      await this.#moments.load(...wanted)
    } catch {
      this.#loaded = null
    }
  }

  // ---------------------------------------------------------- drawing

  #measure() {
    this.#width = this.strip.clientWidth
    this.draw()
  }

  #x(at) {
    const [from, to] = this.range
    return ((at - from) / (to - from)) * this.#width
  }

  draw() {
    if (this.#width === 0) return
    this.#drawPresets()
    this.#drawCards()
    this.#drawAxis()
    drawBars(this.#bars, this.#width, this.#scene())
    const shown = this.#shown
    const x = shown ? this.#x(shown.at ?? shown.from) : this.#x(this.#now())
    this.#cursor.hidden = x < 0 || x > this.#width
    this.#cursor.classList.toggle('held', shown !== null)
    this.#cursor.style.left = `${x}px`
  }

  #scene() {
    const [from, to] = this.range
    return {
      x: (at) => this.#x(at), from, to, moments: this.#moments.list, gaps: this.#holes(), proof: this.#proof,
      shown: this.#shown, open: this.#open(),
    }
  }

  /** What is being watched and is no event yet. */
  #open() {
    if (this.#state !== 'live' && this.#state !== 'frozen') return null
    const last = this.#moments.list.at(-1)
    const now = this.#now()
    return last && now - last.to < 2 * MINUTE ? [last.to, now] : null
  }

  /** Recorded gaps, and the one that goes on. */
  #holes() {
    const last = this.#edges?.[1]
    const on = this.#state !== 'live' && this.#state !== 'frozen' && this.#state !== 'ended' && last
    return on ? [...this.#moments.gaps, { from: last, to: this.#now(), reason: this.#state }] : this.#moments.gaps
  }

  #drawPresets() {
    if (this.#presets.childElementCount === 0) {
      for (const [span, name] of SPANS) {
        this.#presets.append(h('button', { type: 'button', 'data-span': String(span), onclick: () => this.#look(span, this.#to) }, name))
      }
    }
    for (const one of this.#presets.children) one.setAttribute('aria-pressed', String(Number(one.dataset.span) === this.#span))
    this.#follow.hidden = this.#to === null
  }

  #drawCards() {
    const [from, to] = this.range
    const step = (this.#span / this.#width) * CARD
    const wanted = thin(this.#moments.list, from - step, to, step)
    const keep = new Set()
    for (const one of wanted) {
      const key = `${one.moment.id}/${one.count}`
      keep.add(key)
      let card = this.#cards.get(key)
      if (!card) this.#cards.set(key, (card = this.#card(one)))
      card.style.transform = `translateX(${this.#x(one.at)}px)`
      card.classList.toggle('here', this.#shown?.id === one.moment.id)
      card.classList.toggle('proof', this.#proof.has(one.moment.id))
    }
    for (const [key, card] of this.#cards) {
      if (keep.has(key)) continue
      card.remove()
      this.#cards.delete(key)
    }
    this.#order(wanted)
  }

  /** In the document as in time, so that Tab goes through them in order; one of them is reached by Tab. */
  #order(wanted) {
    wanted.forEach((one, n) => {
      const card = this.#cards.get(`${one.moment.id}/${one.count}`)
      if (this.#thumbs.children[n] !== card) this.#thumbs.insertBefore(card, this.#thumbs.children[n] ?? null)
    })
    const cards = [...this.#thumbs.children]
    const current = cards.find((one) => one.contains(document.activeElement)) ?? cards.find((one) => one.classList.contains('here')) ?? cards.at(-1)
    for (const card of cards) card.firstChild.tabIndex = card === current ? 0 : -1
  }

  #card({ moment, count }) {
    const frame = nearestFrame(moment, (moment.from + moment.to) / 2)
    const more = count > 1 ? `, ${count} moments here` : ''
    const name = `${momentText(moment.from)}, ${duration(moment.to - moment.from)}${moment.caption ? `, ${moment.caption}` : ''}${merged(moment)}${more}`
    const pick = () => this.#pick(moment, frame.at)
    return h(
      'li', { class: moment.merged > 1 ? 'coarse' : '' },
      h('button', { type: 'button', 'aria-label': name, onclick: pick }, storedPicture(frame.url, ''), count > 1 && h('small', {}, `${count}`)),
    )
  }

  #drawAxis() {
    const [from, to] = this.range
    const step = axisStep(to - from, this.#width / 86)
    const marks = []
    for (let at = axisStart(from, step); at < to; at += step) {
      const x = this.#x(at)
      // What would be cut off at an edge says nothing.
      if (x < HALF_MARK || x > this.#width - HALF_MARK) continue
      const mark = h('span', {}, axisMark(at, step))
      mark.style.left = `${x}px`
      marks.push(mark)
    }
    this.#axis.replaceChildren(...marks)
  }

  // ---------------------------------------------------------- hands

  #tools() {
    return h(
      'div', { class: 'tools' },
      this.#follow,
      button('Earlier', 'back', () => this.#look(this.#span, this.range[1] - this.#span / 2), { quiet: true }),
      button('Later', 'next', () => this.#look(this.#span, this.range[1] + this.#span / 2), { quiet: true }),
      button('Zoom out', 'zoomOut', () => this.#zoom(2, this.#to === null ? 1 : 0.5), { quiet: true }),
      button('Zoom in', 'zoomIn', () => this.#zoom(0.5, this.#to === null ? 1 : 0.5), { quiet: true }),
    )
  }

  #pick(moment, at) {
    this.dispatchEvent(new CustomEvent('pick', { detail: { moment, at } }))
  }

  #listen() {
    this.#thumbs.addEventListener('keydown', (event) => this.#walk(event))
    const strip = this.strip
    strip.addEventListener('pointermove', (event) => (this.#drag ? this.#dragged(event) : this.#hover(event)))
    strip.addEventListener('pointerleave', () => this.#peek.hide())
    strip.addEventListener('pointerdown', (event) => {
      if (event.button === 0) this.#drag = { x: event.clientX, to: this.range[1], moved: false, id: event.pointerId }
    })
    strip.addEventListener('pointerup', (event) => this.#dropped(event))
    strip.addEventListener('pointercancel', () => (this.#drag = null))
    strip.addEventListener('click', (event) => this.#drag?.moved && event.stopPropagation(), true)
    strip.addEventListener('wheel', (event) => this.#wheel(event), { passive: false })
  }

  #walk(event) {
    const way = { ArrowLeft: -1, ArrowRight: 1 }[event.key]
    const cards = [...this.#thumbs.children]
    const place = cards.findIndex((one) => one.contains(document.activeElement))
    if (place < 0) return
    const goal = event.key === 'Home' ? 0 : event.key === 'End' ? cards.length - 1 : place + (way ?? NaN)
    if (!cards[goal]) return
    event.preventDefault()
    cards[goal].firstChild.focus()
    this.#order([])
  }

  #timeAt(event) {
    const box = this.strip.getBoundingClientRect()
    const [from, to] = this.range
    return from + ((event.clientX - box.left) / box.width) * (to - from)
  }

  #hover(event) {
    if (event.pointerType === 'touch') return
    const card = event.target.closest?.('.cards li')
    const at = this.#timeAt(event)
    const entry = card && [...this.#cards].find(([, one]) => one === card)
    const moment = entry ? this.#moments.get(entry[0].split('/')[0]) : this.#momentAt(at)
    const gap = this.#holes().find((one) => one.from <= at && at < one.to)
    this.#peek.show(event.clientX - this.strip.getBoundingClientRect().left, this.#width, { at, moment, gap, exact: !card })
  }

  #momentAt(at) {
    return this.#moments.at(at, (this.#span / this.#width) * 6)
  }

  #dragged(event) {
    const moved = event.clientX - this.#drag.x
    if (!this.#drag.moved && Math.abs(moved) < 5) return
    if (!this.#drag.moved) this.strip.setPointerCapture(this.#drag.id)
    this.#drag.moved = true
    this.#peek.hide()
    this.#look(this.#span, this.#drag.to - (moved / this.#width) * this.#span)
  }

  #dropped(event) {
    const drag = this.#drag
    // After the click that follows.
    setTimeout(() => (this.#drag = null))
    if (!drag || drag.moved || event.target.closest('.cards')) return
    const at = this.#timeAt(event)
    const moment = this.#momentAt(at)
    if (moment) this.#pick(moment, at)
  }

  #wheel(event) {
    const sideways = Math.abs(event.deltaX) > Math.abs(event.deltaY)
    if (!event.ctrlKey && !event.metaKey && !sideways) return
    event.preventDefault()
    if (sideways) this.#look(this.#span, this.range[1] + (event.deltaX / this.#width) * this.#span)
    else this.#zoom(Math.exp(event.deltaY / 300), (this.#timeAt(event) - this.range[0]) / this.#span)
  }
}

/** What is remembered under the pointer. */
class Peek {
  #image = storedPicture('', '')
  #when = h('b', {})
  #what = h('span', {})

  constructor() {
    this.element = h('div', { class: 'peek', hidden: true, 'aria-hidden': 'true' }, this.#image, h('p', {}, this.#when, this.#what))
  }

  show(x, width, { at, moment, gap, exact }) {
    const frame = moment && nearestFrame(moment, exact ? at : (moment.from + moment.to) / 2)
    this.element.classList.toggle('bare', !frame)
    if (frame && this.#image.dataset.address !== frame.url) {
      this.#image.classList.remove('shown')
      fill(this.#image, frame.url)
    }
    say(this.#when, clock(moment && !exact ? moment.from : at))
    say(this.#what, moment ? [moment.caption, moment.transcript].filter(Boolean).join(' ') || duration(moment.to - moment.from) : gap ? `nothing: ${gap.reason}` : 'nothing remembered')
    this.element.hidden = false
    const half = this.element.offsetWidth / 2
    this.element.style.left = `${Math.min(Math.max(x, half), width - half)}px`
  }

  hide() {
    this.element.hidden = true
  }
}

/** Bars for events (merged ones hollow), hatching for gaps, a lighter end for what goes on. */
function drawBars(canvas, width, { x, from, to, moments, gaps, proof, shown, open }) {
  const scale = devicePixelRatio || 1
  const height = 14
  if (canvas.width !== Math.round(width * scale)) {
    canvas.width = Math.round(width * scale)
    canvas.height = height * scale
  }
  const pen = canvas.getContext('2d')
  const style = getComputedStyle(canvas)
  const colour = (name) => style.getPropertyValue(name)
  pen.setTransform(scale, 0, 0, scale, 0, 0)
  pen.clearRect(0, 0, width, height)
  const block = (a, b, paint, inset = 2) => {
    const left = Math.max(-4, x(a))
    pen.fillStyle = colour(paint)
    pen.beginPath()
    pen.roundRect(left + 0.5, inset, Math.max(1.5, Math.min(width + 4, x(b)) - left - 1), height - 2 * inset, 2.5)
    pen.fill()
  }
  for (const gap of gaps) if (gap.to > from && gap.from < to) hatch(pen, x(gap.from), x(gap.to), height, colour('--faint'))
  for (const one of moments) {
    if (one.to < from || one.from > to) continue
    const paint = shown?.id === one.id ? '--accent' : proof.has(one.id) ? '--proof' : one.merged > 1 ? '--bar-coarse' : '--bar'
    block(one.from, Math.max(one.to, one.from + 1), paint, one.merged > 1 ? 4.5 : 2)
    for (const said of one.speech) block(Date.parse(said.start), Date.parse(said.end), '--speech', 10)
  }
  if (open) block(open[0], open[1], '--bar-open', 4.5)
}

function hatch(pen, left, right, height, paint) {
  pen.save()
  pen.beginPath()
  pen.rect(left, 3, right - left, height - 6)
  pen.clip()
  pen.strokeStyle = paint
  pen.lineWidth = 1
  pen.beginPath()
  for (let at = Math.floor(Math.max(left, -20) / 6) * 6; at < Math.min(right, 6000) + height; at += 6) {
    pen.moveTo(at, height)
    pen.lineTo(at + height, 0)
  }
  pen.stroke()
  pen.restore()
}

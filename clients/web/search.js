/** Searching memory by words, in one stream or in all of them; results lie over the view until they are left. */

import { button, h, icon, say } from './dom.js'
import { asMoment, nearestFrame } from './moments.js'
import { storedPicture } from './picture.js'
import { call, listStreams, path } from './server.js'
import { SECOND, duration, moment as momentText } from './times.js'

const PAUSE_MS = 250
const EACH = 24

/** Tells of `pick` (detail {stream, moment, at}). scope: gives the id of the stream that is looked at, or ''. */
export class Search extends EventTarget {
  #scope
  #box = h('input', { type: 'text', id: 'find', placeholder: 'Search memory', autocomplete: 'off', spellcheck: 'false', enterkeyhint: 'search' })
  #about = h('p', { role: 'status' })
  #list = h('ul', { class: 'found' })
  #timer = 0
  #turn = 0

  constructor(place, scope) {
    super()
    this.#scope = scope
    const close = button('Close the search', 'close', () => this.close(), { quiet: true })
    this.panel = h('section', { class: 'results', hidden: true, 'aria-label': 'Found in memory' }, h('div', { class: 'bar' }, this.#about, close), this.#list)
    place.append(h('label', { for: 'find', class: 'hidden' }, 'Search memory'), icon('search'), this.#box)
    document.querySelector('main').before(this.panel)
    this.#box.addEventListener('input', () => {
      clearTimeout(this.#timer)
      this.#timer = setTimeout(() => this.#search(), PAUSE_MS)
    })
    this.#box.addEventListener('keydown', (event) => {
      if (event.key === 'Escape') this.close()
      else if (event.key === 'Enter') this.#search()
      else if (event.key === 'ArrowDown') this.#list.querySelector('button')?.focus()
    })
    this.panel.addEventListener('keydown', (event) => event.key === 'Escape' && this.close())
  }

  focus() {
    this.#box.focus()
  }

  /** Away with words and results. */
  close() {
    this.#turn += 1
    clearTimeout(this.#timer)
    this.#box.value = ''
    this.panel.hidden = true
    this.#list.replaceChildren()
  }

  async #search() {
    clearTimeout(this.#timer)
    const words = this.#box.value.trim()
    const turn = (this.#turn += 1)
    if (!words) {
      this.panel.hidden = true
      return
    }
    this.panel.hidden = false
    say(this.#about, 'Searching')
    let found = []
    let problem = ''
    try {
      const scope = this.#scope()
      const ids = scope ? [scope] : (await listStreams()).filter((one) => one.memory.events > 0).map((one) => one.id)
      const pages = await Promise.all(ids.map((id) => call('GET', path('streams', id, 'events'), { query: { q: words, limit: EACH } })))
      found = pages.flatMap((page) => page.events).sort((a, b) => b.score - a.score).slice(0, EACH).map(asMoment)
    } catch (error) {
      problem = error.message
    }
    if (turn === this.#turn) this.#show(words, found, problem)
  }

  #show(words, found, problem) {
    const where = this.#scope() ? `in ${this.#scope()}` : 'in all streams'
    say(this.#about, problem || (found.length ? `Likest “${words}” ${where}, best first` : `Nothing is remembered ${where}`))
    this.#list.replaceChildren(...found.map((moment) => this.#result(moment)))
  }

  #result(moment) {
    const frame = nearestFrame(moment, (moment.from + moment.to) / 2)
    const text = [moment.caption, moment.transcript].filter(Boolean).join(' ')
    const pick = () => {
      this.close()
      this.dispatchEvent(new CustomEvent('pick', { detail: { stream: moment.stream, moment, at: frame?.at ?? moment.from } }))
    }
    return h('li', {}, h(
      'button', { type: 'button', onclick: pick },
      frame ? storedPicture(frame.url, '') : h('i', {}),
      h('span', { class: 'line' }, h('b', {}, momentText(moment.from)), h('span', {}, [moment.stream, moment.to - moment.from >= SECOND && duration(moment.to - moment.from)].filter(Boolean).join(', '))),
      text && h('span', { class: 'said', title: text }, text),
    ))
  }
}

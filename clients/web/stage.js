/** The large picture of a stream: live, or a remembered moment. */

import { button, h, icon, say } from './dom.js'
import { LivePicture, fill, storedPicture } from './picture.js'
import { nearestFrame } from './moments.js'
import { clock, duration, moment as momentText, until } from './times.js'

/**
 * Tells of `live` (back to it), `step` (detail -1 or 1: the moment before or after), `frame` (another picture of this
 * one) and `ask` (about this moment).
 */
export class Stage extends EventTarget {
  #picture
  #image = storedPicture('', '')
  #caption = h('p', { class: 'caption' })
  #when = h('p', { class: 'when' })
  #frames = h('div', { class: 'frames', role: 'group', 'aria-label': 'Pictures of this moment' })
  #past
  #waiting
  #moment = null
  #frame = null

  constructor(stream) {
    super()
    this.#picture = new LivePicture(`Live picture of ${stream}`)
    this.#image.classList.add('large')
    const tell = (type, detail) => this.dispatchEvent(new CustomEvent(type, { detail }))
    this.#past = h(
      'div', { class: 'past', hidden: true },
      h('div', { class: 'told' }, this.#when, this.#caption),
      this.#frames,
      h(
        'div', { class: 'steps' },
        button('Moment before', 'back', () => tell('step', -1), { quiet: true }),
        button('Moment after', 'next', () => tell('step', 1), { quiet: true }),
        button('About this moment', 'search', () => tell('ask')),
        button('Back to live', null, () => tell('live'), { class: 'back' }),
      ),
    )
    this.#waiting = h('p', { class: 'waiting' }, icon('camera'), h('span', {}, 'Waiting for the first picture'))
    this.element = h(
      'figure', { class: 'stage' },
      h('div', { class: 'screen' }, this.#waiting, this.#picture.element, this.#image),
      this.#past,
    )
  }

  get moment() {
    return this.#moment
  }

  /** A live frame came. */
  live(frame) {
    this.#waiting.hidden = true
    this.#picture.show(frame)
  }

  /** Why there is no picture, while there is none. */
  wait(text) {
    say(this.#waiting.lastChild, text)
  }

  /** Show what is remembered of a moment, at the picture nearest to `at`; null: live again. */
  show(moment, at = moment?.to) {
    this.#moment = moment
    this.element.classList.toggle('remembering', moment !== null)
    this.#past.hidden = moment === null
    if (moment === null) {
      this.#image.removeAttribute('src')
      this.#image.classList.remove('shown')
      return
    }
    this.#show(nearestFrame(moment, at))
  }

  #show(frame) {
    const moment = this.#moment
    this.#frame = frame
    if (frame) fill(this.#image, frame.url)
    this.#image.alt = frame ? `Remembered picture of ${momentText(frame.at)}` : ''
    say(this.#when, `${momentText(moment.from)}${until(moment)}${merged(moment)}`)
    say(this.#caption, [moment.caption, moment.transcript && `“${moment.transcript}”`].filter(Boolean).join(' '))
    this.#caption.title = this.#caption.textContent
    this.#frames.replaceChildren(...moment.frames.map((one) => this.#dot(one)))
    this.dispatchEvent(new CustomEvent('frame', { detail: frame?.at ?? moment.from }))
  }

  #dot(frame) {
    const here = frame === this.#frame
    return h('button', {
      type: 'button', class: 'dot', 'aria-label': `Picture of ${clock(frame.at)}`, 'aria-pressed': String(here),
      onclick: () => {
        this.#show(frame)
        this.#frames.querySelector('[aria-pressed="true"]')?.focus()
      },
    })
  }
}

/** How coarse a moment is, where it is several that were merged. */
export function merged(moment) {
  if (moment.merged <= 1) return ''
  return `, ${moment.merged} moments merged into ${duration(moment.to - moment.from)}`
}

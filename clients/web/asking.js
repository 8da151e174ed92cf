/** Questions to a stream and their answers, as they come, with the moments that prove them. */

import { button, h, say } from './dom.js'
import { storedPicture } from './picture.js'
import { clock, duration, moment as momentText, parse, until } from './times.js'

const IDEAS = ['Describe what you see.', 'What happened in the last minute?', 'What changed?']
const FINISH = { length: 'The answer was cut off at its greatest length.', not_covered: 'Memory does not cover that time.' }

/** Tells of `proof` (detail: evidence that was clicked) and `answered` (detail: Answer). live: the stream's connection. */
export class Asking extends EventTarget {
  #live
  #conversation = ''
  #range = null
  #open = 0
  #log = h('div', { class: 'log', role: 'log', 'aria-label': 'Answers', 'aria-busy': 'false', tabindex: '0' })
  #box = h('textarea', {
    id: 'ask', rows: '1', maxlength: '8000', placeholder: 'About now, or about the past', autocomplete: 'off', enterkeyhint: 'send',
  })
  #chip = h('p', { class: 'range', hidden: true })

  constructor(live) {
    super()
    this.#live = live
    this.clear()
    const form = h(
      'form', { class: 'asking', onsubmit: (event) => this.#submit(event) },
      this.#chip,
      h('div', { class: 'askbox' },
        h('label', { for: 'ask', class: 'hidden' }, 'Ask'), this.#box, button('Send', 'send', null, { quiet: true, type: 'submit' })),
    )
    this.element = h('section', { class: 'answers card', 'aria-label': 'Questions' }, this.#log, form)
    this.#box.addEventListener('keydown', (event) => {
      if (event.key === 'Enter' && !event.shiftKey && !event.isComposing) this.#submit(event)
    })
    this.#box.addEventListener('input', () => this.#grow())
  }

  /** Nothing was asked: as at the beginning, and after something was forgotten, of which answers and evidence may tell. */
  clear() {
    this.#conversation = crypto.randomUUID?.() ?? String(Math.random())
    const ideas = IDEAS.map((idea) => button(idea, null, () => this.#ask(idea)))
    const told = h('p', {}, 'Ask anything that this stream has seen or heard.')
    this.#log.replaceChildren(h('div', { class: 'hint' }, told, h('div', { class: 'ideas' }, ideas)))
  }

  /** The next questions are about this stretch of time; null: about anything. */
  about(moment) {
    this.#range = moment && { since: moment.start, until: new Date(moment.to + 1).toISOString() }
    this.#chip.hidden = !moment
    if (!moment) return
    const text = `Only ${momentText(moment.from)}${until(moment)}`
    this.#chip.replaceChildren(h('span', {}, text), button('Ask about any time', 'close', () => this.about(null), { quiet: true }))
    this.#box.focus()
  }

  #grow() {
    this.#box.style.height = 'auto'
    this.#box.style.height = `${Math.min(160, this.#box.scrollHeight)}px`
  }

  #submit(event) {
    event.preventDefault()
    const question = this.#box.value.trim()
    if (!question) return
    this.#box.value = ''
    this.#grow()
    this.#ask(question)
  }

  async #ask(question) {
    this.#log.querySelector('.hint')?.remove()
    const text = h('p', { class: 'text' })
    const below = h('div', { class: 'below' })
    const entry = h('article', { class: 'answer waiting' }, h('p', { class: 'question' }, question), text, below)
    this.#log.append(entry)
    this.#busy(1)
    this.#scroll()
    try {
      const answer = await this.#live.ask(question, { ...this.#range, conversation: this.#conversation }, (piece) => {
        entry.classList.remove('waiting')
        text.append(piece)
        this.#scroll()
      })
      this.#finish(text, below, answer)
      this.dispatchEvent(new CustomEvent('answered', { detail: answer }))
    } catch (error) {
      entry.classList.add('failed')
      below.append(h('p', { class: 'problem' }, error.message), button('Ask again', null, () => this.#again(entry, question)))
    }
    entry.classList.remove('waiting')
    this.#busy(-1)
    this.#scroll()
  }

  #again(entry, question) {
    entry.remove()
    this.#ask(question)
  }

  #busy(change) {
    this.#open += change
    this.#log.setAttribute('aria-busy', String(this.#open > 0))
  }

  #scroll() {
    this.#log.scrollTop = this.#log.scrollHeight
  }

  #finish(text, below, answer) {
    say(text, answer.answer.trim() || '(no answer)')
    if (FINISH[answer.finish_reason]) below.append(h('p', { class: 'finish' }, FINISH[answer.finish_reason]))
    if (answer.evidence.length) below.append(this.#evidence(answer.evidence))
    below.append(details(answer))
  }

  #evidence(evidence) {
    const one = (proof) => h('li', {}, h(
      'button', { type: 'button', 'aria-label': `Evidence of ${momentText(parse(proof.start))}`, onclick: () => this.dispatchEvent(new CustomEvent('proof', { detail: proof })) },
      storedPicture(proof.frame, ''), h('span', {}, clock(parse(proof.start))),
    ))
    return h('ul', { class: 'evidence', 'aria-label': 'Evidence' }, evidence.map(one))
  }
}

/** Staleness and time in a line; all the rest behind it. */
function details(answer) {
  const { timing, coverage, usage } = answer
  const stale = answer.staleness_ms === null ? 'from memory alone' : `newest picture ${duration(answer.staleness_ms)} old`
  const rows = [
    ['First word', timing.ttft_ms], ['Waiting', timing.queue_ms], ['Recall', timing.recall_ms], ['Reading', timing.prefill_ms],
    ['In all', timing.total_ms],
  ].map(([name, ms]) => [name, ms < 1000 ? `${Math.round(ms)} ms` : duration(ms)])
  rows.push(['Tokens', `${usage.input_tokens} read, ${usage.output_tokens} written`], ['Coverage', covered(coverage)])
  return h(
    'details', { class: 'facts' },
    h('summary', {}, `${duration(timing.total_ms)}, ${stale}`),
    h('dl', {}, rows.map(([name, value]) => [h('dt', {}, name), h('dd', {}, value)])),
  )
}

function covered({ covered: how, start, end, gaps, grain_ms: grain }) {
  const parts = [{ full: 'all of the asked time', partial: 'a part of the asked time', none: 'none of the asked time' }[how]]
  if (start) parts.push(`memory spans ${momentText(parse(start))} to ${momentText(parse(end))}`)
  for (const gap of gaps.slice(-3)) parts.push(`gap ${clock(parse(gap.start))} to ${clock(parse(gap.end))}: ${gap.reason}`)
  if (grain > 0) parts.push(`grain ${duration(grain)}`)
  return parts.join('; ')
}

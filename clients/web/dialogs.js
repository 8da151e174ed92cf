/** What is asked for in a dialog: a camera's address, the key, what to forget. Each resolves once it is closed. */

import { button, field, h, say, unique } from './dom.js'
import { addStream, call, currentKey, forgetPictures, giveKey, listEvents, path } from './server.js'
import { clock, count, moment as momentText } from './times.js'

const MOST = 1000

/** A modal dialog with a title; resolves with what `close` is given. */
function open(title, build, properties = {}) {
  return new Promise((resolve) => {
    const heading = unique('dialog')
    const dialog = h('dialog', { 'aria-labelledby': heading, ...properties })
    let outcome = null
    const close = (value = null) => {
      outcome = value
      dialog.close()
    }
    dialog.append(h('h2', { id: heading }, title), ...build(close))
    dialog.addEventListener('close', () => {
      dialog.remove()
      resolve(outcome)
    })
    dialog.addEventListener('click', (event) => event.target === dialog && close())
    document.body.append(dialog)
    dialog.showModal()
  })
}

/** A form whose errors are told inside it; `act` runs when it is sent. */
function form(fields, submit, close, act) {
  const problem = h('p', { class: 'problem', role: 'alert' })
  const send = button(submit, null, null, { type: 'submit', class: 'strong' })
  const element = h('form', { method: 'dialog' }, fields, problem, h('div', { class: 'ends' }, button('Cancel', null, () => close()), send))
  element.addEventListener('submit', async (event) => {
    event.preventDefault()
    send.disabled = true
    say(problem, '')
    try {
      close(await act())
    } catch (error) {
      say(problem, error.message)
    }
    send.disabled = false
  })
  return element
}

/** Add a camera: the new stream's id, or null. The address goes to the server and is not kept here. */
export function addCamera() {
  return open('Add a camera', (close) => {
    const url = h('input', { type: 'url', required: true, placeholder: 'rtsp://user:password@192.0.2.7/stream', autocomplete: 'off', spellcheck: 'false' })
    const name = h('input', { type: 'text', required: true, pattern: '[A-Za-z0-9][A-Za-z0-9._\\-]{0,63}', placeholder: 'door', autocomplete: 'off', spellcheck: 'false' })
    name.title = 'Letters, digits, dot, hyphen and underscore; the first a letter or digit'
    const fields = [
      field('Camera URL', url, 'RTSP, with user and password if it wants them. They are never shown again.'),
      field('Name', name, 'Letters, digits, dot, hyphen, underscore.'),
    ]
    return [form(fields, 'Add', close, async () => {
      const source = { url: url.value.trim(), ...(url.value.startsWith('file:') ? { pace: 'real' } : {}) }
      return (await addStream(name.value.trim(), source)).id
    })]
  })
}

const KEY_TOLD = {
  wanted: ['This server wants a key', ['Make one on the server with ', h('code', {}, 'omnilive keys create NAME'), '.']],
  refused: ['This server wants a key', ['The server does not know this key. Try another.']],
  used: ['The key of this tab', ['This tab sends a key with all that it asks. Give another, or have it forgotten here.']],
  none: ['The key of this tab', ['This tab sends no key. A server that has keys asks for one.']],
}

/** The key: `why` is wanted or refused by the server, or '' where the person opened it. Resolves with whether one was given. */
export function askKey(why) {
  const now = why || (currentKey() ? 'used' : 'none')
  const [title, told] = KEY_TOLD[now]
  return open(title, (close) => {
    const key = h('input', { type: 'password', required: true, autocomplete: 'off', spellcheck: 'false', placeholder: 'ol_…' })
    const keep = h('input', { type: 'checkbox' })
    keep.checked = true
    const fields = [
      h('p', now === 'refused' ? { class: 'problem', role: 'alert' } : {}, ...told),
      field('API key', key),
      h('label', { class: 'check' }, keep, h('span', {}, 'Keep it until this tab is closed')),
      now === 'used' && button('Forget the key', 'forget', () => close(giveKey('', false)), { class: 'plain' }),
    ]
    return [form(fields, 'Use this key', close, async () => {
      giveKey(key.value, keep.checked)
      return true
    })]
  })
}

const RANGES = [['-1m', 'The last minute'], ['-10m', 'The last 10 minutes'], ['-1h', 'The last hour'], ['-1d', 'The last day']]

/**
 * Forget a part of a stream's memory. The dialog is the second asking: what is chosen is counted before it goes.
 * now: the stream's own time in milliseconds; moment: one that is looked at, or null. Resolves with
 * {removed, deleted, text} or null.
 */
export function forget(stream, now, moment) {
  const choices = [
    ...(moment ? [['moment', `This moment, ${momentText(moment.from)}`]] : []), ...RANGES,
    ['between', 'Between two times'], ['all', 'All that is remembered of this stream'], ['stream', 'All, and the stream with it'],
  ]
  return open(`Forget from ${stream}`, (close) => {
    const chosen = h('select', {}, choices.map(([value, text]) => h('option', { value }, text)))
    chosen.value = moment ? 'moment' : '-10m'
    const since = h('input', { type: 'datetime-local', step: '1', value: local(now - 600_000) })
    const until = h('input', { type: 'datetime-local', step: '1', value: local(now) })
    const between = h('div', { class: 'between' }, field('From', since), field('To', until))
    const warning = h('p', { class: 'warning', role: 'status' })
    const range = () => rangeOf(chosen.value, { now, moment, since: since.value, until: until.value })
    let turn = 0
    const tell = async () => {
      between.hidden = chosen.value !== 'between'
      const mine = (turn += 1)
      const text = await consequence(stream, chosen.value, range())
      if (mine === turn) say(warning, text)
    }
    for (const one of [chosen, since, until]) one.addEventListener('input', tell)
    tell()
    const fields = [field('What', chosen), between, warning]
    const done = form(fields, 'Forget', close, () => act(stream, chosen.value, range(), moment))
    done.classList.add('forgetting')
    return [done]
  }, { class: 'grave' })
}

function local(ms) {
  return new Date(ms - new Date(ms).getTimezoneOffset() * 60_000).toISOString().slice(0, 19)
}

/** [from, to) in milliseconds; null: without a range. */
function rangeOf(choice, { now, moment, since, until }) {
  if (choice === 'all' || choice === 'stream') return null
  if (choice === 'moment') return [moment.from, moment.to + 1]
  if (choice === 'between') return [new Date(since).getTime(), new Date(until).getTime() + 1000]
  const minutes = { '-1m': 1, '-10m': 10, '-1h': 60, '-1d': 1440 }[choice]
  return [now - minutes * 60_000, now + 1000]
}

async function consequence(stream, choice, range) {
  if (choice === 'stream') return 'The stream stops, and all that is remembered of it is lost for ever.'
  if (choice === 'moment') return 'This moment, its pictures and what was said in it are lost for ever.'
  if (choice === 'all') return 'All moments of this stream are lost for ever.'
  if (Number.isNaN(range[0]) || Number.isNaN(range[1]) || range[0] >= range[1]) return 'Choose a beginning before the end.'
  try {
    const { events } = await listEvents(stream, { since: range[0], until: range[1], most: MOST })
    const number = events.length === MOST ? `${MOST} moments or more` : count(events.length, 'moment')
    return `${number} and what is being watched just now, as far as it lies there, are lost for ever. Moments that reach into the range go whole.`
  } catch (error) {
    return error.message
  }
}

async function act(stream, choice, range, moment) {
  try {
    if (choice === 'stream') {
      await call('DELETE', path('streams', stream))
      return { removed: true, text: `${stream} and its memory are gone.` }
    }
    if (choice === 'moment') {
      await call('DELETE', path('streams', stream, 'events', moment.id))
      return { removed: false, text: `The moment of ${clock(moment.from)} is forgotten.` }
    }
    const query = range && { since: new Date(range[0]).toISOString(), until: new Date(range[1]).toISOString() }
    const { deleted } = await call('DELETE', path('streams', stream, 'memory'), { query: query ?? {} })
    return { removed: false, text: `${count(deleted.events, 'moment')} forgotten.` }
  } finally {
    forgetPictures(stream)
  }
}

/** The page's frame: which view is shown, the two ways to add a stream, the search, the key, whether the server is there. */

import { addCamera, askKey } from './dialogs.js'
import { button, h, say } from './dom.js'
import { homeView } from './home.js'
import { Search } from './search.js'
import { sender } from './sender.js'
import { keyring } from './server.js'
import { watchView } from './watch.js'

const SAID_MS = 6000
const AWAY_EVERY_MS = 2000

const main = document.querySelector('main')
const notice = document.querySelector('.notice')
const bar = document.querySelector('.actions')
let view = null
let asking = false
let picked = null

// ------------------------------------------------------------ what is told

let hiding = 0

/** One line to the person; `stay` until something else is told. */
function tell(text, stay = false) {
  clearTimeout(hiding)
  say(notice, text)
  notice.hidden = text === ''
  if (!stay) hiding = setTimeout(() => (notice.hidden = true), SAID_MS)
}

// ------------------------------------------------------------ the two ways to add a stream

const webcam = button('Use my webcam', 'camera', useWebcam, { class: 'strong' })
const camera = button('Add camera', 'plus', async () => {
  const id = await addCamera()
  if (id) location.hash = `#/s/${encodeURIComponent(id)}`
})
const adding = h('div', { class: 'adding' }, webcam, camera)
const sendingLink = h('a', { class: 'sending-link', hidden: true }, h('i', { 'aria-hidden': 'true' }), 'Sending')
bar.append(sendingLink, adding, button('Key', 'key', () => wantKey(''), { quiet: true, class: 'key' }))

const actions = {
  /** Put the buttons into a view that has nothing else to show, or back (null). */
  move(place) {
    if ((place ?? bar) === adding.parentElement) return
    if (place) place.append(adding)
    else sendingLink.after(adding)
  },
}

async function useWebcam() {
  webcam.disabled = true
  try {
    location.hash = `#/s/${encodeURIComponent(sender.active ? sender.stream : await sender.start())}`
  } catch (error) {
    tell(error.message)
  }
  webcam.disabled = false
}

sender.addEventListener('changed', () => {
  sendingLink.hidden = !sender.active || !sender.stream
  sendingLink.href = `#/s/${encodeURIComponent(sender.stream)}`
  sendingLink.dataset.state = sender.state
  if (sender.state === 'failed') tell(sender.problem)
})

// ------------------------------------------------------------ the key

async function wantKey(why) {
  if (asking) return
  asking = true
  await askKey(why)
  asking = false
}

keyring.addEventListener('key', ({ detail }) => wantKey(detail ? 'refused' : 'wanted'))
keyring.addEventListener('changed', () => show())

// ------------------------------------------------------------ views

const search = new Search(document.querySelector('.find'), () => streamOf(location.hash))
search.addEventListener('pick', ({ detail }) => {
  if (streamOf(location.hash) === detail.stream) view.pick(detail.moment, detail.at)
  else {
    picked = detail
    location.hash = `#/s/${encodeURIComponent(detail.stream)}`
  }
})

function streamOf(hash) {
  const [, stream] = hash.match(/^#\/s\/([^/]+)$/) ?? []
  return stream ? decodeURIComponent(stream) : ''
}

function show() {
  view?.close()
  search.close()
  actions.move(null)
  const stream = streamOf(location.hash)
  const shared = { tell, actions, onStreams: () => {} }
  view = stream ? watchView(stream, shared) : homeView(shared)
  main.replaceChildren(view.element)
  document.title = `${view.title} · OmniLive`
  if (picked && picked.stream === stream) view.pick(picked.moment, picked.at)
  picked = null
}

addEventListener('hashchange', () => {
  show()
  scrollTo(0, 0)
  main.focus({ preventScroll: true })
})
addEventListener('keydown', (event) => {
  const typing = event.target.closest?.('input, textarea, select, dialog')
  if (event.key !== '/' || typing || event.ctrlKey || event.metaKey) return
  event.preventDefault()
  search.focus()
})

// ------------------------------------------------------------ is the server there?

const AWAY = 'The server is away. This page goes on once it is back.'
let missing = ''
let told = false

/** Why the server takes no work now; '' where it does. */
async function trouble() {
  try {
    const response = await fetch('/readyz')
    if (response.ok) return ''
    const { stages } = await response.json()
    const busy = Object.entries(stages).filter(([, state]) => state !== 'ready').map(([name]) => name)
    return `The server is getting ready${busy.length ? `: ${busy.join(', ')}` : ''}.`
  } catch {
    return AWAY
  }
}

/** What lasts no longer than from one look to the next is not worth a word. */
async function look() {
  const now = await trouble()
  if (now === AWAY || (now && missing)) {
    tell(now, true)
    told = true
  } else if (!now && told) {
    tell('The server is back.')
    told = false
    view.refresh?.()
  }
  missing = now
}

setInterval(() => document.hidden || look(), AWAY_EVERY_MS)

show()
look()
sender.resume().catch(() => {})

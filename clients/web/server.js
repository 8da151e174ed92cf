/** The server's REST interface: the key, requests, refusals as `Refused`, pictures fetched with the key. */

const KEY = 'omnilive.key'
const MOST_PICTURES = 400
const AT_ONCE = 4

/** The server said no, or (status 0) nobody answered. */
export class Refused extends Error {
  constructor(status, code, message, param = null) {
    super(message)
    this.status = status
    this.code = code
    this.param = param
  }
}

/** Tells of `key` when a key is wanted or refused, and of `changed` when another one is given. */
export const keyring = new EventTarget()
let key = sessionStorage.getItem(KEY) ?? ''

/** The key that is sent with every request: '' where there is none. It never becomes part of an address. */
export function currentKey() {
  return key
}

/** Take a key; keep: in this tab's session storage, else only until the page is left. */
export function giveKey(value, keep) {
  key = value.trim()
  if (keep && key) sessionStorage.setItem(KEY, key)
  else sessionStorage.removeItem(KEY)
  keyring.dispatchEvent(new Event('changed'))
}

/** The sub-protocols of a websocket: a browser cannot send a header with it. */
export function protocols() {
  return key ? ['omnilive.v1', `omnilive.key.${key}`] : ['omnilive.v1']
}

/** The path of something under /v1, each part quoted. */
export function path(...parts) {
  return `/v1/${parts.map(encodeURIComponent).join('/')}`
}

/** One request: its JSON, or null where the server answers nothing. Throws Refused. */
export async function call(method, address, { query = {}, body, signal } = {}) {
  const response = await send(method, address, { query, body, signal })
  const text = await response.text()
  return text ? JSON.parse(text) : null
}

async function send(method, address, { query = {}, body, signal }) {
  const given = Object.entries(query).filter(([, value]) => value !== undefined && value !== null)
  const asked = given.length ? `${address}?${new URLSearchParams(given)}` : address
  const headers = {}
  const used = key
  if (key) headers.Authorization = `Bearer ${key}`
  if (body !== undefined) headers['Content-Type'] = 'application/json'
  let response
  try {
    response = await fetch(asked, { method, headers, body: body && JSON.stringify(body), signal })
  } catch (error) {
    if (error.name === 'AbortError') throw error
    throw new Refused(0, 'unreachable', 'The server does not answer.')
  }
  if (!response.ok) throw await refusal(response, used)
  return response
}

async function refusal(response, used) {
  let error = { code: 'bad_answer', message: `The server answered ${response.status}.` }
  try {
    error = (await response.json()).error
  } catch {
    // What answers there is no server of ours: its status says all that is known.
  }
  // A request from before the key was given says nothing about the one that is used now.
  if (response.status === 401 && used === key) keyring.dispatchEvent(new CustomEvent('key', { detail: key !== '' }))
  return new Refused(response.status, error.code, error.message, error.param)
}

/** All streams, by id. */
export async function listStreams() {
  return (await call('GET', '/v1/streams', { query: { limit: 1000 } })).streams
}

/** Add a stream: "at 10:15" in a question about it is meant by this browser's clock. Throws Refused. */
export async function addStream(id, source) {
  const body = { id, source, time_zone: Intl.DateTimeFormat().resolvedOptions().timeZone }
  try {
    return await call('POST', '/v1/streams', { body })
  } catch (error) {
    // A zone that the server has no name for is no reason to have no stream.
    if (error.param !== 'time_zone') throw error
    return call('POST', '/v1/streams', { body: { id, source } })
  }
}

/** Events of [since, until) in milliseconds since 1970, newest first, at most `most`; and the gaps of that range. */
export async function listEvents(stream, { since, until, q, most = 1000 }) {
  const query = { since: since && new Date(since).toISOString(), until: until && new Date(until).toISOString(), q }
  const found = { events: [], gaps: [] }
  let cursor
  do {
    const limit = Math.min(1000, most - found.events.length)
    const page = await call('GET', path('streams', stream, 'events'), { query: { ...query, limit, cursor } })
    found.events.push(...page.events)
    found.gaps.push(...page.gaps)
    cursor = page.next_cursor
  } while (cursor && found.events.length < most)
  return found
}

// ------------------------------------------------------------ pictures

const pictures = new Map()
const waiting = []
let loading = 0

/** A stored frame as an address of this page's own memory; the least recently used go. Throws Refused. */
export function picture(address) {
  const known = pictures.get(address)
  if (known) {
    pictures.delete(address)
    pictures.set(address, known)
    return known
  }
  const fetched = new Promise((resolve, reject) => waiting.push({ address, resolve, reject }))
  fetched.catch(() => pictures.delete(address))
  pictures.set(address, fetched)
  if (pictures.size > MOST_PICTURES) drop(pictures.keys().next().value)
  load()
  return fetched
}

/** Says `elsewhere`, with the stream, when something of it was forgotten in another tab of this browser. */
export const forgetting = new EventTarget()

const tabs = new BroadcastChannel('omnilive.forgotten')
tabs.onmessage = ({ data }) => {
  dropAll(data)
  forgetting.dispatchEvent(new CustomEvent('elsewhere', { detail: data }))
}

/** What was forgotten is gone from here too, and from the other tabs, whatever they show. */
export function forgetPictures(stream) {
  dropAll(stream)
  tabs.postMessage(stream)
}

function dropAll(stream) {
  for (const address of [...pictures.keys()]) if (address.startsWith(`${path('streams', stream)}/`)) drop(address)
}

function drop(address) {
  const gone = pictures.get(address)
  pictures.delete(address)
  gone.then((url) => URL.revokeObjectURL(url)).catch(() => {})
}

/** Few at once: a browser has six connections to a server, and questions want some of them. The newest wish first. */
async function load() {
  if (loading >= AT_ONCE || waiting.length === 0) return
  const { address, resolve, reject } = waiting.pop()
  loading += 1
  try {
    const response = await send('GET', address, {})
    resolve(URL.createObjectURL(await response.blob()))
  } catch (error) {
    reject(error)
  } finally {
    loading -= 1
    load()
  }
}

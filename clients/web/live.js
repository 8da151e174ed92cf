/** The live websocket of a stream: what happens to it, its frames, questions, media. One for all views of a tab. */

import { Refused, call, keyring, path, protocols } from './server.js'

const FIRST_PAUSE_MS = 400
const LONGEST_PAUSE_MS = 8000
const GONE = new Set([403, 404])

const open = new Map()

/** The shared connection of a stream; every `connect` wants one `release`. */
export function connect(stream) {
  if (!open.has(stream)) open.set(stream, new Live(stream))
  const live = open.get(stream)
  live.users += 1
  return live
}

/** How long to wait before try number `n` (from 0); spread, so that many pages do not come back at once. */
export function pauseMs(n, random = Math.random) {
  return Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** n) * (0.75 + random() / 2)
}

/**
 * Events: `state` (detail: Stream), `event` (Event), `frame` ({time, jpeg}), `open`, `lost`, `gone` (Refused).
 * A lost connection is made again, with topics and media as they were; questions end with an error.
 */
export class Live extends EventTarget {
  users = 0
  connected = false
  stream
  #topics = new Map()
  #media = new Map()
  #questions = new Map()
  #socket = null
  #tries = 0
  #timer = 0
  #frame = null
  #asked = 0
  #closed = false

  constructor(stream) {
    super()
    this.id = stream
    this.stream = null
    keyring.addEventListener('changed', this.#again)
    this.#dial()
  }

  /** A view needs it no more. */
  release() {
    this.users -= 1
    if (this.users > 0) return
    this.#closed = true
    open.delete(this.id)
    keyring.removeEventListener('changed', this.#again)
    clearTimeout(this.#timer)
    this.#socket?.close()
  }

  /** What `who` wants to be told of; [] for nothing any more. */
  follow(who, topics) {
    this.#topics.set(who, topics)
    if (topics.length === 0) this.#topics.delete(who)
    this.#subscribe()
  }

  /** Bytes that wait to be sent. */
  get waiting() {
    return this.#socket?.bufferedAmount ?? 0
  }

  /** What the binary messages of a track are. */
  declare(track, codec, more = {}) {
    this.#media.set(track, { type: 'media', track, codec, ...more })
    this.#say(this.#media.get(track))
  }

  /** No more media: the stream is offline once this connection is another one. */
  withdraw() {
    if (this.#media.size === 0) return
    this.#media.clear()
    const old = this.#socket
    this.#socket = null
    old?.close()
    if (!this.connected) return
    this.#lost()
    clearTimeout(this.#timer)
    this.#tries = 0
    this.#dial()
  }

  /** One picture or some sound; false where nobody takes it. timeUs: on one clock for all tracks. */
  push(track, timeUs, content) {
    if (!this.connected) return false
    const message = new Uint8Array(9 + content.byteLength)
    const lead = new DataView(message.buffer)
    lead.setUint8(0, track)
    lead.setBigInt64(1, BigInt(timeUs))
    message.set(new Uint8Array(content), 9)
    this.#socket.send(message)
    return true
  }

  /** Ask; onDelta takes pieces of the text. Resolves with the Answer. Throws Refused. */
  ask(question, options, onDelta) {
    const id = `p${(this.#asked += 1)}`
    return new Promise((resolve, reject) => {
      if (!this.connected) {
        reject(new Refused(0, 'unreachable', 'There is no connection to the server now.'))
        return
      }
      this.#questions.set(id, { onDelta, resolve, reject })
      this.#say({ type: 'ask', id, question, ...options })
    })
  }

  // ---------------------------------------------------------- inside

  #dial() {
    const address = new URL(path('streams', this.id, 'live'), location.href.replace(/^http/, 'ws'))
    address.hash = ''
    let socket
    try {
      socket = new WebSocket(address, protocols())
    } catch {
      // The key has characters that no sub-protocol may have.
      keyring.dispatchEvent(new CustomEvent('key', { detail: true }))
      return
    }
    socket.binaryType = 'arraybuffer'
    socket.onopen = () => this.#opened()
    socket.onmessage = (message) => this.#heard(message.data)
    socket.onclose = () => socket === this.#socket && this.#lost()
    this.#socket = socket
  }

  #opened() {
    this.connected = true
    this.#tries = 0
    this.#frame = null
    this.#subscribe()
    for (const one of this.#media.values()) this.#say(one)
    this.#tell('open')
  }

  #lost() {
    const was = this.connected
    this.connected = false
    for (const one of this.#questions.values()) {
      one.reject(new Refused(0, 'connection_lost', 'The connection was lost before the answer was complete.'))
    }
    this.#questions.clear()
    if (this.#closed) return
    if (was) this.#tell('lost')
    this.#timer = setTimeout(() => this.#retry(), pauseMs(this.#tries))
    this.#tries += 1
  }

  /** A browser does not tell why a websocket was refused: REST does. */
  async #retry() {
    try {
      await call('GET', path('streams', this.id))
    } catch (error) {
      if (this.#closed) return
      if (GONE.has(error.status)) this.#tell('gone', error)
      else if (error.status !== 401) this.#lost()
      return
    }
    if (!this.#closed) this.#dial()
  }

  /** With another key. */
  #again = () => {
    const old = this.#socket
    this.#socket = null
    old?.close()
    if (this.connected) this.#lost()
    clearTimeout(this.#timer)
    this.#tries = 0
    this.#retry()
  }

  #subscribe() {
    const topics = [...new Set([...this.#topics.values()].flat())]
    this.#say({ type: 'subscribe', topics })
  }

  #say(message) {
    if (this.connected) this.#socket.send(JSON.stringify(message))
  }

  #tell(type, detail = null) {
    this.dispatchEvent(new CustomEvent(type, { detail }))
  }

  #heard(data) {
    if (typeof data !== 'string') {
      if (this.#frame) this.#tell('frame', { time: this.#frame, jpeg: data })
      this.#frame = null
      return
    }
    const message = JSON.parse(data)
    if (message.type === 'frame') this.#frame = message.time
    else if (message.type === 'state') this.#stated(message.stream)
    else if (message.type === 'event') this.#tell('event', message.event)
    else this.#answered(message)
  }

  #stated(stream) {
    this.stream = { ...stream, heard: performance.now() }
    this.#tell('state', this.stream)
  }

  #answered(message) {
    const question = this.#questions.get(message.id)
    if (!question) {
      if (message.type === 'error') this.#tell('refused', new Refused(0, message.error.code, message.error.message))
      return
    }
    if (message.type === 'delta') {
      question.onDelta(message.text)
      return
    }
    this.#questions.delete(message.id)
    if (message.type === 'done') question.resolve(message.result)
    else question.reject(new Refused(0, message.error.code, message.error.message))
  }
}

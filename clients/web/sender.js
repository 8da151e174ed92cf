/** Sends a camera or a screen, and a microphone, of this machine into a push stream; less of it where the link is slow. */

import { connect } from './live.js'
import { Refused, addStream, call, listStreams, path } from './server.js'
import { parse } from './times.js'
import { Transit } from './transit.js'

const VIDEO = 0
const SOUND = 1
const KEPT = 'omnilive.sender'
/** So many bytes that wait are a link that does not keep up. */
const PILE = 384 * 1024
const SOUND_PILE = 2 * 1024 * 1024
const PATIENCE_MS = 20_000
/** So long a page that is loaded anew waits for its predecessor to be gone. */
const SUCCESSION_MS = 2000
/** A picture is sent as often as this however slow the link is: by it is known when it is no longer. */
const PROBE_MS = 2000
/** Sound that would come later than this is left out too. */
const SOUND_LATE_MS = 8000

export const RATES = [1, 2, 5, 10]
export const SIZES = [360, 480, 720, 1080]
const DEFAULTS = { kind: 'camera', camera: '', microphone: 'off', rate: 2, size: 720 }

const policy = globalThis.trustedTypes?.createPolicy('omnilive', { createScriptURL: (url) => url })

/** How much of the wanted size, quality and rate (every so many) is sent: down a step where pictures had to be left out, up after some calm. */
export class Ladder {
  static STEPS = [
    { scale: 1, quality: 0.82, every: 1 },
    { scale: 0.75, quality: 0.74, every: 1 },
    { scale: 0.5, quality: 0.66, every: 2 },
    { scale: 0.34, quality: 0.55, every: 3 },
  ]
  #at = 0
  #left = 0
  #since = 0

  get step() {
    return Ladder.STEPS[this.#at]
  }

  get slowed() {
    return this.#at > 0
  }

  /** A picture was left out (true) or sent, at `now` milliseconds. */
  took(leftOut, now) {
    if (leftOut) {
      this.#left += 1
      this.#since = now
      if (this.#left >= 2 && this.#at < Ladder.STEPS.length - 1) {
        this.#at += 1
        this.#left = 0
      }
    } else if (now - this.#since > PATIENCE_MS) {
      this.#left = 0
      this.#since = now
      this.#at = Math.max(0, this.#at - 1)
    }
  }
}

/**
 * The sender of this tab: there is at most one. Events: `changed` whenever what the getters tell has changed.
 * state: idle, starting, sending, unplugged (the device went; it is waited for), waiting (the server is away), failed.
 */
class Sender extends EventTarget {
  state = 'idle'
  stream = ''
  problem = ''
  settings = { ...DEFAULTS }
  sent = { width: 0, height: 0, pictures: 0, bytesPerSecond: 0, slowed: false }
  media = null
  #live = null
  #ladder = new Ladder()
  #transit = new Transit()
  #pushed = -Infinity
  #tick = 0
  #video = Object.assign(document.createElement('video'), { muted: true, playsInline: true })
  #canvas = document.createElement('canvas')
  #metronome = null
  #audio = null
  #grabbing = false
  #window = []
  #turn = 0
  #release = null

  constructor() {
    super()
    navigator.mediaDevices?.addEventListener('devicechange', () => {
      if (this.state === 'unplugged') this.#open()
      else this.#changed()
    })
  }

  get active() {
    return this.state !== 'idle' && this.state !== 'failed'
  }

  /**
   * Start with this machine's devices; `own` names the stream of before, if any, and `release` gives it back to other
   * tabs. Throws what stands in the way.
   */
  async start(own = '', settings = {}, release = null) {
    if (!navigator.mediaDevices) {
      throw new Error('A browser gives cameras only to pages from this machine (localhost) or over HTTPS.')
    }
    this.stop()
    this.#release = release
    this.settings = { ...this.settings, ...settings }
    this.#set('starting')
    // The browser asks for the camera first: where it is refused, no stream is left behind.
    await this.#open()
    if (this.state === 'failed') throw new Error(this.problem)
    try {
      this.stream = await claim(own || this.settings.kind.replace('camera', 'webcam'), own !== '')
    } catch (error) {
      this.stop()
      throw error
    }
    this.#connect()
    const { stream } = this
    const held = this.#release ?? (await reserve(stream))
    if (this.stream === stream) this.#release = held
    else held?.()
    return stream
  }

  /** Take up again what this tab sent before it was loaded anew. A screen wants to be chosen by hand again. */
  async resume() {
    const kept = JSON.parse(sessionStorage.getItem(KEPT) ?? 'null')
    if (!kept || kept.settings.kind === 'screen') return
    const release = await reserve(kept.stream)
    // A page that was opened by another one has a copy of what that one keeps, which goes on sending.
    if (release) await this.start(kept.stream, kept.settings, release)
    else sessionStorage.removeItem(KEPT)
  }

  /** Other devices, rate or size, while it runs. */
  async change(settings) {
    const before = this.settings
    this.settings = { ...before, ...settings }
    this.#keep()
    const reopen = ['kind', 'camera', 'microphone', 'size'].some((name) => before[name] !== this.settings[name])
    if (reopen) this.#ladder = new Ladder()
    if (this.active && reopen) await this.#open()
    this.#beat()
    this.#changed()
  }

  /** No more pictures; the stream stays on the server, offline. */
  stop() {
    this.#turn += 1
    this.#closeDevices()
    if (this.#live) {
      this.#live.withdraw()
      this.#live.removeEventListener('open', this.#onOpen)
      this.#live.removeEventListener('lost', this.#onLost)
      this.#live.removeEventListener('refused', this.#onRefused)
      this.#live.removeEventListener('gone', this.#onGone)
      this.#live.removeEventListener('state', this.#onState)
      this.#live.follow(this, [])
      this.#live.release()
    }
    this.#live = null
    sessionStorage.removeItem(KEPT)
    this.stream = ''
    this.#set('idle')
  }

  /** Cameras and microphones: their names are known once one was allowed. */
  async devices() {
    const all = (await navigator.mediaDevices?.enumerateDevices()) ?? []
    const of = (kind) => all.filter((one) => one.kind === kind && one.deviceId)
    return { cameras: of('videoinput'), microphones: of('audioinput') }
  }

  // ---------------------------------------------------------- devices

  async #open() {
    const turn = (this.#turn += 1)
    this.#closeDevices()
    let media
    try {
      media = await acquire(this.settings)
    } catch (error) {
      if (turn !== this.#turn) return
      // What was there before is waited for; what was never there is told.
      if (this.#live && error.name !== 'NotAllowedError') this.#set('unplugged', 'The camera is away. It is used again once it is back.')
      else this.#set('failed', explain(error))
      return
    }
    if (turn !== this.#turn) {
      for (const track of media.getTracks()) track.stop()
      return
    }
    await this.#use(media)
  }

  async #use(media) {
    this.media = media
    const [track] = media.getVideoTracks()
    track.addEventListener('ended', () => this.media === media && this.#ended())
    this.#video.srcObject = media
    await this.#video.play().catch(() => {})
    this.#beat()
    await this.#listen(media)
    if (this.#live) this.#announce()
    this.#set(this.#live && !this.#live.connected ? 'waiting' : this.#live ? 'sending' : 'starting')
  }

  #ended() {
    this.#closeDevices()
    if (this.settings.kind === 'screen') this.stop()
    else this.#set('unplugged', 'The camera was unplugged. It is used again once it is back.')
  }

  #closeDevices() {
    for (const track of this.media?.getTracks() ?? []) track.stop()
    this.media = null
    this.#video.srcObject = null
    this.#metronome?.postMessage(0)
    this.#audio?.close()
    this.#audio = null
  }

  async #listen(media) {
    if (media.getAudioTracks().length === 0) return
    const audio = (this.#audio = new AudioContext({ sampleRate: 16_000 }))
    try {
      await audio.audioWorklet.addModule('/assets/microphone.js')
      if (audio !== this.#audio) return
      const node = new AudioWorkletNode(audio, 'omnilive-microphone', { numberOfOutputs: 0 })
      audio.createMediaStreamSource(new MediaStream(media.getAudioTracks())).connect(node)
      node.port.onmessage = ({ data }) => this.#hear(data)
    } catch {
      this.problem = 'The microphone cannot be used: pictures are sent without sound.'
    }
  }

  // ---------------------------------------------------------- the connection

  #connect() {
    this.#live = connect(this.stream)
    this.#live.addEventListener('open', this.#onOpen)
    this.#live.addEventListener('lost', this.#onLost)
    this.#live.addEventListener('refused', this.#onRefused)
    this.#live.addEventListener('gone', this.#onGone)
    this.#live.addEventListener('state', this.#onState)
    this.#live.follow(this, ['state'])
    this.#keep()
    if (this.#live.connected) this.#onOpen()
    else this.#set('waiting')
  }

  #onState = ({ detail }) => {
    if (detail.last_frame) this.#transit.looked(parse(detail.last_frame), performance.now())
  }

  #onOpen = () => {
    this.#transit.begin()
    this.#announce()
    if (this.media) this.#set('sending')
  }

  #onLost = () => {
    if (this.state === 'sending') this.#set('waiting')
  }

  #onGone = () => this.stop()

  #onRefused = ({ detail }) => {
    if (!['sender_replaced', 'forbidden', 'not_a_push_stream'].includes(detail.code)) return
    this.stop()
    this.#set('failed', detail.code === 'sender_replaced' ? 'Another sender took this stream over.' : detail.message)
  }

  #announce() {
    this.#live.declare(VIDEO, 'jpeg')
    if (this.#audio) this.#live.declare(SOUND, 'pcm_s16le', { rate: this.#audio.sampleRate, channels: 1 })
  }

  #keep() {
    if (this.stream) sessionStorage.setItem(KEPT, JSON.stringify({ stream: this.stream, settings: this.settings }))
  }

  // ---------------------------------------------------------- pictures and sound

  #beat() {
    if (!this.#metronome) {
      const url = '/assets/metronome.js'
      this.#metronome = new Worker(policy ? policy.createScriptURL(url) : url)
      this.#metronome.onmessage = () => this.#grab()
    }
    this.#metronome.postMessage(this.media ? 1000 / this.settings.rate : 0)
  }

  async #grab() {
    const live = this.#live
    if (!live?.connected || this.state !== 'sending' || this.#grabbing || this.#video.videoWidth === 0) return
    this.#tick += 1
    if (this.#tick % this.#ladder.step.every > 0) return
    const now = performance.now()
    const piled = live.waiting > PILE
    const late = this.#transit.late(now) > 0
    this.#ladder.took(piled || late, now)
    if (piled || (late && now - this.#pushed < PROBE_MS)) return
    this.#grabbing = true
    this.#pushed = now
    const timeUs = Math.round(now * 1000)
    const height = Math.min(this.settings.size, this.#video.videoHeight) * this.#ladder.step.scale
    const shown = draw(this.#video, this.#canvas, height)
    const blob = await new Promise((done) => this.#canvas.toBlob(done, 'image/jpeg', this.#ladder.step.quality))
    this.#grabbing = false
    if (!blob || live !== this.#live) return
    const content = await blob.arrayBuffer()
    if (!live.push(VIDEO, timeUs, content)) return
    this.#transit.sent(now)
    this.#count(shown, content.byteLength, timeUs)
  }

  #hear(piece) {
    const live = this.#live
    if (!live?.connected || this.state !== 'sending' || live.waiting > SOUND_PILE) return
    if (this.#transit.late(performance.now()) > SOUND_LATE_MS) return
    live.push(SOUND, Math.max(0, Math.round((performance.now() - 100) * 1000)), piece)
  }

  #count({ width, height }, size, timeUs) {
    const now = performance.now()
    this.#window.push([now, size])
    while (now - this.#window[0][0] > 4000) this.#window.shift()
    const total = this.#window.reduce((sum, [, one]) => sum + one, 0)
    const seconds = Math.max(1, (now - this.#window[0][0]) / 1000)
    const pictures = this.sent.pictures + 1
    this.sent = { width, height, pictures, bytesPerSecond: total / seconds, slowed: this.#ladder.slowed }
    performance.mark('omnilive-sent', { detail: { captured: performance.timeOrigin + timeUs / 1000 } })
    performance.clearMarks('omnilive-sent')
    this.#changed()
  }

  #set(state, problem = '') {
    this.state = state
    this.problem = problem
    // Who does not send leaves the stream to other tabs.
    if (!this.active) {
      this.#release?.()
      this.#release = null
    }
    this.#changed()
  }

  #changed() {
    this.dispatchEvent(new Event('changed'))
  }
}

export const sender = new Sender()

/** Keep other tabs of this browser from sending into a stream. Resolves with what ends that; null where one of them does. */
function reserve(stream) {
  if (!navigator.locks) return Promise.resolve(() => {})
  const signal = AbortSignal.timeout(SUCCESSION_MS)
  return new Promise((told) => {
    navigator.locks.request(`${KEPT} ${stream}`, { signal }, () => new Promise(told)).catch(() => told(null))
  })
}

/** Draw what a video shows now, `height` lines high. Returns the size. */
function draw(video, canvas, height) {
  const scale = height / video.videoHeight
  canvas.width = Math.max(16, Math.round(video.videoWidth * scale))
  canvas.height = Math.max(16, Math.round(video.videoHeight * scale))
  canvas.getContext('2d', { alpha: false }).drawImage(video, 0, 0, canvas.width, canvas.height)
  return { width: canvas.width, height: canvas.height }
}

/** The devices that the settings name. Throws what the browser throws. */
async function acquire({ kind, camera, microphone, size }) {
  const devices = navigator.mediaDevices
  const ideal = { height: { ideal: size }, width: { ideal: Math.round((size * 16) / 9) } }
  if (kind === 'screen') return devices.getDisplayMedia({ video: { frameRate: 10 }, audio: microphone !== 'off' })
  const video = { ...ideal, ...(camera ? { deviceId: { ideal: camera } } : {}) }
  const audio = microphone === 'off' ? false : { deviceId: { ideal: microphone } }
  return devices.getUserMedia({ video, audio })
}

function explain(error) {
  const known = {
    NotAllowedError: 'The browser was not allowed to use it: allow it beside the address, then try again.',
    NotFoundError: 'This machine has no such camera or microphone.',
    NotReadableError: 'Another program uses the camera or microphone: close it, then try again.',
  }
  return known[error.name] ?? 'The camera or microphone cannot be used.'
}

/**
 * A push stream that nobody else sends into: the wanted one, else the first free name after it. own: it was this tab
 * that sent into it, whether or not the server knows already that this is over. Throws Refused.
 */
async function claim(wanted, own) {
  const streams = new Map((await listStreams()).map((one) => [one.id, one]))
  for (let n = 1; n < 100; n += 1) {
    const id = n === 1 ? wanted : `${wanted}-${n}`
    const known = streams.get(id)
    if (known?.source.push && known.source.pace === 'real' && (own || !(await busy(known)))) return id
    if (known) continue
    await addStream(id, { push: true })
    return id
  }
  throw new Refused(0, 'stream_exists', 'There are too many streams of this name.')
}

/** Whether somebody sends into it. A sender that has just gone is still told of for a moment: look again. */
async function busy(stream) {
  for (let tries = 0; tries < 8; tries += 1) {
    if (!['live', 'frozen'].includes(stream.state)) return false
    await new Promise((done) => setTimeout(done, 250))
    stream = await call('GET', path('streams', stream.id))
  }
  return true
}

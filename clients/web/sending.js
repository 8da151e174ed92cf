/** What this tab sends: its own picture, the devices, rate and size, and how it goes. */

import { button, field, h, say } from './dom.js'
import { RATES, SIZES, sender } from './sender.js'
import { bytes } from './times.js'

const STATES = {
  starting: 'Starting',
  waiting: 'Waiting for the server',
  unplugged: 'The camera is away',
}

/** The card: {element, close()}. */
export function sendingCard() {
  const preview = h('video', { muted: true, playsInline: true, autoplay: true, 'aria-label': 'What this browser sends' })
  const status = h('p', { class: 'status', role: 'status' })
  const kind = choice('Source', [['camera', 'Camera'], ['screen', 'Screen']], 'kind')
  const camera = choice('Camera', [], 'camera')
  const microphone = choice('Microphone', [['off', 'Off']], 'microphone')
  const rate = choice('Pictures a second', RATES.map((one) => [one, String(one)]), 'rate', Number)
  const size = choice('Size', SIZES.map((one) => [one, `${one}p`]), 'size', Number)
  const element = h(
    'section', { class: 'sending card', 'aria-label': 'Sending from this browser' },
    preview,
    h('div', { class: 'panel' },
      h('div', { class: 'bar' }, h('h2', {}, 'You are sending'), status, button('Stop sending', null, () => sender.stop(), { class: 'stop' })),
      h('div', { class: 'choices' }, ...[kind, camera, microphone, rate, size].map((one) => one.element))),
  )

  function show() {
    if (preview.srcObject !== sender.media) preview.srcObject = sender.media
    const { width, height, bytesPerSecond, slowed } = sender.sent
    const flow = width ? `${width} × ${height}, ${bytes(bytesPerSecond)}/s` : ''
    say(status, STATES[sender.state] ? sender.problem || STATES[sender.state] : `${flow}${slowed ? ', less because the link is slow' : ''}`)
    element.dataset.state = sender.state
    element.dataset.kind = sender.settings.kind
    for (const one of [kind, camera, microphone, rate, size]) one.show()
    camera.element.hidden = sender.settings.kind === 'screen'
  }

  async function list() {
    const { cameras, microphones } = await sender.devices()
    const named = (all, word) => all.map((one, n) => [one.deviceId, one.label || `${word} ${n + 1}`])
    const used = sender.media?.getVideoTracks()[0]?.getSettings().deviceId ?? ''
    camera.fill(named(cameras, 'Camera'), sender.settings.camera || used)
    microphone.fill([['off', 'Off'], ...named(microphones, 'Microphone')], sender.settings.microphone)
  }

  const devices = navigator.mediaDevices
  sender.addEventListener('changed', show)
  devices?.addEventListener('devicechange', list)
  list()
  show()
  return {
    element,
    close() {
      sender.removeEventListener('changed', show)
      devices?.removeEventListener('devicechange', list)
      preview.srcObject = null
    },
  }
}

/** A list of values of one of the sender's settings. */
function choice(name, options, setting, read = String) {
  const select = h('select', { onchange: () => sender.change({ [setting]: read(select.value) }) })
  const fill = (all, value) => {
    select.replaceChildren(...all.map(([one, text]) => h('option', { value: String(one) }, text)))
    select.value = String(value)
  }
  fill(options, sender.settings[setting])
  return {
    element: field(name, select),
    fill,
    show() {
      const value = String(sender.settings[setting])
      if (value && select.value !== value && document.activeElement !== select) select.value = value
    },
  }
}

/** Pictures on the page: the live one of a stream, and stored frames. */

import { h } from './dom.js'
import { parse } from './times.js'
import { picture } from './server.js'

/** A canvas that shows the newest frame of a stream as it comes. Frames that come faster than they are decoded go. */
export class LivePicture {
  #context
  #busy = false
  #next = null

  constructor(name) {
    this.element = h('canvas', { class: 'live', width: 16, height: 9, role: 'img', 'aria-label': name })
    this.#context = this.element.getContext('bitmaprenderer')
    this.shown = false
  }

  /** Show a frame: {time, jpeg}. Marks `omnilive-frame` when it is painted, for measurements. */
  async show(frame) {
    this.#next = frame
    if (this.#busy) return
    this.#busy = true
    while (this.#next) {
      const { time, jpeg } = this.#next
      this.#next = null
      try {
        await this.#paint(time, await createImageBitmap(new Blob([jpeg], { type: 'image/jpeg' })))
      } catch {
        // A picture that cannot be decoded: the one before stays.
      }
    }
    this.#busy = false
  }

  async #paint(time, bitmap) {
    const { width, height } = bitmap
    if (this.element.width !== width || this.element.height !== height) Object.assign(this.element, { width, height })
    this.#context.transferFromImageBitmap(bitmap)
    this.shown = true
    this.element.classList.add('shown')
    requestAnimationFrame(() => setTimeout(painted, 0, time))
  }
}

/** The task behind a painted frame. */
function painted(time) {
  performance.mark('omnilive-frame', { detail: { time: parse(time) } })
  performance.clearMarks('omnilive-frame')
}

/** An image element that gets a stored frame once it is there ('': none yet); `alt` says what it is. */
export function storedPicture(address, alt) {
  const image = h('img', { alt, class: 'stored', draggable: 'false' })
  if (address) fill(image, address)
  return image
}

/** Show another stored frame in an image element. */
export async function fill(image, address) {
  image.dataset.address = address
  try {
    const url = await picture(address)
    if (image.dataset.address !== address) return
    image.src = url
    image.classList.add('shown')
  } catch {
    // Forgotten meanwhile, or the server is away: the place stays empty.
    if (image.dataset.address === address) image.classList.remove('shown')
  }
}

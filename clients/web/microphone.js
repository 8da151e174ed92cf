/** An audio worklet: the first channel of what it hears as signed 16 bit, a tenth of a second a message. */

class Microphone extends AudioWorkletProcessor {
  #piece = new Int16Array(Math.round(sampleRate / 10))
  #filled = 0

  process([[channel]]) {
    for (const sample of channel ?? []) {
      this.#piece[this.#filled] = Math.max(-1, Math.min(1, sample)) * 32767
      this.#filled += 1
      if (this.#filled === this.#piece.length) this.#hand()
    }
    return true
  }

  #hand() {
    const piece = this.#piece.slice().buffer
    this.port.postMessage(piece, [piece])
    this.#filled = 0
  }
}

registerProcessor('omnilive-microphone', Microphone)

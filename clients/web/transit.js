/** Whether pictures pile up on the way to the server: kernels hold megabytes of which a browser's own count says nothing. */

const PATIENCE_MS = 2500
const SOON_MS = 50
const LONGEST_SPACING_MS = 10_000
/** Two clocks may go apart by this share and more; over a day that is seconds. */
const DRIFT = 2e-4

/**
 * Knows what was sent and not yet looked at, all in milliseconds. A connection's pictures are stamped by one clock of
 * ours and told of by one of the server's, which are a constant apart: the least that was seen, less the quickest way.
 */
export class Transit {
  #sent = []
  #apart = Infinity
  #heard = 0
  #newest = -Infinity
  #spacing = 0

  /** Another connection: its times are counted from another zero. */
  begin() {
    this.#sent = []
    this.#apart = Infinity
    this.#newest = -Infinity
  }

  sent(at) {
    this.#sent.push(at)
  }

  /** The newest picture that the server has looked at is of `time`, by its own clock; `now` is by ours. */
  looked(time, now) {
    this.#apart = Math.min(this.#apart + (now - this.#heard) * DRIFT, now - time)
    this.#heard = now
    const seen = this.#sent.filter((at) => at <= time + this.#apart + SOON_MS).length
    this.#sent.splice(0, seen)
    // It looks at fewer than are sent: then what it has not looked at may have been there for long.
    if (time > this.#newest && this.#newest > 0) this.#spacing = seen > 1 ? Math.min(time - this.#newest, LONGEST_SPACING_MS) : 0
    this.#newest = Math.max(time, this.#newest)
  }

  /** For how long the oldest has been on its way that should have been looked at by now; 0: none. */
  late(now) {
    const waits = this.#sent.length > 0 ? now - this.#sent[0] : 0
    // The server looks at so many pictures a second, and says so once a second.
    return waits > PATIENCE_MS + 2 * this.#spacing ? waits : 0
  }
}

/** A worker that ticks every so many milliseconds: a page that is not looked at has slow timers, a worker has not. */

let timer = 0

addEventListener('message', ({ data }) => {
  clearInterval(timer)
  timer = data > 0 ? setInterval(() => postMessage(0), data) : 0
})

/** Elements without strings of markup: nothing that a stream or a model says can become part of the page's code. */

const SVG = 'http://www.w3.org/2000/svg'

/** Outlines of the icons, on a grid of 24. */
const ICONS = {
  camera: 'M4 8.5A2.5 2.5 0 0 1 6.5 6h7A2.5 2.5 0 0 1 16 8.5v7a2.5 2.5 0 0 1-2.5 2.5h-7A2.5 2.5 0 0 1 4 15.5zM16 11l4.2-2.6v7.2L16 13',
  plus: 'M12 5v14M5 12h14',
  key: 'M8 19.5a3.5 3.5 0 1 0 0-7 3.5 3.5 0 0 0 0 7zM10.5 13.5 19 5M16 8l2.5 2.5M13.5 10.5l2 2',
  search: 'M11 18a7 7 0 1 0 0-14 7 7 0 0 0 0 14zM16.2 16.2 20 20',
  send: 'M12 19V5M6 11l6-6 6 6',
  back: 'M14.5 6 8.5 12l6 6',
  next: 'M9.5 6l6 6-6 6',
  close: 'M6.5 6.5l11 11M17.5 6.5l-11 11',
  forget: 'M5 7h14M10 7V5h4v2M7 7l.8 12h8.4L17 7M10.5 10.5v5M13.5 10.5v5',
  zoomIn: 'M12 7v10M7 12h10',
  zoomOut: 'M7 12h10',
  sun: 'M12 16a4 4 0 1 0 0-8 4 4 0 0 0 0 8zM12 3v2M12 19v2M3 12h2M19 12h2M5.6 5.6 7 7M17 17l1.4 1.4M18.4 5.6 17 7M7 17l-1.4 1.4',
  layers: 'M12 4l8 4-8 4-8-4zM4 12l8 4 8-4M4 16l8 4 8-4',
}

/**
 * An element: h('button', {class: 'quiet', onclick: go}, icon('plus'), 'Add').
 * Properties that begin with `on` are listeners; null, undefined and false are left out, as property and as child.
 */
export function h(name, properties = {}, ...children) {
  const element = document.createElement(name)
  for (const [key, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue
    if (key.startsWith('on')) element.addEventListener(key.slice(2), value)
    else if (key in element && typeof value !== 'string') element[key] = value
    else element.setAttribute(key, value)
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false))
  return element
}

/** An icon; it says nothing to screen readers. */
export function icon(name) {
  const svg = document.createElementNS(SVG, 'svg')
  const path = document.createElementNS(SVG, 'path')
  svg.setAttribute('viewBox', '0 0 24 24')
  svg.setAttribute('class', 'icon')
  svg.setAttribute('aria-hidden', 'true')
  path.setAttribute('d', ICONS[name])
  svg.append(path)
  return svg
}

/** A button with an icon before its name; `quiet` shows the icon alone. */
export function button(name, sign, onclick, properties = {}) {
  const { quiet, ...rest } = properties
  const inside = quiet ? [icon(sign)] : [sign && icon(sign), h('span', {}, name)]
  const named = quiet ? { 'aria-label': name, title: name } : {}
  return h('button', { type: 'button', onclick, ...named, ...rest }, ...inside)
}

/** A labelled field: the control inside its label, the name above it. */
export function field(name, control, hint = null) {
  return h('label', { class: 'field' }, h('span', { class: 'label' }, name), control, hint && h('small', {}, hint))
}

let counted = 0

/** An id that nothing else on the page has. */
export function unique(prefix) {
  counted += 1
  return `${prefix}-${counted}`
}

/** Change text only where it differs, so that screen readers do not hear it twice. */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text
}

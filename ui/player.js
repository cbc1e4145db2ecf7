// Draws a clip, and turns what a hand does to the picture into what the sound does. See player.py for the page's
// part and player_sound.js, which stands before this, for Sound.

const SPEEDS = [1, 1.25, 1.5, 0.75] // times as fast, in the order in which the button goes through them
const BAR_PX = 4 // with the gap to the next
const LONG_S = 60 // in a clip longer than this, an arrow key goes five seconds and not one

const players = new WeakMap() // by the root that Streamlit gives to each of them

export default function ({ data, parentElement }) {
  if (!parentElement.isConnected) return
  if (!players.has(parentElement)) players.set(parentElement, new Player(parentElement, data))
  players.get(parentElement).show(data)
  return () => {
    players.get(parentElement)?.leave()
    players.delete(parentElement)
  }
}

class Player {
  constructor(root, data) {
    this.data = data
    this.find = (selector) => root.querySelector(selector)
    this.stage = this.find(".stage")
    this.tabs = [...root.querySelectorAll("[role=tab]")]
    this.part = root.host.closest(`.st-key-${data.name}`)
    this.places = `[data-play-at][data-player="${data.name}"]`
    this.sound = new Sound(this.part, data.name, () => this.paint())
    this.left = new AbortController()
    this.listen()
    this.resized = new ResizeObserver(() => this.drawBars())
    this.resized.observe(this.stage)
    this.watcher = new MutationObserver(() => this.look())
    this.watcher.observe(this.part, { childList: true, subtree: true, attributes: true })
  }

  show(data) {
    this.data = data
    for (const tab of this.tabs) {
      tab.textContent = data.labels[tab.dataset.view]
      tab.title = data.labels[`${tab.dataset.view}_shows`]
    }
    this.stage.setAttribute("aria-label", data.labels.position)
    this.find(".spectrogram").src = data.spectrogram
    this.setView(this.sound.memory.view)
    this.drawBars()
    this.look()
    this.shown = "" // the words may be in another language now
    this.paint()
  }

  look() {
    this.sound.look()
    this.drawMarks()
  }

  leave() {
    this.sound.leave()
    this.left.abort()
    this.resized.disconnect()
    this.watcher.disconnect()
  }

  get whole() { // seconds
    return Number.isFinite(this.sound.length) ? this.sound.length : this.data.seconds
  }

  get at() { // seconds
    return Math.min(this.drag ?? this.sound.at, this.whole)
  }

  seek(at) {
    this.sound.seek(Math.max(0, Math.min(at, this.whole)))
  }

  // The hand

  listen() {
    const on = (target, type, act) => target.addEventListener(type, act, { signal: this.left.signal })
    on(this.find(".play"), "click", () => this.sound.toggle())
    on(this.find(".speed"), "click", () => {
      this.sound.speed = SPEEDS[(SPEEDS.indexOf(this.sound.speed) + 1) % SPEEDS.length]
      this.paint()
    })
    for (const [index, tab] of this.tabs.entries()) {
      on(tab, "click", () => this.setView(tab.dataset.view))
      on(tab, "keydown", ({ key }) => {
        const step = { ArrowRight: 1, ArrowLeft: -1 }[key]
        if (step) this.setView(this.tabs.at((index + step) % this.tabs.length).dataset.view, true)
      })
    }
    on(this.stage, "keydown", (event) => this.key(event))
    on(this.stage, "pointerdown", (event) => {
      if (event.button) return
      this.stage.setPointerCapture(event.pointerId)
      this.dragTo(this.timeAt(event))
    })
    on(this.stage, "pointermove", (event) => this.point(event))
    on(this.stage, "pointerleave", () => { this.find(".over").hidden = true })
    // Only where it is let go: a long clip is not fetched along the whole way there.
    on(this.stage, "pointerup", () => {
      const at = this.drag
      this.dragTo(undefined)
      if (at !== undefined) this.seek(at)
    })
    on(this.stage, "pointercancel", () => this.dragTo(undefined)) // the finger scrolls the page
    on(document, "click", ({ target }) => {
      const place = target.closest?.(this.places)
      if (!place) return
      this.seek(Number(place.dataset.playAt))
      this.sound.play()
    })
  }

  timeAt({ clientX }) {
    const { left, width } = this.stage.getBoundingClientRect()
    return Math.max(0, Math.min((clientX - left) / width, 1)) * this.whole
  }

  dragTo(at) {
    this.drag = at
    this.paint()
  }

  point(event) {
    const at = this.timeAt(event)
    if (this.drag !== undefined) this.dragTo(at)
    const over = this.find(".over")
    over.hidden = event.pointerType !== "mouse"
    over.textContent = clock(at)
    over.style.setProperty("--over", at / this.whole || 0)
  }

  key(event) {
    const { at, whole } = this
    const step = whole > LONG_S ? 5 : 1
    const places = {
      ArrowRight: at + step, ArrowUp: at + step, ArrowLeft: at - step, ArrowDown: at - step,
      PageUp: at + whole / 10, PageDown: at - whole / 10, Home: 0, End: whole,
    }
    if (event.ctrlKey || event.metaKey || event.altKey) return
    if (event.key === " ") this.sound.toggle()
    else if (event.key in places) this.seek(places[event.key])
    else return
    event.preventDefault()
  }

  // The picture

  setView(view, focus) {
    this.sound.memory.view = this.stage.dataset.view = view
    for (const tab of this.tabs) {
      const chosen = tab.dataset.view === view
      tab.setAttribute("aria-selected", chosen)
      tab.tabIndex = chosen ? 0 : -1
      if (chosen) this.find("[role=tabpanel]").setAttribute("aria-labelledby", tab.id)
      if (chosen && focus) tab.focus()
    }
  }

  drawBars() {
    const { clientWidth: width, clientHeight: height } = this.stage
    const { peaks } = this.data
    const count = Math.min(Math.floor(width / BAR_PX), peaks.length)
    let path = ""
    for (let bar = 0; bar < count; bar++) {
      const [from, to] = [bar, bar + 1].map((edge) => Math.floor((edge * peaks.length) / count))
      const reach = Math.max(0.5, Math.max(...peaks.slice(from, to)) * (height / 2 - BAR_PX))
      const x = ((bar + 0.5) * width) / count
      path += `M${x.toFixed(1)} ${(height / 2 - reach).toFixed(1)}v${(2 * reach).toFixed(1)}`
    }
    for (const bars of [".rest", ".played"]) this.find(`${bars} path`).setAttribute("d", path)
  }

  drawMarks() {
    const { whole } = this
    const { readUntil, marks } = this.part.querySelector("[data-marks]")?.dataset ?? {}
    const drawn = [readUntil, marks, whole].join()
    if (drawn === this.drawn) return
    this.drawn = drawn
    const share = (seconds) => (whole ? `${(100 * Math.min(seconds / whole, 1)).toFixed(3)}%` : 0)
    this.find(".read").hidden = !readUntil
    this.find(".read i").style.width = share(Number(readUntil || 0))
    this.find(".marks").replaceChildren(...JSON.parse(marks || "[]").map(([start, end]) => {
      const mark = document.createElement("i")
      mark.style.left = share(start)
      mark.style.width = share(end - start)
      return mark
    }))
  }

  paint() {
    const { at, whole, sound, data: { labels } } = this
    this.stage.style.setProperty("--at", `${whole ? (100 * at) / whole : 0}%`)
    this.follow(at)
    // What people read changes once a second, and a screen reader is told of no more than that.
    const now = clock(at > whole - 0.05 ? Math.round(whole) : at)
    const end = clock(Math.round(whole))
    const shown = JSON.stringify([now, end, sound.playing, sound.speed, sound.failed])
    if (shown === this.shown) return
    this.shown = shown
    this.drawMarks() // the length may be known only now
    const said = { valuemin: 0, valuemax: whole.toFixed(1), valuenow: at.toFixed(1) }
    said.valuetext = labels.of.replace("{at}", now).replace("{whole}", end)
    for (const [name, value] of Object.entries(said)) this.stage.setAttribute(`aria-${name}`, value)
    this.find(".now").textContent = now
    this.find(".end").textContent = end
    this.find(".problem").textContent = sound.failed ? labels.failed : ""
    this.find(".play").classList.toggle("on", sound.playing)
    this.find(".play").setAttribute("aria-label", sound.playing ? labels.pause : labels.play)
    this.find(".speed").textContent = `${sound.speed}×`
    this.find(".speed").setAttribute("aria-label", `${labels.speed} ${sound.speed}×`)
  }

  // Marks what is being spoken, wherever on the page it stands.
  follow(at) {
    const tick = Math.floor(at * 10)
    if (tick === this.tick) return
    this.tick = tick
    const places = [...document.querySelectorAll(this.places)]
    const begun = places.map((place) => Number(place.dataset.playAt)).filter((from) => from <= at)
    const latest = Math.max(...begun)
    for (const place of places) {
      const [from, to] = [place.dataset.playAt, place.dataset.playTo].map(Number)
      const spoken = to ? from <= at && at < to : from === latest // what says no end is said until the next
      place.classList.toggle("m-now", spoken && at > 0 && at < this.whole)
    }
  }
}

function clock(seconds) {
  const [hours, minutes, rest] = [seconds / 3600, (seconds / 60) % 60, seconds % 60].map(Math.floor)
  const two = (number) => String(number).padStart(2, "0")
  return hours ? `${hours}:${two(minutes)}:${two(rest)}` : `${minutes}:${two(rest)}`
}

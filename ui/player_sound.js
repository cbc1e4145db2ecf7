// The sound of a clip: drives the <audio> element that Streamlit serves. player.py puts this before player.js.

const REJOIN_MS = 2000 // a sound that Streamlit draws anew within this goes on where it was

const memories = new Map() // by name: what outlives an <audio> element, and the player itself

class Sound {
  // `changed` is called whenever there is something new to paint.
  constructor(part, name, changed) {
    this.part = part
    this.changed = changed
    if (!memories.has(name)) {
      const none = { source: "", page: "", at: 0, playing: false, leftAt: 0 }
      memories.set(name, { ...none, speed: 1, view: "waveform" })
    }
    this.memory = memories.get(name)
    this.failed = false
    this.left = new AbortController()
    document.addEventListener("play", ({ target }) => { // one sound at a time
      if (target !== this.audio) this.audio?.pause()
    }, { capture: true, signal: this.left.signal })
  }

  // Streamlit may put another <audio> there at any run.
  look() {
    const audio = this.part.querySelector("audio") ?? undefined
    if (audio === this.audio) return
    this.release()
    if (audio) this.take(audio)
    this.changed()
  }

  // Whether this is the one to remember: for a moment Streamlit may show the old player and the new.
  get remembered() {
    return this.memory.owner === this
  }

  tell() {
    if (this.audio && this.remembered) this.memory.at = this.at
    this.changed()
  }

  leave() {
    this.release()
    this.left.abort()
  }

  release() {
    if (!this.audio) return
    this.held.abort()
    this.audio = this.wanted = undefined
    if (this.remembered) this.memory.leftAt = performance.now()
  }

  take(audio) {
    this.audio = audio
    this.held = new AbortController()
    const on = (type, act) =>
      audio.addEventListener(type, () => { act?.(); this.tell() }, { signal: this.held.signal })
    on("play", () => this.run())
    on("pause", () => {
      // And not: taken off the page while it played.
      if (this.remembered && audio.isConnected) this.memory.playing = false
    })
    let loaded = audio.readyState > 1
    on("emptied", () => { // another clip
      loaded = false
      Object.assign(this.memory, { source: audio.src, at: 0, playing: false })
      this.wanted = undefined
      this.failed = false
    })
    on("error", () => { this.failed = true })
    // Streamlit has just set it to its start, as it does whenever it learns the length of a clip.
    on("loadeddata", () => {
      loaded = true
      if (this.wanted !== undefined) audio.currentTime = this.wanted
    })
    on("seeked", () => { if (loaded) this.wanted = undefined }) // Streamlit's own may end before
    for (const type of ["timeupdate", "durationchange", "ended"]) on(type)
    this.failed = audio.error !== null
    this.memory.owner = this
    this.speed = this.memory.speed
    this.rejoin()
  }

  rejoin() {
    const { audio, memory } = this
    if (!audio.paused) this.run() // only the player was drawn anew
    else if (memory.source === audio.src && !audio.currentTime) {
      const soon = memory.page === location.pathname && performance.now() - memory.leftAt < REJOIN_MS
      this.seek(memory.at)
      if (memory.playing && soon) this.play()
    }
    Object.assign(memory, { source: audio.src, page: location.pathname, leftAt: Infinity })
  }

  get playing() {
    return Boolean(this.audio && !this.audio.paused)
  }

  get at() { // seconds
    return this.wanted ?? this.audio?.currentTime ?? 0
  }

  get length() { // seconds; NaN until it is known
    return this.audio?.duration ?? NaN
  }

  get speed() {
    return this.memory.speed
  }

  set speed(speed) {
    this.memory.speed = speed
    // The default too, to which the browser goes back with each clip that it loads.
    if (this.audio) this.audio.defaultPlaybackRate = this.audio.playbackRate = speed
  }

  play() {
    this.audio?.play().catch(() => this.tell()) // a browser that does not allow it, or another clip
  }

  toggle() {
    if (this.playing) this.audio.pause()
    else this.play()
  }

  seek(at) {
    this.wanted = at
    if (this.audio?.readyState) this.audio.currentTime = at // else as soon as there is something to hear
    this.tell()
  }

  run() {
    this.memory.playing = true
    const frame = () => {
      this.tell()
      if (this.playing) requestAnimationFrame(frame)
    }
    requestAnimationFrame(frame)
  }
}

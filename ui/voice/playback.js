// Plays what the server sends, piece after piece without a gap, and tells when sound really began and ended.
// One player a page: it outlives the redrawing of the component, and is quiet when the page is left.

const LEAD_S = 0.03 // between "play" and the first sample, for the first piece to begin whole
const VOICES_S = 1 // some browsers list their voices late

class Player {
  constructor() {
    this.number = -1
    this.ahead = -Infinity // the server's clock less ours, in seconds: the least delay that was seen
    this.log = [] // of what was played, for whoever looks
  }

  follow(data, button, tell) {
    this.tell = tell
    this.button = button
    this.ahead = Math.max(this.ahead, data.now - this.clock())
    button.textContent = data.hear
    button.onclick = () => this.context.resume()
    if (data.number !== this.number) this.start(data.number)
    for (const piece of data.pieces) {
      if (piece.index !== this.kept) continue
      this.kept += 1
      const { number } = this
      this.waiting += 1
      const sound = piece.wav ? this.decode(piece.wav) : null
      this.line = this.line.then(() => (number === this.number ? this.play(piece, sound) : null))
      this.line = this.line.finally(() => {
        if (number !== this.number) return
        this.waiting -= 1
        this.report()
      })
    }
    this.whole = data.whole
    this.report()
  }

  start(number) {
    this.quiet()
    this.number = number
    this.kept = this.waiting = 0
    this.began = this.free = 0
    this.whole = this.voiceless = false
    this.sounding = new Set()
    this.line = Promise.resolve()
  }

  quiet() {
    for (const source of this.sounding ?? []) {
      source.onended = null
      source.stop()
    }
    this.sounding = new Set()
    window.speechSynthesis?.cancel()
    if (this.began && !this.ended()) this.log.push({ number: this.number, stopped: performance.now() })
    this.whole = true
    this.waiting = 0
  }

  clock() {
    return performance.now() / 1000
  }

  get context() {
    this.audio ??= new AudioContext()
    return this.audio
  }

  async decode(wav) {
    const bytes = Uint8Array.from(atob(wav), (character) => character.charCodeAt(0))
    return this.context.decodeAudioData(bytes.buffer)
  }

  async play(piece, sound) {
    const { number, context } = this
    const buffer = await sound?.catch(() => null)
    if (number !== this.number) return
    if (!buffer) return this.browserVoice(piece)
    if (context.state !== "running") {
      context.resume()
      this.report()
      await this.running()
      if (number !== this.number) return
    }
    const source = new AudioBufferSourceNode(context, { buffer })
    source.connect(context.destination)
    const at = Math.max(context.currentTime + LEAD_S, this.free)
    this.free = at + buffer.duration
    this.sounding.add(source)
    source.onended = () => {
      this.sounding.delete(source)
      this.report()
    }
    source.start(at)
    const delay = at - context.currentTime + (context.outputLatency || 0)
    setTimeout(() => this.heard(number, piece, buffer), delay * 1000)
  }

  heard(number, piece, buffer) {
    if (number !== this.number) return
    this.began ||= this.ahead + this.clock()
    const peak = buffer ? buffer.getChannelData(0).reduce((most, value) => Math.max(most, Math.abs(value)), 0) : 0
    this.log.push({ number, index: piece.index, seconds: buffer?.duration ?? 0, peak, at: performance.now() })
    this.report()
  }

  async running() {
    while (this.context.state !== "running") {
      await new Promise((done) => {
        this.context.onstatechange = done
        setTimeout(done, 250)
        this.report()
      })
    }
    this.report()
  }

  // The browser's own voice, if it speaks on this device: others would send the words away.
  async browserVoice(piece) {
    const { number } = this
    const voice = await this.localVoice(piece.language)
    if (number !== this.number) return
    if (!voice) {
      this.voiceless = true
      return
    }
    const rest = this.free - this.context.currentTime
    if (rest > 0) await new Promise((done) => setTimeout(done, rest * 1000))
    await new Promise((done) => {
      const said = new SpeechSynthesisUtterance(piece.text)
      said.voice = voice
      said.lang = voice.lang
      said.onstart = () => this.heard(number, piece, null)
      said.onend = said.onerror = done
      if (number === this.number) window.speechSynthesis.speak(said)
      else done()
    })
  }

  async localVoice(language) {
    const speech = window.speechSynthesis
    if (!speech) return null
    const until = this.clock() + VOICES_S
    while (!speech.getVoices().length && this.clock() < until) await new Promise((done) => setTimeout(done, 100))
    return speech.getVoices().find((voice) => voice.localService && voice.lang.toLowerCase().startsWith(language))
  }

  ended() {
    return this.whole && !this.waiting && !this.sounding.size
  }

  report() {
    const blocked = this.waiting > 0 && this.context.state === "suspended"
    if (this.button) this.button.hidden = !blocked
    const { number, kept, began, voiceless } = this
    const told = { number, kept, began, ended: this.ended(), blocked, voiceless }
    const text = JSON.stringify(told)
    if (text === this.told) return
    this.told = text
    this.tell(told)
  }
}

// A context made or woken by a press may play; presses inside the recorder's own frame count for it as well.
const player = (window.meralionVoice ??= new Player())
const wake = () => player.context.resume()
for (const press of ["pointerdown", "keydown"]) addEventListener(press, wake, { once: true, capture: true })

export default function ({ data, parentElement, setStateValue }) {
  player.follow(data, parentElement.querySelector("button"), (report) => setStateValue("report", report))
  return () => player.quiet()
}

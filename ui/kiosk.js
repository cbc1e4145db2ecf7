// Watches over a screen that strangers share. When a visitor has left, it counts down where all can see it,
// then asks the server to start over and loads the page anew, so that nothing typed or shown is left behind.
// It does so as well where the visit has become another one by itself: the host has started all over, or the
// server was away and knows nothing of it any more. Then the new page says what has happened.
const LOOK_MS = 500
const WORD = "meralion-word" // in the session's storage: what the page that is loaded anew has to say
const ANSWER_MS = 8000 // a server that says nothing for so long is not waited for

const touches = ["pointerdown", "pointermove", "keydown", "wheel", "touchstart", "input"]

/** One watch for the whole visit: pages come and go, and with them the component that feeds it. */
function watch() {
  const me = { last: Date.now(), touched: false, asked: 0, data: null, ask: null, followed: new WeakSet() }
  const active = (event) => {
    if (event && !event.isTrusted) return
    me.last = Date.now()
    me.touched = true
  }
  const follow = (target) => {
    if (me.followed.has(target)) return
    me.followed.add(target)
    for (const name of touches) target.addEventListener(name, active, { capture: true, passive: true })
  }
  /** Every document and shadow tree of the page: players and recorders live in some of their own. */
  const trees = (root, found = []) => {
    found.push(root)
    for (const element of root.querySelectorAll("*")) {
      if (element.shadowRoot) trees(element.shadowRoot, found)
      if (element.tagName === "IFRAME" && element.contentDocument) trees(element.contentDocument, found)
    }
    return found
  }
  const goesOn = () => {
    if (document.querySelector(".st-key-stop, .st-key-stop_transcript")) return true // an answer is on its way
    if (window.speechSynthesis?.speaking || Date.now() - (window.meralionActive || 0) < 2000) return true
    return trees(document).some((tree) => {
      if (tree.nodeType === Node.DOCUMENT_NODE) follow(tree)
      if ([...tree.querySelectorAll("audio, video")].some((sound) => !sound.paused && !sound.ended)) return true
      return !!tree.querySelector(`[style*="${me.data.recording}"], [aria-label="Stop recording"]`)
    })
  }
  const leave = () => window.location.replace(new URL(me.data.home, window.location.href))
  const look = () => {
    if (!me.data) return
    if (me.visit && me.visit !== me.data.visit) {
      if (me.epoch >= 0 && me.data.epoch > me.epoch) sessionStorage.setItem(WORD, "over")
      else if (me.busy) sessionStorage.setItem(WORD, "cut")
      return leave()
    }
    me.visit = me.data.visit
    me.epoch = me.data.epoch
    me.busy = goesOn()
    if (me.busy) me.last = Date.now()
    if (sessionStorage.getItem(WORD)) {
      tell(me.data.words[sessionStorage.getItem(WORD)], me.data.words.fine)
      sessionStorage.removeItem(WORD)
    }
    const idle = (Date.now() - me.last) / 1000
    const left = Math.ceil(me.data.idle_s - idle)
    if (!me.touched || left > me.data.countdown_s) {
      me.asked = 0
      return hide()
    }
    show(me.data.words, Math.max(left, 0))
    if (left > 0) return
    if (!me.asked) {
      me.asked = Date.now()
      me.ask("over", true)
    } else if (me.data.busy) {
      me.last = Date.now() // the server says that an answer is still being made
    } else if (Date.now() - me.asked > ANSWER_MS) {
      leave()
    }
  }
  const hide = () => document.getElementById("m-leaving")?.remove()
  const show = (words, left) => {
    let box = document.getElementById("m-leaving")
    if (!box) {
      box = document.createElement("div")
      box.id = "m-leaving"
      box.setAttribute("role", "alertdialog")
      box.setAttribute("aria-labelledby", "m-leaving-words")
      const card = box.appendChild(document.createElement("div"))
      card.appendChild(document.createElement("p")).id = "m-leaving-words"
      card.appendChild(document.createElement("b")).setAttribute("aria-hidden", "true")
      const button = card.appendChild(document.createElement("button"))
      button.onclick = () => active()
      document.querySelector(".stApp").appendChild(box)
      button.focus()
    }
    box.querySelector("p").textContent = words.leaving
    box.querySelector("b").textContent = left
    box.querySelector("button").textContent = words.here
  }
  const tell = (words, fine) => {
    const box = document.createElement("div")
    box.id = "m-word"
    box.setAttribute("role", "status")
    box.appendChild(document.createElement("p")).textContent = words
    const button = box.appendChild(document.createElement("button"))
    button.textContent = fine
    button.onclick = () => box.remove()
    document.querySelector(".stApp").appendChild(box)
  }
  follow(document)
  setInterval(look, LOOK_MS)
  return me
}

export default function ({ data, setTriggerValue }) {
  const me = (window.meralionKiosk ??= watch())
  me.data = data
  me.ask = setTriggerValue
}

// A column of buttons, one beside each sample, to hear it without choosing it. See sample_cards.py.

const SHAPES = { play: "M8 5v14l11-7z", pause: "M6 5h4v14H6zM14 5h4v14h-4z" }

// One sound for the whole page, on the document, so that other players hear it start and it hears them.
function sound() {
  if (window.meralionSample) return window.meralionSample
  const audio = document.body.appendChild(document.createElement("audio"))
  audio.hidden = true
  audio.preload = "none"
  document.addEventListener("play", ({ target }) => target !== audio && audio.pause(), { capture: true })
  return (window.meralionSample = audio)
}

export default function ({ data, parentElement }) {
  const audio = sound()
  const column = parentElement.querySelector(".sounds")
  const left = new AbortController()
  const buttons = data.sounds.map(({ title, url }) => {
    const button = document.createElement("button")
    button.type = "button"
    // Beside the page's own address, so that it works below any path.
    button.address = new URL(url.replace(/^\//, ""), location.href).href
    button.addEventListener("click", () => {
      if (audio.src === button.address && !audio.paused) return audio.pause()
      if (audio.src !== button.address) audio.src = button.address
      audio.play().catch(paint)
    })
    button.paint = (playing) => {
      const name = `${playing ? data.pause : data.play}: ${title}`
      if (button.title === name) return
      button.title = name
      button.setAttribute("aria-label", name)
      button.classList.toggle("playing", playing)
      const shape = playing ? SHAPES.pause : SHAPES.play
      button.innerHTML = `<svg viewBox="0 0 24 24" aria-hidden="true"><path d="${shape}"/></svg>`
    }
    return button
  })
  const paint = () => buttons.forEach((button) => button.paint(audio.src === button.address && !audio.paused))
  for (const type of ["play", "pause", "ended", "error", "emptied"])
    audio.addEventListener(type, paint, { signal: left.signal })
  column.replaceChildren(...buttons)
  paint()
  return () => {
    left.abort()
    if (buttons.some((button) => button.address === audio.src)) audio.pause()
  }
}

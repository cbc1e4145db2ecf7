// Presses the start button of streamlit-webrtc once for each time that its frame is put on the page.
// Told by its own setting to play, it starts anew at every drawing until the first start is under way, and
// leaves the microphone open as often.

const EVERY_MS = 50
const LIMIT_MS = 10_000

async function press(frame, label) {
  const until = performance.now() + LIMIT_MS
  while (performance.now() < until && frame.isConnected) {
    const buttons = [...(frame.contentDocument?.querySelectorAll("button") ?? [])]
    const start = buttons.find((button) => button.textContent.trim() === label && !button.disabled)
    if (start) return start.click()
    await new Promise((done) => setTimeout(done, EVERY_MS))
  }
}

export default function ({ data }) {
  const frame = document.querySelector(`.st-key-${data.box} iframe`)
  if (!data.on || !frame || frame.dataset.started) return
  frame.dataset.started = "yes"
  press(frame, data.start)
}

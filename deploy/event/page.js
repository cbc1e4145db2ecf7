// Shows one language, opens the part for this device, and goes on by itself where the demo is trusted already.
const port = Number(document.body.dataset.https)
const demo = "https://" + location.hostname + (port === 443 ? "" : ":" + port) + "/"
document.body.classList.add("js")
for (const link of document.querySelectorAll("a.first")) link.href = demo
const sections = [...document.querySelectorAll("section")]
const show = (code) => {
  const known = sections.some((one) => one.lang === code) ? code : "en"
  for (const one of sections) one.hidden = one.lang !== known
  for (const link of document.querySelectorAll("nav a")) {
    if (link.lang === known) link.setAttribute("aria-current", "true")
    else link.removeAttribute("aria-current")
  }
  document.documentElement.lang = known
}
const wanted = () => location.hash.slice(1) || (navigator.language || "en").slice(0, 2).toLowerCase()
addEventListener("hashchange", () => show(wanted()))
show(wanted())
const agent = navigator.userAgent
const device = /iPhone|iPad|iPod/.test(agent) || (/Macintosh/.test(agent) && navigator.maxTouchPoints > 1) ? "iphone"
  : /Android/.test(agent) ? "android" : /Firefox/.test(agent) ? "firefox" : /Windows/.test(agent) ? "windows"
  : /Macintosh/.test(agent) ? "mac" : ""
if (device) for (const part of document.querySelectorAll(`details[data-for="${device}"]`)) part.open = true
if (location.protocol === "http:") fetch(demo + "trusted", { mode: "no-cors" }).then(() => location.replace(demo), () => {})

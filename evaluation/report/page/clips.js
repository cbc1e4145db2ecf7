"use strict";
// The list of clips: which are shown, in which order, on which page. The clips of a data set are in a file of their
// own, a script, because a page opened from a folder may load nothing else.

const Clips = (() => {
  const ON_A_PAGE = 50;
  const ALL = "";
  const { part, chip, panel } = Clip;
  const find = (id) => document.getElementById(id);
  const loaded = new Map(); // data set -> {clips, answers}
  let sets = [];
  let chosen = null; // the data set whose clips are shown
  let state = ALL;
  let items = []; // {clip, system, answer}, filtered and sorted
  let page = 0;

  // Called by data/list.js.
  function start(list) {
    sets = list;
    if (!sets.length) {
      find("nothing").hidden = false;
      return;
    }
    find("filters").hidden = false;
    find("dataset").append(...sets.map((each) => part("option", { value: each.id }, each.title)));
    find("filters").addEventListener("submit", (event) => event.preventDefault());
    find("dataset").addEventListener("change", () => open(find("dataset").value));
    for (const name of ["system", "order"]) find(name).addEventListener("change", refresh);
    let waiting = 0;
    find("text").addEventListener("input", () => {
      clearTimeout(waiting);
      waiting = setTimeout(refresh, 150);
    });
    find("previous").addEventListener("click", () => turn(page - 1));
    find("next").addEventListener("click", () => turn(page + 1));
    addEventListener("hashchange", follow);
    if (!follow()) open(sets[0].id);
  }

  // An address such as #clips/SET/SYSTEM, which the tables link to.
  function follow() {
    const [where, set, system] = location.hash.slice(1).split("/").map(decoded);
    if (where !== "clips" || !sets.some((each) => each.id === set)) return false;
    find("dataset").value = set;
    open(set, system);
    find("clips").scrollIntoView();
    return true;
  }

  function decoded(piece) {
    try {
      return decodeURIComponent(piece);
    } catch {
      return piece;
    }
  }

  function open(id, system = ALL) {
    chosen = sets.find((each) => each.id === id);
    const choices = [part("option", { value: ALL }, "All systems")];
    choices.push(...chosen.systems.map((each) => part("option", { value: each.id }, each.title)));
    find("system").replaceChildren(...choices);
    find("system").value = chosen.systems.some((each) => each.id === system) ? system : ALL;
    find("meaning").textContent = chosen.meaning;
    if (loaded.has(id)) {
      refresh();
      return;
    }
    items = [];
    draw();
    find("status").textContent = "Loading the clips …";
    const script = part("script", { src: chosen.file });
    script.addEventListener("error", () => {
      if (chosen.id === id) find("status").textContent = `The clips could not be loaded: ${chosen.file} is missing.`;
    });
    document.head.append(script);
  }

  // Called by the file of a data set.
  function load(id, data) {
    for (const answers of Object.values(data.answers)) {
      for (const answer of answers) answer.label ??= chosenLabel(answer.state);
    }
    loaded.set(id, data);
    if (chosen.id === id) refresh();
  }

  const chosenLabel = (name) => ({ right: "Right", wrong: "Wrong", failed: "Failed", answered: "Answered" })[name];

  // Everything that can be searched in, in small letters; made once for each answer.
  function searched(clip, answer) {
    answer.searched ??= [clip.id, clip.instruction, clip.question, answer.reference ?? clip.reference, clip.group, answer.answer,
      answer.problem, answer.reason, answer.heard].filter(Boolean).join("\n").toLowerCase();
    return answer.searched;
  }

  function refresh() {
    const data = loaded.get(chosen.id);
    if (!data) return;
    const system = find("system").value;
    const text = find("text").value.trim().toLowerCase();
    const all = [];
    for (const [place, clip] of data.clips.entries()) {
      for (const each of chosen.systems) {
        const answer = system === ALL || system === each.id ? data.answers[each.id][place] : null;
        if (answer && (!text || searched(clip, answer).includes(text))) all.push({ clip, place, system: each, answer });
      }
    }
    drawStates(all);
    items = state === ALL ? all : all.filter((item) => item.answer.state === state);
    const order = find("order").value;
    if (order !== "given") {
      const worst = (item) => (item.answer.state === "failed" ? Infinity : item.answer.loss ?? 0);
      items.sort((one, other) => {
        const [a, b] = order === "worst" ? [worst(other), worst(one)] : [worst(one), worst(other)];
        return a === b ? 0 : a - b;
      });
    }
    page = 0;
    draw();
    const whole = all.length === items.length ? "" : ` of ${all.length.toLocaleString("en")}`;
    find("status").textContent = items.length ? `${items.length.toLocaleString("en")}${whole} answers` : "No answer fits these filters.";
  }

  function drawStates(all) {
    const names = chosen.states;
    if (!names.includes(state)) state = ALL;
    const count = (name) => all.filter((item) => name === ALL || item.answer.state === name).length;
    const focused = document.activeElement?.dataset?.state;
    find("states").replaceChildren(...[ALL, ...names].map((name) => {
      const label = `${name === ALL ? "All" : chosenLabel(name)} (${count(name).toLocaleString("en")})`;
      const button = part("button", { type: "button", "aria-pressed": String(state === name), "data-state": name }, label);
      button.addEventListener("click", () => {
        state = name;
        refresh();
      });
      return button;
    }));
    if (focused !== undefined) find("states").querySelector(`[data-state="${focused}"]`)?.focus();
  }

  function turn(to) {
    page = to;
    draw();
    find("status").scrollIntoView({ block: "start" });
    find("list").querySelector("button")?.focus({ preventScroll: true });
  }

  function draw() {
    const pages = Math.max(1, Math.ceil(items.length / ON_A_PAGE));
    const from = page * ON_A_PAGE;
    const list = find("list");
    list.start = from + 1;
    list.replaceChildren(...items.slice(from, from + ON_A_PAGE).map(row));
    find("pages").hidden = pages === 1;
    find("previous").disabled = page === 0;
    find("next").disabled = page === pages - 1;
    find("where").textContent = `Page ${page + 1} of ${pages.toLocaleString("en")}`;
  }

  function row({ clip, place, system, answer }, index) {
    const id = `clip-${index}`;
    const said = (answer.problem || answer.answer || "(an empty answer)").slice(0, 300);
    const button = part("button", { type: "button", class: "open", "aria-expanded": "false", "aria-controls": id },
      chip(answer), part("span", { class: "who" }, part("bdi", {}, system.title), part("small", {}, part("bdi", {}, clip.id))),
      part("span", { class: "said", dir: "auto" }, said));
    const box = part("div", { id, hidden: true });
    button.addEventListener("click", () => {
      const opens = box.hidden;
      if (opens && !box.firstChild) box.append(panel(clip, answer, others(place, system)));
      box.hidden = !opens;
      button.setAttribute("aria-expanded", String(opens));
      if (!opens) for (const player of box.querySelectorAll("audio")) player.pause();
    });
    return part("li", {}, part("h3", {}, button), box);
  }

  // What the other systems answered to the same clip.
  function others(place, system) {
    const answers = loaded.get(chosen.id).answers;
    const rest = chosen.systems.filter((each) => each !== system && answers[each.id][place]);
    return rest.map((each) => [each.title, answers[each.id][place]]);
  }

  return { start, load };
})();

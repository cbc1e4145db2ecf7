"use strict";
// One clip opened: its sound, what was asked, what was answered, and why it was scored so. All text goes in as text.

const Clip = (() => {
  const SHORT = 600; // characters shown before "Show all"
  const SHORT_WORDS = 300; // pieces of a comparison shown before "Show all"

  function part(tag, attributes = {}, ...inside) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (value === true) made.setAttribute(name, "");
      else if (value !== false && value !== undefined) made.setAttribute(name, value);
    }
    made.append(...inside);
    return made;
  }

  // A button that puts the whole in the place of the beginning.
  function shortened(whole, short, count, unit) {
    const box = part("div", {}, short());
    const button = part("button", { type: "button", class: "more" }, `Show all (${count.toLocaleString("en")} ${unit})`);
    button.addEventListener("click", () => {
      const all = whole();
      all.tabIndex = -1;
      box.replaceChildren(all);
      all.focus({ preventScroll: true });
    });
    box.append(button);
    return box;
  }

  function text(words) {
    const paragraph = (shown) => part("p", { class: "text", dir: "auto" }, shown);
    if (words.length <= SHORT * 1.2) return paragraph(words);
    const end = words.codePointAt(SHORT - 1) > 0xffff ? SHORT + 1 : SHORT; // not within a pair of surrogates
    return shortened(() => paragraph(words), () => paragraph(words.slice(0, end) + " …"), words.length, "characters");
  }

  function titled(title, ...inside) {
    return part("div", {}, part("h4", {}, title), ...inside);
  }

  // `pieces`: [kind, reference's words, answer's words]; kind is "=", "~" (another word), "-" (missing), "+" (added).
  function compared(pieces) {
    const gone = (words) => part("del", { class: "missing" }, part("span", { class: "unseen" }, " missing: "), words);
    const put = (words) => part("ins", { class: "added" }, part("span", { class: "unseen" }, " added: "), words);
    const shown = (some) => {
      const line = part("p", { class: "compared", dir: "auto" });
      for (const [kind, expected, heard] of some) {
        if (kind === "=") line.append(expected);
        if (kind === "-" || kind === "~") line.append(gone(expected));
        if (kind === "~") line.append(" ");
        if (kind === "+" || kind === "~") line.append(put(heard));
        line.append(" ");
      }
      return line;
    };
    if (pieces.length <= SHORT_WORDS * 1.2) return shown(pieces);
    return shortened(() => shown(pieces), () => shown(pieces.slice(0, SHORT_WORDS)), pieces.length, "pieces");
  }

  function sound(clip) {
    if (!clip.sound) return part("p", { class: "quiet" }, "The sound of this clip is not part of this report.");
    const player = part("audio", { controls: true, preload: "none", src: clip.sound, "aria-label": `Clip ${clip.id}` });
    const trouble = part("p", { class: "problem", hidden: true }, `The sound could not be played: ${clip.sound}`);
    player.addEventListener("error", () => (trouble.hidden = false));
    return part("div", {}, player, trouble);
  }

  function figures(rows) {
    const list = part("dl", { class: "figures" });
    for (const [name, value] of rows) {
      if (value !== undefined && value !== "") list.append(part("div", {}, part("dt", {}, name), part("dd", {}, String(value))));
    }
    return list;
  }

  function chip(answer) {
    return part("span", { class: `chip ${answer.state}` }, answer.label);
  }

  function others(rest) {
    const list = part("ul", { class: "others" });
    for (const [title, answer] of rest) {
      list.append(part("li", {}, chip(answer), " ", part("bdi", {}, title), text(answer.answer || answer.problem || "(an empty answer)")));
    }
    return titled("What other systems answered", list);
  }

  function panel(clip, answer, rest) {
    const seconds = (value) => (value ? `${value.toFixed(2)} s` : "");
    const box = part("div", { class: "panel" }, sound(clip));
    box.append(titled("Asked", text(answer.instruction ?? clip.instruction)));
    if (clip.question) box.append(titled("Question as the judge reads it", text(clip.question)));
    const said = answer.problem ? text(answer.problem) : text(answer.answer || "(an empty answer)");
    box.append(part("div", { class: "pair" }, titled("Reference", text(answer.reference ?? clip.reference)), titled(answer.problem ? "No answer" : "Answer", said)));
    if (clip.accepted) box.append(titled("Accepted phrases", text(clip.accepted)));
    if (clip.rejected) box.append(titled("Rejected phrases", text(clip.rejected)));
    if (answer.problem && answer.answer) box.append(titled("What came before that", text(answer.answer)));
    if (answer.counted !== undefined) box.append(titled("The part that is scored", text(answer.counted || "(nothing)")));
    if (answer.words) box.append(titled("Word by word, as scored: struck out is missing, underlined is added, both together is a wrong word", compared(answer.words)));
    if (answer.heard) box.append(titled("What the recogniser heard", text(answer.heard)));
    if (answer.reason) box.append(titled("What the judge wrote", text(answer.reason)));
    box.append(figures([
      ["Group", clip.group], ["Sound", seconds(answer.audio_s)], ["First word after", seconds(answer.first_token_s)],
      ["Whole answer after", seconds(answer.total_s)], ["Tokens", answer.tokens], ["Tries", answer.tries],
      ["Ended by", answer.finish], ["Cache", answer.cache], ...(answer.more ?? []),
    ]));
    if (rest.length) box.append(others(rest));
    return box;
  }

  return { part, chip, panel };
})();

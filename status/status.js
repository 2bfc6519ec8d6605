"use strict";
// Asks for the page again and changes what has changed, so that focus, scrolling, a selection and
// open details stay as they are.
(() => {
  const every = 3000;
  const button = document.getElementById("pause");
  const lost = document.getElementById("lost");
  const parts = ["clock", "verdict", "nav", "waiting", "welcome", "tiles"];
  let paused = false, timer = 0, asked = 0;

  function update(to, from) {
    if (to.isEqualNode(from)) return;
    if (to.nodeType !== Node.ELEMENT_NODE) {
      to.nodeValue = from.nodeValue;
      return;
    }
    for (const name of from.getAttributeNames()) {
      if (to.getAttribute(name) !== from.getAttribute(name)) to.setAttribute(name, from.getAttribute(name));
    }
    for (const name of to.getAttributeNames()) {
      if (!from.hasAttribute(name) && !(name === "open" && to.nodeName === "DETAILS")) to.removeAttribute(name);
    }
    const old = [...to.childNodes], now = [...from.childNodes];
    now.forEach((node, i) => {
      if (i >= old.length) to.append(node);
      else if (old[i].nodeName !== node.nodeName) old[i].replaceWith(node);
      else update(old[i], node);
    });
    old.slice(now.length).forEach((node) => node.remove());
  }

  // A screen reader reads it out each time that it is set.
  function say(words) {
    if (lost.textContent !== words) lost.textContent = words;
  }

  // Of several questions under way only the last one's answer counts: the others' are older.
  async function refresh() {
    const question = ++asked;
    try {
      const answer = await fetch(location.href.split("#")[0], { cache: "no-store", signal: AbortSignal.timeout(10000) });
      if (!answer.ok) throw new Error("HTTP status " + answer.status);
      const text = await answer.text();
      if (question !== asked) return;
      const page = new DOMParser().parseFromString(text, "text/html");
      if (!page.getElementById("verdict")) throw new Error("another page has its place");
      const sections = [...document.querySelectorAll("main > section")].map((s) => s.id);
      for (const id of [...parts, ...sections]) {
        const from = page.getElementById(id);
        if (from) update(document.getElementById(id), from);
      }
      document.title = page.title;
      say("");
    } catch (err) {
      if (question !== asked) return;
      say("The exporter doesn't answer; what is shown is old.");
    }
    plan();
  }

  function plan() {
    clearTimeout(timer);
    if (!paused && !document.hidden) timer = setTimeout(refresh, every);
  }

  button.hidden = false;
  button.addEventListener("click", () => {
    paused = !paused;
    button.setAttribute("aria-pressed", String(paused));
    if (paused) plan();
    else refresh();
  });
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden && !paused) refresh();
    else plan();
  });
  plan();
})();

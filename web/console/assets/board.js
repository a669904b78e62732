// The board and the wall are kept true while they are open. What console.js has is there.
// When an incident changes, the rows are asked for again. What a person has chosen, and where they are, stays.
for (const part of document.querySelectorAll("[data-board]")) follow(part);

function follow(part) {
  let timer = 0, asking = false, again = false, heard = true, next = 0, stale;
  // soon asks for the rows: for many changes once, and no more than half of the time.
  function soon() {
    again = true;
    if (timer || asking || document.hidden) return;
    timer = setTimeout(refresh, Math.max(200, next - performance.now()));
  }
  async function refresh() {
    timer = 0;
    if (document.hidden) return;
    asking = true;
    again = false;
    const began = performance.now();
    try {
      const url = new URL(part.dataset.part, location.href);
      url.searchParams.set("part", "rows");
      const answer = await fetch(url, { signal: AbortSignal.timeout(20000) });
      if (answer.status === 401) { location.reload(); return; } // the session has ended
      if (answer.ok) replace(part, await answer.text());
      if (!answer.ok || heard) fresh(answer.ok);
    } catch { fresh(false); }
    asking = false;
    const now = performance.now();
    next = now + Math.min(5000, now - began);
    if (again) soon();
  }
  // fresh says so when the page no longer hears of what changes.
  function fresh(is) {
    clearTimeout(stale);
    const note = document.getElementById("stale");
    if (is) { note?.remove(); return; }
    if (note) return;
    const p = document.createElement("p");
    p.id = "stale";
    p.className = "stale";
    p.setAttribute("role", "status");
    p.textContent = "Not connected: this page may be out of date.";
    part.before(p);
  }
  listen(part.dataset.board, soon, (is) => {
    heard = is;
    clearTimeout(stale);
    if (heard) fresh(true); else stale = setTimeout(() => fresh(false), 10000);
  });
}

// replace brings a part up to date. What has not changed stays the element that it is, so
// that little is drawn again.
function replace(part, html) {
  const chosen = new Set([...part.querySelectorAll("input:checked")].map((i) => i.value));
  const active = document.activeElement;
  const focus = part.contains(active) ? { element: active, row: active.closest("[id]")?.id, tag: active.tagName, href: active.getAttribute("href") } : null;
  const scroll = part.querySelector(".wide")?.scrollLeft || 0;
  const next = new DOMParser().parseFromString(html, "text/html").body;
  if (part.dataset.since) markNews(next, Number(part.dataset.since));
  exchange(part, next);
  for (const i of part.querySelectorAll("input[type=checkbox]")) i.checked = chosen.has(i.value);
  const wide = part.querySelector(".wide");
  if (wide && wide.scrollLeft !== scroll) wide.scrollLeft = scroll;
  localTimes(part);
  passing(part);
  if (focus?.row && document.activeElement !== focus.element) {
    const row = document.getElementById(focus.row);
    const same = [...(row?.querySelectorAll(focus.tag) || [])];
    (same.find((e) => e.getAttribute("href") === focus.href) || same[0])?.focus({ preventScroll: true });
  }
}

// markNews marks what is new to who looked last at that time, as the server does where it
// makes the whole page: rows alone are the same for everybody.
function markNews(root, since) {
  for (const row of root.querySelectorAll("tr[data-changed]")) {
    if (row.dataset.changed <= since) continue;
    const word = row.dataset.opened > since ? "new" : "changed";
    row.querySelector("th a").insertAdjacentHTML("afterend", ` <span class="mark news">${word}</span>`);
  }
}

// said is what the server says of an element, without the words for how long ago things
// were, which are kept true here.
const said = (e) => e.outerHTML.replace(/<time [^>]*?datetime="([^"]*)"[^>]*>[^<]*<\/time>/g, "$1");

// exchange lets old have the children of fresh: row by row, if both have a list.
function exchange(old, fresh) {
  const rows = old.querySelector("tbody, ol"), news = fresh.querySelector("tbody, ol");
  const kinds = (e) => [...e.children].map((c) => c.tagName).join();
  if (!rows || !news || kinds(old) !== kinds(fresh)) { old.replaceChildren(...fresh.childNodes); return; }
  const others = [...fresh.children];
  [...old.children].forEach((piece, n) => {
    if (!piece.contains(rows) && said(piece) !== said(others[n])) piece.replaceChildren(...others[n].childNodes);
  });
  const wanted = [...news.children].map((row) => [said(row), row]);
  const keep = new Set(wanted.map(([text]) => text)), kept = new Map();
  for (const row of [...rows.children]) {
    const text = said(row);
    if (keep.has(text) && !kept.has(text)) kept.set(text, row); else row.remove();
  }
  let at = rows.firstElementChild;
  for (const [text, row] of wanted) {
    const here = kept.get(text) || row;
    kept.delete(text);
    if (here === at) at = at.nextElementSibling; else rows.insertBefore(here, at);
  }
}

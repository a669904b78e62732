// The board and the wall are kept true while they are open. What console.js has is there.
// When an incident changes, the rows are asked for again. What a person has chosen, and where they are, stays.
for (const part of document.querySelectorAll("[data-board]")) follow(part);

function follow(part) {
  let asked = false, again = false, heard = true, stale;
  async function refresh() {
    if (document.hidden) return; // it is asked for when somebody looks again
    if (asked) { again = true; return; }
    asked = true;
    again = false;
    try {
      const url = new URL(part.dataset.part, location.href);
      url.searchParams.set("part", "rows");
      const answer = await fetch(url, { signal: AbortSignal.timeout(20000) });
      if (answer.status === 401) { location.reload(); return; } // the session has ended
      if (answer.ok) replace(part, await answer.text());
      if (!answer.ok || heard) fresh(answer.ok);
    } catch { fresh(false); }
    asked = false;
    if (again) setTimeout(refresh, 300);
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
  let waiting = false;
  function soon() { // many changes are asked for once
    if (waiting) return;
    waiting = true;
    setTimeout(() => { waiting = false; refresh(); }, 200);
  }
  listen(part.dataset.board, soon, (is) => {
    heard = is;
    clearTimeout(stale);
    if (heard) fresh(true); else stale = setTimeout(() => fresh(false), 10000);
  });
}

function replace(part, html) {
  const next = new DOMParser().parseFromString(html, "text/html");
  if (bare(next.body) === bare(part)) return;
  const chosen = new Set([...part.querySelectorAll("input:checked")].map((i) => i.value));
  const active = document.activeElement;
  const focus = part.contains(active) ? { row: active.closest("[id]")?.id, tag: active.tagName, href: active.getAttribute("href") } : null;
  const scroll = part.querySelector(".wide")?.scrollLeft || 0;
  part.replaceChildren(...next.body.childNodes);
  for (const i of part.querySelectorAll("input[type=checkbox]")) i.checked = chosen.has(i.value);
  const wide = part.querySelector(".wide");
  if (wide) wide.scrollLeft = scroll;
  localTimes(part);
  passing(part);
  if (focus?.row) {
    const row = document.getElementById(focus.row);
    const same = [...(row?.querySelectorAll(focus.tag) || [])];
    (same.find((e) => e.getAttribute("href") === focus.href) || same[0])?.focus({ preventScroll: true });
  }
}

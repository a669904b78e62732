// What pages are better with: times by the viewer's clock, no form sent twice. All of
// it works without.
"use strict";

// The server writes times in the zone that this cookie names, from the next page on.
const zone = Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";
document.cookie = "tocsin_zone=" + zone + "; path=/; max-age=31536000; samesite=lax";

const two = (n) => String(n).padStart(2, "0");

// span writes a duration in its largest two units, as the server does.
function span(ms) {
  const s = Math.max(0, Math.floor(ms / 1000));
  if (s < 60) return s + " s";
  if (s < 3600) return Math.floor(s / 60) + " min";
  if (s < 86400) return Math.floor(s / 3600) + " h " + two(Math.floor(s / 60) % 60) + " min";
  return Math.floor(s / 86400) + " d " + (Math.floor(s / 3600) % 24) + " h";
}

function localTimes(root) {
  const today = new Date().toDateString();
  for (const t of root.querySelectorAll("time[datetime]:not([data-ago]):not([data-left])")) {
    const d = new Date(t.dateTime);
    const clock = two(d.getHours()) + ":" + two(d.getMinutes());
    t.textContent = d.toDateString() === today ? clock : d.getFullYear() + "-" + two(d.getMonth() + 1) + "-" + two(d.getDate()) + " " + clock;
  }
  for (const z of root.querySelectorAll("[data-zone]")) z.textContent = zone;
}

// passing keeps the words for how long ago something was, and how long there is, true.
function passing(root) {
  const now = Date.now();
  for (const t of root.querySelectorAll("time[data-ago]")) t.textContent = span(now - new Date(t.dateTime));
  for (const t of root.querySelectorAll("time[data-left]")) {
    const left = new Date(t.dateTime) - now;
    t.classList.toggle("overdue", left < 0);
    t.classList.toggle("soon", left >= 0 && left < 300000);
    t.textContent = left < 0 ? span(-left) + " overdue" : span(left) + " left";
  }
}

localTimes(document);
passing(document);
setInterval(() => passing(document), 10000);

// A form is sent once, however often its button is pressed.
document.addEventListener("submit", (e) => {
  const form = e.target;
  if (form.dataset.sent) { e.preventDefault(); return; }
  form.dataset.sent = "yes";
  setTimeout(() => { for (const b of form.querySelectorAll("button")) b.disabled = true; }, 0);
});
addEventListener("pageshow", (e) => {
  if (!e.persisted) return; // only where the browser brings back the page as it was
  for (const form of document.forms) {
    delete form.dataset.sent;
    for (const b of form.querySelectorAll("button")) b.disabled = false;
  }
});

// A part of a page that is kept true: when an incident changes, the part is asked for
// again. What a person has chosen or folded, and where they are, stays.
for (const part of document.querySelectorAll("[data-live]")) follow(part);

function follow(part) {
  let asked = false, again = false, stale;
  async function refresh() {
    if (document.hidden) { again = true; return; }
    if (asked) { again = true; return; }
    asked = true;
    again = false;
    try {
      const url = new URL(part.dataset.part, location.href);
      url.searchParams.set("part", "rows");
      const answer = await fetch(url, { headers: { Accept: "text/html" } });
      if (answer.status === 401) { location.reload(); return; }
      if (answer.ok) { replace(part, await answer.text()); fresh(true); } else fresh(false);
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
  const source = new EventSource(part.dataset.live);
  source.addEventListener("incident", soon);
  source.addEventListener("reset", soon);
  let opened = false;
  source.onopen = () => { if (opened) soon(); opened = true; fresh(true); };
  source.onerror = () => { clearTimeout(stale); stale = setTimeout(() => fresh(false), 10000); };
  document.addEventListener("visibilitychange", () => { if (!document.hidden && again) refresh(); });
}

function replace(part, html) {
  const chosen = new Set([...part.querySelectorAll("input:checked")].map((i) => i.value));
  const unfolded = new Set([...part.querySelectorAll("details[id][open]")].map((d) => d.id));
  const active = document.activeElement;
  const focus = part.contains(active) ? { row: active.closest("[id]")?.id, tag: active.tagName, href: active.getAttribute("href") } : null;
  const scroll = part.querySelector(".wide")?.scrollLeft || 0;
  const next = new DOMParser().parseFromString(html, "text/html");
  part.replaceChildren(...next.body.childNodes);
  for (const i of part.querySelectorAll("input[type=checkbox]")) i.checked = chosen.has(i.value);
  for (const d of part.querySelectorAll("details[id]")) d.open = unfolded.has(d.id) || d.open;
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

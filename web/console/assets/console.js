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

// What went wrong, or who was faster, is where the reader begins.
const first = document.querySelector("[autofocus]");
if (first) first.focus();

// part asks for a part of a page; null if it is as it was.
let etag = "";
async function part(url) {
  const r = await fetch(url, { headers: etag ? { "If-None-Match": etag } : {}, cache: "no-store", credentials: "same-origin" });
  if (r.status === 304) return null;
  if (!r.ok) throw new Error(r.status);
  etag = r.headers.get("ETag") || "";
  return new DOMParser().parseFromString(await r.text(), "text/html");
}

// bare is a part as text, without what differs each time: how long ago things were, what
// is unfolded, and ids that are used once.
function bare(el) {
  const c = el.cloneNode(true);
  for (const t of c.querySelectorAll("time")) t.textContent = "";
  for (const d of [c, ...c.querySelectorAll("details")]) d.removeAttribute("open");
  for (const i of c.querySelectorAll("input[name=once]")) i.remove();
  return c.innerHTML;
}

// replace puts a new part in the place of an old one; what was unfolded stays so, and
// the focus stays where it was.
function replace(old, fresh) {
  const keys = (root) => [root, ...root.querySelectorAll("details")].filter((d) => d.dataset.key);
  const open = new Map(keys(old).map((d) => [d.dataset.key, d.open]));
  for (const d of keys(fresh)) if (open.has(d.dataset.key)) d.open = open.get(d.dataset.key);
  const at = old.contains(document.activeElement) ? document.activeElement : null;
  const again = at && [...old.querySelectorAll("a, button, summary")].indexOf(at);
  old.replaceWith(fresh);
  if (!at) return;
  const same = at.id ? document.getElementById(at.id) : fresh.querySelectorAll("a, button, summary")[again];
  if (same) same.focus({ preventScroll: true });
}

// renew brings the parts of the page up to date, and reports whether any has changed. A
// part in which somebody writes is left alone.
function renew(fresh) {
  let changed = false, last = null;
  const now = [...fresh.querySelectorAll("[data-part]")];
  for (const old of document.querySelectorAll("[data-part]")) {
    if (!now.some((n) => n.dataset.part === old.dataset.part)) { old.remove(); changed = true; }
  }
  for (const n of now) {
    let old = document.querySelector(`[data-part="${n.dataset.part}"]`);
    const writes = old && old.contains(document.activeElement) && document.activeElement.matches("input, textarea, select");
    if (!old && last) { last.after(n); changed = true; old = n; } else if (old && !writes && bare(old) !== bare(n)) { replace(old, n); changed = true; old = n; }
    localTimes(old);
    last = old;
  }
  passing(document);
  return changed;
}

// follow keeps the page of an incident up to date: as soon as the stream says that it
// has changed, and from time to time in any case.
function follow(said) {
  const url = said.dataset.live;
  let asking = false, again = false;
  async function look() {
    if (asking) { again = true; return; }
    asking = true;
    try {
      const fresh = await part(url + "?part=live");
      const changed = fresh && renew(fresh);
      if (changed) {
        said.textContent = "Changed just now.";
        setTimeout(() => { said.textContent = ""; }, 10000);
      } else if (said.dataset.lost) said.textContent = "";
      delete said.dataset.lost;
    } catch {
      said.dataset.lost = "yes";
      said.textContent = "Tocsin does not answer; what stands here may be old.";
    }
    asking = false;
    if (again) { again = false; look(); }
  }
  setInterval(() => { if (!document.hidden) look(); }, 15000);
  document.addEventListener("visibilitychange", () => { if (!document.hidden) look(); });
  return look;
}
const live = document.querySelector("[data-live]:not([data-paged])");
if (live) follow(live);

// What may be the same is shown while somebody writes a report.
const same = document.getElementById("duplicates");
if (same) {
  const form = document.querySelector("form.fields");
  let timer = 0, asked = "";
  form.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(async () => {
      const q = new URLSearchParams({ part: "duplicates" });
      for (const name of ["title", "description", "service", "host"]) q.set(name, form.elements[name].value.slice(0, 500));
      if (q.toString() === asked) return;
      asked = q.toString();
      try {
        const r = await fetch("/report?" + q, { credentials: "same-origin" });
        if (!r.ok || q.toString() !== asked) return;
        same.replaceChildren(...new DOMParser().parseFromString(await r.text(), "text/html").body.childNodes);
        passing(same);
      } catch { /* it is shown at the next letter */ }
    }, 400);
  });
}

// The page of an incident is kept true while it is open. What console.js has is there.
// pieces asks for the pieces of a page; null if they are as they were.
let etag = "";
async function pieces(url) {
  const r = await fetch(url, { headers: etag ? { "If-None-Match": etag } : {}, cache: "no-store", signal: AbortSignal.timeout(20000) });
  if (r.status === 304) return null;
  if (r.status === 401) location.reload(); // the session has ended
  if (!r.ok) throw new Error(r.status);
  etag = r.headers.get("ETag") || "";
  return new DOMParser().parseFromString(await r.text(), "text/html");
}

// exchange puts a new piece in the place of an old one; what was unfolded stays so, and
// the focus stays where it was.
function exchange(old, fresh) {
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

// renew brings the pieces of the page up to date, and reports whether any has changed. A
// piece in which somebody writes is left alone.
function renew(fresh) {
  let changed = false, last = null;
  const now = [...fresh.querySelectorAll("[data-piece]")];
  for (const old of document.querySelectorAll("[data-piece]")) {
    if (!now.some((n) => n.dataset.piece === old.dataset.piece)) { old.remove(); changed = true; }
  }
  for (const n of now) {
    let old = document.querySelector(`[data-piece="${n.dataset.piece}"]`);
    const writes = old && old.contains(document.activeElement) && document.activeElement.matches("input, textarea, select");
    if (!old && last) { last.after(n); changed = true; old = n; } else if (old && !writes && bare(old) !== bare(n)) { exchange(old, n); changed = true; old = n; }
    localTimes(old);
    last = old;
  }
  passing(document);
  return changed;
}

// followIncident keeps the page of an incident up to date: as soon as the stream says
// that it has changed, and from time to time, because who was told is not in the stream.
function followIncident(said) {
  const address = new URL(said.dataset.incident, location.href);
  let asking = false, again = false;
  async function look() {
    if (document.hidden) return; // it is asked for when somebody looks again
    if (asking) { again = true; return; }
    asking = true;
    again = false;
    const began = performance.now();
    try {
      const fresh = await pieces(address.pathname + "?part=live");
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
    // In a storm pages that are large are asked for less often.
    setTimeout(() => {
      asking = false;
      if (again) look();
    }, Math.max(300, 5 * (performance.now() - began)));
  }
  listen("/api/v1/stream?incident=" + address.pathname.split("/").pop(), look);
  setInterval(look, 60000);
}
const followed = document.querySelector("[data-incident]:not([data-paged])");
if (followed) followIncident(followed);

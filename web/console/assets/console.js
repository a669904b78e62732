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

// listen calls changed for what a stream tells, and heard with whether it is heard. It does so
// while somebody sees the page: to one place a browser has six connections where there is no
// TLS, and each stream has one for itself. What happened before is not told, so changed is
// called at each beginning, and when the stream is refused: the page then asks why.
function listen(address, changed, heard = () => {}) {
  let stream;
  function follow() {
    if (document.hidden) { stream?.close(); return; }
    if (stream && stream.readyState !== EventSource.CLOSED) return;
    const one = stream = new EventSource(address);
    one.onopen = () => { heard(true); changed(); };
    one.onerror = () => { heard(false); if (one.readyState === EventSource.CLOSED) changed(); };
    one.addEventListener("incident", changed);
    one.addEventListener("changed", changed);
    one.addEventListener("reset", changed);
  }
  follow();
  document.addEventListener("visibilitychange", follow);
  setInterval(follow, 30000); // a browser gives up where something else than a stream answers
}

// bare is a part of a page as text, without what differs each time: how long ago things were, what
// is unfolded, and ids that are used once.
function bare(el) {
  const c = el.cloneNode(true);
  for (const t of c.querySelectorAll("time")) t.textContent = "";
  for (const d of [c, ...c.querySelectorAll("details")]) d.removeAttribute("open");
  for (const i of c.querySelectorAll("input[name=once]")) i.remove();
  return c.innerHTML;
}

// A form is sent once, however often its button is pressed; where no answer comes, it can be sent
// again after a while.
document.addEventListener("submit", (e) => {
  const form = e.target;
  if (form.dataset.sent) { e.preventDefault(); return; }
  form.dataset.sent = "yes";
  setTimeout(() => { for (const b of form.querySelectorAll("button")) b.disabled = true; }, 0);
  setTimeout(() => again(form), 30000);
});
function again(form) {
  delete form.dataset.sent;
  for (const b of form.querySelectorAll("button")) b.disabled = false;
}
addEventListener("pageshow", (e) => {
  if (e.persisted) for (const form of document.forms) again(form); // the browser brings back the page as it was
});

// What went wrong, or who was faster, is where the reader begins.
const first = document.querySelector("[autofocus]");
if (first) first.focus();

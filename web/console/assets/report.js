// The form for a report. What console.js has is there.
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

// What makes pages better where scripts run. Every page works without it.

// Moments are shown in the reader's time zone.
function localize(root) {
  for (const moment of root.querySelectorAll("time[datetime]")) {
    const at = new Date(moment.dateTime);
    moment.title = moment.textContent;
    moment.textContent = at.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "medium" });
  }
}
localize(document);

// Makes a node of the page what it is in a newer page. What stays the same is not touched, so
// that focus stays where it is, and only news is read out.
function renew(old, next) {
  if (old.isEqualNode(next)) return;
  if (old.nodeType !== Node.ELEMENT_NODE || old.nodeName !== next.nodeName) {
    old.replaceWith(document.importNode(next, true));
    return;
  }
  for (const { name } of [...old.attributes]) if (!next.hasAttribute(name)) old.removeAttribute(name);
  for (const { name, value } of next.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  const children = [...next.childNodes];
  while (old.childNodes.length > children.length) old.lastChild.remove();
  children.forEach((child, i) => {
    if (i < old.childNodes.length) renew(old.childNodes[i], child);
    else old.append(document.importNode(child, true));
  });
}

// A page that waits asks for its news, which come when there are any.
async function awaitNews() {
  const url = location.pathname + "?page";
  const pause = (ms) => new Promise((done) => setTimeout(done, ms));
  for (let tag = "", failures = 0; document.querySelector('meta[name="waits"]'); ) {
    const headers = tag ? { Prefer: "wait=25", "If-None-Match": tag } : {};
    const got = await fetch(url, { headers, cache: "no-store", redirect: "manual" }).catch(() => null);
    if (got?.type === "opaqueredirect" || got?.status === 404) return location.reload();
    if (got?.ok) {
      const next = new DOMParser().parseFromString(await got.text(), "text/html");
      tag = got.headers.get("ETag") ?? "";
      showNews(next);
    }
    failures = got?.ok || got?.status === 304 ? 0 : failures + 1;
    await pause(tag && !failures ? 500 : Math.min(60, 2 ** failures) * 1000);
  }
}

function showNews(next) {
  for (const unread of [document, next]) for (const e of unread.querySelectorAll("noscript")) e.remove();
  localize(next);
  document.title = next.title;
  if (!next.querySelector('meta[name="waits"]')) document.querySelector('meta[name="waits"]').remove();
  const live = document.querySelectorAll("[data-live]");
  if (live.length === 0) renew(document.body, next.body);
  for (const old of live) {
    const now = next.getElementById(old.id);
    if (now) renew(old, now);
  }
}
awaitNews();

// A page of the dashboard stays up to date: it is loaded again every few seconds, and sooner if
// the server tells of a change. What pauses it stands in its address, and holds.
function stayFresh(control) {
  const link = control.querySelector("a");
  const note = control.querySelector("[role=status]");
  let on = control.dataset.state === "on", busy = false, soon = 0, timer = 0, source = null;

  async function refresh() {
    const fresh = document.getElementById("fresh");
    const marked = document.getSelection();
    if (busy || !on || (!marked.isCollapsed && fresh.contains(marked.anchorNode))) return;
    busy = true;
    const got = await fetch(location.href, { cache: "no-store" }).catch(() => null);
    const text = got?.ok ? await got.text().catch(() => "") : "";
    const next = new DOMParser().parseFromString(text, "text/html").getElementById("fresh");
    busy = false;
    note.textContent = next ? "" : "The server does not answer; the page tries again.";
    if (!next || !on) return;
    localize(next);
    offerCopies(next);
    for (const d of next.querySelectorAll("details[id]")) d.open = Boolean(document.getElementById(d.id)?.open);
    renew(fresh, next);
  }

  function hurry() {
    soon ||= setTimeout(() => { soon = 0; refresh(); }, 1000);
  }

  // A tab that nobody sees needs no connection.
  function connect() {
    clearInterval(timer);
    source?.close();
    source = null;
    if (!on || document.hidden) return;
    timer = setInterval(refresh, control.dataset.every * 1000);
    if (!control.dataset.events) return;
    source = new EventSource(control.dataset.events);
    for (const name of ["change", "lost"]) source.addEventListener(name, hurry);
  }

  function address(live) {
    const url = new URL(location.href);
    url.searchParams.delete("live");
    if (!live) url.searchParams.set("live", "off");
    return url.href;
  }

  link.addEventListener("click", (event) => {
    event.preventDefault();
    on = !on;
    history.replaceState(null, "", address(on));
    link.href = address(!on);
    link.textContent = on ? "Pause" : "Go live";
    note.textContent = on ? "" : "The page is paused.";
    for (const form of document.querySelectorAll("form.filters")) {
      form.querySelector("[name=live]")?.remove();
      if (!on) form.append(Object.assign(document.createElement("input"), { type: "hidden", name: "live", value: "off" }));
    }
    connect();
    refresh();
  });
  document.addEventListener("visibilitychange", () => { connect(); if (!document.hidden) refresh(); });
  connect();
}
for (const control of document.querySelectorAll(".live[data-every]")) stayFresh(control);

// What is there to be copied has a button for that, where a script may copy.
function offerCopies(root) {
  if (navigator.clipboard) for (const button of root.querySelectorAll("button.copy")) button.hidden = false;
}
offerCopies(document);
document.addEventListener("click", async (event) => {
  const button = event.target.closest("button.copy");
  if (!button) return;
  await navigator.clipboard.writeText(button.previousElementSibling.textContent);
  button.textContent = "Copied";
});

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

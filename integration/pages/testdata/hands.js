// Finds what a person would point at. It runs beside the page, in a world of its own.
globalThis.hands = {
  // named returns the elements to be seen that do something and have that name.
  named(name) {
    const squeezed = text => (text ?? "").replace(/\s+/g, " ").trim();
    return [...document.querySelectorAll("a[href], button, summary, input, select, textarea, [role=button]")].filter(element =>
      element.checkVisibility() && [element.innerText, element.getAttribute("aria-label"), ["submit", "button"].includes(element.type) ? element.value : "",
        ...[...element.labels ?? []].map(label => label.innerText)].some(text => squeezed(text) === name));
  },
  // where returns a point at which a pointer meets the only element of that name.
  where(name) {
    const all = this.named(name);
    if (all.length !== 1) return { n: all.length };
    all[0].scrollIntoView({ block: "center", behavior: "instant" });
    const box = [...all[0].getClientRects()].find(r => r.width > 0 && r.height > 0);
    if (!box) return { n: 0 };
    const x = box.left + box.width / 2, y = box.top + box.height / 2;
    const top = document.elementFromPoint(x, y);
    return { n: 1, x, y, free: all[0] === top || all[0].contains(top) };
  },
  // hold gives the focus to the only element of that name, and marks what is in it.
  hold(name) {
    const all = this.named(name);
    if (all.length === 1) {
      all[0].focus();
      all[0].select?.();
    }
    return all.length;
  },
};

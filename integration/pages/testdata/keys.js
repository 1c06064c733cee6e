// What a person who has only a keyboard meets in a page. It runs beside the page, in a world of
// its own, and sees the page's elements only.
(() => {
  const interactive = "a[href], area[href], button, input, select, textarea, summary, iframe, audio[controls], video[controls], "
    + "[contenteditable]:not([contenteditable=false]), [tabindex], [role=button], [role=link], [role=checkbox], [role=tab], [role=menuitem], [onclick]";

  const shown = element => element.checkVisibility({ contentVisibilityAuto: true, visibilityProperty: true }) && element.getClientRects().length > 0;

  const name = element => {
    const text = (element.labels?.[0]?.innerText || element.getAttribute("aria-label") || element.innerText || element.value || "").trim();
    return "<" + element.localName + "> " + JSON.stringify(text.slice(0, 40));
  };

  // all are the elements that must be reached, in their order.
  let all = [];

  const luminance = ([r, g, b]) => {
    const linear = c => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
    return 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
  };
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const colour = text => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = text;
    canvas.fillRect(0, 0, 1, 1);
    return canvas.getImageData(0, 0, 1, 1).data;
  };
  // ground is the colour on which an element stands.
  const ground = element => {
    for (let e = element.parentElement; e; e = e.parentElement) {
      const c = colour(getComputedStyle(e).backgroundColor);
      if (c[3] === 255) return c;
    }
    return [255, 255, 255, 255];
  };
  const contrast = (a, b) => {
    const [x, y] = [luminance(a), luminance(b)].sort((p, q) => q - p);
    return (x + 0.05) / (y + 0.05);
  };

  // marked says how the focus is not to be seen, if it is not (WCAG 2.4.7, 1.4.11).
  const unmarked = element => {
    const style = getComputedStyle(element);
    // The browser's own outline is called auto, and is broader than it says.
    if (style.outlineStyle === "none" || style.outlineStyle !== "auto" && parseFloat(style.outlineWidth) < 2) return "its focus has no outline";
    const ratio = contrast(colour(style.outlineColor), ground(element));
    if (ratio < 3 && style.outlineStyle !== "auto") return "the outline of its focus has a contrast of " + ratio.toFixed(2);
    return "";
  };

  // covered says what of a focused element is not to be seen (WCAG 2.4.11).
  const covered = element => {
    const box = [...element.getClientRects()].find(r => r.width > 0 && r.height > 0);
    if (!box) return "it has focus, and is not to be seen";
    const x = box.left + Math.min(box.width, 40) / 2, y = box.top + Math.min(box.height, 40) / 2;
    if (x < 0 || y < 0 || x >= innerWidth || y >= innerHeight) return "it has focus outside of the window";
    const top = document.elementFromPoint(x, y);
    if (top && top !== element && !element.contains(top) && !top.contains(element) && ![...element.labels ?? []].some(l => l.contains(top))) {
      return "it has focus under " + name(top);
    }
    return "";
  };

  let clicked = null;
  const catchClick = event => {
    clicked = event.target;
    event.preventDefault();
    event.stopImmediatePropagation();
  };
  addEventListener("click", catchClick, { capture: true });

  const reached = new Set();
  globalThis.keys = {
    // begin puts the focus before the first element.
    begin() {
      const before = document.createElement("span");
      before.tabIndex = -1;
      document.body.prepend(before);
      before.focus();
      before.remove();
      reached.clear();
      clicked = null;
      all = [...document.querySelectorAll(interactive)].filter(element =>
        shown(element) && !element.matches(":disabled") && element.type !== "hidden" && !element.closest("[inert]"));
    },
    // stop describes where the focus is; at the end of the page it is nowhere.
    stop() {
      const element = document.activeElement;
      if (!element || element === document.body || element === document.documentElement) return { end: true };
      const again = reached.has(element);
      reached.add(element);
      if (element.type === "radio") {
        for (const other of all) if (other.type === "radio" && other.name === element.name && other.form === element.form) reached.add(other);
      }
      const acts = element.matches("a[href], button, summary, [type=submit], [type=button], [type=reset], [role=button], [role=link]") ? "Enter" : "";
      const space = element.matches("button, summary, [type=submit], [type=button], [type=reset], [type=checkbox], [type=radio]:not(:checked), [role=button]") ? "Space" : "";
      return { again, name: name(element), fault: covered(element) || unmarked(element), keys: [acts, space].filter(k => k) };
    },
    // end lets the page act again.
    end() {
      removeEventListener("click", catchClick, { capture: true });
    },
    // acted reports whether the focused element was clicked since it was last asked.
    acted() {
      const element = clicked;
      clicked = null;
      return element !== null && element === document.activeElement;
    },
    // missed are the elements that were not reached, or not in their turn.
    missed() {
      const jumping = all.filter(element => element.tabIndex > 0).map(element => name(element) + ": it has a place of its own in the order");
      const missed = all.filter(element => !reached.has(element) && element.tabIndex <= 0).map(element => name(element) + ": Tab does not reach it");
      return [...jumping, ...missed];
    },
  };
})();

// Says what of a page people with some abilities cannot use. It runs beside the page, in a world
// of its own, in which axe-core is.
globalThis.check = async coloursAlone => {
  // axe takes what is in these for hidden, also where it is shown.
  for (const shown of document.querySelectorAll("body noscript")) {
    if (shown.firstElementChild) shown.replaceWith(...shown.childNodes);
  }
  // A page may load itself again if that can be stopped (WCAG 2.2.1); axe cannot know that it can.
  const stoppable = [...document.querySelectorAll("a[href]")].some(link => ["Stop refreshing", "Pause"].includes(link.textContent.trim()));
  const found = await axe.run(document, {
    // Where only the scheme is another, only colours are.
    runOnly: coloursAlone ? { type: "rule", values: ["color-contrast", "link-in-text-block"] }
      : { type: "tag", values: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"] },
    // The only rule for WCAG 2.2; axe leaves it out unless it is asked for.
    rules: coloursAlone ? {} : { "target-size": { enabled: true }, "meta-refresh": { enabled: !stoppable } },
    resultTypes: ["violations", "incomplete"],
    // Every stylesheet is of the page's own site, and can be read where it is.
    preload: false,
  });
  const say = result => result.nodes.map(node => result.id + " (" + result.help + ") at " + node.target.join(" ") + ": " + node.failureSummary.replace(/\s+/g, " "));
  return { violations: found.violations.flatMap(say), incomplete: found.incomplete.flatMap(say) };
};

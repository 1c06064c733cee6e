// What makes pages better where scripts run. Every page works without it.

// Moments are shown in the reader's time zone.
for (const moment of document.querySelectorAll("time[datetime]")) {
  const at = new Date(moment.dateTime);
  moment.title = moment.textContent;
  moment.textContent = at.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "medium" });
}

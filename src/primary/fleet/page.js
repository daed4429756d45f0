"use strict";
// Shows the page anew every few seconds, and says so where it cannot: what stands here is then of the time that it names.
const updated = document.getElementById("updated");
let last = updated.textContent;
async function update() {
  try {
    const answer = await fetch(location.href, { cache: "no-store", signal: AbortSignal.timeout(5000) });
    if (!answer.ok) throw new Error("it answers " + answer.status);
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const part of document.querySelectorAll("[data-part]")) {
      const anew = page.querySelector('[data-part="' + part.dataset.part + '"]');
      if (anew && anew.innerHTML !== part.innerHTML) part.innerHTML = anew.innerHTML;
      if (anew) part.className = anew.className;
    }
    document.title = page.title;
    last = page.getElementById("updated").textContent;
    updated.className = "";
    updated.textContent = last;
  } catch (error) {
    updated.className = "stale";
    updated.textContent = "NOT UPDATED, the daemon does not answer (" + error.message + "). " + last;
    document.title = "not updated - sidegate fleet";
  }
  setTimeout(update, 5000);
}
setTimeout(update, 5000);

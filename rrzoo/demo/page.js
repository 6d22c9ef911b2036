// What the page does without the server: the address says what was searched, a click looks closer at a picture or opens
// the model's card, and a lost connection is said.
(() => {
  // the address says what was searched: `drawn` holds the link that does
  window.keepSearch = drawn => {
    if (!window.arrived) return;
    const link = new DOMParser().parseFromString(drawn || "", "text/html").querySelector("a");
    const asked = new URLSearchParams(link ? link.getAttribute("href") : "");
    const here = new URL(location);
    for (const name of ["picture", "avoid", "k", "rerank", "label", "closer", "copies", "other"]) {
      here.searchParams.delete(name);
      for (const value of asked.getAll(name)) here.searchParams.append(name, value);
    }
    history.replaceState({}, "", here);
  };

  // the link to the model's card opens it here, so that nothing on the page is lost
  document.addEventListener("click", event => {
    const tab = document.querySelector("button[data-tab-id=models]");
    if (!tab || !event.target.closest("#introduction a[href*='tab=models']")) return;
    event.preventDefault();
    tab.click();
    let tries = 40;
    const timer = setInterval(() => {  // what is in a tab is there only once the tab has opened
      const header = document.querySelector("#card-of button.label-wrap");
      if (header && !header.classList.contains("open")) header.click();
      if (header || !--tries) clearInterval(timer);
    }, 50);
  });

  // a magnifying glass: its picture, as large as there is room
  document.addEventListener("click", event => {
    const button = event.target.closest("button.closer");
    if (!button) return;
    const [picture, text] = [button.previousElementSibling.querySelector("img"), button.previousElementSibling.title];
    const dialog = document.createElement("dialog");
    dialog.className = "closer";
    dialog.setAttribute("aria-label", text);
    const large = picture.cloneNode();
    large.alt = text;
    const close = Object.assign(document.createElement("button"), {type: "button", textContent: "Close"});
    const caption = Object.assign(document.createElement("p"), {textContent: text});
    dialog.append(large, caption, close);
    dialog.addEventListener("click", ({target}) => {if (target === dialog || target === close) dialog.close()});
    dialog.addEventListener("close", () => {dialog.remove(); button.focus()});
    document.querySelector(".gradio-container").append(dialog);
    dialog.showModal();
  });

  // Gradio puts its upload button into another button, which a screen reader would read as one: make that a group
  new MutationObserver(() => {
    for (const outer of document.querySelectorAll("button:not([role]):has(button[aria-dropeffect])")) {
      outer.role = "group";
      outer.tabIndex = -1;
    }
  }).observe(document, {childList: true, subtree: true});

  // a lost connection: one sentence that stays until an answer arrives
  const lost = document.createElement("p");
  lost.id = "lost";
  lost.setAttribute("role", "alert");
  const say = gone => {
    window.rrzooLost = gone;
    lost.textContent = gone ? "No connection to the demo. What you see stays here: look at your network and try "
      + "again. If that does not help, reload the page: the server may have started anew." : "";
    if (gone && !lost.isConnected) document.body.append(lost);
  };
  const fetch = window.fetch;
  window.fetch = async (...request) => {
    try {
      const answer = await fetch(...request);
      say(false);
      return answer;
    } catch (problem) {
      if (problem.name === "TypeError") say(true);
      throw problem;
    }
  };
  window.addEventListener("offline", () => say(true));
  window.addEventListener("online", () => say(false));
})();

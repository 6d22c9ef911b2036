// How pictures come to the page: pasted or dropped anywhere, whole folders, and types that the browser does not know.
// Gradio takes files that the browser calls pictures, and of others, as of HEIC, it says nothing: here all go to the
// server, which says what it can't read.
(() => {
  const ENDINGS = /\.(heic|heif|avif|tiff?|jpe?g|png|webp|gif|bmp)$/i;
  const isPicture = file => file.type.startsWith("image/");
  const asPicture = file => isPicture(file) ? file : new File([file], file.name, {type: "image/x-unknown"});
  const uploadIn = element => element?.querySelector("input[type=file]");
  const openTab = () => [...document.querySelectorAll("[role=tabpanel]")].find(tab => tab.checkVisibility());

  const give = (upload, files) => {
    const brought = new DataTransfer();
    for (const file of upload.multiple ? files : files.slice(0, 1)) brought.items.add(asPicture(file));
    upload.files = brought.files;
  };
  // in place of what is there, which goes first: else Gradio says three times that the picture has changed
  const send = async (upload, files) => {
    if (!upload || !files.length) return;
    const part = upload.closest(".block");
    const full = () => part.querySelector("[aria-label='Remove Image']");
    full()?.click();
    for (let tries = 40; full() && tries; tries--) await new Promise(requestAnimationFrame);
    upload = uploadIn(part);
    give(upload, files);
    upload.dispatchEvent(new Event("change", {bubbles: true}));
  };

  // Ctrl+V: into the first upload of the open tab, in place of what is there
  document.addEventListener("paste", event => {
    const picture = [...event.clipboardData.files].find(isPicture);
    const upload = uploadIn(openTab());
    if (!picture || !upload || event.target.closest("textarea, input[type=text]")) return;
    event.preventDefault();
    send(upload, [picture]);
  });

  document.addEventListener("change", ({target}) => {
    if (target.type === "file" && ![...target.files].every(isPicture)) give(target, [...target.files]);
  }, true);

  // what the dialog offers
  document.addEventListener("click", () => {
    for (const upload of document.querySelectorAll("input[type=file]")) upload.accept = "image/*,.heic,.heif,.avif";
  }, true);

  // the pictures in a folder and in those below
  const inside = async folder => {
    const [reader, found] = [folder.createReader(), []];
    for (;;) {  // a reader gives a hundred at a time
      const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
      if (!some.length) return found;
      for (const one of some) {
        if (one.isDirectory) found.push(...await inside(one));
        else if (ENDINGS.test(one.name)) found.push(await new Promise((resolve, reject) => one.file(resolve, reject)));
      }
    }
  };

  // where a picture is dropped beside an upload, or on one that is full, a browser would leave the page and show it
  document.addEventListener("dragover", event => {
    if (event.dataTransfer.types.includes("Files")) event.preventDefault();
  });
  document.addEventListener("drop", async event => {
    const here = uploadIn(event.target.closest(".upload-container"));
    const upload = here ?? uploadIn(openTab());
    const [files, entries] = [[], [...event.dataTransfer.items].map(item => item.webkitGetAsEntry?.())];
    const given = [...event.dataTransfer.files];
    if (!given.length || (here && given.every(isPicture))) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    for (const [number, file] of given.entries()) {
      if (entries[number]?.isDirectory) files.push(...await inside(entries[number]));
      else files.push(file);
    }
    send(upload, files);
  }, true);

  // where the browser can't show a picture, as one of HEIC, Gradio would leave a torn one
  const UNSEEN = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 360 160" font-family="sans-serif" font-size="15">
    <rect width="360" height="160" fill="#e7e5e4"/><g fill="#44403c" text-anchor="middle">
    <text x="180" y="74">The picture is here;</text><text x="180" y="98">this browser can't show its format.</text></g></svg>`;
  document.addEventListener("error", ({target}) => {
    if (!target.matches?.(".image-container img") || target.src.startsWith("data:")) return;
    target.src = `data:image/svg+xml,${encodeURIComponent(UNSEEN)}`;
  }, true);
})();

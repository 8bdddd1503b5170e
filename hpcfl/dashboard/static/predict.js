// The predict page: a picture goes to the site, probabilities come back.
import { percent } from "./look.js";

const form = document.getElementById("predict");

if (form) {
  const said = document.getElementById("said");
  const opinion = document.getElementById("opinion");
  const list = document.getElementById("classes");
  const preview = document.getElementById("preview");
  const button = form.querySelector("button");
  const input = form.elements.picture;

  input.addEventListener("change", () => {
    const [file] = input.files;
    if (preview.src) URL.revokeObjectURL(preview.src);
    preview.hidden = !file;
    if (file) preview.src = URL.createObjectURL(file);
    opinion.hidden = true;
    said.textContent = "";
  });

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const [file] = input.files;
    if (!file) return tell("Choose a picture first.", true);
    if (file.size > Number(form.dataset.most))
      return tell(`The file is larger than ${Math.floor(form.dataset.most / 2 ** 20)} MB.`, true);
    button.disabled = true;
    opinion.hidden = true;
    tell("The model is looking at it; the first time it has to be rebuilt.");
    try {
      const answer = await fetch(form.action, {
        method: "POST",
        body: new FormData(form),
        headers: { "X-Requested-With": "fetch", Accept: "application/json" },
      });
      if (answer.status === 401) return location.reload();
      const found = await answer.json();
      if (!answer.ok) return tell(found.error, true);
      show(found);
      tell("");
    } catch {
      tell("The site does not answer. Try again.", true);
    } finally {
      button.disabled = false;
    }
  });

  function tell(text, wrong = false) {
    said.textContent = text;
    said.classList.toggle("wrong", wrong);
  }

  const MOST = 10;

  function show({ classes, seen }) {
    list.replaceChildren(
      ...classes.slice(0, MOST).map(({ name, probability }) => {
        const item = document.createElement("li");
        const label = document.createElement("span");
        const bar = document.createElement("meter");
        const value = document.createElement("span");
        label.textContent = name;
        Object.assign(bar, { min: 0, max: 1, value: probability, title: percent(probability) });
        bar.setAttribute("aria-label", name);
        value.textContent = percent(probability);
        item.append(label, bar, value);
        return item;
      }),
    );
    document.getElementById("rest").hidden = classes.length <= MOST;
    draw(document.getElementById("seen"), seen);
    opinion.hidden = false;
  }

  // The picture as the model sees it.
  function draw(canvas, { shape: [channels, height, width], pixels }) {
    const bytes = Uint8Array.from(atob(pixels), (letter) => letter.charCodeAt(0));
    const image = new ImageData(width, height);
    for (let at = 0; at < width * height; at++) {
      for (let channel = 0; channel < 3; channel++)
        image.data[4 * at + channel] = bytes[(channels === 1 ? 0 : channel) * width * height + at];
      image.data[4 * at + 3] = 255;
    }
    Object.assign(canvas, { width, height });
    canvas.getContext("2d").putImageData(image, 0, 0);
    canvas.setAttribute("aria-label", `The picture on ${width} by ${height} pixels`);
  }
}

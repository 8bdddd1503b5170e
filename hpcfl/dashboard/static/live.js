// Parts of a page that bring themselves up to date: <div data-live="URL" data-every="MILLISECONDS">.
// The server draws them; what is checked, focused or scrolled stays so.

const seen = new WeakMap();
const TOKEN = /(?<=name="csrf_token" value=")[^"]*/g; // another in each answer; those before go on working

async function refresh(part) {
  const answer = await fetch(part.dataset.live, {
    headers: { "X-Requested-With": "fetch", Accept: "text/html" },
    cache: "no-cache",
  });
  if (answer.status === 401) return location.reload(); // logged out: the page leads to the login
  if (!answer.ok) return;
  const text = await answer.text();
  const told = text.replace(TOKEN, "");
  if (seen.get(part) === told) return;
  seen.set(part, told);
  const checked = [...part.querySelectorAll("input:checked")].map((box) => box.value);
  const focus = document.activeElement;
  const path = part.contains(focus) ? describe(focus) : null;
  const scrolled = part.querySelector(".scroll")?.scrollLeft ?? 0;
  part.innerHTML = text;
  for (const box of part.querySelectorAll("input[type=checkbox]")) box.checked = checked.includes(box.value);
  const scroll = part.querySelector(".scroll");
  if (scroll) scroll.scrollLeft = scrolled;
  if (path) part.querySelector(path)?.focus({ preventScroll: true });
}

function describe(element) {
  const row = element.closest("[id]");
  const kind = element.tagName.toLowerCase();
  return row ? `#${CSS.escape(row.id)} ${kind}` : kind;
}

function follow(part) {
  const every = Number(part.dataset.every);
  const again = async () => {
    if (!document.hidden) await refresh(part).catch(() => {}); // the site may be away for a while
    setTimeout(again, every);
  };
  setTimeout(again, every);
}

for (const part of document.querySelectorAll("[data-live]")) follow(part);

for (const form of document.querySelectorAll("form[data-submit=change]")) {
  form.addEventListener("change", (event) => event.target.matches("select") && form.requestSubmit());
}

document.addEventListener("submit", (event) => {
  const question = event.target.dataset.confirm;
  if (question && !confirm(question)) event.preventDefault();
});

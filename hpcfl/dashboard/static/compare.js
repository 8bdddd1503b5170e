// The compare page: one chart of all chosen runs, and a list of runs that can be searched.
import { lines } from "./charts.js";
import { Figure } from "./figure.js";

const element = document.getElementById("overlay");
const EVERY_MS = 5000;

if (element) {
  const form = document.getElementById("axes");
  const figure = new Figure(element, ({ series, ...data }) =>
    lines({ ...data, series, share: !data.what.includes("loss") }),
  );
  const missing = document.getElementById("missing");
  let asked = 0;
  const load = async () => {
    const mine = ++asked;
    const query = new URLSearchParams(new FormData(form));
    const answer = await fetch(`${element.dataset.numbers}&${query}`, {
      headers: { "X-Requested-With": "fetch", Accept: "application/json" },
    });
    if (answer.status === 401) return location.reload();
    if (!answer.ok || mine !== asked) return true;
    const { live, chart } = await answer.json();
    missing.hidden = !chart.without.length;
    missing.textContent = `Without such a curve: ${chart.without.join("; ")}`;
    element.hidden = !chart.series.length;
    if (chart.series.length) figure.show(chart);
    return live;
  };
  const follow = async () => {
    const live = document.hidden || (await load().catch(() => true));
    if (live) setTimeout(follow, EVERY_MS);
  };
  form.addEventListener("change", () => load());
  form.addEventListener("submit", (event) => event.preventDefault());
  follow();
}

const search = document.getElementById("find");
const chooser = document.getElementById("chooser");
const items = [...chooser.querySelectorAll("li")];
search?.addEventListener("input", () => {
  const words = search.value.toLowerCase().split(/\s+/);
  for (const item of items) item.hidden = !words.every((word) => item.textContent.toLowerCase().includes(word));
});
const count = () => {
  const chosen = chooser.querySelectorAll("input[name=run]:checked").length;
  document.getElementById("chosen").textContent = chosen === 1 ? "1 run chosen" : `${chosen} runs chosen`;
};
chooser.addEventListener("change", count);
count();

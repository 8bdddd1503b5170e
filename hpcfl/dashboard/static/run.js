// The run page: charts that follow the file while the run goes on.
import { clients, gantt, labels, lines, staleness, times } from "./charts.js";
import { Figure } from "./figure.js";

const page = document.getElementById("run");
const QUICK_MS = 2000; // curves of a run that goes on
const SLOW_MS = 10000; // what is costly to read, and changes little
const chosen = (name) => page.querySelector(`input[name=${name}]:checked`)?.value;

const curves = {
  accuracy: new Figure(document.getElementById("accuracy"), (data) =>
    lines({ ...data, series: data.accuracy, share: true }),
  ),
  loss: new Figure(document.getElementById("loss"), (data) => lines({ ...data, series: data.loss, share: false })),
};

function showCurves(data) {
  for (const [what, figure] of Object.entries(curves)) {
    const card = figure.element.closest(".card");
    card.hidden = !data?.[what].length;
    if (data?.[what].length) figure.show(data);
  }
  document.getElementById("unevaluated").hidden = Boolean(data?.accuracy.length || data?.loss.length);
}

function card(kind, make) {
  const element = document.getElementById(kind);
  const figure = new Figure(element, make);
  return (data) => {
    element.closest(".card").hidden = !data || (kind === "staleness" && !data.most);
    if (!element.closest(".card").hidden) figure.show(data);
  };
}

const parts = {
  curves: { show: showCurves, every: QUICK_MS, options: ["over"] },
  clients: { show: card("clients", clients), every: SLOW_MS, options: [] },
  labels: { show: card("labels", (data) => labels({ ...data, as: chosen("as") })), every: 0, options: [] },
  staleness: { show: card("staleness", staleness), every: SLOW_MS, options: [] },
  gantt: { show: card("gantt", gantt), every: SLOW_MS, options: ["by", "part"] },
  times: { show: card("times", times), every: SLOW_MS, options: [] },
};

// One card too many for two columns takes both.
function arrange() {
  const cards = [...page.querySelectorAll(".charts > .card:not(.wide, [hidden])")];
  cards.forEach((each, at) => each.classList.toggle("odd", at === cards.length - 1 && at % 2 === 0));
}

async function load(kind, anew = false) {
  const part = parts[kind];
  const query = new URLSearchParams(part.options.map((name) => [name, chosen(name)]));
  if (!anew && part.stamp) query.set("since", part.stamp);
  const asked = (part.asked = (part.asked ?? 0) + 1);
  const answer = await fetch(`${page.dataset.numbers}/${kind}?${query}`, {
    headers: { "X-Requested-With": "fetch", Accept: "application/json" },
  });
  if (answer.status === 401) return location.reload();
  if (answer.status === 204) return true;
  if (!answer.ok) return true;
  const found = await answer.json();
  if (asked !== part.asked) return true; // another choice was made meanwhile
  if (page.dataset.readable === "no" && found.chart) location.reload(); // its first round
  part.stamp = found.stamp;
  if (found.chart || !part.shown) part.show(found.chart); // of a file that is half a change away the last stays
  part.shown ||= Boolean(found.chart);
  arrange();
  if (!found.live && page.dataset.going === "yes") location.reload(); // it has ended: all of it, once
  return found.live;
}

function follow(kind) {
  const { every } = parts[kind];
  const again = async () => {
    const live = document.hidden || (await load(kind).catch(() => true)); // the site may be away for a while
    if (every && live) setTimeout(again, every);
  };
  again();
}

for (const kind of Object.keys(parts)) follow(kind);

page.addEventListener("change", ({ target }) => {
  if (target.name === "as") return load("labels", true);
  const kind = Object.keys(parts).find((name) => parts[name].options.includes(target.name));
  if (kind) load(kind, true);
});

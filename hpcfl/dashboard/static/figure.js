// A chart on the page: Chart.js, which stands in `Chart`, draws it; its legend is made of buttons.
import { style } from "./look.js";

// A canvas that is drawn anew with new data, in new colours, and keeps what was hidden.
export class Figure {
  constructor(element, make) {
    this.element = element;
    this.make = make;
    this.canvas = element.querySelector("canvas");
    this.legend = element.querySelector(".legend");
    document.addEventListener("theme", () => this.redraw());
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.redraw());
  }

  show(data) {
    this.data = data;
    const made = this.make(data);
    this.element.hidden = false;
    if (made.height) this.canvas.parentElement.style.minHeight = `${made.height}px`;
    this.canvas.setAttribute("aria-label", made.told);
    const options = {
      responsive: true,
      maintainAspectRatio: false,
      animation: false,
      normalized: true,
      ...made.options,
    };
    options.plugins = { legend: { display: false }, tooltip: tooltip(made.tooltip), ...made.plugins };
    if (this.chart && this.chart.config.type === made.type) {
      const before = new Map(this.chart.data.datasets.map((set) => [set.label, set]));
      this.chart.data.labels = made.labels;
      this.chart.data.datasets = made.sets.map((set) => Object.assign(before.get(set.label) ?? {}, set));
      this.chart.options = options;
      this.chart.update("none");
    } else {
      this.chart?.destroy();
      this.chart = new Chart(this.canvas, {
        type: made.type,
        data: { labels: made.labels, datasets: made.sets },
        options,
        plugins: made.drawn ?? [],
      });
    }
    this.list(
      made.legend ??
        this.chart.data.datasets
          .map((set, at) => [set.label, at])
          .filter(([, at]) => !this.chart.data.datasets[at].band),
    );
  }

  redraw() {
    if (!this.data) return;
    this.chart?.destroy();
    this.chart = null;
    this.show(this.data);
  }

  // The legend: buttons that hide what they name, with what belongs to it.
  list(entries) {
    if (!this.legend) return;
    this.legend.hidden = entries.length < 2 && !entries.some(([, at]) => at === null);
    const key = JSON.stringify(entries.map(([name]) => name)) + style("--page");
    if (this.legend.dataset.key === key) return;
    this.legend.dataset.key = key;
    this.legend.replaceChildren(
      ...entries.map(([name, at, colour]) => {
        const set = this.chart.data.datasets[at] ?? {};
        const item = document.createElement("li");
        const button = document.createElement("button");
        const mark = document.createElement("span");
        mark.className = "mark";
        mark.style.setProperty("--mark", colour ?? set.mark ?? set.borderColor);
        if (set.borderDash?.length) mark.classList.add("dashed");
        button.type = "button";
        button.append(mark, name);
        if (at === null) {
          button.disabled = true;
        } else {
          button.setAttribute("aria-pressed", this.chart.isDatasetVisible(at));
          button.addEventListener("click", () => {
            const shown = !this.chart.isDatasetVisible(at);
            button.setAttribute("aria-pressed", shown);
            this.chart.data.datasets.forEach((other, place) => {
              if (place === at || (other.band && other.of === set.label)) this.chart.setDatasetVisibility(place, shown);
            });
            this.chart.update("none");
          });
        }
        item.append(button);
        return item;
      }),
    );
  }
}

function tooltip(callbacks = {}) {
  return {
    backgroundColor: style("--text"),
    titleColor: style("--card"),
    bodyColor: style("--card"),
    footerColor: style("--card"),
    padding: 8,
    boxPadding: 4,
    usePointStyle: true,
    callbacks,
    filter: (item) => !item.dataset.band,
  };
}

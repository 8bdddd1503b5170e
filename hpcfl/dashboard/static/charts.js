// What each chart shows: numbers of the site in, a description for Figure out.
import { BYTES, SECONDS, axis, clear, colours, percent, scaled, shades, short, style, unit } from "./look.js";

const DASHES = [[], [6, 4], [8, 3, 2, 3], [2, 3]];
const AXES = {
  round: () => [1, "round"],
  time: (most, clock) => scaled(most, clock, SECONDS),
  wall: (most) => scaled(most, "real time", SECONDS),
  bytes: (most) => scaled(most, "traffic of all clients", BYTES),
};

const points = (x, y, factor) => x.map((place, at) => ({ x: place / factor, y: y[at] }));

// Curves, each {name, x, y} and perhaps a band {low, high}, against what `over` says.
export function lines({ series, over, clock, share }) {
  const most = Math.max(0, ...series.map((one) => one.x.at(-1)));
  const [factor, title] = AXES[over](most, clock);
  const palette = colours();
  const sets = series.flatMap((one, at) => {
    const colour = palette[at % palette.length];
    const line = {
      label: one.name,
      data: points(one.x, one.y, factor),
      borderColor: colour,
      backgroundColor: colour,
      borderWidth: 1.75,
      borderDash: DASHES[Math.floor(at / palette.length) % DASHES.length],
      pointStyle: "line",
      pointRadius: one.x.length === 1 ? 4 : 0,
      pointHoverRadius: 4,
      tension: 0,
      parsing: false,
    };
    if (!one.low) return [line];
    const band = { of: one.name, band: true, borderWidth: 0, pointRadius: 0, pointHitRadius: 0, parsing: false };
    return [
      line,
      { ...band, label: `${one.name} low`, data: points(one.x, one.low, factor), fill: false },
      {
        ...band,
        label: `${one.name} high`,
        data: points(one.x, one.high, factor),
        fill: "-1",
        backgroundColor: clear(colour, 0.18),
      },
    ];
  });
  const last = series.map((one) => `${one.name} ${share ? percent(one.y.at(-1)) : short(one.y.at(-1))}`);
  return {
    type: "line",
    sets,
    told: `${share ? "Accuracy" : "Loss"} against ${title}; last: ${last.join(", ")}`,
    options: {
      interaction: { mode: "nearest", axis: "x", intersect: false },
      scales: {
        x: axis(title, {
          type: "linear",
          min: over === "round" ? undefined : 0,
          max: most / factor,
          ticks: { includeBounds: false },
        }),
        y: axis("", {
          ticks: { callback: (value) => (share ? `${Number((100 * value).toPrecision(4))} %` : short(value)) },
        }),
      },
    },
    tooltip: {
      title: ([item]) => (item ? `${title.replace(/ \[.*/, "")} ${short(item.parsed.x)}${unit(title)}` : ""),
      label: (item) => `${item.dataset.label}: ${share ? percent(item.parsed.y, 2) : short(item.parsed.y)}`,
    },
  };
}

// Clients by the accuracy of their own models.
export function clients({ client, accuracy, count, mean }) {
  const [colour] = colours();
  const range = `from ${percent(accuracy[0])} to ${percent(accuracy.at(-1))}, mean ${percent(mean)}`;
  return {
    type: "bar",
    labels: client,
    sets: [{ label: "accuracy", data: accuracy, backgroundColor: colour, categoryPercentage: 1, barPercentage: 0.9 }],
    told: `Accuracy of the own models of ${count} clients, ${range}`,
    options: {
      scales: {
        x: axis(
          client.length < count
            ? `${client.length} of ${count} clients, the lowest first`
            : "clients, the lowest first",
          { gridded: false },
        ),
        y: axis("", { min: 0, max: 1, ticks: { callback: (value) => `${Math.round(100 * value)} %` } }),
      },
    },
    tooltip: { title: ([item]) => `client ${item.label}`, label: (item) => percent(item.parsed.y) },
  };
}

// Who holds which labels: bubbles by area, or stacked bars.
export function labels({ names, counts, count, as }) {
  const shown = counts[0].length;
  const title = shown < count ? `client (the first ${shown} of ${count})` : "client";
  const most = Math.max(...counts.flat());
  const told = `Training samples of ${count} clients with each of ${names.length} labels, at most ${most} of one label`;
  if (as === "bars") {
    const palette = shades(names.length);
    return {
      type: "bar",
      labels: counts[0].map((_, client) => client),
      told,
      sets: names.map((name, at) => ({
        label: name,
        data: counts[at],
        backgroundColor: palette[at],
        mark: palette[at],
        categoryPercentage: 1,
        barPercentage: 0.88,
      })),
      options: {
        scales: { x: axis(title, { stacked: true, gridded: false }), y: axis("training samples", { stacked: true }) },
      },
      tooltip: {
        title: ([item]) => `client ${item.label}`,
        label: (item) => `${item.dataset.label}: ${item.parsed.y}`,
      },
    };
  }
  const [colour] = colours();
  const data = counts.flatMap((row, label) =>
    row.flatMap((held, client) => (held ? [{ x: client, y: label, held }] : [])),
  );
  const height = Math.min(640, Math.max(180, 60 + 26 * names.length));
  return {
    type: "bubble",
    height,
    told,
    sets: [
      {
        label: `largest: ${most} samples`,
        data,
        backgroundColor: clear(colour, 0.6),
        mark: colour,
        parsing: false,
        radius: (context) => {
          const { chartArea: area } = context.chart;
          const room = area
            ? Math.min((area.right - area.left) / (shown + 1), (area.bottom - area.top) / (names.length + 1))
            : 12;
          return 0.62 * room * Math.sqrt((context.raw?.held ?? 0) / most);
        },
      },
    ],
    legend: [[`largest: ${most.toLocaleString("en")} samples`, null, colour]],
    options: {
      clip: false,
      scales: {
        x: axis(title, { min: -0.6, max: shown - 0.4, gridded: false, ticks: { callback: whole } }),
        y: axis("", {
          min: -0.6,
          max: names.length - 0.4,
          afterBuildTicks: (scale) => {
            if (names.length <= 26) scale.ticks = names.map((_, value) => ({ value }));
          },
          ticks: { autoSkip: names.length > 26, callback: (value) => names[value] ?? "" },
        }),
      },
    },
    tooltip: { label: ({ raw }) => `client ${raw.x}: ${raw.held} of ${names[raw.y]}` },
  };
}

const whole = (value) => (Number.isInteger(value) ? value : "");

// How many server steps updates were behind.
export function staleness({ first, wide, share, mean, most }) {
  const [colour] = colours();
  return {
    type: "bar",
    labels: first.map((low) => (wide === 1 ? low : `${low}–${low + wide - 1}`)),
    sets: [{ label: "updates", data: share, backgroundColor: colour, categoryPercentage: 1, barPercentage: 0.9 }],
    told: `Staleness of the updates: mean ${short(mean)}, most ${most} server steps`,
    options: {
      scales: {
        x: axis(`staleness [server steps], mean ${short(mean)}, most ${most}`, { gridded: false }),
        y: axis("", { ticks: { callback: (value) => `${Number((100 * value).toPrecision(3))} %` } }),
      },
    },
    tooltip: {
      title: ([item]) => `${item.label} steps behind`,
      label: (item) => `${percent(item.parsed.y)} of the updates`,
    },
  };
}

// Who trained when: a bar per job.
export function gantt(found) {
  const { by, lanes, middles, end, place, start, finish, client, rank, status, steps, rounds, last } = found;
  const begin = rounds[0] === 1 ? 0 : Math.min(...start);
  const [factor, title] = scaled(Math.max(...finish) - begin, found.clock, SECONDS);
  const kinds = new Map();
  status.forEach((word, at) => {
    const kind = word === "ok" ? (by === "client" ? `rank ${rank[at]}` : "combined") : word;
    if (!kinds.has(kind)) kinds.set(kind, []);
    kinds.get(kind).push({ x: [start[at] / factor, finish[at] / factor], y: place[at], at });
  });
  const good = [...kinds.keys()]
    .filter((kind) => kind === "combined" || kind.startsWith("rank"))
    .sort((a, b) => a.localeCompare(b, "en", { numeric: true }));
  const palette = shades(good.length);
  const rows = end + 0.5;
  const height = Math.min(620, Math.max(170, 60 + 15 * rows));
  const thick = Math.max(1, (0.85 * (height - 60)) / rows);
  const names = new Map(middles.map((middle, at) => [middle, lanes[at] < 0 ? "none" : lanes[at]]));
  const each = [1, 2, 5, 10, 20, 50, 100, 1000, 10000].find((count) => lanes.length <= 24 * count) ?? lanes.length;
  const some = rounds[0] === 1 && rounds[1] === last ? "" : `, rounds ${rounds[0]} to ${rounds[1]} of ${last}`;
  return {
    type: "bar",
    height,
    sets: [...good, ...[...kinds.keys()].filter((kind) => !good.includes(kind))].map((kind) => ({
      label: kind,
      data: kinds.get(kind),
      grouped: false,
      barThickness: thick,
      minBarLength: 1,
      backgroundColor: good.includes(kind) ? palette[good.indexOf(kind)] : clear(style("--soft"), 0.45),
      borderColor: good.includes(kind) ? palette[good.indexOf(kind)] : style("--soft"),
      mark: good.includes(kind) ? palette[good.indexOf(kind)] : style("--soft"),
      borderWidth: good.includes(kind) ? 0 : 1,
    })),
    told: `Who trained when, a lane per ${by}: ${status.length} jobs${some}`,
    drawn: [
      {
        id: "steps",
        beforeDatasetsDraw: (chart) => {
          const {
            ctx: pen,
            chartArea: area,
            scales: { x },
          } = chart;
          pen.save();
          pen.strokeStyle = style("--line");
          for (const time of chart.options.plugins.steps.times) {
            const at = x.getPixelForValue(time);
            pen.beginPath();
            pen.moveTo(at, area.top);
            pen.lineTo(at, area.bottom);
            pen.stroke();
          }
          pen.restore();
        },
      },
    ],
    plugins: { steps: { times: steps.map((time) => time / factor) } },
    options: {
      indexAxis: "y",
      interaction: { mode: "nearest", intersect: true },
      scales: {
        x: axis(`${title}${some}`, {
          type: "linear",
          min: begin / factor,
          max: Math.max(...finish) / factor,
          gridded: false,
          ticks: { includeBounds: false },
        }),
        y: axis(by, {
          type: "linear",
          offset: false,
          min: -0.5,
          max: end,
          reverse: true,
          gridded: false,
          afterBuildTicks: (scale) => {
            scale.ticks = middles.filter((_, at) => lanes[at] % each === 0).map((value) => ({ value }));
          },
          ticks: { autoSkip: false, callback: (value) => names.get(value) },
        }),
      },
    },
    tooltip: {
      title: ([item]) => `client ${client[item.raw.at]} on rank ${rank[item.raw.at]}`,
      label: ({ raw }) => [
        `${short(raw.x[0])} to ${short(raw.x[1])}${unit(title)}`,
        status[raw.at] === "ok" ? "combined" : status[raw.at],
      ],
    },
  };
}

// Where the real time of the rounds went.
export function times({ each, step, parts, wall }) {
  const palette = colours();
  const sums = step.map((_, at) => Object.values(parts).reduce((sum, values) => sum + values[at], 0));
  const most = Math.max(...sums, ...wall);
  const [factor, title] =
    most < 0.2 ? [0.001, "real time per round [ms]"] : scaled(most, "real time per round", SECONDS);
  const bars = Object.entries(parts).map(([part, seconds], at) => ({
    type: "bar",
    label: part,
    data: seconds.map((value) => value / factor),
    backgroundColor: palette[at],
    mark: palette[at],
    stack: "parts",
    categoryPercentage: 1,
    barPercentage: 0.9,
    order: 1,
  }));
  const line = {
    type: "line",
    label: "round",
    data: wall.map((value) => value / factor),
    borderColor: style("--text"),
    backgroundColor: style("--text"),
    borderWidth: 1.5,
    pointRadius: wall.length > 30 ? 0 : 2,
    order: 0,
  };
  return {
    type: "bar",
    labels: step.map((place) => Math.round(place)),
    sets: [...bars, line],
    told: `Real time per round: ${Object.entries(parts)
      .map(([part, values]) => `${part} ${short(values.reduce((a, b) => a + b, 0) / values.length)} s`)
      .join(", ")}`,
    options: {
      interaction: { mode: "index", intersect: false },
      scales: {
        x: axis(each > 1 ? `round (means of ${each})` : "round", { stacked: true, gridded: false }),
        y: axis(title, { stacked: true, ticks: { callback: (value) => short(value) } }),
      },
    },
    tooltip: {
      title: ([item]) => `round ${item.label}`,
      label: (item) => `${item.dataset.label}: ${short(item.parsed.y)}${unit(title)}`,
    },
  };
}

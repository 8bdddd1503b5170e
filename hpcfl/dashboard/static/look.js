// How charts look: colours, units, axes, and how numbers are written.

// prettier-ignore
export const SECONDS = [[1, "s"], [60, "min"], [3600, "h"], [86400, "d"]];
// prettier-ignore
export const BYTES = [[1, "B"], [1e3, "kB"], [1e6, "MB"], [1e9, "GB"], [1e12, "TB"]];
// Tol's muted palette (2021), for the ten classes that many datasets have.
// prettier-ignore
const SHADES = [
  "#332288", "#88CCEE", "#44AA99", "#117733", "#999933", "#DDCC77", "#CC6677", "#882255", "#AA4499", "#BBBBBB",
];

// The largest unit that leaves the largest value above two.
export function scaled(most, what, units) {
  const [factor, unit] = units.filter(([each]) => each * 2 <= most).pop() ?? units[0];
  return [factor, `${what} [${unit}]`];
}

// The unit of such a title, with a space before it.
export const unit = (title) => ` ${/\[(.*)\]/.exec(title)?.[1] ?? ""}`.trimEnd();

export const short = (value) => Number(value.toPrecision(4)).toLocaleString("en", { maximumSignificantDigits: 4 });
export const percent = (share, digits = 1) => `${(100 * share).toFixed(digits)} %`;

export const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

export function clear(colour, share) {
  const opacity = Math.round(share * 255);
  return colour + opacity.toString(16).padStart(2, "0");
}

export function colours() {
  return Array.from({ length: 7 }, (_, at) => style(`--series-${at + 1}`));
}

// So many colours that can be told apart.
export function shades(count) {
  if (count <= 7) return colours().slice(0, count);
  if (count <= SHADES.length) return SHADES.slice(0, count);
  const place = (at) => at / (count - 1);
  return Array.from({ length: count }, (_, at) => `hsl(${260 - 200 * place(at)} 55% ${30 + 40 * place(at)}%)`);
}

export function axis(title, { ticks, gridded = true, ...more } = {}) {
  return {
    title: { display: Boolean(title), text: title, color: style("--soft") },
    ticks: { color: style("--soft"), maxRotation: 0, autoSkipPadding: 12, ...ticks },
    grid: { color: style("--line"), drawTicks: false, display: gridded },
    border: { color: style("--line") },
    ...more,
  };
}

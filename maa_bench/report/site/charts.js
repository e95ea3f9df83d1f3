// Drawings: an interval on a track, curves along an axis, cost against success. Nothing is told by colour alone.

const DASHES = ["none", "7 3", "2 3", "9 3 2 3", "5 2", "1 2", "12 4"];

/** [value, low, high] on a track from 0 to 1; `marks` are [name, value] of controls, drawn as thin lines. */
function intervalTrack(cell, marks = []) {
  const track = el("span", { class: "track", "aria-hidden": "true" });
  const at = (node, from, to) => {
    node.style.left = `${100 * from}%`;
    if (to !== undefined) node.style.width = `${100 * (to - from)}%`;
    return node;
  };
  for (const [name, value] of marks) track.append(at(el("i", { class: `mark ${markClass(name)}` }), value));
  if (cell.length === 3) track.append(at(el("i", { class: "range" }), cell[1], cell[2]));
  track.append(at(el("i", { class: "dot" }), cell[0]));
  return track;
}

/** A bar from 0 with its interval, for one task. */
function intervalBar(cell, marks) {
  const track = intervalTrack(cell, marks);
  const bar = el("i", { class: "bar" });
  bar.style.width = `${100 * cell[0]}%`;
  track.prepend(bar);
  return track;
}

function markClass(name) {
  return name === "expert" ? "ceiling" : "floor";
}

/** Where values lie on a horizontal axis: place(value) in [0, 1], and the ticks [value, label]. */
function curveScale(values) {
  const numbers = values.every((value) => typeof value === "number");
  if (!numbers || values.length < 2) {
    return { place: (value) => (values.indexOf(value) + 0.5) / values.length, ticks: values };
  }
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const warp = low > 0 && high / low >= 20 ? Math.log : (x) => x;
  return { place: (value) => (warp(value) - warp(low)) / (warp(high) - warp(low)), ticks: values };
}

/** Where costs lie: logarithmic, and zeros apart at the left. */
function costScale(costs, format) {
  const above = costs.filter((cost) => cost > 0);
  if (!above.length) return { place: () => 0.5, ticks: costs.length ? [[0.5, "0"]] : [] };
  const zero = costs.some((cost) => cost === 0);
  const low = Math.log10(Math.min(...above)) - 0.1;
  const high = Math.log10(Math.max(...above)) + 0.1;
  const start = zero ? 0.12 : 0;
  const place = (cost) => (cost > 0 ? start + ((1 - start) * (Math.log10(cost) - low)) / (high - low) : 0);
  const round = [];
  for (let power = Math.floor(low); power <= high; power += 1) {
    for (const digit of high - low < 2.5 ? [1, 2, 5] : [1]) round.push(digit * 10 ** power);
  }
  let within = round.filter((cost) => Math.log10(cost) >= low && Math.log10(cost) <= high);
  if (within.length < 2) within = [...new Set([Math.min(...above), Math.max(...above)])];
  const every = Math.ceil(within.length / 6);
  const shown = within.filter((_, i) => i % every === 0).map((cost) => [place(cost), format(cost)]);
  return { place, ticks: zero ? [[0, "0"], ...shown] : shown };
}

/** A frame with success from 0 to 1 upwards. Gives the drawing and the functions from data to its pixels. */
function frame(width, height, ticks, label, description) {
  const [left, right, top, bottom] = [34, 14, 10, 40];
  const x = (share) => left + share * (width - left - right);
  const y = (share) => top + (1 - share) * (height - top - bottom);
  const drawing = svg("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "img", class: "chart" });
  attribute(drawing, "aria-label", description);
  for (const share of [0, 0.25, 0.5, 0.75, 1]) {
    drawing.append(svg("line", { class: "grid", x1: x(0), x2: x(1), y1: y(share), y2: y(share) }));
    const text = svg("text", { class: "tick", x: left - 6, y: y(share) + 4, "text-anchor": "end" });
    text.textContent = formatShare(share);
    drawing.append(text);
  }
  for (const [share, name] of ticks) {
    drawing.append(svg("line", { class: "grid", x1: x(share), x2: x(share), y1: y(0), y2: y(0) + 4 }));
    const text = svg("text", { class: "tick", x: x(share), y: y(0) + 17, "text-anchor": "middle" });
    text.textContent = name;
    drawing.append(text);
  }
  const title = svg("text", { class: "tick", x: x(0.5), y: height - 4, "text-anchor": "middle" });
  title.textContent = label;
  drawing.append(title);
  return { drawing, x, y };
}

/**
 * Success along an axis. `lines`: [{name, own, cells: [cell or null, one a value]}], the method's own last, so that it
 * lies on top; a value that was not run is a gap in its line.
 */
function curveChart(axis, lines, width, description) {
  const scale = curveScale(axis.values);
  const ticks = scale.ticks.map((value) => [scale.place(value), String(value)]);
  const { drawing, x, y } = frame(width, 260, ticks, axis.label, description);
  for (const line of lines) {
    const points = line.cells.map((cell, i) => cell && [x(scale.place(axis.values[i])), cell]);
    const group = svg("g", { class: line.own ? "own line" : "line" });
    for (const run of runsOf(points)) {
      if (line.own && run.length > 1 && run.every(([, cell]) => cell.length === 3)) {
        const above = run.map(([px, cell]) => `${px},${y(cell[2])}`);
        const below = run.map(([px, cell]) => `${px},${y(cell[1])}`).reverse();
        group.append(svg("path", { class: "band", d: `M${[...above, ...below].join("L")}Z` }));
      }
      const path = run.map(([px, cell]) => `${px},${y(cell[0])}`).join("L");
      group.append(svg("path", { class: "curve", d: `M${path}`, "stroke-dasharray": line.dash }));
    }
    for (const point of points) {
      if (!point) continue;
      const [px, cell] = point;
      if (line.own && cell.length === 3) {
        group.append(svg("line", { class: "whisker", x1: px, x2: px, y1: y(cell[1]), y2: y(cell[2]) }));
      }
      const hint = svg("title");
      hint.textContent = `${line.name}: ${formatShare(cell[0])} ${formatInterval(cell)}`;
      group.append(svg("circle", { class: "point", cx: px, cy: y(cell[0]), r: line.own ? 4 : 2.5 }, hint));
    }
    drawing.append(group);
  }
  return drawing;
}

/** Stretches of a line without a gap. */
function runsOf(points) {
  const runs = [[]];
  for (const point of points) point ? runs[runs.length - 1].push(point) : runs.push([]);
  return runs.filter((run) => run.length);
}

/** What the lines of a chart are called: a stroke as drawn, and its name. */
function legend(lines) {
  const stroke = (line) =>
    svg(
      "svg",
      { width: 26, height: 10, viewBox: "0 0 26 10", "aria-hidden": "true", class: line.own ? "own line" : "line" },
      svg("path", { class: "curve", d: "M0,5L26,5", "stroke-dasharray": line.dash })
    );
  return el("ul", { class: "legend" }, lines.map((line) => el("li", {}, stroke(line), quoted(line.name))));
}

/** Cost against success; `points`: [{name, kind, own, cost, cell}]. Controls are squares; they and `own` are named. */
function scatterChart(points, label, format, width, description) {
  const scale = costScale(points.map((point) => point.cost), format);
  const { drawing, x, y } = frame(width, 300, scale.ticks, `${label} (logarithmic)`, description);
  const taken = [];
  const inOrder = [...points].sort((a, b) => a.own - b.own || (a.kind !== "method") - (b.kind !== "method"));
  for (const point of inOrder) {
    const [px, py] = [x(scale.place(point.cost)), y(point.cell[0])];
    const group = svg("g", { class: `${point.own ? "own " : ""}${point.kind}` });
    if (point.own && point.cell.length === 3) {
      group.append(svg("line", { class: "whisker", x1: px, x2: px, y1: y(point.cell[1]), y2: y(point.cell[2]) }));
    }
    const hint = svg("title");
    const success = `${formatShare(point.cell[0])} ${formatInterval(point.cell)}`;
    hint.textContent = `${point.name}: ${success}, ${format(point.cost)}`;
    group.append(
      point.kind === "method"
        ? svg("circle", { class: "point", cx: px, cy: py, r: point.own ? 6 : 4 }, hint)
        : svg("rect", { class: "point", x: px - 4, y: py - 4, width: 8, height: 8 }, hint)
    );
    drawing.append(group);
  }
  const named = points.filter((each) => each.own || each.kind !== "method").sort((a, b) => b.cell[0] - a.cell[0]);
  for (const point of named) {
    const [px, py] = [x(scale.place(point.cost)), y(point.cell[0])];
    const toLeft = px > width * 0.6;
    let height = py + 4;
    while (taken.some(([tx, ty]) => Math.abs(tx - px) < 130 && Math.abs(ty - height) < 13)) height += 13;
    taken.push([px, height]);
    const name = svg("text", { class: point.own ? "name own" : "name", x: px + (toLeft ? -9 : 9), y: height });
    attribute(name, "text-anchor", toLeft ? "end" : "start");
    name.textContent = point.name;
    drawing.append(name);
  }
  return drawing;
}

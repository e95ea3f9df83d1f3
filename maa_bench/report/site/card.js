// A method's card: what it is, what was measured of it, and where the record lies.

/** Fill and open the card of a row of the group; close it where there is no such row. */
function renderCard(state) {
  const dialog = document.getElementById("card");
  const row = state.group.rows.find((each) => each.id === state.card);
  if (!row) {
    if (dialog.open) dialog.close();
    return;
  }
  const already = dialog.open && dialog.dataset.row === row.id;
  if (!dialog.open) dialog.showModal();
  const width = Math.min(780, dialog.clientWidth - 40);
  const close = el("button", { type: "button", id: "close", "aria-label": "Close the card" }, "✕");
  close.addEventListener("click", () => dialog.close());
  const head = el(
    "div",
    { class: "card-head" },
    el("h2", { id: "card-title" }, quoted(row.label), " ", el("span", { class: "tag" }, quoted(row.card.family))),
    close
  );
  const body = el(
    "div",
    { class: "card-body" },
    aboutMethod(row),
    measured(state, row),
    byTask(state, row),
    diversity(row),
    ...curves(state, row, width),
    costs(state, row, width),
    aboutRun(row)
  );
  dialog.dataset.row = row.id;
  const scrolled = already ? dialog.scrollTop : 0;
  const focused = already && document.activeElement ? document.activeElement.id : "close";
  dialog.replaceChildren(head, body);
  dialog.scrollTop = scrolled;
  const again = focused && document.getElementById(focused);
  if (again) again.focus({ preventScroll: true });
}

function listed(pairs) {
  return el("dl", {}, pairs.map(([name, ...said]) => [el("dt", {}, name), el("dd", {}, said)]));
}

function section(title, ...children) {
  return el("section", {}, el("h3", {}, title), ...children);
}

function aboutMethod(row) {
  const { card } = row;
  const uses = { nothing: "nothing", scripted_expert: "the task's scripted expert" }[card.uses] || card.uses;
  const pretrained = card.pretrained_on.length ? card.pretrained_on.join(", ") : "nothing";
  return el(
    "section",
    {},
    el("p", { class: "summary" }, quoted(card.summary)),
    listed([
      ["trained on", quoted(card.trained_on === "seen" ? "the split's training tasks" : card.trained_on)],
      ["learned elsewhere", quoted(pretrained)],
      ["uses at test time", quoted(uses)],
      ["candidates", card.deterministic_candidates ? "one policy: nothing to select" : "several"],
      ["citation", quoted(card.citation || "none")],
    ])
  );
}

function measured(state, row) {
  const line = (label, about, cell, track, kind) =>
    el(
      "tr",
      { class: kind },
      el("th", { scope: "row", title: about }, label),
      el("td", { class: "bar-cell" }, cell && track ? intervalTrack(cell, track) : null),
      el("td", { class: "number" }, cellText(cell))
    );
  const metrics = board.metrics.map(({ name, definition, kind }) =>
    line(metricHeader(name), definition, row.metrics[name], marksOf(state.group, (each) => each.metrics[name]), kind)
  );
  const steps = row.steps_to_success;
  return section(
    "Measured, mean over tasks",
    el(
      "table",
      { class: "plain" },
      el("tbody", {}, metrics, line("lift", board.lift, row.lift, null, null), [
        el("tr", {}, el("th", { scope: "row", title: board.steps_to_success }, "steps to success"), el("td"),
          el("td", { class: "number" }, steps ? formatSteps(steps) : NOTHING)),
      ])
    ),
    el("p", { class: "notes" }, signNotes())
  );
}

function signNotes() {
  const signs = "† selects on the rollouts that it reports. ‡ an upper bound.";
  return `Thin lines: random_seen (dotted) and expert (solid). ${signs}`;
}

/** The chosen metric of a row, or its mean where it has none. */
function shownMetric(state, row) {
  return row.metrics[state.metric] === null ? board.metrics[0].name : state.metric;
}

function byTask(state, row) {
  const metric = row.tasks[state.metric] === null ? board.metrics[0].name : state.metric;
  const lines = state.group.tasks.map((task, i) => {
    const cell = row.tasks[metric][i];
    const marks = marksOf(state.group, (each) => (each.tasks[metric] || each.tasks[board.metrics[0].name])[i]);
    return el(
      "tr",
      {},
      el("th", { scope: "row" }, quoted(task)),
      el("td", { class: "bar-cell" }, intervalBar(cell, marks)),
      el("td", { class: "number" }, cellText(cell))
    );
  });
  return section(`By task: ${metricHeader(metric)}`, el("table", { class: "plain" }, el("tbody", {}, lines)));
}

function diversity(row) {
  const lines = board.distances.map(({ name, definition }) => {
    const value = row.distances[name];
    const shown = value === null ? NOTHING : formatShare(value);
    return el(
      "tr",
      {},
      el("th", { scope: "row" }, name, el("div", { class: "notes" }, definition)),
      el("td", { class: "number" }, shown)
    );
  });
  return section("Diversity and memorisation", el("table", { class: "plain" }, el("tbody", {}, lines)));
}

/** The axes of every protocol that was run on the group's suite, split and dataset; the group's own protocol first. */
function axesOf(group) {
  const keys = ["suite", "layouts_sha256", "split", "dataset"];
  const alike = board.groups.filter((each) => keys.every((key) => each[key] === group[key]));
  const names = new Map([[group.family, group.protocol], ...alike.map((each) => [each.family, each.protocol])]);
  return [...names].flatMap(([family, protocol]) => board.families[family].map((axis) => ({ protocol, axis })));
}

/** A chart for every axis that this row's method has more than one point on. */
function curves(state, row, width) {
  const metric = shownMetric(state, row);
  return axesOf(state.group).flatMap(({ protocol, axis }) => {
    const cellOf = (row) => row.metrics[metric] || row.metrics[board.metrics[0].name];
    const cellsOf = (line) => line.rows.map((id) => id && cellOf(rowById.get(id)));
    const own = axis.lines.find((line) => line.method === row.method);
    if (!own || own.rows.filter((id) => id).length < 2) return [];
    const isControl = (line) => rowById.get(line.rows.find((id) => id)).kind !== "method";
    const others = axis.lines.filter((line) => line !== own && isControl(line));
    const dashOf = (i) => DASHES[1 + (i % (DASHES.length - 1))];
    const lines = [
      ...others.map((line, i) => ({ name: line.method, own: false, dash: dashOf(i), cells: cellsOf(line) })),
      { name: own.method, own: true, dash: DASHES[0], cells: cellsOf(own) },
    ];
    const description = `${metric} of ${own.method} and controls over ${axis.label}; numbers below`;
    return [
      section(
        [`${metricHeader(metric)} over ${axis.setting}, `, quoted(protocol)],
        curveChart(axis, lines, width, description),
        legend([...lines].reverse()),
        curveNumbers(axis, [...lines].reverse())
      ),
    ];
  });
}

function curveNumbers(axis, lines) {
  const values = axis.values.map((value) => el("th", { scope: "col", class: "number" }, quoted(value)));
  const head = el("tr", {}, el("th", { scope: "col" }, axis.setting), values);
  const body = lines.map((line) => {
    const cells = line.cells.map((cell) => el("td", { class: "number" }, cellText(cell)));
    return el("tr", {}, el("th", { scope: "row" }, quoted(line.name)), cells);
  });
  const table = el("table", { class: "plain numbers" }, el("thead", {}, head), el("tbody", {}, body));
  return el("details", {}, el("summary", {}, "Numbers"), el("div", { class: "scroll" }, table));
}

function costs(state, row, width) {
  const cost = COSTS.find((each) => each.key === state.cost);
  const points = state.group.rows.filter((each) => each.cost[cost.key] !== null).map((each) => ({
    name: each.label,
    kind: each.kind,
    own: each === row,
    cost: each.cost[cost.key],
    cell: each.metrics[board.metrics[0].name],
  }));
  const choice = el("select", { id: "cost" }, COSTS.map(({ key, label }) => option(key, label, key === state.cost)));
  choice.addEventListener("change", () => show({ cost: choice.value }));
  const unknown = row.cost[cost.key] === null && el("p", { class: "notes" }, "This cost is unknown for this method.");
  const headline = board.metrics[0].name;
  const about = el("span", { class: "notes" }, cost.about);
  const description = `${headline} success over ${cost.label}, ${points.length} records; numbers in the main table`;
  return section(
    "Cost against success",
    el("p", { class: "field" }, el("label", { for: "cost" }, "cost"), choice, about),
    points.length ? scatterChart(points, cost.label, cost.format, width, description) : null,
    unknown,
    el("p", { class: "notes" }, "Squares are controls and ceilings; point at a circle for its name.")
  );
}

function aboutRun(row) {
  const files = row.files.map(({ name, bytes, sha256, href }) => {
    const short = el("code", { title: sha256 }, `sha256 ${sha256.slice(0, 12)}…`);
    const size = sha256 && [`, ${formatBytes(bytes)}, `, short];
    return el("li", {}, recordLink(href, name), size, href === null && ", not in the repository");
  });
  const facts = listed(row.about.map(([name, said]) => [name, quoted(said)]));
  return section("The record", facts, el("ul", { class: "files" }, files));
}

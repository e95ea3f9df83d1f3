// The table: one row a record of the chosen group.

const COSTS = [
  { key: "fit_s", label: "fit s", about: "Seconds to fit, of one training seed", format: formatSeconds },
  {
    key: "adapt_s",
    label: "adapt s",
    about: "Seconds to generate for all tasks, of one training seed",
    format: formatSeconds,
  },
  { key: "parameters", label: "parameters", about: "Numbers that the method has learned", format: formatCount },
  {
    key: "test_env_steps",
    label: "test env steps",
    about: "Simulator steps taken while generating, of one training seed",
    format: formatCount,
  },
  { key: "peak_mb", label: "peak MB", about: "Peak memory of the largest process, in MB", format: formatCount },
];
const SIGNS = { legacy: " †", bound: " ‡" };

function metricNamed(name) {
  return board.metrics.find((metric) => metric.name === name);
}

function metricHeader(name) {
  return name + (SIGNS[metricNamed(name).kind] || "");
}

/** Values of the reference controls that stand in a group, [name, value], for marks on tracks. */
function marksOf(group, valueOf) {
  return board.references.flatMap((name) => {
    const row = group.rows.find((each) => each.method === name);
    const cell = row && valueOf(row);
    return cell ? [[name, cell[0]]] : [];
  });
}

/**
 * The columns of a group in a view. `value` is what is sorted by (null: last, always), `show` what stands in the cell,
 * `main` whether it stays on a narrow page.
 */
function columnsOf(state) {
  const { group, metric } = state;
  const marks = marksOf(group, (row) => row.metrics[metric] || row.metrics[board.metrics[0].name]);
  const columns = [
    { key: "method", label: "method", main: true, value: (row) => row.label, show: methodCell },
    {
      key: "metric",
      label: metricHeader(metric),
      about: metricNamed(metric).definition,
      main: true,
      numeric: true,
      value: (row) => row.metrics[metric] && row.metrics[metric][0],
      show: (row) => {
        const cell = row.metrics[metric];
        if (!cell) return [NOTHING];
        return [el("span", { class: "measured" }, el("span", {}, cellText(cell)), intervalTrack(cell, marks))];
      },
    },
    {
      key: "lift",
      label: "lift",
      about: board.lift,
      main: true,
      numeric: true,
      value: (row) => row.lift && row.lift[0],
      show: (row) => cellText(row.lift),
    },
  ];
  for (const { name, kind, definition } of board.metrics) {
    if (name === metric) continue;
    columns.push({
      key: name,
      label: metricHeader(name),
      about: definition,
      numeric: true,
      kind,
      value: (row) => row.metrics[name] && row.metrics[name][0],
      show: (row) => cellText(row.metrics[name]),
    });
  }
  if (group.rows.some((row) => row.steps_to_success !== null)) {
    columns.push({
      key: "steps_to_success",
      label: "steps to success",
      about: board.steps_to_success,
      numeric: true,
      value: (row) => row.steps_to_success && row.steps_to_success[0],
      show: (row) => [row.steps_to_success ? formatSteps(row.steps_to_success) : NOTHING],
    });
  }
  for (const key of ["family", "uses"]) {
    columns.push({ key, label: key, value: (row) => row.card[key], show: (row) => [quoted(row.card[key])] });
  }
  for (const { key, label, about, format } of COSTS) {
    columns.push({
      key,
      label,
      about,
      numeric: true,
      value: (row) => row.cost[key],
      show: (row) => [row.cost[key] === null ? NOTHING : format(row.cost[key])],
    });
  }
  return columns;
}

function formatSteps(cell) {
  const whole = cell.map((x) => x.toFixed(0));
  return cell.length < 3 ? whole[0] : `${whole[0]} [${whole[1]}, ${whole[2]}]`;
}

function methodCell(row) {
  const attributes = { type: "button", class: "open", "data-row": row.id, "aria-haspopup": "dialog" };
  const open = el("button", attributes, breakable(row.label));
  return [open, row.kind === "method" ? null : el("span", { class: "tag" }, row.kind)];
}

/** The rows that a view shows, sorted. A filter hides methods; controls and ceilings always stay. */
function rowsOf(state, columns) {
  const words = state.search.toLowerCase().split(/\s+/).filter((word) => word);
  const shown = state.group.rows.filter((row) => {
    if (row.kind !== "method") return true;
    const text = `${row.label} ${row.card.summary} ${row.card.citation}`.toLowerCase();
    return !state.without.has(row.card.family) && words.every((word) => text.includes(word));
  });
  const column = columns.find((each) => each.key === state.sort) || columns[1];
  const sign = state.ascending ? 1 : -1;
  const compare = (a, b) => {
    const [x, y] = [column.value(a), column.value(b)];
    if (x === null || y === null) return (x === null) - (y === null);
    if (typeof x === "string") return sign * (x < y ? -1 : x > y ? 1 : 0);
    return sign * (x - y);
  };
  return { rows: [...shown].sort(compare), column };
}

/** Whether the less important columns are shown, too: on a wide page, if not said otherwise. */
function showsAll(state) {
  return state.columns ? state.columns === "all" : !narrow.matches;
}

/** Fill the table. */
function renderTable(state) {
  const all = columnsOf(state);
  const { rows, column: sorted } = rowsOf(state, all);
  const columns = all.filter((column) => showsAll(state) || column.main || column === sorted);
  const head = columns.map((column) => {
    const button = el("button", { type: "button", "data-sort": column.key, title: column.about }, column.label);
    const cell = el("th", { scope: "col", class: classOf(column) }, button);
    if (column === sorted) attribute(cell, "aria-sort", state.ascending ? "ascending" : "descending");
    return cell;
  });
  const body = rows.map((row) => {
    const line = el("tr", { class: row.kind === "method" ? null : "control", "data-row": row.id });
    columns.forEach((column, i) => {
      const name = i === 0 ? "th" : "td";
      line.append(el(name, { scope: i === 0 ? "row" : null, class: classOf(column) }, column.show(row)));
    });
    return line;
  });
  const { sort, row: opened } = document.activeElement ? document.activeElement.dataset : {};
  const table = document.getElementById("table");
  table.tHead.replaceChildren(el("tr", {}, head));
  table.tBodies[0].replaceChildren(...body);
  const buttons = [...table.querySelectorAll("button")];
  const again = buttons.find(({ dataset }) => (sort && dataset.sort === sort) || (opened && dataset.row === opened));
  if (again) again.focus({ preventScroll: true });
  const methods = state.group.rows.filter((row) => row.kind === "method").length;
  const shown = rows.filter((row) => row.kind === "method").length;
  document.getElementById("caption").replaceChildren(
    quoted(GROUP_KEYS.map((each) => state.group[each]).filter((said) => said).join(" · ")),
    `: ${shown} of ${methods} methods, ${rows.length - shown} controls and ceilings; sorted by ${sorted.label}, ` +
      (state.ascending ? "ascending" : "descending")
  );
}

function classOf(column) {
  return [column.numeric && "number", column.kind].filter((name) => name).join(" ") || null;
}

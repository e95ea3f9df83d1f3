// The page: one state, shown; every control changes the state, and the state the address' hash.

const board = JSON.parse(document.getElementById("board").textContent);
const rowById = new Map(board.groups.flatMap((group) => group.rows.map((row) => [row.id, row])));
const narrow = window.matchMedia("(max-width: 700px)");
let state;
let opener = null;

function option(value, label, selected) {
  const made = el("option", { value }, label);
  made.selected = selected;
  return made;
}

/** Change the state and show it. A card that opens is a new entry of the history, so that "back" closes it. */
function show(changes, enters = false) {
  const wanted = { ...state, ...changes };
  if (GROUP_KEYS.some((key) => key in changes)) {
    Object.assign(wanted, chooseGroup({ ...state.group, ...changes }));
    if (!wanted.group.rows.some((row) => row.id === wanted.card)) wanted.card = null;
  }
  state = wanted;
  const hash = writeState(state);
  if (hash !== location.hash) enters ? (location.hash = hash) : location.replace(hash);
  render();
}

function render() {
  renderChoices();
  renderTable(state);
  renderNotes();
  renderCard(state);
}

function field(label, control) {
  const single = control.options && control.options.length === 1;
  return el("label", { class: single ? "field single" : "field" }, el("span", {}, label), control);
}

function renderChoices() {
  const groups = document.getElementById("groups");
  const focused = document.activeElement ? document.activeElement.id : "";
  const keys = GROUP_KEYS.filter((key) => key !== "condition" || state.options[key].some((value) => value));
  const selects = keys.map((key) => {
    const options = state.options[key].map((value) => option(value, value || "(none)", value === state.group[key]));
    const choice = el("select", { id: `choose-${key}` }, options);
    choice.addEventListener("change", () => show({ [key]: choice.value }));
    return field(key, choice);
  });
  const metrics = board.metrics.map(({ name }) => option(name, metricHeader(name), name === state.metric));
  const metric = el("select", { id: "choose-metric" }, metrics);
  metric.addEventListener("change", () => show({ metric: metric.value }));
  groups.replaceChildren(...selects, field("metric", metric));
  const title = el("legend", {}, "families (controls always stay)");
  document.getElementById("families").replaceChildren(title, ...familyBoxes());
  document.getElementById("columns").checked = showsAll(state);
  const search = document.getElementById("search");
  if (document.activeElement !== search) search.value = state.search;
  const again = focused && document.getElementById(focused);
  if (again && again !== document.activeElement) again.focus({ preventScroll: true });
}

function familyBoxes() {
  const methods = state.group.rows.filter((row) => row.kind === "method");
  const families = [...new Set(methods.map((row) => row.card.family))].sort();
  return families.map((family, i) => {
    const box = el("input", { type: "checkbox", id: `family-${i}`, value: family });
    box.checked = !state.without.has(family);
    box.addEventListener("change", () => {
      const without = new Set(state.without);
      box.checked ? without.delete(family) : without.add(family);
      show({ without });
    });
    return el("label", {}, box, " ", quoted(family));
  });
}

function renderNotes() {
  const chosen = metricNamed(state.metric);
  const warning = document.getElementById("legacy-note");
  warning.hidden = chosen.kind === "result";
  warning.replaceChildren(
    el("strong", {}, chosen.name), ": ",
    chosen.kind === "legacy"
      ? "selects on the very rollouts that it reports. Random checkpoints score high on it, too; it is here to stand " +
        "beside published figures, and compares with no other column."
      : "an upper bound, no result: it picks the best candidate by the outcomes that it reports."
  );
  document.getElementById("notes").replaceChildren(
    `${chosen.name}: ${chosen.definition} ` +
      "† selects on the rollouts that it reports: never compare it with other columns. ‡ an upper bound. " +
      `${NOTHING} one policy (nothing to select), or not known. ` +
      "Thin lines in the chosen column: random_seen (dotted), expert (solid)."
  );
  const pairs = (list) => list.map(([name, said]) => [el("dt", {}, name), el("dd", {}, quoted(said))]).flat();
  document.querySelector("#about dl").replaceChildren(...pairs(state.group.about));
  const costs = COSTS.map(({ label, about }) => [label, `${about}.`]);
  const metrics = board.metrics.map(({ name, definition }) => [metricHeader(name), definition]);
  const distances = board.distances.map(({ name, definition }) => [name, definition]);
  const others = [["lift", board.lift], ["steps to success", board.steps_to_success], ...distances];
  document.querySelector("#definitions dl").replaceChildren(...pairs([...metrics, ...others, ...costs]));
}

function listen() {
  const table = document.getElementById("table");
  table.tHead.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    const key = button.dataset.sort;
    const same = key === state.sort;
    const first = ["method", "family", "uses"].includes(key);
    show({ sort: key, ascending: same ? !state.ascending : first });
  });
  table.tBodies[0].addEventListener("click", (event) => {
    const line = event.target.closest("tr");
    if (!line || String(window.getSelection())) return;
    opener = line.dataset.row;
    show({ card: line.dataset.row }, true);
  });
  const dialog = document.getElementById("card");
  dialog.addEventListener("close", () => {
    if (state.card) show({ card: null });
    const button = [...table.querySelectorAll("button.open")].find((each) => each.dataset.row === opener);
    if (button) button.focus({ preventScroll: true });
  });
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close(); // Its own box is covered by its children: this is the backdrop.
  });
  document.getElementById("choices").addEventListener("submit", (event) => event.preventDefault());
  const search = document.getElementById("search");
  search.addEventListener("input", () => show({ search: search.value }));
  const columns = document.getElementById("columns");
  columns.addEventListener("change", () => show({ columns: columns.checked ? "all" : "main" }));
  document.getElementById("skip").addEventListener("click", (event) => {
    event.preventDefault();
    document.getElementById("results").focus();
  });
  window.addEventListener("hashchange", () => {
    if (location.hash === writeState(state)) return;
    state = readState(location.hash);
    render();
  });
  narrow.addEventListener("change", render);
  let width = window.innerWidth;
  window.addEventListener("resize", () => {
    if (window.innerWidth === width) return; // A phone's address bar changes the height alone.
    width = window.innerWidth;
    renderCard(state);
  });
}

/** Light or dark: as the system says until the reader says otherwise. */
function listenToTheme() {
  const button = document.getElementById("theme");
  const system = window.matchMedia("(prefers-color-scheme: dark)");
  let chosen = null;
  try {
    chosen = localStorage.getItem("maa-bench-theme");
  } catch {
    // No storage for this page: the choice lasts as long as the page.
  }
  const apply = () => {
    const dark = ["light", "dark"].includes(chosen) ? chosen === "dark" : system.matches;
    document.documentElement.dataset.theme = dark ? "dark" : "light";
    button.textContent = dark ? "Light theme" : "Dark theme";
  };
  button.addEventListener("click", () => {
    chosen = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
    try {
      localStorage.setItem("maa-bench-theme", chosen);
    } catch {
      // As above.
    }
    apply();
  });
  system.addEventListener("change", apply);
  apply();
}

listenToTheme();
state = readState(location.hash);
listen();
render();

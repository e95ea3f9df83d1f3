// What is shown: read from the address' hash, written back to it, so that a view can be linked.

const GROUP_KEYS = ["suite", "split", "dataset", "protocol", "condition"];

/** The view that the hash names; what it does not name, or names wrongly, is as at first. */
function readState(hash) {
  const given = new URLSearchParams(hash.replace(/^#/, ""));
  const metrics = board.metrics.map((metric) => metric.name);
  const card = given.get("card");
  const home = board.groups.find((group) => group.rows.some((row) => row.id === card));
  const state = chooseGroup(home || Object.fromEntries(GROUP_KEYS.map((key) => [key, given.get(key)])));
  state.metric = metrics.includes(given.get("metric")) ? given.get("metric") : metrics[0];
  state.sort = given.get("sort") || "metric";
  state.ascending = given.get("order") === "ascending";
  state.without = new Set((given.get("without") || "").split(",").filter((family) => family));
  state.search = given.get("search") || "";
  state.columns = ["all", "main"].includes(given.get("columns")) ? given.get("columns") : null;
  state.cost = COSTS.some((cost) => cost.key === given.get("cost")) ? given.get("cost") : COSTS[0].key;
  state.card = home ? card : null;
  return state;
}

/** The hash of a view. */
function writeState(state) {
  const said = new URLSearchParams();
  for (const key of GROUP_KEYS) if (state.group[key] !== "") said.set(key, state.group[key]);
  said.set("metric", state.metric);
  if (state.sort !== "metric") said.set("sort", state.sort);
  if (state.ascending) said.set("order", "ascending");
  if (state.without.size) said.set("without", [...state.without].sort().join(","));
  if (state.search) said.set("search", state.search);
  if (state.columns) said.set("columns", state.columns);
  if (state.cost !== COSTS[0].key) said.set("cost", state.cost);
  if (state.card) said.set("card", state.card);
  return `#${said}`;
}

/**
 * The group that comes nearest to the wanted suite, split and so on, decided one after the other, and what there was to
 * choose from at each step.
 */
function chooseGroup(wanted) {
  const [first] = board.groups;
  let left = board.groups;
  const options = {};
  for (const key of GROUP_KEYS) {
    options[key] = [...new Set(left.map((group) => group[key]))];
    const chosen = [wanted[key], first[key]].find((value) => options[key].includes(value)) ?? options[key][0];
    left = left.filter((group) => group[key] === chosen);
  }
  return { group: left[0], options };
}

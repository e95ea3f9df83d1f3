"use strict";
// Elements and numbers. Text from records reaches the page as text nodes only, never as markup.

const SVG = "http://www.w3.org/2000/svg";
const NOTHING = "–";
const SAFE = new RegExp(
  "^(class|id|type|for|role|scope|title|dir|value|name|tabindex|colspan|open|hidden|disabled|checked|placeholder|" +
  "autocomplete|aria-[a-z]+|data-[a-z]+|viewBox|width|height|x|y|x1|x2|y1|y2|cx|cy|r|d|points|text-anchor|" +
  "stroke-dasharray|transform)$"
);
const RECORD_LINK = /^\.\.\/\.\.\/results(\/[A-Za-z0-9][A-Za-z0-9._-]*){2,3}$/;

/** Set an attribute that cannot run or load anything. */
function attribute(node, name, value) {
  if (!SAFE.test(name)) throw new Error(`attribute ${name} is not allowed`);
  if (value === null || value === undefined || value === false) return;
  node.setAttribute(name, value === true ? "" : String(value));
}

function filled(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) attribute(node, name, value);
  node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

/** An HTML element; children are nodes or strings. */
function el(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

/** An SVG element. */
function svg(tag, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), attributes, children);
}

/** Text of others, kept from turning round what stands beside it (right-to-left marks). */
function quoted(text) {
  return el("bdi", {}, String(text));
}

/** A name that may be broken after `_` and `-` where it is too long. */
function breakable(name) {
  const parts = String(name).split(/(?<=[_-])/);
  return el("bdi", {}, parts.flatMap((part, i) => (i ? [el("wbr"), part] : [part])));
}

/** A link into the records, or its text alone where the address is not one. */
function recordLink(href, text) {
  if (href === null || !RECORD_LINK.test(href)) return quoted(text);
  const link = el("a", {}, quoted(text));
  link.setAttribute("href", href);
  return link;
}

/** A metric's value with its interval, or a dash. */
function cellText(cell) {
  if (!cell) return [NOTHING];
  const value = el("span", { class: "value" }, formatShare(cell[0]));
  return [value, " ", el("span", { class: "interval" }, formatInterval(cell))];
}

/** `.41`, `1.00`, `-.07`. */
function formatShare(x) {
  return x.toFixed(2).replace(/^(-?)0\./, "$1.").replace(/^-(\.00)$/, "$1");
}

function formatInterval(cell) {
  return cell.length < 3 ? "" : `[${formatShare(cell[1])}, ${formatShare(cell[2])}]`;
}

/** `950`, `12.4k`, `1.3M`. */
function formatCount(count) {
  for (const [unit, name] of [[1e9, "G"], [1e6, "M"], [1e3, "k"]]) {
    if (count >= unit) return (count / unit).toFixed(count < 99.95 * unit ? 1 : 0) + name;
  }
  return String(Math.round(count));
}

/** `0.4`, `12`, `3600`. */
function formatSeconds(seconds) {
  return seconds.toFixed(seconds < 10 ? 1 : 0);
}

/** `7.9 kB`, `58 MB`. */
function formatBytes(bytes) {
  for (const [unit, name] of [[1e9, "GB"], [1e6, "MB"], [1e3, "kB"]]) {
    if (bytes >= unit) return `${(bytes / unit).toFixed(bytes < 10 * unit ? 1 : 0)} ${name}`;
  }
  return `${bytes} B`;
}

// Building and keeping up to date what is on the page. Text is only ever set as text.

const SVG = "http://www.w3.org/2000/svg";

/** An element with attributes and children; a child that is not a node becomes text. */
export function html(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** The same for a drawing. */
export function svg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) set(element, name, value);
  for (const child of children) element.append(child instanceof Node ? child : String(child));
  return element;
}

/** Set an attribute only if it changes; null or false takes it away. */
export function set(element, name, value) {
  if (value === null || value === undefined || value === false) {
    if (element.hasAttribute(name)) element.removeAttribute(name);
    return;
  }
  const wanted = value === true ? "" : String(value);
  if (element.getAttribute(name) !== wanted) element.setAttribute(name, wanted);
}

/** Set an element's text only if it changes. */
export function text(element, value) {
  const wanted = String(value);
  if (element.textContent !== wanted) element.textContent = wanted;
}

/**
 * Make the children of `parent` stand for `items`, in their order. What is there already is kept (with its focus and
 * its animation), so `create` is called once for each key and `update` each time.
 */
export function keyed(parent, items, key, create, update) {
  const there = (parent.keyedChildren ??= new Map());
  const wanted = new Set();
  let place = parent.firstChild;
  for (const item of items) {
    const id = key(item);
    if (wanted.has(id)) continue;
    wanted.add(id);
    let child = there.get(id);
    if (!child) there.set(id, (child = create(item)));
    update(child, item);
    if (child === place) place = place.nextSibling;
    else parent.insertBefore(child, place);
  }
  for (const [id, child] of there) {
    if (wanted.has(id)) continue;
    child.remove();
    there.delete(id);
  }
}

/** The element with this id. */
export const byId = (id) => document.getElementById(id);

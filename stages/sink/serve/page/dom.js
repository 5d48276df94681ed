/** Makes and changes elements. All text goes through textContent: nothing that is received is ever read as HTML. */

/** Return the element with this id. */
export function byId(id) {
  return document.getElementById(id);
}

/** Make an element of a class, with text or children. */
export function make(tag, className = "", ...children) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.append(...children);
  return element;
}

/** Write a text, if it is not there already: an unchanged text costs no layout and is not read aloud again. */
export function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Set or remove an attribute, if that changes it. */
export function attribute(element, name, value) {
  if (value === null) element.removeAttribute(name);
  else if (element.getAttribute(name) !== String(value)) element.setAttribute(name, String(value));
}

/** Set a list of [term, text, kind] as a definition list; `kind` marks what deserves attention. */
export function writeFacts(holder, facts) {
  const list = holder.firstElementChild ?? holder.appendChild(make("dl", "facts-list"));
  fit(list, facts.length, () => make("div", "", make("dt"), make("dd")));
  facts.forEach(([term, text, kind], place) => {
    const row = list.children[place];
    write(row.firstChild, term);
    write(row.lastChild, text);
    attribute(row, "data-kind", kind ?? null);
  });
}

/**
 * Set a table: a row is an array of texts, the first one its head.
 *
 * @param {string[]} heads of the columns.
 * @param {string} nothing what is said instead of a table without rows.
 */
export function writeTable(holder, heads, rows, nothing) {
  if (!holder.firstElementChild) {
    const headRow = make("tr", "", ...heads.map((head) => make("th", "", head)));
    for (const cell of headRow.children) cell.scope = "col";
    holder.append(make("table", "", make("thead", "", headRow), make("tbody")), make("p", "note"));
  }
  const [table, note] = holder.children;
  write(note, nothing);
  table.hidden = rows.length === 0;
  note.hidden = rows.length > 0;
  const body = table.tBodies[0];
  fit(body, rows.length, () => {
    const head = make("th");
    head.scope = "row";
    return make("tr", "", head, ...heads.slice(1).map(() => make("td")));
  });
  rows.forEach((row, place) => row.forEach((text, column) => write(body.children[place].children[column], text)));
}

/** Give a parent so many children. */
export function fit(parent, wanted, makeChild) {
  while (parent.children.length > wanted) parent.lastElementChild.remove();
  while (parent.children.length < wanted) parent.append(makeChild());
}

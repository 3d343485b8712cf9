// The page is whole without this: it sorts tables and reads values off the curves.
for (const button of document.querySelectorAll(".sortable th button")) {
  button.addEventListener("click", () => {
    const head = button.parentElement, table = head.closest("table"), body = table.tBodies[0];
    const falls = head.getAttribute("aria-sort") !== "descending";
    for (const other of head.parentElement.children) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", falls ? "descending" : "ascending");
    const value = (row) => row.cells[head.cellIndex].dataset.order;
    const compared = (a, b) => value(a).localeCompare(value(b), "en", {numeric: true});
    const rows = [...body.rows].sort((a, b) => (falls ? compared(b, a) : compared(a, b)));
    body.append(...rows);
  });
}

for (const figure of document.querySelectorAll("figure[data-curves]")) {
  const {reach, norm, models} = JSON.parse(figure.dataset.curves);
  const svg = figure.querySelector("svg"), said = figure.querySelector(".readout");
  const [left, top, right, bottom] = svg.dataset.axes.split(" ").map(Number);
  const size = svg.viewBox.baseVal, line = document.createElementNS(svg.namespaceURI, "line");
  let at = 0;
  const draw = (eps) => {
    at = Math.min(Math.max(eps, 0), reach);
    const x = size.x + size.width * (left + (right - left) * at / reach);
    for (const [name, value] of [["x1", x], ["x2", x], ["y1", size.height * top], ["y2", size.height * bottom],
      ["stroke", "currentColor"], ["stroke-width", 0.8]]) line.setAttribute(name, value);
    svg.append(line);
    const rows = models.map(({sign, color, name, eps, attacks, held, proven}) => {
      const place = eps.findLastIndex((radius) => radius <= at + 1e-12 * reach);
      const row = document.createElement("li"), mark = document.createElement("span");
      mark.style.color = color, mark.className = "sign", mark.textContent = sign;
      const stands = `${held[place]} ${attacks[place]}`;
      // Between two radii of the list the larger one counts: what is proven there is proven here.
      const sure = proven ? `, ${proven[Math.ceil(at / reach * (proven.length - 1) - 1e-9)]} proven` : "";
      row.append(mark, `${name}: ${stands}${sure}`);
      return row;
    });
    const title = document.createElement("li");
    title.textContent = `${norm} radius ${at.toPrecision(3)}`;
    said.replaceChildren(title, ...rows);
  };
  const follow = (event) => {
    const box = svg.getBoundingClientRect();
    draw(reach * ((event.clientX - box.left) / box.width - left) / (right - left));
  };
  svg.addEventListener("pointermove", follow);
  svg.addEventListener("pointerdown", follow);
  figure.querySelector(".drawing").addEventListener("keydown", (event) => {
    const step = {ArrowRight: 1, ArrowLeft: -1}[event.key];
    if (step) { draw(at + step * reach / 50); event.preventDefault(); }
  });
  draw(models[0].eps[Math.floor((models[0].eps.length) / 2)]);
}

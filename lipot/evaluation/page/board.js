for (const button of document.querySelectorAll(".board th button")) {
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

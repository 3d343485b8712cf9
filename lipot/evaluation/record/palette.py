"""The colours and marks of models, the same in every figure."""

# As they are on a light page; page/style.css holds those of a dark one.
SERIES = (
    *("#0072b2", "#d55e00", "#007a59", "#b0508f", "#6a51c7"),
    *("#8c6d00", "#555555", "#a3352c", "#2b7a8c", "#4c7a1d"),
)
MARKERS = "osD^vPX*<>"
INK, FAINT = "#1b1f24", "#8b9098"
# Stands for the colour of the model that a figure is about, which the page knows.
ACCENT = "#0072b3"

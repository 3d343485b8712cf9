"""The page of a robustness report: one HTML file that needs nothing but a browser."""

from lipot.evaluation.page.render import render, save

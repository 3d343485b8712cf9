"""Brings README.md and every page of the docs that shows stored results up to date.

python -m benchmarks.render
"""

from benchmarks import reproduce
from benchmarks.render import choosing, cifar10, measured, otad, presets, purifiers, readme

if __name__ == "__main__":
    for page in (choosing, cifar10, measured, otad, presets, purifiers, readme, reproduce):
        page.main()

"""The page looks right and answers in a browser, where there is one."""

import dataclasses
import json
import re
import shutil
import subprocess

import numpy as np
import pytest

from lipot.evaluation import page
from lipot.evaluation.record.report import RobustnessReport
from tests.evaluation.page.cases import ranked

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "chrome"))), None)


def _chromium(folder, *arguments):
    """Runs a headless Chromium and returns what it wrote to both streams."""
    if CHROMIUM is None:
        pytest.skip("There is no Chromium here.")
    command = [CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu"]
    command += [f"--user-data-dir={folder}/profile", "--enable-logging=stderr", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)


_PROBE = """<!doctype html><body><iframe id="page" style="width:WIDTHpx;height:900px"></iframe>
<pre id="found"></pre><script>
const frame = document.getElementById("page");
frame.onload = () => {
  const inside = frame.contentDocument, root = inside.documentElement, wide = [];
  const drawings = [...inside.querySelectorAll("svg, img")].map(e => e.getBoundingClientRect());
  for (const svg of inside.querySelectorAll("svg")) {
    const box = svg.getBoundingClientRect();
    for (const part of svg.querySelectorAll("g[id*='text_']")) {
      const text = part.getBoundingClientRect();
      if (text.left < box.left - 1 || text.right > box.right + 1 ||
          text.top < box.top - 1 || text.bottom > box.bottom + 1) wide.push(part.id);
    }
  }
  document.getElementById("found").textContent = JSON.stringify({
    overflow: root.scrollWidth - root.clientWidth, clipped: wide,
    flat: drawings.filter(b => b.width < 40 || b.height < 20).length, count: drawings.length});
};
frame.srcdoc = PAGE;
</script></body>"""


@pytest.mark.parametrize("width", [375, 390, 1280])
def test_chromium_shows_every_figure_and_clips_no_label(written, tmp_path, width):
    probe = tmp_path / "probe.html"
    text = json.dumps(written.read_text()).replace("</", "<\\/")
    probe.write_text(_PROBE.replace("WIDTH", str(width)).replace("PAGE", text))
    shown = _chromium(tmp_path, "--dump-dom", "--virtual-time-budget=5000", probe.as_uri())
    found = json.loads(re.search(r'<pre id="found">(.*?)</pre>', shown.stdout)[1])
    assert found == {"overflow": 0, "clipped": [], "flat": 0, "count": 24 + 11}
    assert "CONSOLE" not in shown.stderr


def test_chromium_prints_the_page(written, tmp_path):
    printed = tmp_path / "page.pdf"
    shown = _chromium(tmp_path, f"--print-to-pdf={printed}", written.as_uri())
    assert printed.read_bytes().startswith(b"%PDF") and printed.stat().st_size > 20_000
    assert "CONSOLE" not in shown.stderr


def _after(text, script, tmp_path):
    """What Chromium makes of a page once a script has run on it."""
    file = tmp_path / "scripted.html"
    file.write_text(text.replace("</body>", f"<script>{script}</script></body>"))
    shown = _chromium(tmp_path, "--dump-dom", file.as_uri())
    assert "CONSOLE" not in shown.stderr
    return shown.stdout


@pytest.mark.parametrize(
    ("column", "clicks", "expected"),
    [
        pytest.param("model", 1, ["weak", "unproven", "strong"], marks=pytest.mark.slow),
        pytest.param("parameters", 1, ["weak", "strong", "unproven"], marks=pytest.mark.slow),
        ("parameters", 2, ["unproven", "strong", "weak"]),
        pytest.param("robust", 1, ["strong", "weak", "unproven"], marks=pytest.mark.slow),
    ],
)
def test_chromium_sorts_the_leaderboard(column, clicks, expected, evaluation, tmp_path):
    shown = [dataclasses.replace(e, views={}) for e in ranked(evaluation)[:3]]
    text = page.render(RobustnessReport(shown))
    click = (
        'const b = [...document.querySelectorAll(".board button")].find('
        f'b => b.textContent === "{column}"); for (let i = 0; i < {clicks}; i++) b.click();'
    )
    shown = _after(text, click, tmp_path)
    board = re.search(r'<table class="board sortable">.*?</table>', shown, flags=re.DOTALL)[0]
    assert re.findall(r'<a href="#m\d">(.*?)</a>', board) == expected


def test_chromium_reads_values_off_the_curves(evaluation, tmp_path):
    bare = [dataclasses.replace(evaluation, name="<one>", views={})]
    bare.append(dataclasses.replace(bare[0], name="unproven", certified_radius=None))
    point = """
        const svg = document.querySelector("figure[data-curves] svg");
        const box = svg.getBoundingClientRect();
        const [left, , right] = svg.dataset.axes.split(" ").map(Number);
        const x = box.left + box.width * (left + 0.7 * (right - left));
        svg.dispatchEvent(new PointerEvent("pointermove", {clientX: x, bubbles: true}));"""
    shown = _after(page.render(RobustnessReport(bare)), point, tmp_path)
    read = re.search(r'<ul class="readout"[^>]*>(.*?)</ul>', shown, flags=re.DOTALL)[1]
    lines = re.findall(r"<li>(.*?)</li>", re.sub(r"<span.*?</span>", "", read))
    # The largest radius is 1, and between 0.5 and 1 what stood at 0.5 is what is known.
    proven = 100 * np.mean(evaluation.certified_radius >= 0.7)
    assert lines == [
        "l2 radius 0.700",
        f"&lt;one&gt;: 62.5 % under attack of 0.5, {proven:.1f} % proven",
        "unproven: 62.5 % under attack of 0.5",
    ]

"""page_picture.py REPORT.html OUT.png: parts of a report page, below each other, as one picture 1085 pixels wide.

Needs selenium with chromium and chromedriver, and Pillow.
"""

import base64
import io
import shutil
import sys
import time
from pathlib import Path

from PIL import Image
from selenium import webdriver

WIDTH = 1085
# The first and the last thing of each part.
PARTS = [
    ("header h1", "#results .scroll"),
    ("#key", "#curves .side-by-side figure:nth-child(2)"),
    (".confusion", ".confusion"),
]
# Buttons are for those who can press them.
STYLE = "<style>.modebar-container { display: none !important }</style>"
EDGE = "return document.querySelector(arguments[0]).getBoundingClientRect().{} + scrollY"

page, out = sys.argv[1:]
options = webdriver.ChromeOptions()
options.binary_location = shutil.which("chromium")
for argument in ("headless=new", "no-sandbox", "disable-dev-shm-usage"):
    options.add_argument(f"--{argument}")
driver = webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver")))
send = driver.execute_cdp_cmd
send("Emulation.setDeviceMetricsOverride", {"width": 1100, "height": 900, "deviceScaleFactor": 1, "mobile": False})
send("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": "light"}]})
driver.get(Path(page).resolve().as_uri())
driver.execute_script("document.head.insertAdjacentHTML('beforeend', arguments[0])", STYLE)
time.sleep(3)
parts = []
for first, last in PARTS:
    top = driver.execute_script(EDGE.format("top"), first) - 14
    bottom = driver.execute_script(EDGE.format("bottom"), last) + 10
    clip = {"x": 0, "y": top, "width": WIDTH, "height": bottom - top, "scale": 1}
    shot = send("Page.captureScreenshot", {"captureBeyondViewport": True, "clip": clip})
    parts.append(Image.open(io.BytesIO(base64.b64decode(shot["data"]))).convert("RGB"))
driver.quit()
sheet = Image.new("RGB", (WIDTH, sum(part.height for part in parts)), "white")
top = 0
for part in parts:
    sheet.paste(part, (0, top))
    top += part.height
sheet.save(out, optimize=True)

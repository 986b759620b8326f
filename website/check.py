"""Look at every page of the built site in headless Chromium, at two widths: ``python -m website.check [DIR]``.

Served from this machine, a page must load nothing from elsewhere and fail at nothing; show every image; render every formula;
have every internal link and anchor lead somewhere; and not be wider than a phone. The search must find a word. Screenshots are
for looking at.
"""

import argparse
import contextlib
import functools
import http.server
import os
import shutil
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urldefrag

from playwright.sync_api import Browser, Page, TimeoutError, sync_playwright

from dihpose.common import machine

WIDTHS = {"desk": 1280, "phone": 390}
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
WORD = "distillation"
SCREENSHOTS = (
    "index.html",
    "results.html",
    "docs/data.html",
    "notebooks/01_data_synthesis.html",
    "notebooks/04_distillation.html",
)
# What a page says of itself once it is loaded.
FACTS = r"""() => {
    const all = (query, of) => [...document.querySelectorAll(query)].map(of)
    const text = (document.querySelector("article") ?? document.body).cloneNode(true)
    text.querySelectorAll("pre, code, mjx-container, script").forEach(node => node.remove())
    return {
        ids: all("[id]", node => node.id),
        links: all("a[href]", node => node.href),
        broken: all("img", node => node).filter(img => !img.naturalWidth).map(img => img.src.slice(0, 200)),
        images: document.images.length,
        formulas: document.querySelectorAll(".math").length,
        rendered: document.querySelectorAll(".math > mjx-container").length,
        wrong: document.querySelectorAll("[data-mjx-error]").length,
        dollars: text.textContent.match(/\$[^$\n]{1,80}\$/g) || [],
        width: document.documentElement.scrollWidth,
        wide: all("article *", node => node).filter(node => node.getBoundingClientRect().right > innerWidth + 1
            && !node.closest("pre, .math, .pst-scrollable-table-container, a:has(> img)"))
            .map(node => node.tagName + "." + node.className).slice(0, 5),
    }
}"""


@contextlib.contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address of a server of the folder, on this machine alone."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


def watch(page: Page, address: str, complaints: list[str]) -> None:
    """Note requests to other hosts, requests that fail, and errors in scripts."""

    def asked(request):
        if not request.url.startswith((address, "data:", "blob:")):
            complaints.append(f"asks another host: {request.url}")

    page.on("request", asked)
    page.on("requestfailed", lambda request: complaints.append(f"request failed: {request.url[:200]}"))
    page.on("response", lambda r: r.status >= 400 and complaints.append(f"{r.status}: {r.url}"))
    page.on("pageerror", lambda error: complaints.append(f"script: {error}"))
    page.on("console", lambda m: m.type == "error" and complaints.append(f"console: {m.text}"))


def look(browser: Browser, address: str, name: str, width: int, picture: Path | None) -> tuple[dict, list[str]]:
    """What a page says of itself at a width, and what is wrong with it."""
    complaints: list[str] = []
    with browser.new_page(viewport={"width": width, "height": 844}) as page:
        watch(page, address, complaints)
        page.goto(address + name)
        page.wait_for_load_state("networkidle")
        page.evaluate("() => window.MathJax?.startup?.promise")
        facts = page.evaluate(FACTS)
        if picture:
            page.screenshot(path=picture)
    complaints += [f"image not shown: {source}" for source in facts["broken"]]
    if facts["rendered"] < facts["formulas"] or facts["wrong"]:
        complaints.append(f"formulas: {facts['formulas']}, rendered {facts['rendered']}, wrong {facts['wrong']}")
    complaints += [f"a formula not taken for one: {text}" for text in facts["dollars"]]
    if facts["width"] > width or facts["wide"]:
        complaints.append(f"wider than the page: {', '.join(facts['wide'])}")
    return facts, complaints


def dead_links(facts: dict[str, dict], folder: Path, address: str) -> dict[str, list[str]]:
    """By page, the internal links that lead to no file, or to no anchor of a page."""
    dead: dict[str, list[str]] = {}
    for page, said in facts.items():
        for link in sorted({link for link in said["links"] if link.startswith(address)}):
            path, anchor = urldefrag(link.removeprefix(address))
            path = unquote(path.partition("?")[0]) or "index.html"
            there = (folder / path).is_file() and (
                not anchor or path not in facts or unquote(anchor) in facts[path]["ids"]
            )
            if not there:
                dead.setdefault(page, []).append(f"dead link: {link.removeprefix(address)}")
    return dead


def search(browser: Browser, address: str, width: int, picture: Path) -> list[str]:
    """What is wrong with the search for a word, typed as a reader does."""
    complaints: list[str] = []
    with browser.new_page(viewport={"width": width, "height": 844}) as page:
        watch(page, address, complaints)
        page.goto(address + f"search.html?q={WORD}")
        with contextlib.suppress(TimeoutError):
            page.wait_for_selector("ul.search a")
        page.screenshot(path=picture)
        found = page.eval_on_selector_all("ul.search a", "links => links.map(link => link.href)")
    if not any("04_distillation" in link for link in found):
        complaints.append(f"{WORD!r} leads to {len(found)} places, none of them notebook 04")
    return complaints


def check(folder: Path, pictures: Path, executable: str) -> int:
    """Print what is wrong, page by page, and return how much."""
    shutil.rmtree(pictures, ignore_errors=True)
    pictures.mkdir(parents=True)
    names = sorted(
        path.relative_to(folder).as_posix() for path in folder.rglob("*.html") if "_static" not in path.parts
    )
    wrong: dict[str, list[str]] = {}
    with served(folder) as address, sync_playwright() as playwright:
        sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []  # Chromium refuses to run as root in one
        browser = playwright.chromium.launch(executable_path=executable, args=["--disable-gpu", *sandbox])
        for kind, width in WIDTHS.items():
            facts = {}
            for name in names:
                picture = pictures / f"{Path(name).stem}-{kind}.png" if name in SCREENSHOTS else None
                facts[name], complaints = look(browser, address, name, width, picture)
                wrong.setdefault(f"{name} ({kind})", []).extend(complaints)
            wrong[f"search ({kind})"] = search(browser, address, width, pictures / f"search-{kind}.png")
        for name, links in dead_links(facts, folder, address).items():
            wrong[f"{name} (links)"] = links
        browser.close()
    for where, complaints in wrong.items():
        for complaint in dict.fromkeys(complaints):
            print(f"{where}: {complaint}")
    count = sum(map(len, wrong.values()))
    images, formulas = (sum(said[what] for said in facts.values()) for what in ("images", "formulas"))
    links = sum(len(said["links"]) for said in facts.values())
    print(
        f"{len(names)} pages, each at {' and '.join(map(str, WIDTHS.values()))} px: {images} images, {formulas} formulas, ",
        end="",
    )
    print(f"{links} links; {count} wrong; screenshots: {pictures}")
    return count


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m website.check", description="Look at every page of the built site."
    )
    parser.add_argument("folder", type=Path, nargs="?", default=machine.root() / "build" / "site")
    folder = parser.parse_args().folder.resolve()
    executable = next(filter(None, map(shutil.which, BROWSERS)), None)
    if not executable:
        print("error: no Chromium; install it (Debian: `apt install chromium`)", file=sys.stderr)
        return 1
    if not (folder / "index.html").is_file():
        print(f"error: {folder}: holds no site; `make site` makes it", file=sys.stderr)
        return 1
    return min(1, check(folder, folder.with_name(f"{folder.name}-check"), executable))


if __name__ == "__main__":
    sys.exit(main())

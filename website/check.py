"""Check every page of the built site in headless Chromium, at two widths: ``python -m website.check [DIR]``.

A page must load nothing from other hosts and cause no error. Its images must show, its formulas must be rendered, and its
internal links and anchors must exist (Sphinx's linkcheck follows only external links). It must not be wider than a phone. The
search must find a word. Screenshots are saved for people to look at.
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
# What is read from a loaded page.
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
    """Serve the folder on this machine only; yields the address."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


def watch(page: Page, address: str, complaints: list[str]) -> None:
    """Add to ``complaints`` every request to another host, every failed request and every script error."""

    def asked(request):
        if not request.url.startswith((address, "data:", "blob:")):
            complaints.append(f"request to another host: {request.url}")

    page.on("request", asked)
    page.on("requestfailed", lambda request: complaints.append(f"request failed: {request.url[:200]}"))
    page.on("response", lambda r: r.status >= 400 and complaints.append(f"{r.status}: {r.url}"))
    page.on("pageerror", lambda error: complaints.append(f"script: {error}"))
    page.on("console", lambda m: m.type == "error" and complaints.append(f"console: {m.text}"))


def look(browser: Browser, address: str, name: str, width: int, picture: Path | None) -> tuple[dict, list[str]]:
    """Open a page at a width; returns what was read from it and what is wrong with it."""
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
    complaints += [f"a formula was not recognised: {text}" for text in facts["dollars"]]
    if facts["width"] > width or facts["wide"]:
        complaints.append(f"wider than the page: {', '.join(facts['wide'])}")
    return facts, complaints


def dead_links(facts: dict[str, dict], folder: Path, address: str) -> dict[str, list[str]]:
    """The internal links of each page that lead to no file or to no anchor."""

    def leads_somewhere(link: str) -> bool:
        path, anchor = urldefrag(link)
        path = unquote(path.partition("?")[0]) or "index.html"
        known = not anchor or path not in facts or unquote(anchor) in facts[path]["ids"]
        return known and (folder / path).is_file()

    dead = {}
    for page, read in facts.items():
        links = sorted({link.removeprefix(address) for link in read["links"] if link.startswith(address)})
        dead[page] = [f"dead link: {link}" for link in links if not leads_somewhere(link)]
    return dead


def search(browser: Browser, address: str, width: int, picture: Path) -> list[str]:
    """Search for a word as a reader does; returns what is wrong."""
    complaints: list[str] = []
    with browser.new_page(viewport={"width": width, "height": 844}) as page:
        watch(page, address, complaints)
        page.goto(address + f"search.html?q={WORD}")
        with contextlib.suppress(TimeoutError):
            page.wait_for_selector("ul.search a")
        page.screenshot(path=picture)
        found = page.eval_on_selector_all("ul.search a", "links => links.map(link => link.href)")
    if not any("04_distillation" in link for link in found):
        complaints.append(f"search for {WORD!r}: {len(found)} results, none in notebook 04")
    return complaints


def check(folder: Path, pictures: Path, executable: str) -> int:
    """Check all pages, print what is wrong with each, and return the number of complaints."""
    shutil.rmtree(pictures, ignore_errors=True)
    pictures.mkdir(parents=True)
    names = sorted(
        path.relative_to(folder).as_posix() for path in folder.rglob("*.html") if "_static" not in path.parts
    )
    wrong: dict[str, list[str]] = {}
    with served(folder) as address, sync_playwright() as playwright:
        sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []  # as root, Chromium refuses to run in one
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
    images, formulas = (sum(read[what] for read in facts.values()) for what in ("images", "formulas"))
    links = sum(len(read["links"]) for read in facts.values())
    widths = " and ".join(map(str, WIDTHS.values()))
    print(f"{len(names)} pages, each at {widths} px: {images} images, {formulas} formulas, {links} links")
    print(f"{count} complaints; screenshots: {pictures}")
    return count


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m website.check", description="Check every page of the built site.")
    parser.add_argument("folder", type=Path, nargs="?", default=machine.root() / "build" / "site")
    folder = parser.parse_args().folder.resolve()
    executable = next(filter(None, map(shutil.which, BROWSERS)), None)
    if not executable:
        print("error: no Chromium; install it (Debian: `apt install chromium`)", file=sys.stderr)
        return 1
    if not (folder / "index.html").is_file():
        print(f"error: {folder}: contains no site; `make site` makes it", file=sys.stderr)
        return 1
    return min(1, check(folder, folder.with_name(f"{folder.name}-check"), executable))


if __name__ == "__main__":
    sys.exit(main())

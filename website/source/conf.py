"""Sphinx's settings. Notebooks are not executed, and pages load nothing from other hosts."""

from docutils import nodes

project = html_title = "dihpose"
extensions = ["myst_nb"]
html_theme = "pydata_sphinx_theme"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_favicon = "_static/favicon.svg"
html_context = {"default_mode": "auto"}  # light or dark, as the reader's system is set
html_sidebars = {"**": []}  # no left sidebar; the page's contents are on the right
html_show_sphinx = html_show_sourcelink = False
html_copy_source = html_use_index = False

nb_execution_mode = "off"
nb_merge_streams = True
nb_render_markdown_format = "myst"  # tables and formulas in outputs
nb_ipywidgets_js = {}  # would be loaded from another host; the notebooks have no widgets
myst_enable_extensions = ["dollarmath", "amsmath"]
myst_heading_anchors = 3

mathjax_path = "mathjax/tex-svg.js"
mathjax3_config = {"options": {"enableMenu": False}}  # its menu would load more files

html_theme_options = {
    "navbar_align": "left",
    "show_prev_next": True,
    "footer_start": ["copyright"],
    "footer_end": [],
    "pygments_light_style": "a11y-high-contrast-light",
}
copyright = "The dihpose maintainers, Apache-2.0"


def finish(app, doctree):
    """Make images links to their files, so that a tap on a phone enlarges them, and mark captions, which are set smaller.

    Sphinx makes a link of an image that has a scale. A paragraph that is mostly emphasised is a caption.
    """
    for image in doctree.findall(nodes.image):
        image["scale"] = 100
    for paragraph in doctree.findall(nodes.paragraph):
        leading = paragraph[0] if paragraph.children else None
        if isinstance(leading, nodes.emphasis) and len(leading.astext()) > 0.7 * len(paragraph.astext()):
            paragraph["classes"].append("caption")


def setup(app):
    app.connect("doctree-read", finish)

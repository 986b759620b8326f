"""Depth images of people before rooms, drawn and measured: scene -> render -> sensor -> recipe."""

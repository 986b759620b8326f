"""Depth images: read files, folders, videos and cameras as metres; prepare them for networks and for the eye.

Importing this room takes numpy and OpenCV, nothing heavier: no torch, scipy or matplotlib.
"""

from .files import read
from .folders import Files, Followed
from .metres import CROPS, NO_SURFACE, UNITS, as_metres, crop, metres_per, parse_crop
from .pictures import as_people, colourise, overlay
from .preprocessing import Preprocessing, inpaint
from .source import DepthSource, Frame, Latest, frame
from .video import Video, depth_video

__all__ = [
    "CROPS",
    "NO_SURFACE",
    "UNITS",
    "DepthSource",
    "Files",
    "Followed",
    "Frame",
    "Latest",
    "Preprocessing",
    "Video",
    "as_metres",
    "as_people",
    "colourise",
    "crop",
    "depth_video",
    "frame",
    "inpaint",
    "metres_per",
    "overlay",
    "parse_crop",
    "read",
]

"""Synthetic depth images of people in rooms: scene -> exact depth -> sensor -> training image."""

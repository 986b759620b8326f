"""``dihpose train --all`` on a tiny run with two seeds and many checkpoints, for tests that kill it.

``python -m tests.experiments.tiny_queue``; the processes that it starts import this file as their main module, so they have
the same run. A mere import changes nothing.
"""

import functools
import sys

from dihpose import cli
from dihpose.experiments import runner, tables
from dihpose.experiments.plan import Results, Row
from dihpose.synthesis.recipes import SyntheticConfig
from dihpose.synthesis.scenes import SceneConfig
from dihpose.training.loop import train_with_ancestors
from dihpose.training.run import Run

SMALL = SyntheticConfig(scene=SceneConfig(height=48, width=56, furniture=0))
RUN = Run("tiny", model="MPM-1S-8", data=SMALL, images=160, batch=2, size=48)

if __name__ in ("__main__", "__mp_main__"):
    tables.wanted = lambda profile, decisive=False: {RUN.name: RUN}
    tables.every_row = lambda profile: (("a table", Row({}, {"": Results(RUN, "dih-sim-test")}, turn=1)),)
    tables.asked_of = lambda name, profile: []
    tables.seeds_of = lambda name, profile: range(2)
    runner.train_with_ancestors = functools.partial(train_with_ancestors, save_every=5)

if __name__ == "__main__":
    sys.exit(cli.main(["train", "--all", "--profile", "smoke", "--jobs", "2"]))

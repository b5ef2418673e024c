"""The layouts of data sets that are known, in the order in which a folder is tried against them.

A new one is a file here with a `Layout`, and its name in this list; docs/datasets.md says how.
"""

from sot_tracker.datasets.layouts.annotation_list import LIST
from sot_tracker.datasets.layouts.coco import COCO
from sot_tracker.datasets.layouts.layout import Layout, Place, Topics
from sot_tracker.datasets.layouts.recording import FILES, FOLDER_OF_ONE
from sot_tracker.datasets.layouts.sequence_folder import FOLDER, GOT10K, LASOT, OTB, VOT
from sot_tracker.datasets.layouts.trackingnet import TRACKINGNET
from sot_tracker.datasets.layouts.uav123 import UAV123

LAYOUTS: tuple[Layout, ...] = (LIST, COCO, TRACKINGNET, UAV123, LASOT, GOT10K, VOT, OTB, FOLDER, FOLDER_OF_ONE, FILES)

__all__ = ["LAYOUTS", "Layout", "Place", "Topics"]

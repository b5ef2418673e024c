"""Generated video with exact truth: photographs of objects, moved in front of a photograph of a scene.

Objects are moved, scaled, rotated, motion-blurred and partly covered; look-alikes pass by, the light changes, the
camera pans, shakes and adds noise. Everything is determined by `ClipConfig` (with its seed) and the pictures.

The truth is the upright box around the whole object, cut to the frame, and the visible fraction of the object
(`SynthFrame`). Below `ClipConfig.min_visible` the target counts as absent.
"""

from sot_tracker.synth.config import (
    DEFAULT_EVENTS,
    EVENTS,
    PRESETS,
    ClipConfig,
    absence_clips,
    benchmark_clips,
    demo_clip,
)
from sot_tracker.synth.pictures import (
    Picture,
    builtin_pictures,
    folder_pictures,
    irregular_cut_out,
    procedural_pictures,
)
from sot_tracker.synth.render import SynthFrame, render
from sot_tracker.synth.sequence import cover_level, write_sequence

__all__ = [
    "DEFAULT_EVENTS",
    "EVENTS",
    "PRESETS",
    "ClipConfig",
    "Picture",
    "SynthFrame",
    "absence_clips",
    "benchmark_clips",
    "builtin_pictures",
    "cover_level",
    "demo_clip",
    "folder_pictures",
    "irregular_cut_out",
    "procedural_pictures",
    "render",
    "write_sequence",
]

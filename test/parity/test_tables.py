"""HiT's index tables, which the harness takes from our network, against the stored ones (fact sheet, section 4)."""

import cases
import numpy as np
import pytest

from sot_tracker.nets import build

# Index of the block that owns each table.
BLOCKS = {
    "hit_base": {"stage1": "0.m", "shrink1": "8", "stage2": "10.m", "shrink2": "18", "stage3": "20.m"},
    "hit_small": {"stage1": "0.m", "shrink1": "8", "stage2": "10.m", "shrink2": "18", "stage3": "20.m"},
    "hit_tiny": {"stage1": "2.m", "shrink1": "4", "stage2": "8.m", "shrink2": "12", "stage3": "20.m"},
}


@pytest.mark.parametrize("model", BLOCKS)
def test_index_tables(model: str) -> None:
    state = build(model).state_dict()
    with np.load(cases.DATA / "hit" / "derived_tables.npz") as tables:
        for table, block in BLOCKS[model].items():
            ours = state[f"backbone.body.blocks.{block}.attention_bias_idxs"].numpy()
            assert np.array_equal(ours, tables[table]), table

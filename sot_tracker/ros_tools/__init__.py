"""Tools around the node: the player, the process harness, measurements and the demo's report."""

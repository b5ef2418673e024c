"""Frames in and results out, without ROS: sources, the follower of one target, drawing and sinks."""

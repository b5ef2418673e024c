"""Keep a target in the middle of the picture: from its direction to yaw and pitch rates, without ROS."""

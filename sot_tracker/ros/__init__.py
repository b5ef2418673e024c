"""The ROS 2 side of the package; nothing here may import rclpy."""

PROFILE_VARIABLES = ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE")
"""Environment variables that name the XML profiles of Fast DDS 2 (Humble, Jazzy) and Fast DDS 3 (Kilted)."""

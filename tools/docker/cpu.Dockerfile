# The node and the command line on ROS 2 Jazzy, networks on the CPU. From the root of the repository:
#   docker build -f tools/docker/cpu.Dockerfile -t sot_tracker .
#   docker run --rm --net host --ipc host sot_tracker ros2 launch sot_tracker track.launch.py image:=/camera/image_raw
#   docker run --rm -v "$PWD":/data sot_tracker sot-tracker track /data/clip.mp4 --box 310,120,48,96 --save /data/out.mp4
FROM ros:jazzy-ros-base

SHELL ["/bin/bash", "-o", "pipefail", "-c"]

# What package.xml names, ffmpeg for videos, and what rosdep does not know. Versions are the distribution's present ones.
WORKDIR /ws
COPY package.xml src/sot_tracker/
# hadolint ignore=DL3008
RUN apt-get update \
 && rosdep update --rosdistro jazzy \
 && rosdep install --from-paths src --ignore-src -y \
 && apt-get install -y --no-install-recommends ffmpeg python3-pip \
 && rm -rf /var/lib/apt/lists/*
RUN pip install --no-cache-dir --break-system-packages "onnxruntime>=1.17,<2" "threadpoolctl>=3.1,<4" "rosbags>=0.11,<0.12"

COPY . src/sot_tracker
RUN . /opt/ros/jazzy/setup.bash \
 && colcon build --packages-select sot_tracker --cmake-args -DBUILD_TESTING=OFF \
 && rm -rf build log
COPY --chmod=755 tools/docker/entrypoint.sh /entrypoint.sh

# No root is needed to track.
RUN useradd --create-home --uid 1001 tracker
USER 1001

ENTRYPOINT ["/entrypoint.sh"]
CMD ["sot-tracker", "doctor"]

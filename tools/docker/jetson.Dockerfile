# The node on a Jetson, networks by TensorRT. Not built or run by us: there was no Jetson. On the Jetson, from the root of
# the repository, with an image that has ROS 2 for your JetPack, and NVIDIA's wheel of ONNX Runtime for it in the folder:
#   docker build -f tools/docker/jetson.Dockerfile -t sot_tracker \
#     --build-arg BASE=dustynv/ros:humble-ros-base-l4t-r36.3.0 --build-arg WHEEL=onnxruntime_gpu-1.19.0-....whl .
#   docker run --rm --runtime nvidia --net host --ipc host -v sot_engines:/home/tracker/.cache sot_tracker \
#     sot-tracker prepare --model lite --device tensorrt --precision fp16
#   docker run --rm --runtime nvidia --net host --ipc host -v sot_engines:/home/tracker/.cache sot_tracker \
#     ros2 launch sot_tracker track.launch.py device:=tensorrt precision:=fp16 image:=/camera/image_raw
ARG BASE=dustynv/ros:humble-ros-base-l4t-r36.3.0
# hadolint ignore=DL3006
FROM ${BASE}

SHELL ["/bin/bash", "-o", "pipefail", "-c"]

ARG WHEEL
COPY ${WHEEL} /tmp/wheel/
RUN pip3 install --no-cache-dir /tmp/wheel/*.whl "threadpoolctl>=3.1,<4" "tqdm>=4.60,<5" "rosbags>=0.11,<0.12" && rm -rf /tmp/wheel

# The image's ROS is built from source: what it lacks is built here too.
WORKDIR /ws
RUN git clone --depth 1 --branch ros2 https://github.com/ros-perception/vision_msgs.git src/vision_msgs
COPY . src/sot_tracker
COPY --chmod=755 tools/docker/entrypoint.sh /entrypoint.sh
RUN . /entrypoint.sh \
 && colcon build --packages-select vision_msgs sot_tracker --cmake-args -DBUILD_TESTING=OFF \
 && rm -rf build log

# The group video may use the GPU.
RUN useradd --create-home --uid 1001 --groups video tracker && install -d -o tracker -g tracker /home/tracker/.cache
USER 1001

ENTRYPOINT ["/entrypoint.sh"]
CMD ["sot-tracker", "doctor"]

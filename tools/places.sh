# Where things are; sourced by setup.sh and env.sh with ROOT set.
VENV=${VENV:-$ROOT/.venv}
BUILD_BASE=${BUILD_BASE:-$ROOT}
# A sourced ROS 2 installation is used; ROS_WHEELS=1 uses the PyPI wheels all the same.
if [ -z "${ROS_WHEELS:-}" ] && [ -n "${ROS_DISTRO:-}" ] && [ -n "${AMENT_PREFIX_PATH:-}" ]; then
    ROS=$ROS_DISTRO
else
    ROS=wheels
fi

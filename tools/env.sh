# Source this from the project's root to use what tools/setup.sh made: . tools/env.sh
ROOT=${ROOT:-$PWD}
. "$ROOT/tools/places.sh"
. "$VENV/bin/activate"
[ "$ROS" != wheels ] || export AMENT_PREFIX_PATH="$VIRTUAL_ENV"
[ -n "${WITHOUT_OVERLAY:-}" ] || . "$BUILD_BASE/install/local_setup.sh"
# Nothing that is started here leaves this machine, unless the user asks for it.
export ROS_AUTOMATIC_DISCOVERY_RANGE="${ROS_AUTOMATIC_DISCOVERY_RANGE:-LOCALHOST}"
export ROS_LOG_DIR="${ROS_LOG_DIR:-$BUILD_BASE/log/ros}"

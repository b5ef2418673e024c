#!/bin/sh
# tools/setup.sh run|test: make the environment in .venv and build the package; fast when there is nothing to do.
#
# ROS 2 comes from a sourced installation where there is one, else from PyPI wheels. Every step leaves a stamp when it
# is complete, and what is there is tried: an interrupted or damaged environment is made again.
#
#   PYTHON           interpreter to build with (python3)
#   VENV, BUILD_BASE places of the environment (.venv) and of build/, install/, log/ (.)
#   PIP_*            pip's own variables; PIP_EXTRA_INDEX_URL with PyTorch's CPU index saves `make test` some gigabytes
set -eu

WHAT=${1:-run}
ROOT=$(cd "$(dirname "$0")/.." && pwd)
. "$ROOT/tools/places.sh"
PYTHON=${PYTHON:-python3}
export PIP_DISABLE_PIP_VERSION_CHECK=1

say() { echo "setup: $*"; }
stop() { echo "setup: error: $*" >&2; exit 2; }

need_tools() {
    "$PYTHON" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2])' 2>/dev/null ||
        stop "'$PYTHON' is no Python 3.10 or newer: install python3, or name one with PYTHON=python3.12"
    if [ "$ROS" = wheels ]; then
        "$PYTHON" -c 'import sys; sys.exit(sys.version_info[:2] > (3, 13))' ||
            stop "the ROS 2 wheels need Python 3.10 to 3.13: name one with PYTHON=python3.12, or source a ROS 2"
        [ "$(uname -m)" = x86_64 ] || stop "there are no ROS 2 wheels for $(uname -m): install ROS 2 and source it"
    fi
    for tool in g++ cmake make; do
        command -v $tool >/dev/null || stop "$tool is missing: apt install g++ cmake make python3-venv"
    done
    "$PYTHON" -c 'import venv, ensurepip' 2>/dev/null || stop "venv is missing: apt install python3-venv"
}

hash_of() { cat "$@" | sha256sum | cut -c1-16; }

# The environment, one line per kind of change that asks for a new one.
identity() { echo "$ROS $ROOT $("$PYTHON" -c 'import sys; print(sys.version_info[:2])')"; }

make_venv() {
    if [ -e "$VENV" ] && { [ "$(cat "$VENV/.identity" 2>/dev/null)" != "$(identity)" ] || ! tried; }; then
        say "$VENV is of another kind or damaged: making it again"
        rm -rf "$VENV"
    fi
    [ -e "$VENV" ] && return
    say "making $VENV (ROS 2 from $ROS)"
    site=""; [ "$ROS" = wheels ] || site=--system-site-packages
    "$PYTHON" -m venv $site "$VENV"
    touch "$VENV/COLCON_IGNORE"
    identity > "$VENV/.identity"
}

# Once packages are installed, the ones that matter can be imported.
tried() {
    "$VENV/bin/python" -c '' 2>/dev/null || return 1
    [ -e "$VENV/.stamp-run" ] || return 0
    "$VENV/bin/python" -c 'import cv2, numpy, rclpy, sensor_msgs.msg, skimage, tqdm' 2>/dev/null
}

pip_install() { # arguments of pip; silent unless it fails
    "$VENV/bin/python" -m pip install -q "$@" > "$VENV/pip.txt" 2>&1 || {
        tail -20 "$VENV/pip.txt" >&2
        stop "pip install failed: see above; run the same command again when it is fixed"
    }
}

install() { # name, files...
    name=$1; shift
    stamp="$VENV/.stamp-$name"
    [ "$(cat "$stamp" 2>/dev/null)" = "$(hash_of "$@")" ] && return
    rm -f "$stamp"
    say "installing the packages to $name it (a minute or more)"
    files=""; for file in "$@"; do files="$files -r $file"; done
    pip_install $files
    hash_of "$@" > "$stamp"
}

install_packages() {
    cd "$ROOT"
    if [ "$ROS" = wheels ]; then
        install run requirements/ros-run.txt requirements/ros-build.txt requirements/run.txt
    else
        # The distribution's binaries (cv_bridge) are built against its NumPy: stay within that major version.
        "$PYTHON" -c 'import numpy; print("numpy<%d" % (int(numpy.__version__[0]) + 1))' > "$VENV/constraints.txt"
        export PIP_CONSTRAINT="$VENV/constraints.txt"
        command -v colcon >/dev/null || echo "colcon-common-extensions" > "$VENV/colcon.txt"
        touch "$VENV/colcon.txt"
        install run requirements/run.txt "$VENV/colcon.txt"
    fi
    [ "$WHAT" != test ] || install test requirements/test.txt
    [ -e "$VENV/.stamp-self" ] || {
        pip_install --no-deps --no-build-isolation -e .
        touch "$VENV/.stamp-self"
    }
    tried || stop "packages are installed but cannot be imported: $("$VENV/bin/python" -c 'import cv2, rclpy' 2>&1 |
        tail -1) (libGL or glib missing: apt install libgl1 libglib2.0-0)"
}

# New Python files need a new link in install/; their content does not.
sources() {
    find sot_tracker launch config models scripts -type f ! -name '*.pyc' | sort
    find msg srv test/ros/vision_msgs -type f | sort | xargs cat
    cat CMakeLists.txt package.xml test/ros/ros_wheels.cmake "$VENV/.stamp-run" "$VENV/.identity"
}

built() (
    set +eu # ROS's own scripts know neither
    . "$ROOT/tools/env.sh" 2>/dev/null
    python -c 'from sot_tracker.msg import TrackerState; from sot_tracker.srv import Init; import vision_msgs.msg' 2>/dev/null
)

build() {
    cd "$ROOT"
    state=$(sources | sha256sum)
    [ "$(cat "$BUILD_BASE/install/.stamp" 2>/dev/null)" = "$state" ] && built && return
    say "building the ROS messages and the package"
    rm -f "$BUILD_BASE/install/.stamp"
    { run_colcon && built; } || { # half-made or moved build folders, or new interfaces: once more from nothing
        rm -rf "$BUILD_BASE/build" "$BUILD_BASE/install"
        run_colcon || stop "colcon build failed: see above and $BUILD_BASE/log"
    }
    built || stop "the messages were built but cannot be imported: remove $BUILD_BASE/build and $BUILD_BASE/install"
    echo "$state" > "$BUILD_BASE/install/.stamp"
    say "done"
}

run_colcon() (
    set +eu
    WITHOUT_OVERLAY=1
    . "$ROOT/tools/env.sh"
    bases=.
    python -c 'import vision_msgs' 2>/dev/null || bases=". test/ros/vision_msgs"
    mkdir -p "$BUILD_BASE"
    colcon --log-base "$BUILD_BASE/log" build --symlink-install --base-paths $bases \
        --build-base "$BUILD_BASE/build" --install-base "$BUILD_BASE/install" \
        --cmake-args -DCMAKE_PROJECT_INCLUDE="$ROOT/test/ros/ros_wheels.cmake" > "$BUILD_BASE/colcon.txt" 2>&1 ||
        { tail -30 "$BUILD_BASE/colcon.txt" >&2; exit 1; }
    rm -f "$BUILD_BASE/colcon.txt"
)

case $WHAT in run | test) ;; *) stop "give 'run' or 'test'" ;; esac
need_tools
make_venv
install_packages
build

"""The launch files against stand-ins of `launch`, which no wheel brings; test_launch.py runs them for real."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from sot_tracker import config
from sot_tracker.errors import UserError

ROOT = Path(__file__).resolve().parents[2]


class Action(SimpleNamespace):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(args=args, **kwargs)


@pytest.fixture
def launch(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Import a launch file and return it as a module."""
    names = {
        "launch": ["LaunchDescription"],
        "launch.actions": [
            "DeclareLaunchArgument",
            "GroupAction",
            "IncludeLaunchDescription",
            "LogInfo",
            "OpaqueFunction",
            "SetEnvironmentVariable",
        ],
        "launch.launch_description_sources": ["PythonLaunchDescriptionSource"],
        "launch.substitutions": ["LaunchConfiguration"],
        "launch_ros": [],
        "launch_ros.actions": ["Node"],
    }
    for module, classes in names.items():
        made = ModuleType(module)
        for name in classes:
            setattr(made, name, type(name, (Action,), {}))
        monkeypatch.setitem(sys.modules, module, made)
    index, packages = ModuleType("ament_index_python"), ModuleType("ament_index_python.packages")
    packages.get_package_share_directory = lambda name: str(ROOT)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "ament_index_python", index)
    monkeypatch.setitem(sys.modules, "ament_index_python.packages", packages)

    def load(name: str) -> SimpleNamespace:
        path = ROOT / "launch" / name
        scope: dict[str, Any] = {"__name__": name}
        exec(compile(path.read_text(), str(path), "exec"), scope)
        return SimpleNamespace(**scope)

    return load


def nodes(launch: Any, **given: str) -> list[Any]:
    """What `start` makes of these launch arguments."""
    file = launch("track.launch.py")
    described = file.generate_launch_description().args[0]
    declared = {a.args[0]: a.default_value for a in described if type(a).__name__ == "DeclareLaunchArgument"}
    assert set(given) <= {*declared, "ros_namespace"}
    return file.start(SimpleNamespace(launch_configurations={**declared, **given}))


def test_every_option_of_the_node_is_an_argument(launch: Any) -> None:
    others = {
        "image",
        "camera_info",
        "params_file",
        "namespace",
        "use_sim_time",
        "rviz",
        "view",
        "view_port",
        "mavlink",
    }
    assert set(launch("track.launch.py").ARGUMENTS) == {*config.OPTIONS, *config.RENAMED, *others}


def test_arguments_get_the_type_of_their_option(launch: Any) -> None:
    given = {"lost_threshold": "1", "threads": "2", "autostart": "false", "weights": "007", "reliability": "reliable"}
    values = nodes(launch, **given)[0].parameters[-1]
    expected = {"lost_threshold": 1.0, "threads": 2, "autostart": False, "weights": "007", "reliability": "reliable"}
    assert {name: values[name] for name in given} == expected
    assert [type(values[name]) for name in expected] == [type(value) for value in expected.values()]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("threads", "many", "threads='many' has the wrong type"),
        ("lost_threshold", "7", "lost_threshold=7.0 is out of range"),
        ("init_box", "[1, 2", r"init_box:=\[1, 2 is not valid YAML"),
        ("init_box", "[1, 2]", "give \\[x, y, w, h\\]"),
        ("use_sim_time", "1", "use_sim_time:=1 is not possible: give true or false"),
        ("rviz", "yes", "rviz:=yes is not possible: give true or false"),
        ("view", "on", "view:=on is not possible: give true or false"),
    ],
)
def test_a_value_that_does_not_fit_is_reported(name: str, text: str, message: str, launch: Any) -> None:
    with pytest.raises((RuntimeError, UserError), match=message):
        nodes(launch, **{name: text})


def test_precision_reaches_the_node(launch: Any) -> None:
    """As the guide to TensorRT has it: engines are built and looked up per precision."""
    assert nodes(launch, model="fermt", precision="fp16")[0].parameters[-1]["precision"] == "fp16"


def test_an_argument_by_its_old_name_reaches_the_node_by_the_present_one(launch: Any) -> None:
    values = nodes(launch, size_fit="0.5", lost_windows="3")[0].parameters[-1]
    assert values == {"init_size_correction": 0.5, "reacquire_positions": 3}


def test_without_arguments_the_node_has_the_defaults_alone(launch: Any) -> None:
    (node,) = nodes(launch)
    assert (node.package, node.executable, node.name, node.namespace) == (
        "sot_tracker",
        "tracker_node",
        "tracker_node",
        "",
    )
    # Not default.yaml too: with a value of another type for the same name, ROS would keep the default without a word.
    # Nor use_sim_time: it would win over the user's file, and over SetParameter("use_sim_time", True) around it.
    assert node.parameters == []
    assert node.remappings == [("image", "image")]
    assert (ROOT / "scripts" / node.executable).is_file()


def test_arguments_win_over_files(launch: Any, tmp_path: Path) -> None:
    own = tmp_path / "own.yaml"
    own.write_text("/**: {ros__parameters: {init_box: [1, 2, 3, 4]}}")
    (node,) = nodes(
        launch,
        model="fermt",
        image="/camera/image_raw",
        params_file=str(own),
        init_box="[1, 2.5,3, 4]",
        namespace="left",
        use_sim_time="true",
    )
    assert node.parameters[:-1] == [str(own)]
    assert node.parameters[-1] == {"model": "fermt", "init_box": [1.0, 2.5, 3.0, 4.0], "use_sim_time": True}
    assert node.remappings == [("image", "/camera/image_raw")]
    assert node.namespace == "left"
    assert nodes(launch, camera_info="/c")[0].remappings == [("image", "image"), ("camera_info", "/c")]


@pytest.mark.parametrize("text", ["", "true", "False"])
def test_the_clock_is_chosen_only_if_asked_for(launch: Any, text: str) -> None:
    chosen = {"use_sim_time": text.lower() == "true"} if text else {}
    started = [*nodes(launch, use_sim_time=text, view="true", rviz="true"), *follow(launch, use_sim_time=text)]
    assert [node.executable for node in started] == ["tracker_node", "view", "rviz2", "follow"]
    assert all(node.parameters == [chosen] * bool(chosen) for node in started)


def test_words_that_yaml_takes_for_truth_values_stay_words(launch: Any) -> None:
    assert nodes(launch, propagate="off", second_opinion="on")[0].parameters[-1]["propagate"] == "off"


def test_a_port_that_is_none_is_reported(launch: Any) -> None:
    with pytest.raises(UserError, match="port='x' has the wrong type"):
        nodes(launch, view="true", view_port="x")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "does not exist"),
        ("model: kcf", r"model stands outside of ros__parameters: write .*/\*\*:.*ros__parameters:"),
        ("/**: {ros__parameters: 3}", "is not a file of parameters"),
        ("- 1", "is not a file of parameters"),
        ("a: [1,", "cannot be read"),
        ("a: {ros__parameters: {target: 2020-99-99}}", "cannot be read: month"),
        # What ROS refuses too, in words that tell nothing of the cause:
        ("ros__parameters: {model: kcf}", "is not a file of parameters"),
        ("/**:\n  ros__parameters:\n#    model: kcf", r"no parameters for /\*\*: leave this section out"),
        ("/**: {ros__parameters: {model: }}", "has model without a value"),
        ("/**: {ros__parameters: {qos_overrides: {depth: }}}", "has depth without a value"),
        ("/**: {ros__parameters: {qos_overrides: {}}}", "has qos_overrides without a value"),
        ("/**: {ros__parameters: {box: [1, b]}}", r"has box: \[1, 'b'\]: write plain values of one type"),
        ("/**: {ros__parameters: {box: [1, 2.5]}}", "has box: .*one type"),
        ("/**: {ros__parameters: {box: [[1], [2]]}}", "has box: .*one type"),
        ("a: {ros__parameters: &a {model: kcf}}\nb: {ros__parameters: *a}", r"uses an alias \(\*name\)"),
        ("a: \xff", "cannot be read"),
    ],
)
def test_a_params_file_that_is_none_is_reported(launch: Any, tmp_path: Path, text: str | None, message: str) -> None:
    own = tmp_path / "own.yaml"
    if text is not None:
        own.write_text(text, encoding="latin-1")
    with pytest.raises((RuntimeError, UserError), match=message):
        nodes(launch, params_file=str(own))


@pytest.mark.parametrize("values", ["[1e3, 2.0]", "[a, '1']", "[null, a]", "[true, false]", "[]"])
def test_lists_that_ros_reads_are_no_mistake(launch: Any, tmp_path: Path, values: str) -> None:
    own = tmp_path / "own.yaml"
    own.write_text(f"/**: {{ros__parameters: {{other: {values}}}}}")
    assert nodes(launch, params_file=str(own))


def told_of(launch: Any, own: Path, text: str, **given: str) -> list[str]:
    """What is told when the node starts with this params_file."""
    own.write_text(text)
    made = nodes(launch, params_file=str(own), **given)
    assert made[-1].executable == "tracker_node"
    return [action.msg for action in made[:-1]]


@pytest.mark.parametrize(
    ("section", "namespace", "base", "fits"),
    [
        ("/**", "", "", True),
        ("/**", "drone", "", True),
        ("tracker_node", "", "", True),
        ("/tracker_node", "", "", True),
        ("tracker_node", "drone", "", False),  # ROS would ignore the file, and the node run with its defaults
        ("/drone/tracker_node", "drone", "", True),
        ("/drone/tracker_node", "/drone/", "", True),
        ("/fleet/drone/tracker_node", "drone", "/fleet", True),  # PushRosNamespace
        ("/drone/tracker_node", "/drone", "/fleet", True),
        ("/drone/*", "drone", "", True),
        ("/**/tracker_node", "drone", "", True),
        ("/**/tracker_node", "", "", True),
        ("/fleet/**", "drone", "/fleet", True),
        ("/*/drone/*", "drone", "/fleet", True),
        ("'*'", "", "", True),
        ("/*", "drone", "", False),
        ("/fleet/*/tracker_node", "drone", "", False),
        ("/dron/**", "drone", "", False),
        ("tracker_nod.", "", "", False),
        ("tracker", "", "", False),
    ],
)
def test_a_params_file_for_other_nodes_is_reported(
    launch: Any, tmp_path: Path, section: str, namespace: str, base: str, fits: bool
) -> None:
    reported = told_of(
        launch,
        tmp_path / "own.yaml",
        f"{section}: {{ros__parameters: {{model: kcf}}}}",
        namespace=namespace,
        **({"ros_namespace": base} if base else {}),
    )
    assert len(reported) == (0 if fits else 1)
    if not fits:
        assert f"has nothing for /{namespace}{'/' * bool(namespace)}tracker_node, only for " in reported[0]


NAMED = "{section}: {{ros__parameters: {{{value}}}}}"


@pytest.mark.parametrize(
    ("section", "namespace", "gets", "warned"),
    [
        ("follow", "", True, False),  # ROS would ignore `max_yaw_rate: 0.2` in a file that it is not given
        ("/drone/follow", "drone", True, False),
        ("follow", "drone", False, True),
        ("/**/follow", "drone", True, False),
        ("/*/follow", "", False, True),
        ("/**", "", False, False),  # as documented for the tracker node, which the others' names would only confuse
        ("tracker_node", "", False, False),
    ],
)
def test_the_follow_node_gets_a_file_that_names_it(
    launch: Any, tmp_path: Path, section: str, namespace: str, gets: bool, warned: bool
) -> None:
    own = tmp_path / "own.yaml"
    own.write_text(NAMED.format(section=section, value="gain: 1.0"))
    *told, node = follow(launch, params_file=str(own), namespace=namespace)
    assert node.parameters == [str(own)] * gets
    assert len(told) == warned
    beside = told_of(launch, own, own.read_text(), namespace=namespace)
    assert len(beside) == (section == "tracker_node" and bool(namespace)), "the tracker node is not meant"


def test_page_and_mavlink_camera_get_a_file_that_names_them(launch: Any, tmp_path: Path) -> None:
    own = tmp_path / "own.yaml"
    own.write_text("view: {ros__parameters: {names: drone}}\n/a/mavlink: {ros__parameters: {system: 7}}")
    tracker, view, warning, mavlink = nodes(launch, params_file=str(own), view="true", mavlink="udpin:0.0.0.0:14550")
    assert [str(own) in node.parameters for node in (tracker, view, mavlink)] == [True, True, False]
    assert "has nothing for /mavlink" in warning.msg
    assert view.parameters == [str(own)], "the file's port must not lose against a default"


def test_an_argument_of_the_follow_node_that_would_lose_is_told(launch: Any, tmp_path: Path) -> None:
    own = tmp_path / "own.yaml"
    own.write_text(NAMED.format(section="follow", value="gain: 1"))
    with pytest.raises(UserError, match=r"gain:=0.5 would have no effect"):
        follow(launch, params_file=str(own), gain="0.5")


def test_sections_may_be_nested(launch: Any, tmp_path: Path) -> None:
    nested = "drone: {tracker_node: {ros__parameters: {model: kcf}}}"
    assert told_of(launch, tmp_path / "own.yaml", nested, namespace="drone") == []


@pytest.mark.parametrize(
    ("section", "value", "argument", "clashes"),
    [
        ("tracker_node", "max_coast: 1", "max_coast:=0.2", True),  # ROS would take 1
        ("tracker_node", "max_coast: 1.0", "max_coast:=0.2", False),
        ("tracker_node", "max_coast: 1", "lost_threshold:=0.2", False),
        ("/**", "max_coast: 1", "max_coast:=0.2", False),  # the launch file names the node, which counts for more
        ("tracker_node", "max_coast: 1e0", "max_coast:=0.2", False),  # a fraction in ROS, text in Python's YAML
        ("tracker_node", "autostart: 1", "autostart:=false", False),  # a truth value counts before a whole number
        ("tracker_node", "propagate: off", "propagate:=auto", True),
        ("tracker_node", "init_box: [1, 2, 3, 4]", "init_box:=[1, 2, 3, 4.5]", True),
        ("tracker_node", "init_box: [1.0, 2.0, 3.0, 4.0]", "init_box:=[1, 2, 3, 4.5]", False),
    ],
)
def test_an_argument_that_would_lose_against_the_file_is_reported(
    launch: Any, tmp_path: Path, section: str, value: str, argument: str, clashes: bool
) -> None:
    name, _, text = argument.partition(":=")
    file = f"{section}: {{ros__parameters: {{{value}}}}}"
    if not clashes:
        assert told_of(launch, tmp_path / "own.yaml", file, **{name: text}) == []
        return
    with pytest.raises(UserError, match=f"{name}:=.* would have no effect: .* leave out one"):
        told_of(launch, tmp_path / "own.yaml", file, **{name: text})


@pytest.mark.parametrize(
    ("text", "loses"),
    [  # ROS adds the argument to the section of that very node, and reads the sections one after the other
        ("tracker_node: {ros__parameters: {model: kcf}}\n/**: {ros__parameters: {max_coast: 1.0}}", True),
        ("tracker_node: {ros__parameters: {model: kcf}}\n---\n/*: {ros__parameters: {max_coast: 1.0}}", True),
        ("tracker_node: {ros__parameters: {max_coast: 1}}\n---\ntracker_node: {ros__parameters: {model: kcf}}", True),
        ("/**: {ros__parameters: {max_coast: 1.0}}\ntracker_node: {ros__parameters: {model: kcf}}", False),
        ("tracker_node: {ros__parameters: {model: kcf}}\n/a/**: {ros__parameters: {max_coast: 1.0}}", False),
        ("/**: {ros__parameters: {model: kcf}}\n/**/tracker_node: {ros__parameters: {max_coast: 1.0}}", False),
    ],
)
def test_an_argument_that_would_lose_against_a_later_wildcard_is_reported(
    launch: Any, tmp_path: Path, text: str, loses: bool
) -> None:
    if not loses:
        assert told_of(launch, tmp_path / "own.yaml", text, max_coast="0.2") == []
        return
    with pytest.raises(UserError, match=r"max_coast:=0.2 would have no effect: .* has max_coast: 1(\.0)? for /"):
        told_of(launch, tmp_path / "own.yaml", text, max_coast="0.2")


def test_rviz_shows_the_debug_image_of_the_namespace(launch: Any) -> None:
    _, rviz = nodes(launch, rviz="true", namespace="left")
    assert (rviz.executable, rviz.namespace) == ("rviz2", "left")
    yaml = pytest.importorskip("yaml")
    shown = yaml.safe_load(Path(rviz.arguments[1]).read_text())["Visualization Manager"]["Displays"][0]
    assert shown["Topic"]["Value"] == "debug_image"


def test_page_and_mavlink_camera_beside_the_tracker(launch: Any) -> None:
    given = {"image": "/eye/image", "image_transport": "compressed", "namespace": "nose"}
    _, view, mavlink = nodes(launch, **given, view="true", view_port="8081", mavlink="udpin:0.0.0.0:14550")
    shared = {"image_transport": "compressed"}
    assert (view.executable, view.parameters) == ("view", [{**shared, "port": 8081}])
    assert (mavlink.executable, mavlink.parameters) == ("mavlink", [{**shared, "connection": "udpin:0.0.0.0:14550"}])
    for node in (view, mavlink):
        assert (node.namespace, node.remappings) == ("nose", [("image", "/eye/image")])
        assert (ROOT / "scripts" / node.executable).is_file()


def test_the_large_segment_is_set_unless_the_user_chose(launch: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def profile() -> str:
        actions = launch("track.launch.py").generate_launch_description().args[0]
        set_here = [a.args for a in actions if type(a).__name__ == "SetEnvironmentVariable"]
        assert [name for name, _ in set_here] == list(names)
        (value,) = {value for _, value in set_here}
        return value

    names = ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE")  # Fast DDS 2 and 3
    for name in names:
        monkeypatch.delenv(name, raising=False)
    assert Path(profile()).is_file()
    for name in names:
        with monkeypatch.context() as users:
            users.setenv(name, "mine.xml")
            assert profile() == "mine.xml"


def test_two_cameras_live_in_two_namespaces(launch: Any) -> None:
    file = launch("two_cameras.launch.py")
    groups = [a for a in file.generate_launch_description().args[0] if type(a).__name__ == "GroupAction"]
    includes = [group.args[0][0] for group in groups]
    assert [dict(include.launch_arguments)["namespace"] for include in includes] == ["left", "right"]
    ports = [dict(include.launch_arguments)["view_port"] for include in includes]
    assert len(set(ports)) == 2, "two pages cannot share a port"
    known = launch("track.launch.py").ARGUMENTS
    assert all(set(dict(include.launch_arguments)) <= set(known) for include in includes)
    assert Path(includes[0].args[0].args[0]).is_file()


def follow(launch: Any, **given: str) -> list[Any]:
    """What follow.launch.py starts beside the tracker."""
    file = launch("follow.launch.py")
    declared = [a for a in file.generate_launch_description().args[0] if type(a).__name__ == "DeclareLaunchArgument"]
    defaults = {a.args[0]: a.default_value for a in declared}
    track = {
        "image": "image",
        "camera_info": "",
        "namespace": "",
        "use_sim_time": "",
        "params_file": "",
    }  # as the file that it includes declares them
    return file.start(SimpleNamespace(launch_configurations={**defaults, **track, **given}))


def test_follow_includes_the_tracker_and_passes_everything_on(launch: Any) -> None:
    file = launch("follow.launch.py")
    (include,) = [a for a in file.generate_launch_description().args[0] if type(a).__name__.startswith("Include")]
    assert Path(include.args[0].args[0]).name == "track.launch.py"
    assert not set(file.ARGUMENTS) & set(launch("track.launch.py").ARGUMENTS), "one name, one meaning"
    given = {"gain": "3", "search": "true", "target": "7", "cmd_vel": "/gimbal/rates", "namespace": "nose"}
    (node,) = follow(launch, **given, image="/eye/image")
    assert node.parameters == [{"gain": 3.0, "search": True, "target": "7"}]
    assert node.namespace == "nose"
    assert dict(node.remappings) == {"image": "/eye/image", "cmd_vel": "/gimbal/rates"}
    assert (ROOT / "scripts" / node.executable).is_file()


def test_follow_flies_in_the_range_if_asked(launch: Any) -> None:
    _, camera = follow(launch, range="true")
    assert camera.executable == "range"
    assert (ROOT / "scripts" / camera.executable).is_file()
    with pytest.raises(UserError, match="out of range: give 0 to 20"):
        follow(launch, gain="99")


def test_show_args_tells_help_choices_and_default(launch: Any) -> None:
    texts = launch("track.launch.py").ARGUMENTS
    assert texts["propagate"].endswith("One of: auto, off. Default: auto.")
    assert texts["autostart"].endswith("Default: true.")
    assert "Default" not in texts["weights"]

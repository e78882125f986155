"""Settings as people mistype them: the file or variable is named, the setting, and what to do; nothing runs, and no secret shows."""

from __future__ import annotations

import pytest

from mistakes import SETTINGS, Mistakes, faults

SECRET = "hunter2"

FILES = {
    "an unknown setting": ("resluts: here\n", ": unknown setting 'resluts' (did you mean 'results'?)"),
    "a value of one's own": ("dropout: 0.5\n", ", or put values of your own under 'user'"),
    "a bracket is missing": ("tracker: [none\n", ":2:1: is not YAML: expected ',' or ']'"),
    "a colon": ("results: a: b\n", ":1:11: is not YAML: mapping values are not allowed here; correct that line"),
    "a setting given twice": ("log_level: INFO\nlog_level: DEBUG\n", ":2:1: is not YAML: found duplicate key"),
    "a list": ("- tracker: none\n", ": holds a list, not settings; write lines as 'project: digits'"),
    "text": ("no tracker\n", ": holds a str, not settings; write lines as 'project: digits'"),
    "an unknown tracker": ("tracker: wandb\n", ": setting 'tracker': unknown tracker 'wandb'; known are local, memory, sqlite"),
    "a misspelt publisher": (
        "tracker: none\npublisher: consle\n",
        ": setting 'publisher': unknown publisher 'consle' (did you mean 'console'?)",
    ),
    "an unknown storage": (f"{SETTINGS}storage: s4://bucket\n", ": setting 'storage': unknown storage 's4'; known are file, local, memory"),
    "two storages": (f"{SETTINGS}storage: [local, memory]\n", ": setting 'storage' names 2 storages; name one"),
    "an unknown option": (f"{SETTINGS}storage: {{uri: local, colour: red}}\n", ": setting 'storage': local: unknown option 'colour'"),
    "url for uri": ("tracker: {url: local}\n", ": setting 'tracker' has the uri None (NoneType); give {uri: …} a name as 'local' or a URI"),
    "a misspelt isolation": (f"{SETTINGS}isolation: proces\n", ": setting 'isolation' is 'proces' (did you mean 'process'?)"),
    "isolation false": (f"{SETTINGS}isolation: false\n", ": setting 'isolation' is False (bool); use one of process, none"),
    "a loud log": (f"{SETTINGS}log_level: LOUD\n", ": setting 'log_level' is 'LOUD'; use one of INFO, DEBUG, WARNING"),
    "a log level by number": (f"{SETTINGS}log_level: 10\n", ": setting 'log_level' is 10 (int); use one of INFO, DEBUG, WARNING"),
    "no results": (f"{SETTINGS}results: ''\n", ": setting 'results' is '' (str); give a text that is not empty"),
    "a variable that is not set": (
        f"{SETTINGS}results: ${{NOWHERE}}/runs\n",
        ": setting 'results' needs the environment variable NOWHERE, which is not set; set it, or change the setting",
    ),
    "no variable": (f"{SETTINGS}results: ${{my runs}}\n", "has '${my runs}', which names no variable; write ${NAME}"),
}

VARIABLES = {
    "an unknown variable": ({"KLADML_RESLUTS": "here"}, "KLADML_RESLUTS: unknown setting 'resluts' (did you mean 'results'?)"),
    "a loud log": ({"KLADML_LOG_LEVEL": "LOUD"}, "KLADML_LOG_LEVEL: setting 'log_level' is 'LOUD'; use one of INFO, DEBUG"),
    "an unknown tracker": ({"KLADML_TRACKER": "wandb"}, "KLADML_TRACKER: setting 'tracker': unknown tracker 'wandb'; known are local"),
    "an option without a URI": ({"KLADML_STORAGE__BUCKET": "b"}, "KLADML_STORAGE__BUCKET: setting 'storage' has the uri None"),
}


@pytest.fixture
def project(project: Mistakes) -> Mistakes:
    """The project with a good config."""
    project.write("config/a.json", {"model_type": "good"})
    return project


@pytest.mark.parametrize(("content", "words"), FILES.values(), ids=FILES)
def test_wrong_settings(project: Mistakes, content: str, words: str) -> None:
    project.write("kladml.yaml", content)
    stderr = project.refused("run")
    assert stderr.startswith(f"Error: {project.root / 'kladml.yaml'}:")
    assert words in stderr


@pytest.mark.parametrize(("env", "words"), VARIABLES.values(), ids=VARIABLES)
def test_wrong_variables(project: Mistakes, env: dict[str, str], words: str) -> None:
    assert project.refused("run", env=env).startswith(f"Error: environment variable {words}")


@pytest.mark.parametrize("command", ["run", "validate", "ls"])
def test_results_in_a_file(project: Mistakes, command: str) -> None:
    project.write("kladml.yaml", f"{SETTINGS}results: kladml.yaml/below\n")
    stderr = project.refused(command)
    assert stderr.startswith(f"Error: setting 'results' is 'kladml.yaml/below', but {project.root / 'kladml.yaml'} is a file")
    assert "name a folder, or move the file away" in stderr


def test_a_folder_of_experiments_that_is_not_there(project: Mistakes) -> None:
    project.write("kladml.yaml", f"{SETTINGS}experiments: experimnts\n")
    (fault,) = faults(project.refused("run"))
    assert f"searched: {project.root / 'experimnts'}; that folder does not exist" in fault
    assert "or correct the setting 'experiments'" in fault


def test_a_folder_for_the_file_of_settings(project: Mistakes) -> None:
    (project.root / "kladml.yaml").unlink()
    (project.root / "kladml.yaml").mkdir()
    stderr = project.refused("run")
    assert "kladml.yaml: cannot be read: Is a directory; correct it, or remove it to use the defaults" in stderr


def test_settings_that_are_not_utf_8(project: Mistakes) -> None:
    project.write("kladml.yaml", b"project: caf\xe9\n")
    assert "kladml.yaml: byte 12 is not UTF-8; save the file as UTF-8" in project.refused("run")


@pytest.mark.parametrize(
    "content",
    [
        f"tracker: mlflow+https://me:{SECRET}@host/x?token={SECRET}\n",
        f"tracker: {{uri: nobody, password: {SECRET}}}\n",
        f"tracker: {{url: nobody, password: {SECRET}}}\n",
        f"{SETTINGS}storage: s4://me:{SECRET}@bucket/x\n",
        f"{SETTINGS}storage: {{uri: local, secret: {SECRET}}}\n",
        f"{SETTINGS}storage: {{uri: [x], token: {SECRET}}}\n",
        f"{SETTINGS}storage: [local, {{uri: memory, token: {SECRET}}}]\n",
        "tracker: nobody://${PASSWORD}@host\n",
        f"{SETTINGS}storage: s4\n",
    ],
)
def test_no_secret_shows(project: Mistakes, content: str) -> None:
    project.write("kladml.yaml", content)
    env = {"PASSWORD": SECRET, "KLADML_STORAGE__ACCESS_KEY": SECRET} if SECRET not in content else {}
    assert SECRET not in project.refused("run", "-v", env=env)


@pytest.mark.parametrize("setting", ["storage: file", "tracker: sqlite"])
def test_a_secret_never_names_a_folder(project: Mistakes, setting: str) -> None:
    project.write("kladml.yaml", f"{setting}://me:{SECRET}@host/x\n")
    stderr = project.refused("run")
    assert SECRET not in stderr
    assert "://***@host/x: a path has no user and no password; write " in stderr

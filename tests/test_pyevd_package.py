"""The Python package: its types, its versions, how it is built and installed."""

import ast
import inspect
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import zipfile

import pytest

import evdpython
import evdtest
from evdpython import PACKAGE, SOURCE

import pyev
import pyev.evd
from pyev.evd import _watcher

BUILD = pathlib.Path(os.environ.get("EVD_BUILDDIR") or SOURCE / "build")
MODULES = sorted((PACKAGE / "pyev").rglob("*.py"))


def has(module):
    return evdpython.python("-c", "import " + module).returncode == 0


@pytest.fixture(name="copy")
def fixture_copy(tmp_path):
    """The package's sources where they can be written."""
    copy = tmp_path / "python"
    ignored = shutil.ignore_patterns("__pycache__", "build", "*.egg-info")
    shutil.copytree(PACKAGE, copy, ignore=ignored)
    for path in [copy, *copy.rglob("*")]:
        path.chmod(path.stat().st_mode | 0o200)
    return copy


def check_types(copy, *args):
    if not has("mypy"):
        pytest.skip("no mypy for %s (Debian: mypy)" % sys.executable)
    mypy = ["-m", "mypy", "--config-file", os.devnull, "--cache-dir", os.devnull]
    mypy += ["--python-version", "3.9"]
    return evdpython.python(*mypy, *args, cwd=str(copy))


def test_types_are_strict(copy):
    said = check_types(copy, "--strict", "-p", "pyev")
    assert said.returncode == 0, said.stdout + said.stderr


def test_types_are_of_use(copy):
    """A program that uses it is checked, and what is wrong in it is found."""
    (copy / "program.py").write_text(
        "import asyncio\n"
        "import pyev.evd\n"
        "async def main() -> None:\n"
        "    async with pyev.evd.connect() as session:\n"
        "        async with session.watch('timer', after=1) as timer:\n"
        "            async for event in timer:\n"
        "                print(event.seq + 1, event['any'])\n"
        "        async with session.spawn(['true']) as child:\n"
        "            status: int = await child.wait()\n"
        "            wrong: str = child.pid\n"
        "asyncio.run(main())\n"
    )
    said = check_types(copy, "--strict", "program.py")
    errors = [line for line in said.stdout.splitlines() if ": error:" in line]
    assert len(errors) == 1, said.stdout
    assert errors[0].startswith("program.py:10: ")


def test_types_of_the_drop_in(copy):
    """All that pyev has is offered to a program that is checked strictly."""
    (copy / "program.py").write_text(
        "import pyev\n"
        "def tick(watcher: pyev.Timer, revents: int) -> None:\n"
        "    watcher.loop.stop(pyev.EVBREAK_ALL)\n"
        "loop: pyev.Loop = pyev.default_loop(pyev.EVFLAG_AUTO)\n"
        "try:\n"
        "    pyev.Timer(0.0, 0.0, loop, tick).start()\n"
        "    loop.start(pyev.EVRUN_NOWAIT)\n"
        "except pyev.Error as error:\n"
        "    print(error.code, pyev.supported_backends(), pyev.__version__)\n"
        "wrong: str = loop.now()\n"
        "pyev.Tmer\n"
    )
    said = check_types(copy, "--strict", "program.py")
    errors = [line for line in said.stdout.splitlines() if ": error:" in line]
    places = [error.partition(": ")[0] for error in errors]
    assert places == ["program.py:10", "program.py:11"], said.stdout


def test_examples_are_sound(copy):
    examples = sorted(map(str, (copy / "examples").glob("*.py")))
    said = check_types(copy, "--check-untyped-defs", *examples)
    assert said.returncode == 0, said.stdout


@pytest.mark.parametrize("module", MODULES, ids=lambda m: str(m.relative_to(PACKAGE)))
def test_syntax_is_of_python_3_9(module):
    ast.parse(module.read_text(encoding="utf-8"), feature_version=(3, 9))


def public(owner):
    """The functions and classes that a module or class offers, with their names."""
    names = getattr(owner, "__all__", None) or vars(owner)
    for name in names:
        value = getattr(owner, name)
        if not name.startswith("_") and callable(value):
            yield "%s.%s" % (owner.__name__, name), value


def test_all_that_is_offered_is_documented():
    offered = list(public(pyev.evd))
    for _, value in list(offered):
        if isinstance(value, type):
            offered += public(value)
    assert len(offered) > 50
    for name, value in offered:
        assert inspect.getdoc(value), name + " has no docstring"


def test_what_is_offered_is_all_there_is():
    names = {
        name
        for name, value in vars(pyev).items()
        if str(getattr(value, "__module__", "pyev")).startswith("pyev")
        and (name.startswith("EV") or callable(value) and not name.startswith("_"))
    }
    assert names | {"__version__"} == set(pyev.__all__)


def test_every_verb_has_a_method():
    schema = json.loads((SOURCE / "protocol" / "schema.json").read_text("utf-8"))
    verbs = [
        name[len("command-") :] for name in schema["$defs"] if name[:8] == "command-"
    ]
    assert "watch" in verbs
    elsewhere = {"hello": "hello_again"}
    owners = (pyev.evd.Session, _watcher.Watcher, _watcher.Child)
    for verb in verbs:
        name = elsewhere.get(verb, verb)
        assert any(hasattr(owner, name) for owner in owners), verb


# --- versions ---------------------------------------------------------------


def version():
    text = (PACKAGE / "pyproject.toml").read_text("utf-8")
    return re.search(r'^version = "(.*)"$', text, re.M).group(1)


def test_versions_agree():
    configure = (SOURCE / "configure.ac").read_text("utf-8")
    evd = re.search(r"AC_INIT\(\[evd\], \[(.*?)\]", configure).group(1)
    assert version() == "%s+evd%s" % (pyev.__version__, evd)
    assert evdtest.run("--version").stdout.split()[-1] == evd


def test_every_module_is_in_the_package():
    text = (PACKAGE / "pyproject.toml").read_text("utf-8")
    packages = json.loads(re.search(r"^packages = (.*)$", text, re.M).group(1))
    directories = {
        ".".join(module.parent.relative_to(PACKAGE).parts) for module in MODULES
    }
    assert set(packages) == directories


def test_the_package_alone_is_enough():
    """import pyev has no side effects, and finds pyev.evd when it is used."""
    code = (
        "import sys, pyev\n"
        "assert 'pyev.evd' not in sys.modules and 'asyncio' not in sys.modules\n"
        "pyev.evd.Connection\n"
        "try:\n    pyev.nothing\n"
        "except AttributeError as error:\n    print(error)\n"
    )
    said = evdpython.python("-W", "error", "-c", code)
    assert (said.returncode, said.stderr) == (0, "")
    assert "nothing" in said.stdout


# --- building and installing ------------------------------------------------


def test_a_wheel_is_built_without_a_network(copy, tmp_path):
    for module in ("setuptools", "wheel"):
        if not has(module):
            pytest.skip("no %s (Debian: python3-%s)" % (module, module))
    code = "import setuptools.build_meta as b, sys; print(b.build_wheel(sys.argv[1]))"
    said = evdpython.python("-c", code, str(tmp_path), cwd=str(copy))
    assert said.returncode == 0, said.stderr
    wheel = tmp_path / said.stdout.splitlines()[-1]
    with zipfile.ZipFile(wheel) as file:
        names = file.namelist()
        file.extractall(tmp_path / "site")
    for module in [*MODULES, PACKAGE / "pyev" / "py.typed"]:
        assert str(module.relative_to(PACKAGE)) in names
    check_installed(tmp_path / "site")


def check_installed(directory):
    """A program that finds the package there runs, and knows its version."""
    code = (
        "import importlib.metadata, pyev.evd\n"
        "print(pyev.__file__)\n"
        "print(importlib.metadata.version('pyev'))\n"
        "with pyev.evd.Connection() as connection:\n"
        "    print(connection.hello['pid'])\n"
    )
    with evdtest.Daemon() as evd:
        env = {"PYTHONPATH": str(directory), "EVD_SOCKET": evd.path}
        said = evdpython.python("-c", code, env=env, cwd="/")
        assert said.returncode == 0, said.stderr
        file, found, pid = said.stdout.split()
    assert file == str(directory / "pyev" / "__init__.py")
    assert (found, int(pid)) == (version(), evd.pid)


def make(*args):
    env = {k: v for k, v in evdtest.environment().items() if not k.startswith("MAKE")}
    done = subprocess.run(
        ["make", "-C", str(BUILD), *args],
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=evdtest.LIMIT,
    )
    assert done.returncode == 0, done.stdout


def test_make_installs_and_uninstalls_it(tmp_path):
    makefile = (BUILD / "Makefile").read_text("utf-8")
    if re.search(r"^pythondir = $", makefile, re.M):
        pytest.skip("configured without a python3 to install it for")
    directory = tmp_path / "lib" / "python3" / "dist-packages"
    make("install-pyev", "prefix=%s" % tmp_path, "pythondir=%s" % directory)
    cached = list((directory / "pyev").rglob("*.pyc"))
    assert len(cached) == len(MODULES)
    assert (directory / "pyev" / "py.typed").exists()
    check_installed(directory)
    make("uninstall-pyev", "prefix=%s" % tmp_path, "pythondir=%s" % directory)
    assert not list(directory.iterdir())


def where(prefix):
    said = evdpython.python(str(PACKAGE / "where.py"), prefix, env={"PYTHONPATH": None})
    return said.returncode, said.stdout.strip()


def test_where_a_package_belongs(tmp_path):
    status, directory = where(str(tmp_path))
    assert status == 3
    assert re.fullmatch(r"\$\{prefix\}/lib/python3\.\d+/site-packages", directory)
    found = [path for path in sys.path if re.match(r"/usr/lib/.*-packages$", path)]
    if found:
        assert where("/usr") == (0, "${prefix}" + found[0][len("/usr") :])

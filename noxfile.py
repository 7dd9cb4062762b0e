# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every check there is, as nox sessions. ``make test`` runs them all, four at a time.

Each session stages its own copy of the checkout (tests/tooling/staging.py) and works there; what
it needs is installed into .nox, what it leaves behind is in build and .cache.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
import tempfile
import typing as t
from pathlib import Path

import nox
from nox.command import CommandFailed

ROOT = Path(__file__).resolve().parent
sys.path.insert(0, str(ROOT / "tests"))

from tooling import ansible_test_home, interpreters, staging, uv_settings  # noqa: E402

#: How uv installs what pip would install here; None if only pip can.
UV = uv_settings.read_uv_settings(os.environ)

nox.needs_version = ">=2026.4"
# pip's way, where there is no uv: virtualenv needs a quarter of the time that venv needs.
nox.options.default_venv_backend = "virtualenv" if UV is None else "uv|virtualenv"
nox.options.reuse_venv = "yes"
nox.options.error_on_missing_interpreters = True

CACHE = ROOT / ".cache"
REQUIREMENTS = ROOT / "tests" / "requirements"
NEWEST = interpreters.newest_release()
OLDEST = min(interpreters.CONTROLLER_PYTHONS, key=interpreters.as_tuple)
#: Where ansible-test sanity compiles and imports with every Python that there is: both ends, which
#: together have them all. The minors between run all tests with one Python.
SANITY_WITH_ALL_PYTHONS = {OLDEST, *interpreters.PRE_RELEASES}
#: What a minor between does not run again: these read the files alone and have no rule of a minor's.
SAME_ON_EVERY_MINOR = (
    "changelog",
    "empty-init",
    "line-endings",
    "no-illegal-filenames",
    "no-smart-quotes",
    "pslint",
    "shebang",
    "shellcheck",
    "symlinks",
    "yamllint",
)
#: What those leave to both ends, which have the oldest and the newest rules.
OF_STYLE = ("pep8", "pylint")
#: What the oldest and the newest minor alone run: what these two targets show beyond the others (how a
#: relay and a key are replaced and taken back) happens on the managed host.
SAME_ON_MANAGED_HOSTS = ("module_postfix_relay", "module_postfix_relay_key")
#: Pythons that virtualenv has no pip for any more.
WITH_VENV_ONLY = ("3.7", "3.8")
#: What of the installed packages is compiled when it is imported, as it seldom or never is.
SELDOM_IMPORTED = "/(ansible/modules|ansible_test|pygments/(formatters|lexers|styles))/"
#: A module of tests/tooling as a program, where the staged collection is on Python's path.
TOOLING = "ansible_collections.mailops.ses.tests.tooling"

Check = t.Callable[[nox.Session], None]


def without_settings_of_the_user() -> dict[str, str | None]:
    """Unset what the user may have set for Ansible, AWS's programs and Python."""
    return dict.fromkeys(
        name for name in os.environ if name.startswith(("AWS_", "ANSIBLE_", "PYTHON"))
    )


def environment(collections: Path) -> dict[str, str | None]:
    """What the programs of a session see: the staged collection, and no settings of the user."""
    return {
        **without_settings_of_the_user(),
        "ANSIBLE_COLLECTIONS_PATH": str(collections),
        "ANSIBLE_LOCALHOST_WARNING": "false",
        "ANSIBLE_NOCOLOR": "true",
        "HOME": str(CACHE / "home"),
        "HYPOTHESIS_STORAGE_DIRECTORY": str(CACHE / "hypothesis"),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONPATH": str(collections),
    }


def stage(session: nox.Session) -> Path:
    """Stage a copy for this session, go there, and return it."""
    collections = ROOT / "build" / session.name
    root = staging.stage(collections)
    (CACHE / "home").mkdir(parents=True, exist_ok=True)
    session.env.update(environment(collections))
    session.chdir(root)
    return root


def install(session: nox.Session, *requirements: str, core: str | None = None) -> None:
    """Install files of tests/requirements and, if said, a minor of ansible-core."""
    files = [word for name in requirements for word in ("-r", str(REQUIREMENTS / f"{name}.txt"))]
    session.install("-q", *files, *([interpreters.ansible_core(core)] if core else []), env=UV)
    if session.venv_backend == "uv":
        # pip compiles everything; here it is half of what an installation takes.
        packages = str(Path(session.bin).parent / "lib")
        compiling = ("python", "-m", "compileall", "-q", "-x", SELDOM_IMPORTED, packages)
        # A package may have a file that is not for this Python.
        session.run_install(*compiling, silent=True, success_codes=[0, 1])


@contextlib.contextmanager
def temporary_folder() -> t.Iterator[Path]:
    """A folder in memory where there can be one: the tests make files safe on the disk all the time.

    All users may come by: the daemons of a Postfix have to.
    """
    memory = Path("/dev/shm")
    usable = os.access(memory, os.W_OK) and not os.statvfs(memory).f_flag & os.ST_NOEXEC
    # Short, because a socket's path has 107 characters at most.
    with tempfile.TemporaryDirectory(
        prefix="ses_", dir=memory if usable else None, ignore_cleanup_errors=True
    ) as name:
        folder = Path(name)
        folder.chmod(0o1777)
        yield folder


def pytest(session: nox.Session, *arguments: str, python: tuple[str, ...] = ("python",)) -> None:
    """Run pytest with its cache outside of the staged copy."""
    cache = CACHE / "pytest" / session.name
    with temporary_folder() as folder:
        session.run(
            *python,
            *("-m", "pytest", "-q", "-o", f"cache_dir={cache}", *arguments),
            env={"TMPDIR": str(folder)},
        )


def add(name: str, versions: t.Iterable[str], check: Check, *, default: bool = True) -> None:
    """Make ``check`` a session on the first of ``versions`` that this machine has.

    Without any, the session only says that it did not run.
    """
    versions = tuple(versions)
    chosen = interpreters.first_of(versions)

    def missing(session: nox.Session) -> None:
        session.log("NOT RUN: %s needs Python %s, not found here", name, " or ".join(versions))

    missing.__doc__ = check.__doc__
    python = interpreters.interpreter(chosen) if chosen else False
    backend = None
    if chosen in WITH_VENV_ONLY:
        backend = "venv" if UV is None else "uv|venv"
    session = nox.session(python=python, name=name, default=default, venv_backend=backend)
    session(check if chosen else missing)


def newest() -> str:
    """The minor that tools run with."""
    if NEWEST is None:
        raise LookupError("no Python here that a released ansible-core runs on")
    return NEWEST


def lint(session: nox.Session) -> None:
    """ruff, mypy --strict, yamllint, reuse."""
    install(session, "lint", core=newest())
    root = stage(session)
    session.run("ruff", "check", "--cache-dir", str(CACHE / "ruff"), ".")
    session.run("ruff", "format", "--check", "--cache-dir", str(CACHE / "ruff"), ".")
    session.run("yamllint", "--strict", ".")
    session.run("reuse", "lint", "--lines")
    settings = ("--config-file", str(root / "pyproject.toml"), "--cache-dir", str(CACHE / "mypy"))
    session.run("mypy", "--strict", *settings, "noxfile.py", env={"MYPYPATH": "tests"})
    # From above: in the collection's own folder a file would have two module names.
    session.chdir(root.parents[2])
    files = [str(staging.PLACE / folder) for folder in ("plugins", "tests")]
    session.run("mypy", "--strict", *settings, *files)


def unit(session: nox.Session) -> None:
    """The quick subset for daily work."""
    install(session, "unit", core=newest())
    stage(session)
    pytest(session, "-m", "not slow", "tests/unit", *session.posargs)


def units(session: nox.Session) -> None:
    """All unit tests, with the coverage of plugins/."""
    install(session, "unit", "coverage", core=newest())
    stage(session)
    session.env["COVERAGE_FILE"] = str(CACHE / "coverage")
    pytest(session, "tests/unit", *session.posargs, python=("coverage", "run"))
    session.run("coverage", "report")


def units_with(minor: str) -> Check:
    """The unit tests with a minor that is not the newest: other code runs there.

    But for those of the module_utils, which know nothing of ansible-core.
    """

    def run(session: nox.Session) -> None:
        install(session, "unit", core=minor)
        stage(session)
        elsewhere = "--ignore=tests/unit/plugins/module_utils"
        pytest(session, elsewhere, "-m", "not ends_only", "tests/unit", *session.posargs)

    run.__doc__ = f"The unit tests but for those of the module_utils, with ansible-core {minor}."
    return run


def managed_host(version: str) -> Check:
    """The unit tests of the module_utils with a Python of managed hosts."""

    def run(session: nox.Session) -> None:
        install(session, "unit")
        stage(session)
        oldest, *_between, newest_python = interpreters.MANAGED_PYTHONS
        chosen = [] if version in (oldest, newest_python) else ["-m", "not ends_only"]
        pytest(session, *chosen, "tests/unit/plugins/module_utils", *session.posargs)

    run.__doc__ = f"The unit tests of the module_utils, without ansible-core, as on a host's Python {version}."
    return run


def integration_targets(session: nox.Session, *excluded: str) -> None:
    """Run all but those; a target that ansible-test leaves out is an error in CI, else it is named."""
    # Of its own: ansible-test makes a key there, and two that do so at once fail.
    home = CACHE / "home" / session.name
    home.mkdir(exist_ok=True)
    command = ["ansible-test", "integration", "--color", "no"]
    for name in excluded:
        command += ["--exclude", name]
    said = session.run(*command, env={"HOME": str(home)}, silent=True)
    session.log("%s", said)
    left_out = set(re.findall(r'Excluding target tests marked "(.+?)" .*: (.+)', str(said)))
    for mark, targets in left_out:
        session.log("NOT RUN: integration targets marked %s: %s", mark, targets)
    if left_out and os.environ.get("CI"):
        session.error("in CI every integration target must run")


def integration(minor: str) -> Check:
    """The integration targets and the functional tests with one minor of ansible-core."""

    def run(session: nox.Session) -> None:
        install(session, "functional", core=minor)
        stage(session)
        session.run("ansible", "--version")
        is_like_another = minor in interpreters.LIKE_ANOTHER
        is_an_end = minor in (OLDEST, NEWEST)
        integration_targets(session, *(() if is_an_end else SAME_ON_MANAGED_HOSTS))
        marked = "every_minor or oldest_too" if minor == OLDEST else "every_minor"
        if is_like_another:
            # The slow ones, on hosts and with a Postfix, run on the minor that it is like.
            marked = "every_minor and not slow"
        pytest(session, "-m", marked, "tests/functional", *session.posargs)

    run.__doc__ = f"The integration targets, and functional tests, with ansible-core {minor}."
    return run


def functional(marked: str, named: str = "", *requirements: str) -> Check:
    """The functional tests that one ansible-core is enough for: the newest.

    In three sessions, since each of them waits a lot: by their marks, and by their names.
    """

    def run(session: nox.Session) -> None:
        install(session, "functional", *requirements, core=newest())
        stage(session)
        chosen = ["-m", f"not every_minor and {marked}", *(["-k", named] if named else [])]
        pytest(session, *chosen, "tests/functional", *session.posargs)

    which = f"{marked} and named {named}" if named else marked
    run.__doc__ = f"The functional tests that are {which}, with the newest ansible-core."
    return run


def sanity(minor: str) -> Check:
    """ansible-test sanity of one minor, without ignore files."""

    def run(session: nox.Session) -> None:
        install(session, core=minor)
        root = stage(session)
        ignored = [path.name for path in (root / "tests" / "sanity").glob("ignore-*")]
        if ignored:
            session.error(f"no ignore files here: {', '.join(ignored)}")
        folder = session.run(
            "python", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", silent=True
        )
        home = CACHE / f"ansible-test-{minor}"
        for tool in ansible_test_home.prepare(home, Path(str(folder).strip())):
            session.log("%s comes from the package index, not from a forge", tool)
        arguments = ["--requirements", "--color", "no"]
        if minor not in SANITY_WITH_ALL_PYTHONS:
            # Without --python it compiles and imports with every Python that it finds.
            own = ("python", "-c", "import sys; print('%d.%d' % sys.version_info[:2])")
            arguments += ["--python", str(session.run(*own, silent=True)).strip()]
            for name in (*SAME_ON_EVERY_MINOR, *OF_STYLE):
                arguments += ["--skip-test", name]
        path = os.pathsep.join([session.bin, interpreters.search_path(CACHE / f"pythons-{minor}")])
        said = session.run(
            "ansible-test", "sanity", *arguments, env={"HOME": str(home), "PATH": path}, silent=True
        )
        session.log("%s", said)
        if "targets skipped" in str(said):
            session.error("ansible-test has looked at nothing")
        skipped = re.findall(r"on (Python \S+) because it could not be found", str(said))
        for missing in sorted(set(skipped)):
            session.log("NOT RUN: sanity's imports on %s, not found here", missing)

    run.__doc__ = f"ansible-test sanity of ansible-core {minor}."
    return run


def ansible_lint(session: nox.Session) -> None:
    """ansible-lint, production profile."""
    install(session, "ansible-lint", core=newest())
    stage(session)
    session.run("ansible-lint", "--offline", "--nocolor")


def docs(session: nox.Session) -> None:
    """The documentation of every plugin, the guides, the site of both, and the changelog."""
    install(session, "docs", core=newest())
    root = stage(session)
    references = ("--check-extra-docs-refs", "--validate-collection-refs", "all")
    lint_docs = ("antsibull-docs", "lint-collection-docs", "--plugin-docs", *references, ".")
    try:
        session.run(*lint_docs)
    except CommandFailed:
        # It copies to a folder with a random name, and takes one that ends with "_", as 1 in 37
        # does, for a reference without a target. What is wrong here fails again.
        session.run(*lint_docs)
    session.run("antsibull-changelog", "lint")
    session.run("python", "-m", f"{TOOLING}.release_check", "--rehearse")
    for kind, folder in (("filter", "filter"), ("module", "modules")):
        for path in sorted((root / "plugins" / folder).glob("[!_]*.py")):
            session.run("ansible-doc", "-t", kind, f"mailops.ses.{path.stem}", silent=True)
    site = ROOT / "build" / session.name / "site"
    session.run("python", "docs/site/build.py", str(site))
    session.env["SES_DOCS_SITE"] = str(site / "html")
    pytest(session, "tests/site", *session.posargs)


def facts(session: nox.Session) -> None:
    """What the collection knows of AWS is what the pinned botocore has; the guide's IAM policy."""
    install(session, "facts")
    stage(session)
    pytest(session, "tests/facts", *session.posargs)


def galaxy_importer(session: nox.Session) -> None:
    """What Galaxy would say about the archive."""
    install(session, "galaxy-importer", core=newest())
    root = stage(session)
    session.run("ansible-galaxy", "collection", "build", "--force", silent=True)
    (built,) = root.glob("*.tar.gz")
    said = session.run("python", "-m", "galaxy_importer.main", str(built), silent=True)
    session.log("%s", said)
    if re.search("^(WARNING|ERROR|CRITICAL)", str(said), re.MULTILINE):
        session.error("Galaxy would take it, but not without a word")


def mutation(session: nox.Session) -> None:
    """Mutation testing of the derivation and of the password map's format."""
    install(session, "mutation", core=newest())
    session.chdir(stage(session).parents[2])
    with temporary_folder() as folder:
        session.run("python", "-m", f"{TOOLING}.mutation", env={"TMPDIR": str(folder)})


def release_check(session: nox.Session) -> None:
    """Version, changelog and tag agree, and two builds of the archive are the same."""
    install(session, core=newest())
    git = ("git", "-c", "safe.directory=*", "-C", str(ROOT))
    # A tag says nothing about a checkout that has changes since.
    changes = session.run(*git, "status", "--porcelain", external=True, silent=True)
    tags = session.run(*git, "tag", "--points-at", "HEAD", external=True, silent=True)
    stage(session)
    said = () if changes else str(tags).split()
    session.run("python", "-m", f"{TOOLING}.release_check", *said)


def released_api(session: nox.Session) -> None:
    """Record what playbooks rely on, at a release."""
    install(session, core=newest())
    record = ROOT / "tests" / "tooling" / "released_api.json"
    stage(session)
    session.run("python", "-m", f"{TOOLING}.released_api", str(record))


def demo(session: nox.Session) -> None:
    """An encrypted example key becomes a relay that delivers; without root, a sasl_passwd."""
    # As root it has a Postfix and a stand-in for SES, which is what tests use.
    install(session, *(["functional"] if os.geteuid() == 0 else []), core=newest())
    session.run("python", "-m", "tests.demo", env=without_settings_of_the_user())


def bench(session: nox.Session) -> None:
    """What it costs, as ratios to something in the same run."""
    install(session, core=newest())
    root = stage(session)
    session.env["PYTHONPATH"] = os.pathsep.join([str(root.parents[2]), str(root)])
    session.run("python", "-m", "tests.bench", *session.posargs)


def declare() -> None:
    """Declare the sessions, those first that take or wait long, so that nothing long is left for the end."""
    tools = interpreters.CONTROLLER_PYTHONS[NEWEST or OLDEST]
    minors = interpreters.CONTROLLER_PYTHONS
    add("functional", tools, functional("not on_hosts", "not relay", "automation-platform"))
    for minor in [each for each in minors if each not in interpreters.LIKE_ANOTHER]:
        add(f"integration-{minor}", minors[minor], integration(minor))
    add("functional-on-hosts", tools, functional("on_hosts"))
    add("functional-relay", tools, functional("not on_hosts", "relay"))
    for minor in interpreters.LIKE_ANOTHER:
        add(f"integration-{minor}", minors[minor], integration(minor))
    add("units", tools, units)
    for minor in sorted(minors, key=lambda minor: minor not in SANITY_WITH_ALL_PYTHONS):
        pythons = sorted(minors[minor], key=interpreters.as_tuple, reverse=True)
        add(f"sanity-{minor}", pythons, sanity(minor))
    add("mutation", tools, mutation)
    for minor in (OLDEST, *interpreters.PRE_RELEASES):
        add(f"units-with-{minor}", minors[minor], units_with(minor))
    add("docs", tools, docs)
    add("lint", tools, lint)
    add("ansible-lint", tools, ansible_lint)
    add("galaxy-importer", tools, galaxy_importer)
    for version in interpreters.MANAGED_PYTHONS:
        # Of the Python that it runs on, the session units has them all.
        if version != interpreters.first_of(tools):
            add(f"units-{version}", (version,), managed_host(version))
    add("facts", tools, facts)
    add("release-check", tools, release_check)
    add("demo", tools, demo)
    add("unit", tools, unit, default=False)
    add("released-api", tools, released_api, default=False)
    add("bench", tools, bench, default=False)


declare()

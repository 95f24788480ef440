"""The packages that this project uses: what needs each, which are missing, how to install them.

Planning, training, tables and verdicts need those of ``needed="always"``; a package of the others
is imported by what uses it, and may be absent (docs/install.md).
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Literal

from harness.errors import UserError


@dataclass(frozen=True, kw_only=True)
class Package:
    """A package that this project imports.

    Attributes:
        name: of the distribution, as pip knows it.
        module: the name under which it is imported.
        requirement: the versions that are allowed, as in ``pyproject.toml``.
        use: what needs it, in the plural, as the subject of a sentence.
        needed: "always" for every training and table, "use" for ``use`` alone.
        extra: extra of the project that installs it; None for a part of the default install.
        others: distributions that provide the same module; only one of them may be installed.
    """

    name: str
    module: str
    requirement: str
    use: str
    needed: Literal["always", "use"] = "use"
    others: tuple[str, ...] = ()
    extra: str | None = None


TRAINING = "all trainings and tables"
SEGMENTATION = "segmentation rows"

PACKAGES = (
    Package(name="torch", module="torch", requirement="torch>=2.11", use=TRAINING, needed="always"),
    Package(
        name="torchvision",
        module="torchvision",
        requirement="torchvision>=0.26",
        use="timm's and lightly's models",
        needed="always",
    ),
    Package(
        name="timm",
        module="timm",
        requirement="timm>=1.0.20",
        use="encoders of all methods",
        needed="always",
    ),
    Package(name="numpy", module="numpy", requirement="numpy>=2.0", use=TRAINING, needed="always"),
    Package(
        name="scipy",
        module="scipy",
        requirement="scipy>=1.14",
        use="intervals and tests",
        needed="always",
    ),
    Package(name="pillow", module="PIL", requirement="pillow>=11", use="images", needed="always"),
    Package(
        name="rich", module="rich", requirement="rich>=13.9", use="printed tables", needed="always"
    ),
    Package(
        name="filelock",
        module="filelock",
        requirement="filelock>=4.2",
        use="claims of run stores",
        needed="always",
    ),
    Package(
        name="msgspec",
        module="msgspec",
        requirement="msgspec>=0.19",
        use="settings and records",
        needed="always",
    ),
    Package(
        name="safetensors",
        module="safetensors",
        requirement="safetensors>=0.4.5",
        use="weights of finished stages",
        needed="always",
    ),
    Package(
        name="psutil",
        module="psutil",
        requirement="psutil>=6",
        use="trainings without a GPU, and several jobs,",
        needed="always",
    ),
    Package(
        name="imagehash",
        module="imagehash",
        requirement="imagehash>=4.3.2",
        use="preparations of data sets, the generated ones included,",
        needed="always",
    ),
    Package(
        name="pandas",
        module="pandas",
        requirement="pandas>=2.3",
        use="tables as CSV, and frames (`harness export frame`),",
    ),
    Package(
        name="lightly",
        module="lightly",
        requirement="lightly>=1.5.20",
        use="rows of contrastive methods",
    ),
    Package(
        name="mmsegmentation",
        module="mmseg",
        requirement="mmsegmentation>=1.2.2",
        use=SEGMENTATION,
        others=("onedl-mmsegmentation",),
    ),
    Package(
        name="mmengine",
        module="mmengine",
        requirement="mmengine>=0.10.7",
        use=SEGMENTATION,
        others=("onedl-mmengine",),
    ),
    Package(
        name="mmcv-lite",
        module="mmcv",
        requirement="mmcv-lite>=2.1,<2.2",
        use=SEGMENTATION,
        others=("mmcv", "onedl-mmcv"),
    ),
    Package(name="ftfy", module="ftfy", requirement="ftfy>=6", use=SEGMENTATION),
    Package(name="regex", module="regex", requirement="regex", use=SEGMENTATION),
    Package(
        name="optuna", module="optuna", requirement="optuna>=4.5", use="sweeps (`harness sweep`)"
    ),
    Package(
        name="scikit-learn",
        module="sklearn",
        requirement="scikit-learn>=1.5",
        use="importances of a sweep's settings, and figures of features,",
    ),
    Package(
        name="mlflow",
        module="mlflow",
        requirement="mlflow>=3.5,!=3.18.0",
        use="runs in MLflow (all commands but those with `--track off`)",
    ),
    Package(
        name="fvcore",
        module="fvcore",
        requirement="fvcore>=0.1.5.post20221221",
        use="checks of counts (`harness cost --check`)",
    ),
    Package(name="matplotlib", module="matplotlib", requirement="matplotlib>=3.9", use="figures"),
    Package(
        name="jinja2",
        module="jinja2",
        requirement="jinja2>=3.1.4",
        use="pages (`--format html`, `harness serve`)",
    ),
    Package(
        name="shtab",
        module="shtab",
        requirement="shtab>=1.7",
        use="completion in a shell (`harness completion`)",
    ),
    Package(
        name="submitit",
        module="submitit",
        requirement="submitit>=1.5",
        use="jobs of a cluster (`--launcher slurm`, `submitit-local`)",
        extra="slurm",
    ),
    Package(
        name="ray",
        module="ray",
        requirement="ray>=2.40",
        use="tasks of a Ray cluster (`--launcher ray`)",
        extra="ray",
    ),
)
"""All, in the order in which ``harness doctor`` shows them."""

UNINSTALL = (
    "pip uninstall -y mmsegmentation mmengine mmcv mmcv-lite"
    " onedl-mmsegmentation onedl-mmengine onedl-mmcv"
)
"""Removes both families: they own the same files, so that removing one breaks the other."""


PLACING = ("slurm", "ray")
"""Extras whose packages place work on a cluster; no training needs them."""


def missing() -> tuple[Package, ...]:
    """Return the packages that cannot be imported because they are not installed."""
    return tuple(package for package in PACKAGES if not is_installed(package.module))


def rows_may_lack() -> bool:
    """Whether a package that a training may need is not installed, or one is installed twice."""
    return any(package.extra not in PLACING for package in missing()) or clash() is not None


def is_installed(module: str) -> bool:
    """Whether a module can be found, without importing it.

    A folder without any module, which pip leaves where it did not write all of its files, is none,
    although Python imports it.
    """
    try:
        found = importlib.util.find_spec(module)
    except ValueError:  # it is imported, and has no spec
        return True
    return found is not None and found.origin is not None


def install(package: Package) -> str:
    """Return the command that installs a package."""
    return f'pip install "{package.requirement}"'


def require(name: str) -> None:
    """Check that a package of ``PACKAGES`` is installed, without importing it.

    Raises:
        UserError: it is missing.
    """
    for package in missing():
        if package.name == name:
            raise UserError(f"{lacking(package)}.")


def lacking(package: Package) -> str:
    """Return the line that says what needs a package that is missing, and how to install it."""
    use = package.use[0].upper() + package.use[1:] if package.use[0] != "`" else package.use
    return f"{use} need {package.name}, which is not installed: {install(package)}"


def versions(package: Package) -> dict[str, str]:
    """Return the installed distributions that provide a package's module, by name."""
    found: dict[str, str] = {}
    for name in (package.name, *package.others):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def clash() -> str | None:
    """Return the line that says that a module is installed by two distributions; None if none is.

    mmsegmentation and its fork own the same files: which of them is imported cannot be known.
    """
    for package in PACKAGES:
        names = [f"{name} {version}" for name, version in versions(package).items()]
        if package.others and len(names) > 1:
            return (
                f"{' and '.join(names)} are both installed as {package.module!r}, and one has"
                f" overwritten files of the other; remove both families and install one of them"
                f" again (docs/install.md): {UNINSTALL}"
            )
    return None


def explain(error: BaseException) -> UserError | None:
    """Return the line for the failed import of a package; None for any other error.

    A package that is installed without what it imports itself is named, too, and one of which
    nothing but a folder is left.
    """
    top = _lacked(error)
    if top is None or is_installed(top):
        return None  # a part of an installed package: its version is another one
    for package in PACKAGES:
        if package.module == top:
            return UserError(f"{lacking(package)}.")
    if not isinstance(error, ModuleNotFoundError):
        return None
    if _raised_in_ours(error):
        return UserError(
            f"This command imports {top!r}, which is not installed; install what the harness needs:"
            " pip install -r requirements.lock (docs/install.md)."
        )
    importer = _importer(error)
    if importer is None:
        return None
    return UserError(
        f"{importer.name} cannot be imported: it needs {top!r}, which is not installed; install"
        f" {importer.name} with what it needs: {install(importer)}"
    )


def _lacked(error: BaseException) -> str | None:
    """Return the first name of the module in which an import or a look-up has found nothing."""
    name = error.name if isinstance(error, ImportError) else None
    if isinstance(error, AttributeError) and isinstance(error.obj, ModuleType):
        name = error.obj.__name__
    return name.partition(".")[0] if name else None


def _raised_in_ours(error: BaseException) -> bool:
    """Whether an import statement of this package itself has failed.

    An import of a user's file passes through ``harness.sources``, which is not what fails.
    """
    here = Path(__file__).parent
    files = [frame.f_code.co_filename for frame, _ in traceback.walk_tb(error.__traceback__)]
    passed = ("<frozen importlib", str(here / "sources"))
    written = [file for file in files if not file.startswith(passed)]
    return bool(written) and Path(written[-1]).is_relative_to(here)


def _importer(error: BaseException) -> Package | None:
    """Return the first package of ``PACKAGES`` in whose files an exception was raised."""
    trace = error.__traceback__
    while trace is not None:
        parts = Path(trace.tb_frame.f_code.co_filename).parts
        for package in PACKAGES:
            if "site-packages" in parts and package.module in parts:
                return package
        trace = trace.tb_next
    return None


@contextmanager
def explained() -> Iterator[None]:
    """Turn the failed import of a package within the block into a ``UserError`` that names it."""
    try:
        yield
    except (ImportError, AttributeError) as error:
        told = explain(error)
        if told is None:
            raise
        raise told from error

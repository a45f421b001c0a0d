"""Are the packages of bundle adjustment here, and do they fit each other? pyceres adds to problems that pycolmap made,
which works only if both were built with the same Ceres."""

from importlib import import_module

INSTALL = 'install them together with pip install "cut3r[ba]"'


def check_packages() -> None:
    """Import pycolmap and pyceres.

    Raises:
        ValueError: One is missing, or they do not fit.
    """
    versions = []
    for name in ("pycolmap", "pyceres"):
        try:
            module = import_module(name)
        except ImportError as error:
            raise ValueError(f"bundle adjustment needs pycolmap and pyceres, but {error}; {INSTALL}") from error
        versions.append(str(getattr(module, "__ceres_version__", "unknown")))
    if versions[0] != versions[1]:
        raise ValueError(
            f"pycolmap was built with Ceres {versions[0]} but pyceres with {versions[1]}, so they cannot share a "
            f"problem; {INSTALL}"
        )

"""The harness: judges any ESE backup client against the simulated server.

Kept light on purpose: this module is imported by every pytest run of a machine where the package
    is installed.
"""

__all__ = ["__version__"]


def __getattr__(name: str) -> str:
    if name == "__version__":
        from importlib.metadata import PackageNotFoundError, version

        try:
            return version("esesim")
        except PackageNotFoundError:  # run from a source tree that was never installed
            return "0+source"
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

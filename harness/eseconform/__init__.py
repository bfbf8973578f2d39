"""The harness: judges any ESE backup client against the simulated server.

Kept light on purpose: every pytest run of a machine where the package is installed imports this
module, so it imports nothing.
"""

__version__ = "0.1.0"

__all__ = ["__version__"]

"""The version, in a module of its own for the modules that ``queuey_client`` itself imports."""

__version__ = "2.0.0.dev0"

USER_AGENT = f"queuey-client/{__version__}"

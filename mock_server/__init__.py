"""The mock server: providers served from their contracts, with stateful fixture wallets."""

import warnings

# Connexion imports Starlette's test client, which warns about the version of a library that nothing here uses it with.
warnings.filterwarnings("ignore", message="Using `httpx` with `starlette.testclient`")

"""The shipped suite: `pytest --pyargs contract_tests --walletproof-target URL`."""

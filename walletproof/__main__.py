"""`python -m walletproof`."""

import sys

from walletproof.cli import main

sys.exit(main())

"""`python -m mailgw.develop DIRECTORY`."""

import sys

from mailgw.develop.main import main

sys.exit(main())

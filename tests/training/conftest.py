"""What all tests of training share: no hub is asked, which would be waited for."""

from __future__ import annotations

import os

os.environ |= {"HF_HUB_OFFLINE": "1", "DO_NOT_TRACK": "1"}  # before transformers is imported

"""On the path of a Python program, this sets its clock wrong by ``FOOTLOOSE_TEST_CLOCK_S`` seconds."""

import os
import time

_right = time.time
_wrong_s = float(os.environ["FOOTLOOSE_TEST_CLOCK_S"])
time.time = lambda: _right() + _wrong_s

"""A back end whose import never ends."""

import threading

threading.Event().wait()

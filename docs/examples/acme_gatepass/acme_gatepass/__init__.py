"""A scheme and a secret source for gatepass, by entry points alone: nobody imports this."""

"""Use cases: what can be asked of the gateway, whatever the protocol it is asked through."""

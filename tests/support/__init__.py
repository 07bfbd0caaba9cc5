"""What tests need beside gatepass: real peers, hosts, and things that go wrong on purpose."""

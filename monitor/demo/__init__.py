"""The whole story on one machine, without hardware: simulated server, replayed vendor tools, a host that drifts."""

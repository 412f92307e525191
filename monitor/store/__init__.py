"""What is remembered across restarts: probes, samples, facts, baselines, findings and the outbox."""

"""`monitor doctor`: what can work here, what cannot, and exactly what to add."""

from monitor.doctor.check import Check
from monitor.doctor.examine import examine

__all__ = ["Check", "examine"]

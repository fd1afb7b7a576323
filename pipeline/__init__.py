"""debrief: judge interview answers by the signals they show."""

__version__ = "0.1.0"

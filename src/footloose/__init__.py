"""Footloose: applications that follow their users."""

__version__ = "0.1.0"

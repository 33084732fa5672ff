"""Tests of the project itself: its layers, its compiled code, its packages, its pages."""

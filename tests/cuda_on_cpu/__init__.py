"""Runs the .cu files on the CPU: README.md says how."""

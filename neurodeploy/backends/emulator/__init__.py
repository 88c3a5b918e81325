"""The fixed-point emulator."""
